"""Which version of an operator a use of it needs, and which runtime first had that version.

A runtime that knows only older versions then says so by name, instead of running the operator as it was. Both tables
are those of TensorFlow's ``lite/tools/versioning/op_version.cc`` and ``runtime_version.cc``, for the types and forms
that are written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_rai_converters.targets.tflite.builder import Code, Operator, Tensor

_INT8 = {"int8": 2}
_INT8_INT16 = {"int8": 2, "int16": 3}
# By operator: the version that a type of its values needs.
_BY_TYPE: dict[int, dict[str, int]] = {
    Code.ABS: {"int8": 2, "uint8": 2, "int16": 4, "int32": 5},
    Code.ADD: {"int8": 2, "int64": 4, "int16": 5},
    Code.ARG_MAX: {"int8": 2, "bool": 3},
    Code.ARG_MIN: {"int8": 2, "bool": 3},
    Code.BROADCAST_TO: {"int8": 3, "int16": 3},
    Code.CAST: {"int8": 3, "float16": 5, "float64": 5},
    Code.CONCATENATION: _INT8_INT16,
    Code.DEPTH_TO_SPACE: _INT8,
    Code.EQUAL: {"int8": 2, "int16": 4},
    Code.GATHER: {"int8": 2, "bool": 3, "int16": 4},
    Code.GATHER_ND: {"int16": 3, "bool": 5},
    Code.GREATER: _INT8,
    Code.GREATER_EQUAL: _INT8_INT16,
    Code.LESS: _INT8_INT16,
    Code.LESS_EQUAL: _INT8,
    Code.MAXIMUM: {"int8": 2, "int16": 4},
    Code.MEAN: _INT8_INT16,
    Code.MINIMUM: {"int8": 2, "int16": 4},
    Code.MIRROR_PAD: _INT8_INT16,
    Code.MUL: {"int8": 2, "int64": 5, "int16": 7},
    Code.NOT_EQUAL: _INT8,
    Code.PAD: _INT8_INT16,
    Code.PADV2: _INT8_INT16,
    Code.REDUCE_MAX: _INT8_INT16,
    Code.REDUCE_MIN: _INT8_INT16,
    Code.REDUCE_PROD: {"int8": 2, "int16": 2},
    Code.RESIZE_BILINEAR: _INT8 | {"int16": 4},
    Code.RESIZE_NEAREST_NEIGHBOR: _INT8 | {"int16": 4},
    Code.SIGN: {"int32": 2},
    Code.SLICE: {"int8": 3, "int16": 4},
    Code.SPACE_TO_DEPTH: _INT8,
    Code.SPLIT: {"int8": 2, "int32": 3, "int16": 4},
    Code.STRIDED_SLICE: {"int8": 2, "bool": 3},
    Code.SUB: {"int8": 2, "int64": 4, "int16": 5},
    Code.SUM: _INT8,
    Code.TILE: {"int8": 3},
    Code.TOPK_V2: _INT8_INT16,
    Code.TRANSPOSE: {"int8": 2, "bool": 3, "int16": 5},
}
# Where more than four axes need one, whatever the type; of these only when they broadcast.
_BY_RANK: dict[int, int] = {Code.PAD: 4, Code.PADV2: 4, Code.SLICE: 5, Code.STRIDED_SLICE: 4, Code.TRANSPOSE: 4}
_BY_BROADCAST: dict[int, int] = {Code.DIV: 2, Code.MAXIMUM: 3, Code.MINIMUM: 3, Code.SUB: 3}
_MOST_AXES = 4


def version(operator: Operator, tensors: Sequence[Tensor]) -> int:
    """The version of an operator that its options and its tensors' types and ranks need."""
    code, options = operator.code, operator.options
    inputs = [tensors[index] for index in operator.inputs if index >= 0]
    needs = [1, _by_form(code, options, inputs)]
    if inputs:
        types = _BY_TYPE.get(code, {})
        # SPLIT has its axis first.
        needs.append(types.get(inputs[1 if code == Code.SPLIT else 0].dtype.name, 1))
        if code == Code.CAST:
            needs.append(types.get(tensors[operator.outputs[0]].dtype.name, 1))
        if max(len(tensor.shape) for tensor in inputs) > _MOST_AXES:
            broadcast = len(inputs) > 1 and inputs[0].shape != inputs[1].shape
            needs += [_BY_RANK.get(code, 1), _BY_BROADCAST.get(code, 1) if broadcast else 1]
    return max(needs)


