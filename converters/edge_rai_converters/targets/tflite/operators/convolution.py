"""Convolutions of one and two dimensions; one dimension is an image of height 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Array, Node
from edge_rai_converters.targets.tflite.layout import arranged, channels_last
from edge_rai_converters.targets.tflite.operators import floats, operator
from edge_rai_converters.targets.tflite.windows import Window, before_pad, image, padded, padding_of, window


@operator("Conv")
def conv(node: Node, to: Builder) -> None:
    """CONV_2D, or DEPTHWISE_CONV_2D where every channel is filtered by itself; a Pad before it becomes its padding."""
    kernels, bias = _weights(node, to)
    name, made = node.inputs[0], node.outputs[0]
    rank = to.graph.rank(name)
    spans = window(node, to.graph.shape(name), kernels.shape[2:], to.graph.shape(made))
    name, spans = before_pad(to.graph, name, spans)
    padding, source = padding_of(spans), image(to, name)
    if padding is None:
        source, padding = padded(to, source, spans, name), int(schema.Padding.VALID)
    channels = to.graph.shape(name)[1]
    depthwise = node.attribute("group", 1) == channels and channels > 1
    weights = _two_dimensional(kernels).transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    activation, made = to.fused(node)
    inputs = [source, to.constant(weights, node.inputs[1]), to.constant(bias, node.input(2) or f"{node.name}/bias")]
    options = _options(spans, padding, activation, len(kernels) // channels if depthwise else 0)
    code = Code.DEPTHWISE_CONV_2D if depthwise else Code.CONV_2D
    to.add(code, inputs, [to.define(made, channels_last(rank))], options)


@operator("ConvTranspose")
def conv_transpose(node: Node, to: Builder) -> None:
    """TRANSPOSE_CONV; where its paddings do not fit, all of the result is computed and cut by SLICE.

    Dilated kernels are written with the zeros between their values, grouped ones with zeros between the groups.
    """
    kernels, bias = _weights(node, to)
    name, made = node.inputs[0], node.outputs[0]
    rank, shape, out = to.graph.rank(name), to.graph.shape(name), to.graph.shape(made)
    spatial = rank - 2
    strides = node.attribute("strides", [1] * spatial)
    kernels = _dense(_dilated(kernels, node.attribute("dilations", [1] * spatial)), node.attribute("group", 1))
    whole = [
        (length - 1) * stride + size for length, stride, size in zip(shape[2:], strides, kernels.shape[2:], strict=True)
    ]
    before = _cut_before(node, whole, out[2:])
    same = [
        length == -(-places // stride) and max(full - places, 0) // 2 == cut
        for length, stride, full, cut, places in zip(shape[2:], strides, whole, before, out[2:], strict=True)
    ]
    weights = to.constant(_two_dimensional(kernels).transpose(1, 2, 3, 0), node.inputs[1])
    offsets = to.constant(bias, node.input(2) or f"{node.name}/bias")
    padding = schema.Padding.SAME if all(same) else schema.Padding.VALID
    strides = [1] * (2 - spatial) + list(strides)
    target = list(out)
    if not all(same):
        target[2:] = [max(full, cut + places) for full, cut, places in zip(whole, before, out[2:], strict=True)]
    is_cut = target != list(out)
    activation, made = (schema.ActivationFunctionType.NONE, made) if is_cut else to.fused(node)
    options = schema.TransposeConvOptionsT(
        padding=padding, strideH=strides[0], strideW=strides[1], fusedActivationFunction=activation
    )
    layout = channels_last(rank)
    sizes = arranged(target, layout, 1)
    full = to.temporary(sizes, np.float32, made) if is_cut else to.define(made, layout)
    to.add(Code.TRANSPOSE_CONV, [to.integers(sizes), weights, image(to, name), offsets], [full], options)
    if is_cut:
        begin, size = to.integers(arranged([0, 0, *before], layout, 0)), to.integers(arranged(out, layout, 1))
        to.add(Code.SLICE, [full, begin, size], [to.define(made, layout)], schema.SliceOptionsT())


def _weights(node: Node, to: Builder) -> tuple[Array, Array]:
    """The constant kernels and bias of a convolution of one or two dimensions.

    Raises:
        UnsupportedModelError: It is none, or one of them is computed.
    """
    floats(node, to, *filter(None, node.inputs))
    dimensions = to.graph.rank(node.inputs[0]) - 2
    if dimensions not in (1, 2):
        raise node.refused(f"it has {dimensions} dimensions", "one or two are written")
    if to.graph.rank(node.outputs[0]) != dimensions + 2:
        raise node.refused("the shape of its output is not known", "give it an output_shape not below the input's")
    kernels, bias = to.graph.constant(node.inputs[1]), to.graph.constant(node.input(2))
    if kernels is None or (node.input(2) and bias is None):
        raise node.refused("its kernels or its bias are computed", "constant ones are written")
    return kernels, np.zeros(to.graph.shape(node.outputs[0])[1], np.float32) if bias is None else bias


def _two_dimensional(kernels: Array) -> Array:
    return kernels if kernels.ndim == 4 else kernels[:, :, None]


def _options(spans: Window, padding: int, activation: int, multiplier: int) -> Any:
    """Options of CONV_2D; of DEPTHWISE_CONV_2D where there is a multiplier."""
    height, width = spans
    common = {
        "padding": padding,
        "strideH": height.stride,
        "strideW": width.stride,
        "dilationHFactor": height.dilation,
        "dilationWFactor": width.dilation,
        "fusedActivationFunction": activation,
    }
    if multiplier:
        return schema.DepthwiseConv2DOptionsT(depthMultiplier=multiplier, **common)
    return schema.Conv2DOptionsT(**common)


def _dilated(kernels: Array, dilations: list[int]) -> Array:
    """Kernels with the zeros that lie between their values."""
    sizes = [(size - 1) * dilation + 1 for size, dilation in zip(kernels.shape[2:], dilations, strict=True)]
    made = np.zeros((*kernels.shape[:2], *sizes), kernels.dtype)
    made[tuple([slice(None)] * 2 + [slice(None, None, dilation) for dilation in dilations])] = kernels
    return made


def _dense(kernels: Array, groups: int) -> Array:
    """Kernels (inputs, outputs, ...) of all channels, with zeros from each group to the others."""
    if groups == 1:
        return kernels
    inputs, outputs = len(kernels) // groups, kernels.shape[1]
    made = np.zeros((len(kernels), groups * outputs, *kernels.shape[2:]), kernels.dtype)
    for group in range(groups):
        rows = slice(group * inputs, (group + 1) * inputs)
        made[rows, group * outputs : (group + 1) * outputs] = kernels[rows]
    return made


def _cut_before(node: Node, whole: list[int], out: tuple[int, ...]) -> list[int]:
    """How much of the whole result is cut off before each spatial axis: by pads, or by auto_pad and output_shape."""
    spatial = len(whole)
    mode = node.attribute("auto_pad", "NOTSET")
    if not mode.startswith("SAME") and node.attribute("output_shape") is None:
        return list(node.attribute("pads", [0] * (2 * spatial))[:spatial])
    extra = node.attribute("output_padding", [0] * spatial)
    totals = [max(full + more - length, 0) for full, more, length in zip(whole, extra, out, strict=True)]
    return [total // 2 if mode == "SAME_UPPER" else total - total // 2 for total in totals]
