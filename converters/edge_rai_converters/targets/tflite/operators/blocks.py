"""Channels in blocks of pixels and back, in LiteRT's channels-last layout."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Node
from edge_rai_converters.targets.tflite.layout import channels_last
from edge_rai_converters.targets.tflite.operators import operator
from edge_rai_converters.targets.tflite.operators.kernels import cast, computed_in, run

_KERNELS = ("float32", "int32", "int64", "int8", "uint8")


@operator("DepthToSpace")
def depth_to_space(node: Node, to: Builder) -> None:
    """DEPTH_TO_SPACE, whose order of channels is ONNX's DCR."""
    made = to.define(node.outputs[0], channels_last(4))
    options = schema.DepthToSpaceOptionsT(blockSize=int(node.attribute("blocksize")))
    run(to, Code.DEPTH_TO_SPACE, [_source(node, to)], made, options)


@operator("SpaceToDepth")
def space_to_depth(node: Node, to: Builder) -> None:
    """SPACE_TO_DEPTH, whose order of channels is ONNX's."""
    made = to.define(node.outputs[0], channels_last(4))
    options = schema.SpaceToDepthOptionsT(blockSize=int(node.attribute("blocksize")))
    run(to, Code.SPACE_TO_DEPTH, [_source(node, to)], made, options)


def _source(node: Node, to: Builder) -> int:
    name = node.inputs[0]
    return cast(to, to.tensor(name, channels_last(4)), computed_in(node, to.graph.dtype(name), _KERNELS))
