"""ONNX to TFLite, written on LiteRT's schema: no TensorFlow, no other tool.

    written = write(model)  # freeze the batch, lower, convert node by node, serialize
    checked = verify(model, written, feeds)  # load it in LiteRT, compare its operators and its answers

What each operator is written as, and how to add one, is in operators/; how axes are ordered in layout.py; the
ONNX-to-ONNX rewrites that come before in lower/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import onnx

from edge_rai_converters.errors import missing
from edge_rai_converters.targets.tflite.check import LARGEST_DIFFERENCE, Checked, verify
from edge_rai_converters.targets.tflite.freeze import frozen
from edge_rai_converters.targets.tflite.probe import Feed, Probed, probed
from edge_rai_converters.targets.tflite.written import Edge, Written

__all__ = ["LARGEST_DIFFERENCE", "Checked", "Edge", "Feed", "Probed", "Written", "probed", "verify", "write"]

_PACKAGES = ("ai_edge_litert", "flatbuffers")


def write(
    model: onnx.ModelProto,
    *,
    layout: Literal["keep", "nhwc"] = "keep",
    rows: int = 1,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Written:
    """Writes a model as .tflite; the same model gives the same bytes.

    Args:
        model: Of ONNX's own operators; not modified.
        layout: "keep": inputs and outputs have their axes in ONNX's order. "nhwc": those that convolutions and pools
            take and make have their channels last, which saves a Transpose each.
        rows: The length of axis 0 of inputs that leave it free.
        shapes: Whole shapes of inputs by name, where more than axis 0 is free.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        UnsupportedModelError: Something in the model has no TFLite form; names the operator, the node and what has one.
    """
    try:
        from edge_rai_converters.targets.tflite.convert import converted
        from edge_rai_converters.targets.tflite.lower import lower
        from edge_rai_converters.targets.tflite.serialize import code_names, serialized
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        raise missing(error.name) from error
    graph = converted(lower(frozen(model, rows, shapes or {})), keep=layout == "keep")

    def edges(ends: Mapping[str, int]) -> tuple[Edge, ...]:
        return tuple(Edge(name, graph.tensors[index].shape, graph.layouts[name]) for name, index in ends.items())

    return Written(serialized(graph, model.graph.name), edges(graph.inputs), edges(graph.outputs), code_names(graph))
