"""TopK and GatherND: values chosen by their size, and by places that are vectors."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Array, Node
from edge_rai_converters.targets.tflite.layout import native
from edge_rai_converters.targets.tflite.operators import operator
from edge_rai_converters.targets.tflite.operators.kernels import cast, computed_in, step


@operator("TopK")
def largest(node: Node, to: Builder) -> None:
    """TOPK_V2 along the last axis; the smallest are the largest of the negatives."""
    name = node.inputs[0]
    rank, count = to.graph.rank(name), to.graph.constant(node.inputs[1])
    if count is None:
        raise node.refused("how many it takes is computed", "make that constant")
    if not node.attribute("sorted", 1) and any(output in to.graph.outputs for output in node.outputs):
        raise node.refused("it answers in no order, so in another than the model's here", "set sorted to 1")
    axis = node.attribute("axis", -1) % rank
    layout = (*(other for other in native(rank) if other != axis), axis)
    source = cast(to, to.tensor(name, layout), computed_in(node, to.graph.dtype(name)))
    dtype, negated = to.tensors[source].dtype, not node.attribute("largest", 1)
    if negated:
        source = step(to, Code.NEG, [source], source, schema.NegOptionsT())
    shape = (*to.tensors[source].shape[:-1], int(count.reshape(())))
    values, places = (to.temporary(shape, kind, node.name) for kind in (dtype, np.int32))
    inputs = [source, to.constant(np.array(shape[-1], np.int32))]
    to.add(Code.TOPK_V2, inputs, [values, places], schema.TopKV2OptionsT())
    if negated:
        values = step(to, Code.NEG, [values], values, schema.NegOptionsT())
    for output, made in zip(node.outputs, (values, places), strict=False):
        if output:
            to.alias(output, layout, cast(to, made, to.graph.dtype(output)))


@operator("GatherND")
def gather_nd(node: Node, to: Builder) -> None:
    """GATHER_ND; places that count from the end are made to count from the front."""
    name, indices = node.inputs
    shape, places = to.graph.shape(name), to.graph.constant(indices)
    if node.attribute("batch_dims", 0):
        raise node.refused("its first axes are batches", "batch_dims 0 is written")
    extents = np.array(shape[: to.graph.shape(indices)[-1]])
    if places is not None:
        where = to.constant(np.where(places < 0, places + extents, places).astype(np.int32), indices)
    else:
        where = _counted_from_front(to, to.tensor(indices), extents.astype(to.graph.dtype(indices)))
    to.add(Code.GATHER_ND, [to.tensor(name), where], [to.define(node.outputs[0])], schema.GatherNdOptionsT())


def _counted_from_front(to: Builder, places: int, extents: Array) -> int:
    tensor = to.tensors[places]
    behind = step(to, Code.ADD, [places, to.constant(extents)], places, schema.AddOptionsT())
    negative = to.temporary(tensor.shape, np.bool_, tensor.name)
    to.add(Code.LESS, [places, to.constant(np.zeros((), tensor.dtype))], [negative], schema.LessOptionsT())
    return step(to, Code.SELECT_V2, [negative, behind, places], places, schema.SelectV2OptionsT())
