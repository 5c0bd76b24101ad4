"""Operators that join values, take pieces of them or repeat them, in the layout at hand."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Node
from edge_rai_converters.targets.tflite.layout import Layout, arranged
from edge_rai_converters.targets.tflite.operators import operator

# XNNPACK splits in no more pieces.
_FEW = 4


@operator("Concat")
def concat(node: Node, to: Builder) -> None:
    """CONCATENATION."""
    layout = to.agreed(node.inputs, to.graph.rank(node.outputs[0]))
    sources = [to.tensor(name, layout) for name in node.inputs]
    options = schema.ConcatenationOptionsT(axis=layout.index(node.attribute("axis")))
    to.add(Code.CONCATENATION, sources, [to.define(node.outputs[0], layout)], options)


@operator("Split")
def split(node: Node, to: Builder) -> None:
    """SPLIT into a few pieces of one length, which delegates compute; of others, and of booleans, a SLICE each."""
    name = node.inputs[0]
    layout, axis = to.held(name), node.attribute("axis")
    source, place = to.tensor(name, layout), layout.index(axis)
    lengths = {to.graph.shape(made)[axis] for made in node.outputs}
    if len(lengths) == 1 and len(node.outputs) <= _FEW and to.graph.dtype(name) != np.bool_:
        made = [to.define(output, layout) for output in node.outputs]
        inputs = [to.constant(np.array(place, np.int32)), source]
        to.add(Code.SPLIT, inputs, made, schema.SplitOptionsT(numSplits=len(made)))
        return
    begin = 0
    for output in node.outputs:
        begins = [begin if at == place else 0 for at in range(len(layout))]
        piece = to.define(output, layout)
        inputs = [source, to.integers(begins), to.integers(to.tensors[piece].shape)]
        to.add(Code.SLICE, inputs, [piece], schema.SliceOptionsT())
        begin += to.graph.shape(output)[axis]


@operator("Slice")
def sliced(node: Node, to: Builder) -> None:
    """SLICE, or STRIDED_SLICE where it steps; every axis is named, within its bounds and stepped through forwards."""
    name, made = node.inputs[0], node.outputs[0]
    layout, shape = to.held(name), to.graph.shape(made)
    starts, _, axes, steps = (to.graph.constants[name].tolist() for name in node.inputs[1:])
    begins, strides = [0] * len(shape), [1] * len(shape)
    for axis, start, step in zip(axes, starts, steps, strict=True):
        begins[axis], strides[axis] = start, step
    source = to.tensor(name, layout)
    first = arranged(begins, layout, 0)
    if set(strides) == {1}:
        inputs = [source, to.integers(first), to.integers(arranged(shape, layout, 1))]
        to.add(Code.SLICE, inputs, [to.define(made, layout)], schema.SliceOptionsT())
        return
    ends = [begin + (length - 1) * stride + 1 for begin, length, stride in zip(begins, shape, strides, strict=True)]
    inputs = [source, *map(to.integers, (first, arranged(ends, layout, 1), arranged(strides, layout, 1)))]
    to.add(Code.STRIDED_SLICE, inputs, [to.define(made, layout)], schema.StridedSliceOptionsT())


@operator("Gather")
def gather(node: Node, to: Builder) -> None:
    """GATHER; the axes of the places lie where the axis that they were taken from lay."""
    name, places = node.inputs
    layout, axis = to.held(name), node.attribute("axis")
    options = schema.GatherOptionsT(axis=layout.index(axis))
    constant = to.graph.constant(places)
    indices = to.tensor(places) if constant is None else to.constant(constant.astype(np.int32), places)
    made = to.define(node.outputs[0], _gathered(layout, axis, to.graph.rank(places)))
    to.add(Code.GATHER, [to.tensor(name, layout), indices], [made], options)


def _gathered(layout: Layout, axis: int, rank: int) -> Layout:
    """The layout after an axis gave way to those of an index."""
    found: list[int] = []
    for other in layout:
        if other == axis:
            found.extend(range(axis, axis + rank))
        else:
            found.append(other + rank - 1 if other > axis else other)
    return tuple(found)


@operator("Tile")
def tile(node: Node, to: Builder) -> None:
    """TILE."""
    name = node.inputs[0]
    layout, counts = to.held(name), to.graph.constants[node.inputs[1]].tolist()
    inputs = [to.tensor(name, layout), to.integers(arranged(counts, layout, 1))]
    to.add(Code.TILE, inputs, [to.define(node.outputs[0], layout)], schema.TileOptionsT())


@operator("Pad")
def pad(node: Node, to: Builder) -> None:
    """PAD with zeros, PADV2 with another constant, MIRROR_PAD with what lies before the edge."""
    name, pads, value = (node.inputs[0], *(to.graph.constants[name] for name in node.inputs[1:3]))
    layout = to.held(name)
    around = arranged(pads.reshape(2, -1).T.tolist(), layout, [0, 0])
    inputs = [to.tensor(name, layout), to.constant(np.array(around, np.int32))]
    made = [to.define(node.outputs[0], layout)]
    if node.attribute("mode", "constant") == "reflect":
        options = schema.MirrorPadOptionsT(mode=schema.MirrorPadMode.REFLECT)
        to.add(Code.MIRROR_PAD, inputs, made, options)
    elif not value.any():
        to.add(Code.PAD, inputs, made, schema.PadOptionsT())
    else:
        to.add(Code.PADV2, [*inputs, to.constant(value.reshape(()))], made, schema.PadV2OptionsT())
