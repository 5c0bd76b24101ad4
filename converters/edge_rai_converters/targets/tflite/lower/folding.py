"""Puts what follows a layer with constant weights into the weights: factors and offsets by channel, orders of channels.

A normalisation of a batch has become a product and a sum by then, so this is what folds it away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_rai_converters.passes.lower.sketch import Array
from edge_rai_converters.targets.tflite.lower.draft import static
from edge_rai_converters.targets.tflite.lower.walk import Walk

# By the layer: which axis of its answer are the channels, and which one of its weights belongs to them.
_CHANNELS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": -1}
_Fold = Callable[[Walk, onnx.NodeProto, onnx.NodeProto], bool]


def fold(walk: Walk, outputs: Sequence[str]) -> None:
    """Rewrites the nodes of the walk.

    Args:
        walk: When all nodes are walked.
        outputs: Of the graph.
    """
    reads = Counter(name for node in walk.nodes for name in node.input)
    reads.update(outputs)
    makers: dict[str, onnx.NodeProto] = {}
    kept: list[onnx.NodeProto] = []
    for node in walk.nodes:
        before = makers.get(node.input[0]) if node.op_type == "Reshape" else None
        if before is not None and before.op_type == "Reshape":
            node.input[0] = before.input[0]
        layer = _layer_before(walk, node, makers, reads)
        if layer is not None and _FOLDS[node.op_type](walk, layer, node):
            layer.output[0] = node.output[0]
            node = layer
        else:
            node = _as_gemm(walk, node)
            kept.append(node)
        makers.update(dict.fromkeys(node.output, node))
    walk.nodes[:] = kept


def _layer_before(
    walk: Walk, node: onnx.NodeProto, makers: dict[str, onnx.NodeProto], reads: Counter[str]
) -> onnx.NodeProto | None:
    """The layer that makes the node's one computed operand, when nothing else reads it and its weights are constant."""
    if node.op_type not in _FOLDS:
        return None
    computed = [name for name in node.input if name and name not in walk.values]
    layer = makers.get(computed[0]) if len(computed) == 1 and reads[computed[0]] == 1 else None
    if layer is None or layer.op_type not in _CHANNELS or walk.known[computed[0]].dtype != TensorProto.FLOAT:
        return None
    return layer if all(name in walk.values for name in layer.input[1:] if name) else None


def _as_gemm(walk: Walk, node: onnx.NodeProto) -> onnx.NodeProto:
    """A product of a matrix with constant weights has a place for offsets as a Gemm."""
    if node.op_type != "MatMul" or node.input[1] not in walk.values or len(walk.known[node.input[0]].shape or ()) != 2:
        return node
    weights = walk.values[node.input[1]]
    if weights.ndim != 2 or weights.dtype != np.float32:
        return node
    names = [
        _constant(walk, f"{node.output[0]}_{part}", value)
        for part, value in (("weights", weights.T), ("offsets", np.zeros(weights.shape[1], weights.dtype)))
    ]
    return helper.make_node("Gemm", [node.input[0], *names], node.output, node.name, transB=1)


def _scale(walk: Walk, layer: onnx.NodeProto, node: onnx.NodeProto) -> bool:
    factors = _by_channel(walk, layer, node)
    if factors is None or (node.op_type == "Div" and node.input[0] in walk.values):
        return False
    factors = 1 / factors if node.op_type == "Div" else factors
    weights = walk.values[layer.input[1]].astype(np.float64)
    _replace(walk, layer, 1, weights * _along(layer, weights, factors))
    if len(layer.input) > 2 and layer.input[2]:
        _replace(walk, layer, 2, walk.values[layer.input[2]].astype(np.float64) * factors)
    return True


def _shift(walk: Walk, layer: onnx.NodeProto, node: onnx.NodeProto) -> bool:
    offsets = _by_channel(walk, layer, node)
    if offsets is None or layer.op_type == "MatMul":
        return False
    negated = node.op_type == "Sub" and node.input[0] in walk.values
    if negated:
        weights = walk.values[layer.input[1]]
        _replace(walk, layer, 1, -weights)
    has_bias = len(layer.input) > 2 and layer.input[2] != ""
    bias = walk.values[layer.input[2]].astype(np.float64) if has_bias else np.zeros(len(offsets))
    offsets = -offsets if node.op_type == "Sub" and not negated else offsets
    _replace(walk, layer, 2, (-bias if negated else bias) + offsets)
    return True


def _reorder(walk: Walk, layer: onnx.NodeProto, node: onnx.NodeProto) -> bool:
    """Constant places along the channels of a Conv: the weights in that order."""
    axis = helper.get_attribute_value(node.attribute[0]) if node.attribute else 0
    places = walk.values.get(node.input[1])
    grouped = next((field.i for field in layer.attribute if field.name == "group"), 1) != 1
    if layer.op_type != "Conv" or axis != 1 or grouped or places is None or places.ndim != 1:
        return False
    for index in range(1, len(layer.input)):
        if layer.input[index]:
            _replace(walk, layer, index, walk.values[layer.input[index]][places])
    return True


_FOLDS: dict[str, _Fold] = {"Add": _shift, "Sub": _shift, "Mul": _scale, "Div": _scale, "Gather": _reorder}


def _by_channel(walk: Walk, layer: onnx.NodeProto, node: onnx.NodeProto) -> Array | None:
    """The node's constant, one value a channel of the layer's answer; None when it is anything else."""
    made = static(walk.known[layer.output[0]])
    constant = next(walk.values[name] for name in node.input if name in walk.values)
    if constant.ndim > len(made) or static(walk.known[node.output[0]]) != made:
        return None
    axis = _CHANNELS[layer.op_type] % len(made)
    aligned = constant.reshape([1] * (len(made) - constant.ndim) + list(constant.shape))
    if aligned.size != aligned.shape[axis]:
        return None
    return np.broadcast_to(aligned.reshape(-1).astype(np.float64), made[axis : axis + 1])


def _along(layer: onnx.NodeProto, weights: Array, factors: Array) -> Array:
    """The factors as they lie along the weights: the rows of a Conv or Gemm, the columns of a MatMul."""
    if layer.op_type == "MatMul":
        return factors
    if layer.op_type == "ConvTranspose":
        groups = next((field.i for field in layer.attribute if field.name == "group"), 1)
        each = np.repeat(factors.reshape(groups, -1), weights.shape[0] // groups, axis=0)
        return each.reshape(weights.shape[0], weights.shape[1], *[1] * (weights.ndim - 2))
    return factors.reshape(-1, *[1] * (weights.ndim - 1))


def _replace(walk: Walk, layer: onnx.NodeProto, index: int, values: Array) -> None:
    """Gives the layer a constant of its own; whoever else reads the old one keeps it."""
    layer.input.extend([""] * (index + 1 - len(layer.input)))
    layer.input[index] = _constant(walk, f"{layer.output[0]}_{index}", values.astype(np.float32))


def _constant(walk: Walk, stem: str, values: Array) -> str:
    name, count = stem, 1
    while name in walk.taken:
        count += 1
        name = f"{stem}_{count}"
    walk.define(name, np.asarray(values, order="C"))
    return name