def _by_form(code: int, options: Any, inputs: Sequence[Tensor]) -> int:
    """What forms of an operator need that are none of type, rank or broadcasting."""
    if code == Code.CONV_2D:
        return 6 if inputs[0].shape[-1] != inputs[1].shape[-1] else 1
    if code == Code.DEPTHWISE_CONV_2D:
        return 2 if (options.dilationHFactor, options.dilationWFactor) != (1, 1) else 1
    if code == Code.FULLY_CONNECTED:
        return 6 if len(inputs) == 2 else 5 if options.keepNumDims else 1
    if code == Code.TRANSPOSE:
        return 6 if len(inputs[0].shape) > 5 else 1
    if code == Code.TRANSPOSE_CONV:
        return 4 if options.fusedActivationFunction else 3 if len(inputs) == 4 else 1
    if code == Code.RESIZE_BILINEAR:
        return 3 if options.halfPixelCenters else 1
    if code == Code.RESIZE_NEAREST_NEIGHBOR:
        return 3 if options.halfPixelCenters or options.alignCorners else 1
    if code == Code.GATHER:
        return 5 if options.batchDims else 1
    return 2 if code == Code.BROADCAST_TO else 1


# The oldest runtime that is named, and by operator and version those that need a later one.
_OLDEST = (1, 14, 0)
_RUNTIMES = {
    (Code.ABS, 2): (2, 4, 0),
    (Code.ABS, 4): (2, 6, 0),
    (Code.ADD, 4): (2, 6, 0),
    (Code.ARG_MAX, 3): (2, 9, 0),
    (Code.ARG_MIN, 3): (2, 9, 0),
    (Code.BATCH_MATMUL, 1): (2, 3, 0),
    (Code.BROADCAST_TO, 2): (2, 5, 0),
    (Code.BROADCAST_TO, 3): (2, 5, 0),
    (Code.CAST, 3): (2, 8, 0),
    (Code.CONCATENATION, 3): (2, 3, 0),
    (Code.CONV_2D, 6): (2, 9, 0),
    (Code.CUMSUM, 1): (2, 4, 0),
    (Code.DEPTH_TO_SPACE, 1): (2, 1, 0),
    (Code.DEPTH_TO_SPACE, 2): (2, 5, 0),
    (Code.DIV, 2): (2, 3, 0),
    (Code.FULLY_CONNECTED, 5): (2, 0, 0),
    (Code.FULLY_CONNECTED, 6): (2, 1, 0),
    (Code.GATHER, 3): (1, 15, 0),
    (Code.GATHER, 4): (2, 4, 0),
    (Code.GATHER, 5): (2, 5, 0),
    (Code.GATHER_ND, 3): (2, 5, 0),
    (Code.GELU, 1): (2, 9, 0),
    (Code.HARD_SWISH, 1): (1, 15, 0),
    (Code.MAXIMUM, 3): (2, 3, 0),
    (Code.MAXIMUM, 4): (2, 3, 0),
    (Code.MEAN, 3): (2, 4, 0),
    (Code.MINIMUM, 3): (2, 3, 0),
    (Code.MINIMUM, 4): (2, 3, 0),
    (Code.MIRROR_PAD, 2): (2, 3, 0),
    (Code.MUL, 5): (2, 6, 0),
    (Code.PAD, 3): (2, 4, 0),
    (Code.PAD, 4): (2, 6, 0),
    (Code.PADV2, 3): (2, 4, 0),
    (Code.PADV2, 4): (2, 6, 0),
    (Code.REDUCE_MAX, 3): (2, 5, 0),
    (Code.REDUCE_MIN, 3): (2, 5, 0),
    (Code.REDUCE_PROD, 2): (2, 6, 0),
    (Code.RESIZE_BILINEAR, 3): (2, 2, 0),
    (Code.RESIZE_BILINEAR, 4): (2, 5, 0),
    (Code.RESIZE_NEAREST_NEIGHBOR, 3): (2, 3, 0),
    (Code.RESIZE_NEAREST_NEIGHBOR, 4): (2, 4, 0),
    (Code.SELECT_V2, 1): (2, 2, 0),
    (Code.SLICE, 4): (2, 4, 0),
    (Code.SLICE, 5): (2, 5, 0),
    (Code.SPLIT, 4): (2, 3, 0),
    (Code.STRIDED_SLICE, 3): (2, 1, 0),
    (Code.STRIDED_SLICE, 4): (2, 2, 0),
    (Code.SUB, 3): (2, 3, 0),
    (Code.SUB, 4): (2, 4, 0),
    (Code.SUB, 5): (2, 4, 0),
    (Code.TILE, 3): (2, 8, 0),
    (Code.TRANSPOSE, 4): (2, 3, 0),
    (Code.TRANSPOSE, 5): (2, 4, 0),
    (Code.TRANSPOSE_CONV, 3): (2, 3, 0),
}


def runtime(codes: Sequence[tuple[int, int]]) -> str:
    """The oldest runtime that has all of the operators in these versions, as in "2.3.0"."""
    return ".".join(map(str, max([_OLDEST, *(_RUNTIMES.get(code, _OLDEST) for code in codes)])))
