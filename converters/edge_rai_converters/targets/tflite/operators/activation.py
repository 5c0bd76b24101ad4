"""Activations: of each value by itself in any layout, and Softmax, which TFLite computes along the last axis."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Activation, Builder, Code, activation_of
from edge_rai_converters.targets.tflite.graph import Node
from edge_rai_converters.targets.tflite.layout import broadcast, native
from edge_rai_converters.targets.tflite.operators import floats, operator

_PLAIN = {"Relu": Code.RELU, "Sigmoid": Code.LOGISTIC, "Tanh": Code.TANH, "HardSwish": Code.HARD_SWISH}
_BY_ACTIVATION = {
    Activation.RELU: Code.RELU,
    Activation.RELU6: Code.RELU6,
    Activation.RELU_N1_TO_1: Code.RELU_N1_TO_1,
}


@operator(*_PLAIN)
def plain(node: Node, to: Builder) -> None:
    """Activations without parameters."""
    floats(node, to)
    layout = to.held(node.inputs[0])
    source = to.tensor(node.inputs[0], layout)
    options = schema.HardSwishOptionsT() if node.operator == "HardSwish" else None
    to.add(_PLAIN[node.operator], [source], [to.define(node.outputs[0], layout)], options)


@operator("Clip")
def clip(node: Node, to: Builder) -> None:
    """RELU, RELU6 and the like where the limits are theirs; else MAXIMUM, then MINIMUM, as in ONNX.

    So are 0 and 1: XNNPACK has no RELU_0_TO_1, which would end a partition at each.
    """
    layout = to.held(node.inputs[0])
    source = to.tensor(node.inputs[0], layout)
    activation = activation_of(node, to.graph)
    if activation is not None:
        to.add(_BY_ACTIVATION[activation], [source], [to.define(node.outputs[0], layout)])
        return
    codes = [(code, node.input(index)) for index, code in ((1, Code.MAXIMUM), (2, Code.MINIMUM)) if node.input(index)]
    for code, limit in codes:
        tensor = to.tensors[source]
        last = code == codes[-1][0]
        made = to.define(node.outputs[0], layout) if last else to.temporary(tensor.shape, tensor.dtype, node.name)
        to.add(code, [source, to.tensor(limit)], [made], schema.MaximumMinimumOptionsT())
        source = made


@operator("LeakyRelu")
def leaky_relu(node: Node, to: Builder) -> None:
    """LEAKY_RELU, in any layout."""
    floats(node, to)
    layout = to.held(node.inputs[0])
    source = to.tensor(node.inputs[0], layout)
    options = schema.LeakyReluOptionsT(alpha=node.attribute("alpha", 0.01))
    to.add(Code.LEAKY_RELU, [source], [to.define(node.outputs[0], layout)], options)


@operator("Elu")
def elu(node: Node, to: Builder) -> None:
    """ELU, in any layout."""
    floats(node, to)
    alpha = node.attribute("alpha", 1.0)
    if alpha != 1:
        raise node.refused(f"its alpha is {alpha:g}", "with an alpha of 1 it is written")
    layout = to.held(node.inputs[0])
    to.add(Code.ELU, [to.tensor(node.inputs[0], layout)], [to.define(node.outputs[0], layout)])


@operator("Gelu")
def gelu(node: Node, to: Builder) -> None:
    """GELU, by the error function or approximated by tanh, in any layout."""
    floats(node, to)
    layout = to.held(node.inputs[0])
    source = to.tensor(node.inputs[0], layout)
    options = schema.GeluOptionsT(approximate=node.attribute("approximate", "none") == "tanh")
    to.add(Code.GELU, [source], [to.define(node.outputs[0], layout)], options)


@operator("PRelu")
def prelu(node: Node, to: Builder) -> None:
    """PRELU; its slope lies in the layout of what it is applied to."""
    floats(node, to, *node.inputs)
    name, slope = node.inputs
    shape, slopes = to.graph.shape(name), to.graph.shape(slope)
    if len(slopes) > len(shape) or any(
        length not in (1, own) for length, own in zip(slopes[::-1], shape[::-1], strict=False)
    ):
        raise node.refused(f"its slopes {list(slopes)} do not broadcast to {list(shape)}", "give one a channel")
    layout = to.held(name)
    inputs = [to.tensor(name, layout), to.tensor(slope, broadcast(layout, to.graph.rank(slope)))]
    to.add(Code.PRELU, inputs, [to.define(node.outputs[0], layout)])


@operator("Softmax", "LogSoftmax")
def softmax(node: Node, to: Builder) -> None:
    """SOFTMAX along one axis, which must be the tensor's last one."""
    floats(node, to)
    name = node.inputs[0]
    rank = to.graph.rank(name)
    axis = node.attribute("axis", -1) % rank
    moved = (*(other for other in native(rank) if other != axis), axis)
    layout = next((layout for layout in to.layouts(name) if layout[-1] == axis), moved)
    source = to.tensor(name, layout)
    code, options = Code.SOFTMAX, schema.SoftmaxOptionsT(beta=1.0)
    if node.operator == "LogSoftmax":
        code, options = Code.LOG_SOFTMAX, schema.LogSoftmaxOptionsT()
    to.add(code, [source], [to.define(node.outputs[0], layout)], options)
