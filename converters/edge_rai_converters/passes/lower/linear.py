"""LinearClassifier and LinearRegressor as a Gemm and what follows it.

The reference is ONNX Runtime's kernel and not the specification: it makes two classes of one score, by LOGISTIC or else
as 1 - score and score whatever the transform; it ignores the transform of a single target; and it takes intercepts of a
regressor only where their number fits. PROBIT is an approximation whose rounding errors no other operators repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from edge_rai_converters.passes.lower.sketch import Array, Rules, Sketch

_CLASSIFIED = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64})
# What ONNX Runtime's SOFTMAX_ZERO takes for zero.
_ZERO = np.float32(0.0000001)
_PLAIN = "NONE"


def _classifier(sketch: Sketch) -> bool:
    (given,), attributes = sketch.inputs, sketch.attributes
    intercepts = np.array(attributes.get("intercepts", ()), np.float32)
    weights = _weights(sketch, len(intercepts))
    transform = attributes.get("post_transform", b"NONE").decode(errors="replace")
    labels = _labels(attributes)
    binary = len(intercepts) == 1
    if weights is None or given.dtype not in _CLASSIFIED or transform not in {_PLAIN, *_TRANSFORMS}:
        return False
    if len(labels) != (2 if binary else len(intercepts)) or not all(sketch.node.output):
        return False
    label, scores = sketch.node.output
    named = scores if transform == _PLAIN and not binary else ""
    raw = sketch.op("Gemm", sketch.cast(given), weights, intercepts, transB=1, named=named)
    if binary:
        _two_classes(sketch, raw, transform, labels)
        return True
    if transform != _PLAIN:
        _TRANSFORMS[transform](sketch, raw, scores)
    if np.array_equal(labels, np.arange(len(labels))):
        sketch.op("ArgMax", raw, axis=1, keepdims=0, named=label)
    else:
        sketch.op("Gather", labels, sketch.op("ArgMax", raw, axis=1, keepdims=0), axis=0, named=label)
    return True


def _two_classes(sketch: Sketch, raw: str, transform: str, labels: Array) -> None:
    """Of one score; the first class wins when it is 0."""
    label, scores = sketch.node.output
    positive = sketch.op("Reshape", sketch.op("Greater", raw, np.float32(0)), np.array([-1], np.int64))
    sketch.op("Where", positive, labels[1:], labels[:1], named=label)
    if transform == "LOGISTIC":
        both = sketch.op("Concat", sketch.op("Neg", raw), raw, axis=1)
        _logistic(sketch, both, scores)
    else:
        sketch.op("Concat", sketch.op("Sub", np.float32(1), raw), raw, axis=1, named=scores)


def _regressor(sketch: Sketch) -> bool:
    (given,), attributes = sketch.inputs, sketch.attributes
    targets = attributes.get("targets", 1)
    weights = _weights(sketch, targets)
    transform = attributes.get("post_transform", b"NONE").decode(errors="replace")
    if weights is None or given.dtype != TensorProto.FLOAT or transform not in {_PLAIN, *_TRANSFORMS}:
        return False
    transform = transform if targets > 1 else _PLAIN
    intercepts = np.array(attributes.get("intercepts", ()), np.float32)
    inputs = (given.name, weights, intercepts) if len(intercepts) == targets else (given.name, weights)
    (answer,) = sketch.node.output
    raw = sketch.op("Gemm", *inputs, transB=1, named=answer if transform == _PLAIN else "")
    if transform != _PLAIN:
        _TRANSFORMS[transform](sketch, raw, answer)
    return True


def _weights(sketch: Sketch, rows: int) -> Array | None:
    """(rows, features), None where they do not fit the input or it is no matrix."""
    (given,) = sketch.inputs
    weights = np.array(sketch.attributes.get("coefficients", ()), np.float32)
    if rows < 1 or weights.size == 0 or weights.size % rows or given.shape is None or len(given.shape) != 2:
        return None
    weights = weights.reshape(rows, -1)
    return weights if given.shape[1] in (None, weights.shape[1]) else None


def _labels(attributes: Mapping[str, Any]) -> Array:
    strings = attributes.get("classlabels_strings")
    return np.array(strings, object) if strings else np.array(attributes.get("classlabels_ints", ()), np.int64)


def _logistic(sketch: Sketch, raw: str, named: str) -> None:
    sketch.op("Sigmoid", raw, named=named)


def _softmax(sketch: Sketch, raw: str, named: str) -> None:
    sketch.op("Softmax", raw, axis=1, named=named)


def _softmax_zero(sketch: Sketch, raw: str, named: str) -> None:
    """A softmax over what is not zero; the zeros are divided by the same sum."""
    nonzero = sketch.op("Greater", sketch.op("Abs", raw), _ZERO)
    # The greatest one only keeps exp in range: which one it is makes no difference to the quotient.
    greatest = sketch.reduced("ReduceMax", sketch.op("Where", nonzero, raw, np.float32(0)))
    powers = sketch.op("Exp", sketch.op("Sub", raw, greatest))
    total = sketch.reduced("ReduceSum", sketch.op("Where", nonzero, powers, np.float32(0)))
    zeros = sketch.op("Mul", raw, sketch.op("Exp", sketch.op("Neg", greatest)))
    sketch.op("Div", sketch.op("Where", nonzero, powers, zeros), total, named=named)


_TRANSFORMS: Mapping[str, Callable[[Sketch, str, str], None]] = {
    "LOGISTIC": _logistic,
    "SOFTMAX": _softmax,
    "SOFTMAX_ZERO": _softmax_zero,
}
RULES: Rules = {"LinearClassifier": _classifier, "LinearRegressor": _regressor}
