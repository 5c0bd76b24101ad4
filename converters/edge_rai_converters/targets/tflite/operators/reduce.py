"""Operators that take values together along axes, in the layout at hand: the axes are placed in it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Node
from edge_rai_converters.targets.tflite.layout import UNIT, Layout
from edge_rai_converters.targets.tflite.operators import operator
from edge_rai_converters.targets.tflite.operators.kernels import DType, cast, computed_in, run

_CODES = {
    "ReduceMax": Code.REDUCE_MAX,
    "ReduceMean": Code.MEAN,
    "ReduceMin": Code.REDUCE_MIN,
    "ReduceProd": Code.REDUCE_PROD,
    "ReduceSum": Code.SUM,
}
_OF_BOOLEANS = {"ReduceMax": Code.REDUCE_ANY, "ReduceMin": Code.REDUCE_ALL}


def without(layout: Layout, axes: Collection[int]) -> Layout:
    """The layout of a value that lost some axes, held in a tensor that lost them and its axes of length 1 alike."""
    left = sorted(axis for axis in layout if axis != UNIT and axis not in axes)
    return tuple(left.index(axis) for axis in layout if axis in left)


@operator(*_CODES)
def reduction(node: Node, to: Builder) -> None:
    """SUM, MEAN and their kin; the greatest of booleans is whether any is true."""
    name, made = node.inputs[0], node.outputs[0]
    code, dtype = _kernel(node, to)
    layout, axes = to.held(name), set(to.graph.constants[node.inputs[1]].tolist())
    keep = bool(node.attribute("keepdims", 1))
    # What the tensor alone has goes with the axes, for it would be in the way of what follows.
    gone = axes if keep else {*axes, UNIT}
    source = cast(to, to.tensor(name, layout), dtype)
    where = to.integers(place for place, axis in enumerate(layout) if axis in gone)
    result = to.define(made, layout if keep else without(layout, axes))
    run(to, code, [source, where], result, schema.ReducerOptionsT(keepDims=keep))


def _kernel(node: Node, to: Builder) -> tuple[int, DType]:
    """TFLite's operator, and the type in which it computes."""
    dtype = to.graph.dtype(node.inputs[0])
    if dtype == np.bool_ and node.operator in _OF_BOOLEANS:
        return _OF_BOOLEANS[node.operator], dtype
    wide = computed_in(node, dtype)
    if wide != dtype and 0 in to.graph.shape(node.inputs[0]):
        raise node.refused(f"it reduces no values of {dtype}, which gives the limit of {wide}", f"cast it to {wide}")
    return _CODES[node.operator], wide


@operator("ArgMax", "ArgMin")
def argument(node: Node, to: Builder) -> None:
    """ARG_MAX and ARG_MIN: the first place of the extreme value; TFLite drops the axis, so keeping it is a Reshape."""
    name, made = node.inputs[0], node.outputs[0]
    layout, axis = to.held(name), int(node.attribute("axis", 0))
    dtype = computed_in(node, to.graph.dtype(name), ("float32", "int32"))
    source = cast(to, to.tensor(name, layout), dtype)
    kind = schema.ArgMaxOptionsT if node.operator == "ArgMax" else schema.ArgMinOptionsT
    code = Code.ARG_MAX if node.operator == "ArgMax" else Code.ARG_MIN
    inputs, options = [source, to.integers([layout.index(axis)])], kind(outputType=schema.TensorType.INT64)
    if not node.attribute("keepdims", 1):
        rest = tuple(other - (other > axis) for other in layout if other != axis)
        to.add(code, inputs, [to.define(made, rest)], options)
        return
    shape = to.tensors[source].shape
    dropped = to.temporary([length for place, length in enumerate(shape) if layout[place] != axis], np.int64, made)
    to.add(code, inputs, [dropped], options)
    kept = [1 if layout[place] == axis else length for place, length in enumerate(shape)]
    to.alias(made, layout, to.reshaped(dropped, kept, made))


@operator("CumSum")
def running_sum(node: Node, to: Builder) -> None:
    """CUMSUM."""
    name = node.inputs[0]
    place = to.graph.constant(node.inputs[1])
    if place is None:
        raise node.refused("its axis is computed", "make it constant")
    layout = to.held(name)
    axis = int(place.reshape(())) % to.graph.rank(name)
    source = cast(to, to.tensor(name, layout), computed_in(node, to.graph.dtype(name)))
    where = to.constant(np.array(layout.index(axis), np.int32))
    options = schema.CumsumOptionsT(
        exclusive=bool(node.attribute("exclusive", 0)), reverse=bool(node.attribute("reverse", 0))
    )
    run(to, Code.CUMSUM, [source, where], to.define(node.outputs[0], layout), options)
