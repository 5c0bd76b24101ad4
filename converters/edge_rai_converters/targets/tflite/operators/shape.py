"""Operators that move no value: another shape, or another order of axes, which is most often another layout only."""

from __future__ import annotations

from edge_rai_converters.targets.tflite.builder import Builder
from edge_rai_converters.targets.tflite.flatten import flattened
from edge_rai_converters.targets.tflite.graph import Node
from edge_rai_converters.targets.tflite.layout import arranged, native, same_order, through_reshape, through_transpose
from edge_rai_converters.targets.tflite.operators import operator


@operator("Reshape")
def reshape(node: Node, to: Builder) -> None:
    """RESHAPE of a tensor in which what becomes one axis lies in ONNX's order, the rest wherever it is."""
    name, made = node.inputs[0], node.outputs[0]
    shape, target = to.graph.shape(name), to.graph.shape(made)
    if 0 in shape:
        to.alias(made, native(len(target)), to.reshaped(to.tensor(name), target, made))
        return
    for layout in to.layouts(name):
        before, behind = through_reshape(shape, target, layout)
        if same_order(shape, layout, before):
            to.alias(made, behind, to.reshaped(to.tensor(name, layout), arranged(target, behind, 1), made))
            return
    if not flattened(node, to):
        before, behind = through_reshape(shape, target, to.held(name))
        to.alias(made, behind, to.reshaped(to.tensor(name, before), arranged(target, behind, 1), made))


@operator("Transpose")
def transpose(node: Node, to: Builder) -> None:
    """No operator: the tensors that hold the value hold the transposed one, in other layouts."""
    name = node.inputs[0]
    for layout in to.layouts(name):
        to.alias(node.outputs[0], through_transpose(layout, node.attribute("perm")), to.tensor(name, layout))


@operator("Identity")
def identity(node: Node, to: Builder) -> None:
    """No operator: another name for the value."""
    name = node.inputs[0]
    for layout in to.layouts(name) or (native(to.graph.rank(name)),):
        to.alias(node.outputs[0], layout, to.tensor(name, layout))
