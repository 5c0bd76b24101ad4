"""Normalizations as means, differences and products; a batch's is one product and one sum of constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_rai_converters.passes.lower.sketch import Array
from edge_rai_converters.targets.tflite.lower.draft import Draft, Rules


def _batch(draft: Draft) -> bool:
    """A product and a sum; both go into the layer before it where that has constant weights (folding.py)."""
    if draft.attribute("training_mode", 0) or any(draft.wants(index) for index in range(1, 5)):
        raise draft.refusal("it normalizes as in training", "export the model for inference")
    along, epsilon = (-1, *[1] * (len(draft.shape()) - 2)), draft.attribute("epsilon", 1e-5)
    if any(draft.value(index) is None for index in range(1, 5)):
        return _computed_batch(draft, along, epsilon)
    scale, shift, mean, variance = (draft.values[draft.node.input[index]].astype(float) for index in range(1, 5))
    factor = scale / np.sqrt(variance + epsilon)
    product = draft.op("Mul", draft.node.input[0], _float(factor).reshape(along))
    draft.op("Add", product, _float(shift - mean * factor).reshape(along), named=draft.node.output[0])
    return True


def _computed_batch(draft: Draft, along: Sequence[int], epsilon: float) -> bool:
    scale, shift, mean, variance = (draft.reshape(name, along) for name in draft.node.input[1:5])
    deviation = draft.op("Sqrt", draft.op("Add", variance, draft.scalar(epsilon)))
    normal = draft.op("Div", draft.op("Sub", draft.node.input[0], mean), deviation)
    draft.op("Add", draft.op("Mul", normal, scale), shift, named=draft.node.output[0])
    return True


def _float(values: Array) -> Array:
    return np.asarray(values, np.float32)


def _standard(draft: Draft, given: str, axes: list[int], epsilon: float) -> tuple[str, str, str]:
    """(x - mean) / deviation over the axes; that, the mean and the deviation."""
    mean = draft.reduce("ReduceMean", given, axes)
    centred = draft.op("Sub", given, mean)
    variance = draft.reduce("ReduceMean", draft.op("Mul", centred, centred), axes)
    deviation = draft.op("Sqrt", draft.op("Add", variance, draft.scalar(epsilon)))
    return draft.op("Div", centred, deviation), mean, deviation


def _layer(draft: Draft) -> bool:
    axes = list(range(draft.axis(-1), len(draft.shape())))
    normal, mean, deviation = _standard(draft, draft.node.input[0], axes, draft.attribute("epsilon", 1e-5))
    biased = draft.has(2)
    scaled = draft.op("Mul", normal, draft.node.input[1], named="" if biased else draft.node.output[0])
    if biased:
        draft.op("Add", scaled, draft.node.input[2], named=draft.node.output[0])
    if draft.wants(1):
        draft.same(mean, 1)
    if draft.wants(2):
        draft.op("Div", draft.scalar(1), deviation, named=draft.node.output[2])
    return True


def _instance(draft: Draft) -> bool:
    shape = draft.shape()
    along = (-1, *[1] * (len(shape) - 2))
    axes, epsilon = list(range(2, len(shape))), draft.attribute("epsilon", 1e-5)
    normal, _, _ = _standard(draft, draft.node.input[0], axes, epsilon)
    scaled = draft.op("Mul", normal, draft.reshape(draft.node.input[1], along))
    draft.op("Add", scaled, draft.reshape(draft.node.input[2], along), named=draft.node.output[0])
    return True


def _group(draft: Draft) -> bool:
    shape, groups = draft.shape(), draft.attribute("num_groups")
    grouped = draft.reshape(draft.node.input[0], [shape[0], groups, -1])
    normal, _, _ = _standard(draft, grouped, [2], draft.attribute("epsilon", 1e-5))
    # Before opset 21 there was one factor a group.
    each = shape[1] if draft.opset >= 21 else groups
    blocks = [shape[0], each, shape[1] // each, *shape[2:]]
    along = [each, *[1] * (len(blocks) - 2)]
    scaled = draft.op("Mul", draft.reshape(normal, blocks), draft.reshape(draft.node.input[1], along))
    moved = draft.op("Add", scaled, draft.reshape(draft.node.input[2], along))
    draft.reshape(moved, shape, draft.node.output[0])
    return True


def _root_mean_square(draft: Draft) -> bool:
    given = draft.node.input[0]
    axes = list(range(draft.axis(-1), len(draft.shape())))
    square = draft.reduce("ReduceMean", draft.op("Mul", given, given), axes)
    root = draft.op("Sqrt", draft.op("Add", square, draft.scalar(draft.attribute("epsilon", 1e-5))))
    draft.op("Mul", draft.op("Div", given, root), draft.node.input[1], named=draft.node.output[0])
    return True


def _mean_variance(draft: Draft) -> bool:
    rank = len(draft.shape())
    axes = [int(axis) for axis in draft.attribute("axes", [0, 2, 3])]
    if any(not -rank <= axis < rank for axis in axes):
        raise draft.refusal(f"it normalizes axes {axes} of {rank}", "name axes that its input has")
    axes = sorted({axis % rank for axis in axes})
    normal, _, _ = _standard(draft, draft.node.input[0], axes, 1e-9)
    return draft.same(normal)


def _by_norm(draft: Draft) -> bool:
    """LpNormalization; of zeros ONNX Runtime makes zeros."""
    given, axis = draft.node.input[0], draft.axis(-1)
    if draft.attribute("p", 2) == 2:
        norm = draft.op("Sqrt", draft.reduce("ReduceSum", draft.op("Mul", given, given), [axis]))
    else:
        norm = draft.reduce("ReduceSum", draft.op("Abs", given), [axis])
    is_zero = draft.op("Equal", norm, draft.scalar(0))
    below = draft.op("Where", is_zero, draft.scalar(1), norm)
    draft.op("Div", given, below, named=draft.node.output[0])
    return True


def _local_response(draft: Draft) -> bool:
    """By a power of the squares of neighbouring channels, which are summed one shift at a time."""
    shape, size, given = draft.shape(), draft.attribute("size"), draft.node.input[0]
    before, behind = (size - 1) // 2, size - 1 - (size - 1) // 2
    pads = [0] * (2 * len(shape))
    pads[1], pads[len(shape) + 1] = before, behind
    padded = draft.op("Pad", draft.op("Mul", given, given), np.array(pads, np.int64), draft.scalar(0))
    total = draft.slice(padded, 1, 0, shape[1])
    for shift in range(1, size):
        total = draft.op("Add", total, draft.slice(padded, 1, shift, shift + shape[1]))
    weighted = draft.op("Mul", total, draft.scalar(draft.attribute("alpha", 1e-4) / size))
    below = draft.op("Add", weighted, draft.scalar(draft.attribute("bias", 1.0)))
    power = draft.op("Pow", below, draft.scalar(draft.attribute("beta", 0.75)))
    draft.op("Div", given, power, named=draft.node.output[0])
    return True


RULES: Rules = {
    "BatchNormalization": _batch,
    "GroupNormalization": _group,
    "InstanceNormalization": _instance,
    "LRN": _local_response,
    "LayerNormalization": _layer,
    "LpNormalization": _by_norm,
    "MeanVarianceNormalization": _mean_variance,
    "RMSNormalization": _root_mean_square,
}
