"""What each operator does to channels.

A handler returns where the channels of the node's first output lie, or None where it cannot follow those it reads;
those stay then, as they do where an operator has no handler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edge_rai_converters.passes.prune.channels import FROZEN, Count, Cut, Ids, Layer, Layout, Trace
from edge_rai_converters.passes.prune.tidy import attribute

Handler = Callable[[Trace, int, onnx.NodeProto], Layout | None]


def _conv(trace: Trace, index: int, node: onnx.NodeProto) -> Layout | None:
    weight, groups = _weight(trace, node), attribute(node, "group", 1)
    given = trace.layouts.get(node.input[0])
    if weight is None or (given is not None and given.axis != 1):
        return None
    wide, each = weight.shape[:2]
    if groups > 1 and each == 1 and given is not None:
        return _depthwise(trace, index, node, given, wide // groups)
    made = trace.sets.fresh(wide)
    if groups > 1:
        # Every block keeps the same of its places, so that blocks stay of one size.
        _tie_blocks(trace, made, groups)
        if given is not None:
            _tie_blocks(trace, given.ids, groups)
    trace.cuts.append(Cut(index, 1, 0, made))
    if given is not None:
        trace.cuts.append(Cut(index, 1, 1, given.ids[:each]))
    return _layer(trace, index, node, given, made, groups)


def _depthwise(trace: Trace, index: int, node: onnx.NodeProto, given: Layout, multiplier: int) -> Layout | None:
    made = np.repeat(given.ids, multiplier)
    trace.cuts.append(Cut(index, 1, 0, made))
    trace.counts.append(Count(index, None, given.ids))
    return _layer(trace, index, node, given, made, len(given.ids))


def _conv_transpose(trace: Trace, index: int, node: onnx.NodeProto) -> Layout | None:
    weight, given = _weight(trace, node), trace.layouts.get(node.input[0])
    if weight is None or attribute(node, "group", 1) != 1 or (given is not None and given.axis != 1):
        return None
    made = trace.sets.fresh(weight.shape[1])
    trace.cuts.append(Cut(index, 1, 1, made))
    if given is not None:
        trace.cuts.append(Cut(index, 1, 0, given.ids))
    return _layer(trace, index, node, given, made, 1)


def _gemm(trace: Trace, index: int, node: onnx.NodeProto) -> Layout | None:
    weight, given = _weight(trace, node), trace.layouts.get(node.input[0])
    if weight is None or attribute(node, "transA", 0) or (given is not None and given.axis != 1):
        return None
    rows = 1 if attribute(node, "transB", 0) else 0
    made = trace.sets.fresh(weight.shape[1 - rows])
    trace.cuts.append(Cut(index, 1, 1 - rows, made))
    if given is not None:
        trace.cuts.append(Cut(index, 1, rows, given.ids))
    return _layer(trace, index, node, given, made, 1)


def _matmul(trace: Trace, index: int, node: onnx.NodeProto) -> Layout | None:
    weight, given, shape = _weight(trace, node), trace.layouts.get(node.input[0]), trace.shapes.get(node.input[0])
    if weight is None or weight.ndim != 2 or shape is None or (given is not None and given.axis != len(shape) - 1):
        return None
    made = trace.sets.fresh(weight.shape[1])
    trace.cuts.append(Cut(index, 1, 1, made))
    if given is not None:
        trace.cuts.append(Cut(index, 1, 0, given.ids))
    axis = len(shape) - 1
    trace.layers.append(Layer(index, node.input[0], axis, None if given is None else given.ids, made))
    return Layout(axis, made)


def _layer(
    trace: Trace, index: int, node: onnx.NodeProto, given: Layout | None, made: Ids, groups: int
) -> Layout | None:
    """Notes a layer with channels on axis 1 and a bias in its third input, which must be a constant, one a channel."""
    if len(node.input) > 2 and node.input[2]:
        bias = trace.value(node, 2)
        if bias is None or bias.ndim > 2 or bias.shape[:-1] not in ((), (1,)):
            return None
        if bias.ndim and bias.shape[-1] == len(made):
            trace.cuts.append(Cut(index, 2, bias.ndim - 1, made))
    trace.layers.append(Layer(index, node.input[0], 1, None if given is None else given.ids, made, groups))
    return Layout(1, made)


def _weight(trace: Trace, node: onnx.NodeProto) -> npt.NDArray[Any] | None:
    weight = trace.value(node, 1)
    return weight if weight is not None and weight.dtype == np.float32 else None


def _tie_blocks(trace: Trace, ids: Ids, groups: int) -> None:
    blocks = ids.reshape(groups, -1)
    for block in blocks[1:]:
        trace.sets.join(blocks[0], block)


def _same(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    """Element by element; other inputs are scalars or do not concern channels."""
    trace.freeze(node.input[1:])
    return trace.layouts.get(node.input[0])


def _pool(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given = trace.layouts.get(node.input[0])
    if given is None or given.axis != 1 or len(node.output) > 1:
        return None
    return given


def _normalization(trace: Trace, index: int, node: onnx.NodeProto) -> Layout | None:
    """Scale, shift and what else there is, an entry a channel."""
    given = trace.layouts.get(node.input[0])
    values = [trace.value(node, place) for place in range(1, len(node.input))]
    if given is None or given.axis != 1 or len(node.output) > 1 or any(value is None for value in values):
        return None
    trace.cuts.extend(Cut(index, place, 0, given.ids) for place in range(1, len(node.input)))
    return given


def _broadcast(trace: Trace, index: int, node: onnx.NodeProto) -> Layout | None:
    """Operators that line their arguments up from the last axis, as numpy does."""
    shapes = [trace.shapes.get(name) for name in node.input]
    if any(shape is None for shape in shapes):
        return None
    rank = max(len(shape or ()) for shape in shapes)
    places = [
        Layout(layout.axis + rank - len(shape or ()), layout.ids)
        for layout, shape in zip(map(trace.layouts.get, node.input), shapes, strict=True)
        if layout is not None
    ]
    if not places:
        return None
    widest = max(places, key=lambda place: len(place.ids))
    for position, (name, shape) in enumerate(zip(node.input, shapes, strict=True)):
        if not _agrees(trace, index, position, name, shape or (), rank, widest):
            return None
    return widest


def _agrees(
    trace: Trace, index: int, position: int, name: str, shape: Sequence[int | None], rank: int, wide: Layout
) -> bool:
    """Whether one argument lies along the channels of the answer; joins it with them, or notes the cut."""
    layout, offset = trace.layouts.get(name), rank - len(shape)
    extent = shape[wide.axis - offset] if wide.axis >= offset else 1
    if layout is None:
        if extent == 1:
            return True
        if name in trace.constants and extent == len(wide.ids):
            trace.cuts.append(Cut(index, position, wide.axis - offset, wide.ids))
            return True
        return False
    if layout.axis + offset != wide.axis or len(layout.ids) not in (1, len(wide.ids)):
        return False
    if len(layout.ids) == len(wide.ids):
        trace.sets.join(layout.ids, wide.ids)
    else:
        trace.freeze([name])
    return True


def _concat(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    layouts = [trace.layouts.get(name) for name in node.input]
    first = next((layout for layout in layouts if layout is not None), None)
    shapes = [trace.shapes.get(name) for name in node.input]
    if first is None or any(shape is None for shape in shapes):
        return None
    axis = attribute(node, "axis", 0) % len(shapes[0] or ())
    if any(layout is not None and layout.axis != first.axis for layout in layouts):
        return None
    if axis != first.axis:
        if any(layout is None for layout in layouts):
            return None
        for layout in layouts:
            trace.sets.join(first.ids, layout.ids if layout else ())
        return first
    parts = []
    for layout, shape in zip(layouts, shapes, strict=True):
        extent = (shape or ())[axis]
        if layout is None and extent is None:
            return None
        parts.append(np.full(extent or 0, FROZEN) if layout is None else layout.ids)
    return Layout(axis, np.concatenate(parts))


def _flatten(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given, shape = trace.layouts.get(node.input[0]), trace.shapes.get(node.input[0])
    if given is None or shape is None or attribute(node, "axis", 1) not in (1, 1 - len(shape)):
        return None
    return _joined(given, shape)


def _joined(given: Layout, shape: Sequence[int | None]) -> Layout | None:
    """All axes but the first become one."""
    others = [extent for axis, extent in enumerate(shape) if axis not in (0, given.axis)]
    if given.axis == 0 or None in others:
        return None
    before = prod(extent or 0 for extent in shape[1 : given.axis])
    after = prod(extent or 0 for extent in shape[given.axis + 1 :])
    return Layout(1, np.tile(np.repeat(given.ids, after), before))


def _reshape(trace: Trace, index: int, node: onnx.NodeProto) -> Layout | None:
    """All but the first axis joined, or the axes behind the channels joined, split or added."""
    given, shape, made = (
        trace.layouts.get(node.input[0]),
        trace.shapes.get(node.input[0]),
        trace.shapes.get(node.output[0]),
    )
    wanted = _wanted_shape(trace, node)
    if given is None or shape is None or wanted is None or attribute(node, "allowzero", 0):
        return None
    layout = _joined(given, shape) if len(wanted) == 2 else None
    if layout is not None and wanted[0] and (made is None or made[1] != len(layout.ids)):
        layout = None
    if len(wanted) > 2 and given.axis == 1 and made is not None and _same_beyond(shape, made):
        layout = given
    if layout is None:
        return None
    if wanted[1] > 0:
        if trace.value(node, 1) is None:
            return None
        trace.counts.append(Count(index, 1, layout.ids))
    return layout


def _wanted_shape(trace: Trace, node: onnx.NodeProto) -> list[int] | None:
    """The constant shape; that of ``x.view(x.size(0), n)`` reads [0, n]."""
    value = trace.value(node, 1)
    if value is not None:
        return [int(extent) for extent in value]
    steps: list[onnx.NodeProto] = []
    for operator, count in (("Concat", 2), ("Unsqueeze", 2), ("Gather", 2), ("Shape", 1)):
        name = steps[-1].input[0] if steps else node.input[1]
        maker = next((other for other in trace.graph.node if name in other.output), None)
        if maker is None or maker.op_type != operator or len(maker.input) != count:
            return None
        steps.append(maker)
    joined, _, place, looked_at = steps
    rest, axis = trace.value(joined, 1), trace.value(place, 1)
    if looked_at.input[0] != node.input[0] or rest is None or axis is None or axis.size != 1 or axis.reshape(-1)[0]:
        return None
    return [0, *(int(extent) for extent in rest)]


def _same_beyond(shape: Sequence[int | None], made: Sequence[int | None]) -> bool:
    if None in shape[1:] or None in made[1:] or shape[1] != made[1]:
        return False
    return prod(extent or 0 for extent in shape[2:]) == prod(extent or 0 for extent in made[2:])


def _shape(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    """Harmless where only the extents of other axes are looked up."""
    given, shape = trace.layouts.get(node.input[0]), trace.shapes.get(node.input[0])
    if given is None:
        return Layout(0, np.empty(0, np.int64))
    if shape is None or node.attribute or node.output[0] in {value.name for value in trace.graph.output}:
        return None
    for reader in trace.readers.get(node.output[0], ()):
        place = trace.value(reader, 1) if reader.op_type == "Gather" else None
        if place is None or place.size != 1 or int(place.reshape(-1)[0]) % len(shape) == given.axis:
            return None
    return Layout(0, np.empty(0, np.int64))


def _transpose(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given, order = trace.layouts.get(node.input[0]), attribute(node, "perm", None)
    if given is None or order is None:
        return None
    return Layout(list(order).index(given.axis), given.ids)


def _axes(trace: Trace, node: onnx.NodeProto, rank: int) -> list[int] | None:
    """Of a node that has them as attribute or as second input; None where they are not constant or not given."""
    if len(node.input) > 1 and node.input[1]:
        value = trace.value(node, 1)
        return None if value is None else [int(axis) % rank for axis in value.reshape(-1)]
    axes = attribute(node, "axes", None)
    return None if axes is None else [axis % rank for axis in axes]


def _reduce(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given, shape = trace.layouts.get(node.input[0]), trace.shapes.get(node.input[0])
    axes = None if shape is None else _axes(trace, node, len(shape))
    if given is None or not axes or given.axis in axes:  # none at all are all of them
        return None
    kept = attribute(node, "keepdims", 1)
    return given if kept else Layout(given.axis - sum(axis < given.axis for axis in axes), given.ids)


def _squeeze(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given, shape = trace.layouts.get(node.input[0]), trace.shapes.get(node.input[0])
    axes = None if shape is None else _axes(trace, node, len(shape))
    if given is None or axes is None or given.axis in axes:
        return None
    return Layout(given.axis - sum(axis < given.axis for axis in axes), given.ids)


def _unsqueeze(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given, shape, made = (
        trace.layouts.get(node.input[0]),
        trace.shapes.get(node.input[0]),
        trace.shapes.get(node.output[0]),
    )
    axes = None if made is None else _axes(trace, node, len(made))
    if given is None or shape is None or made is None or axes is None:
        return None
    old = [axis for axis in range(len(made)) if axis not in axes]
    return Layout(old[given.axis], given.ids)


def _pad(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given, pads = trace.layouts.get(node.input[0]), trace.value(node, 1) if len(node.input) > 1 else None
    if given is None or pads is None or len(node.input) > 3 or pads.reshape(2, -1)[:, given.axis].any():
        return None
    return given


def _slice(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given, shape = trace.layouts.get(node.input[0]), trace.shapes.get(node.input[0])
    axes = trace.value(node, 3)
    if given is None or shape is None or axes is None or given.axis in [axis % len(shape) for axis in axes]:
        return None
    return given


def _resize(trace: Trace, _: int, node: onnx.NodeProto) -> Layout | None:
    given = trace.layouts.get(node.input[0])
    scales = trace.value(node, 2) if len(node.input) == 3 else None
    axes = attribute(node, "axes", None)
    if given is None or scales is None or axes is not None or scales[given.axis] != 1:
        return None
    return given


# fmt: off
_ELEMENTWISE = (
    "Abs", "Cast", "Celu", "Clip", "Cos", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sign", "Sin", "Softplus",
    "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu",
)
_POOLS = ("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool")
_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare",
)
_BROADCASTING = ("Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum", "Where")
# fmt: on

HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(_ELEMENTWISE, _same),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(_BROADCASTING, _broadcast),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _normalization),
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
