"""Pools over two spatial axes, one of them as an image of height 1, and over all of them."""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Graph, Node
from edge_rai_converters.targets.tflite.layout import UNIT, channels_last
from edge_rai_converters.targets.tflite.operators import floats, operator
from edge_rai_converters.targets.tflite.windows import Span, Window, extended, image, padded, padding_of, window

_NEVER_NEGATIVE = {"Abs", "Exp", "Relu", "Sigmoid", "Softmax", "Sqrt"}
_KEEP_SIGN = {"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "Reshape", "Transpose"}
_VALID = int(schema.Padding.VALID)


@operator("MaxPool")
def max_pool(node: Node, to: Builder) -> None:
    """MAX_POOL_2D; around the image lies what changes no window's largest value.

    That is zeros where no value is negative, else the image's own border: a window that sees a copy of it sees the
    original too. Unlike the lowest number there is, it can be quantized.
    """
    spans, name = _spans(node, to), node.inputs[0]
    padding, source = padding_of(spans), image(to, name)
    if padding is None:
        surround = padded if _is_positive(to.graph, name) else extended
        source, padding = surround(to, source, spans, name), _VALID
    _pool(node, to, Code.MAX_POOL_2D, source, _options(spans, padding))


@operator("AveragePool")
def average_pool(node: Node, to: Builder) -> None:
    """AVERAGE_POOL_2D: of a lowered graph's, nothing outside of the image counts, and TFLite's paddings fit."""
    spans = _spans(node, to)
    padding = padding_of(spans)
    if padding is None:
        raise node.refused("it pads otherwise than TFLite's SAME and VALID", "pads that count are written")
    _pool(node, to, Code.AVERAGE_POOL_2D, image(to, node.inputs[0]), _options(spans, padding))


@operator("GlobalMaxPool")
def global_max_pool(node: Node, to: Builder) -> None:
    """MAX_POOL_2D with a window over the image."""
    floats(node, to)
    _flat(node, to)
    first, second = [Span(length=length, size=length) for length in (1, *to.graph.shape(node.inputs[0])[2:])][-2:]
    _pool(node, to, Code.MAX_POOL_2D, image(to, node.inputs[0]), _options((first, second), _VALID))


@operator("GlobalAveragePool")
def global_average_pool(node: Node, to: Builder) -> None:
    """MEAN over the spatial axes, in any layout."""
    floats(node, to)
    name = node.inputs[0]
    layout = to.held(name)
    axes = to.integers(at for at, axis in enumerate(layout) if axis not in (0, 1, UNIT))
    source, target = to.tensor(name, layout), to.define(node.outputs[0], layout)
    to.add(Code.MEAN, [source, axes], [target], schema.ReducerOptionsT(keepDims=True))


def _flat(node: Node, to: Builder) -> None:
    dimensions = to.graph.rank(node.inputs[0]) - 2
    if dimensions not in (1, 2):
        raise node.refused(f"it has {dimensions} dimensions", "one or two are written")


def _spans(node: Node, to: Builder) -> Window:
    """The window of a pool.

    Raises:
        UnsupportedModelError: It has three dimensions.
    """
    floats(node, to)
    _flat(node, to)
    shape, out = to.graph.shape(node.inputs[0]), to.graph.shape(node.outputs[0])
    return window(node, shape, node.attribute("kernel_shape"), out)


def _options(spans: Window, padding: int) -> Any:
    height, width = spans
    return schema.Pool2DOptionsT(
        padding=padding,
        strideH=height.stride,
        strideW=width.stride,
        filterHeight=height.size,
        filterWidth=width.size,
    )


def _pool(node: Node, to: Builder, code: int, source: int, options: Any) -> None:
    """Adds a pool, with the activation that follows."""
    options.fusedActivationFunction, made = to.fused(node)
    to.add(code, [source], [to.define(made, channels_last(to.graph.rank(made)))], options)


def _is_positive(graph: Graph, name: str) -> bool:
    """Whether no value can be negative, by the operator that computes it."""
    node = graph.maker(name)
    if node is None:
        return False
    if node.operator == "Clip":
        low = graph.constant(node.input(1))
        return low is not None and float(low.reshape(())) >= 0
    if node.operator in _KEEP_SIGN or node.operator == "Concat":
        sources = node.inputs if node.operator == "Concat" else node.inputs[:1]
        return all(_is_positive(graph, source) for source in sources)
    return node.operator in _NEVER_NEGATIVE
