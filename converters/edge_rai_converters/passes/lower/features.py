"""What ai.onnx.ml does to features before a model, and to labels after it, in plain operators.

The reference is ONNX Runtime's kernels: a row of zeros is not normalized, an unknown category is a row of zeros only
where the node says so, of equal keys of a LabelEncoder the first one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from edge_rai_converters.passes.lower.sketch import Array, Rules, Sketch, Tensor

_NUMBERS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64})
_LOOKED_UP = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64})
_KINDS: Mapping[int, tuple[str, type[np.generic]]] = {
    TensorProto.FLOAT: ("float", np.float32),
    TensorProto.INT64: ("int64", np.int64),
}


def _scaler(sketch: Sketch) -> bool:
    (given,), attributes = sketch.inputs, sketch.attributes
    # Doubles are scaled as such, and the result is rounded; integers are rounded first.
    wide = given.dtype == TensorProto.DOUBLE
    dtype = np.float64 if wide else np.float32
    offset, scale = (np.array(attributes.get(part, ()), np.float32).astype(dtype) for part in ("offset", "scale"))
    if given.dtype not in _NUMBERS or len(offset) != len(scale) or not _fits(given, len(scale)):
        return False
    (scaled,) = sketch.node.output
    values = given.name if wide else sketch.cast(given)
    centred = sketch.op("Sub", values, offset)
    if wide:
        sketch.op("Cast", sketch.op("Mul", centred, scale), to=TensorProto.FLOAT, named=scaled)
    else:
        sketch.op("Mul", centred, scale, named=scaled)
    return True


def _fits(given: Tensor, count: int) -> bool:
    """Whether that many constants broadcast as the kernels repeat them: one, or one a column."""
    if given.shape is None or len(given.shape) == 0:
        return False
    return count == 1 or (len(given.shape) <= 2 and given.shape[-1] in (None, count) and count > 0)


def _normalizer(sketch: Sketch) -> bool:
    (given,) = sketch.inputs
    norm = sketch.attributes.get("norm", b"MAX").decode(errors="replace")
    if given.dtype not in _NUMBERS or given.rank not in (1, 2) or norm not in ("MAX", "L1", "L2"):
        return False
    values = sketch.cast(given)
    if norm == "L2":
        _by_length(sketch, given, values)
        return True
    if norm == "L1":
        total = sketch.reduced("ReduceSum", sketch.op("Abs", values))
    else:
        # The kernel's maximum passes over NaN.
        lowest = np.finfo(np.float32).min
        total = sketch.reduced("ReduceMax", sketch.op("Where", sketch.op("IsNaN", values), lowest, values))
    is_zero = sketch.op("Equal", total, np.float32(0))
    divisor = sketch.op("Where", is_zero, np.float32(1), total)
    sketch.op("Div", values, divisor, named=sketch.node.output[0])
    return True


def _by_length(sketch: Sketch, given: Tensor, values: str) -> None:
    """By the square root of each value's share of the squares, with the value's sign."""
    squares = sketch.op("Mul", given.name, given.name)
    squares = sketch.cast(Tensor(squares, given.dtype))
    total = sketch.reduced("ReduceSum", squares)
    root = sketch.op("Sqrt", sketch.op("Div", squares, total))
    signed = sketch.op("Where", sketch.op("Less", values, np.float32(0)), sketch.op("Neg", root), root)
    is_zero = sketch.op("Equal", total, np.float32(0))
    sketch.op("Where", is_zero, values, signed, named=sketch.node.output[0])


def _one_hot(sketch: Sketch) -> bool:
    (given,), attributes = sketch.inputs, sketch.attributes
    categories = np.array(attributes.get("cats_int64s", ()), np.int64)
    unique = len(set(categories.tolist())) == len(categories) > 0
    if not unique or not attributes.get("zeros", 1) or given.dtype not in _LOOKED_UP or given.rank not in (1, 2):
        return False
    matches = sketch.op("Equal", _last_axis(sketch, sketch.cast(given, TensorProto.INT64), given.rank), categories)
    sketch.op("Cast", matches, to=TensorProto.FLOAT, named=sketch.node.output[0])
    return True


def _label_encoder(sketch: Sketch) -> bool:
    (given,), attributes = sketch.inputs, sketch.attributes
    keys, values = _listed(attributes, "keys"), _listed(attributes, "values")
    if keys is None or values is None or given.dtype not in _KINDS or given.rank < 0:
        return False
    if keys.dtype != _KINDS[given.dtype][1] or len(keys) != len(values) or np.isnan(keys).any():
        return False
    default = _default(attributes, values.dtype)
    first = np.unique(keys, return_index=True)[1]
    # Place 0 is for what has no key, so that the places of the keys that equal a value can be summed.
    places = np.arange(1, len(first) + 1, dtype=np.int64)
    matches = sketch.op("Equal", _last_axis(sketch, given.name, given.rank), keys[first])
    found = sketch.op("Mul", sketch.op("Cast", matches, to=TensorProto.INT64), places)
    place = sketch.op("Reshape", sketch.reduced("ReduceSum", found), np.zeros(given.rank, np.int64))
    sketch.op("Gather", np.concatenate([default, values[first]]), place, axis=0, named=sketch.node.output[0])
    return True


def _listed(attributes: Mapping[str, Any], part: str) -> Array | None:
    """Keys or values of a LabelEncoder; None when they are strings, doubles, or not there."""
    for name, dtype in _KINDS.values():
        if attributes.get(f"{part}_{name}s"):
            return np.array(attributes[f"{part}_{name}s"], dtype)
    if f"{part}_tensor" in attributes:
        listed = numpy_helper.to_array(attributes[f"{part}_tensor"]).reshape(-1)
        return listed if listed.dtype in (np.float32, np.int64) else None
    return None


def _default(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> Array:
    if "default_tensor" in attributes:
        return numpy_helper.to_array(attributes["default_tensor"]).reshape(-1)[:1]
    name, value = ("default_float", -0.0) if dtype == np.float32 else ("default_int64", -1)
    return np.array([attributes.get(name, value)], dtype)


def _imputer(sketch: Sketch) -> bool:
    (given,), attributes = sketch.inputs, sketch.attributes
    if given.dtype not in _KINDS:
        return False
    name, dtype = _KINDS[given.dtype]
    imputed = np.array(attributes.get(f"imputed_value_{name}s", ()), dtype)
    if len(imputed) == 0 or f"replaced_value_{name}" not in attributes or not _fits(given, len(imputed)):
        return False
    replaced = dtype(attributes[f"replaced_value_{name}"])
    missing = sketch.op("IsNaN", given.name) if np.isnan(replaced) else sketch.op("Equal", given.name, replaced)
    sketch.op("Where", missing, imputed, given.name, named=sketch.node.output[0])
    return True


def _binarizer(sketch: Sketch) -> bool:
    (given,) = sketch.inputs
    if given.dtype != TensorProto.FLOAT:
        return False
    above = sketch.op("Greater", given.name, np.float32(sketch.attributes.get("threshold", 0.0)))
    binary = sketch.op("Cast", above, to=TensorProto.FLOAT)
    # The kernel fails on NaN; no answer must come of it here either.
    missing = sketch.op("IsNaN", given.name)
    sketch.op("Where", missing, given.name, binary, named=sketch.node.output[0])
    return True


def _vectorizer(sketch: Sketch) -> bool:
    # Of other widths the kernel would cut or pad.
    widths = [(width,) for width in sketch.attributes.get("inputdimensions", ())]
    if widths != [(given.shape or ())[1:] for given in sketch.inputs]:
        return False
    if not all(given.dtype in _NUMBERS for given in sketch.inputs):
        return False
    sketch.op("Concat", *map(sketch.cast, sketch.inputs), axis=1, named=sketch.node.output[0])
    return True


def _extractor(sketch: Sketch) -> bool:
    values, places = sketch.inputs
    if values.rank < 1:
        return False
    (taken,) = sketch.node.output
    # Of a vector the kernel makes one row.
    flat = sketch.op("Reshape", places.name, np.array([-1] if values.rank > 1 else [1, -1], np.int64))
    sketch.op("Gather", values.name, flat, axis=values.rank - 1, named=taken)
    return True


def _last_axis(sketch: Sketch, values: str, rank: int) -> str:
    """With an axis of extent 1 behind the others."""
    return sketch.op("Reshape", values, np.array([0] * rank + [1], np.int64))


RULES: Rules = {
    "ArrayFeatureExtractor": _extractor,
    "Binarizer": _binarizer,
    "FeatureVectorizer": _vectorizer,
    "Imputer": _imputer,
    "LabelEncoder": _label_encoder,
    "Normalizer": _normalizer,
    "OneHotEncoder": _one_hot,
    "Scaler": _scaler,
}
