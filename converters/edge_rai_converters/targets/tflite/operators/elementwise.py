"""Arithmetic, comparison and logic of each value by itself, with broadcasting, in the layout of most operands."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Activation, Builder, Code
from edge_rai_converters.targets.tflite.graph import Node
from edge_rai_converters.targets.tflite.layout import Layout, arranged, broadcast
from edge_rai_converters.targets.tflite.operators import operator
from edge_rai_converters.targets.tflite.operators.kernels import NUMBERS, cast, computed_in, run, step

_FUSING = {
    "Add": (Code.ADD, schema.AddOptionsT, NUMBERS),
    "Sub": (Code.SUB, schema.SubOptionsT, NUMBERS),
    "Mul": (Code.MUL, schema.MulOptionsT, NUMBERS),
    "Div": (Code.DIV, schema.DivOptionsT, ("float32", "int32")),
}
_PLAIN = {
    "Max": (Code.MAXIMUM, schema.MaximumMinimumOptionsT, NUMBERS),
    "Min": (Code.MINIMUM, schema.MaximumMinimumOptionsT, NUMBERS),
    "Pow": (Code.POW, schema.PowOptionsT, ("float32", "int32")),
}
_COMPARING = {
    "Equal": (Code.EQUAL, schema.EqualOptionsT, (*NUMBERS, "bool")),
    "Greater": (Code.GREATER, schema.GreaterOptionsT, NUMBERS),
    "GreaterOrEqual": (Code.GREATER_EQUAL, schema.GreaterEqualOptionsT, NUMBERS),
    "Less": (Code.LESS, schema.LessOptionsT, NUMBERS),
    "LessOrEqual": (Code.LESS_EQUAL, schema.LessEqualOptionsT, NUMBERS),
    "And": (Code.LOGICAL_AND, schema.LogicalAndOptionsT, ("bool",)),
    "Or": (Code.LOGICAL_OR, schema.LogicalOrOptionsT, ("bool",)),
    "Xor": (Code.NOT_EQUAL, schema.NotEqualOptionsT, ("bool",)),
}


def _operands(node: Node, to: Builder, kernels: tuple[str, ...]) -> tuple[Layout, list[int]]:
    """The layout of the result, and the operands in that layout and in the type that they are computed in."""
    dtype = computed_in(node, to.graph.dtype(node.inputs[0]), kernels)
    layout, sources = _aligned(node, to)
    return layout, [cast(to, source, dtype) for source in sources]


def _aligned(node: Node, to: Builder) -> tuple[Layout, list[int]]:
    layout = to.agreed(node.inputs, to.graph.rank(node.outputs[0]))
    return layout, [to.tensor(name, broadcast(layout, to.graph.rank(name))) for name in node.inputs]


@operator(*_FUSING)
def arithmetic(node: Node, to: Builder) -> None:
    """The four operations, with the activation that follows; integers are divided towards zero, as in ONNX."""
    code, options, kernels = _FUSING[node.operator]
    layout, sources = _operands(node, to, kernels)
    activation, name = Activation.NONE, node.outputs[0]
    if to.graph.dtype(name) == np.float32:
        activation, name = to.fused(node)
    run(to, code, sources, to.define(name, layout), options(fusedActivationFunction=activation))


@operator(*_PLAIN)
def plain(node: Node, to: Builder) -> None:
    """One operator with two operands."""
    code, options, kernels = _PLAIN[node.operator]
    exponents = to.graph.constant(node.inputs[1]) if node.operator == "Pow" else None
    if exponents is not None and exponents.dtype.kind == "i" and (exponents < 0).any():
        raise node.refused("it raises whole numbers to negative powers", "cast them to float32")
    layout, sources = _operands(node, to, kernels)
    run(to, code, sources, to.define(node.outputs[0], layout), options())


@operator("Mod")
def remainder(node: Node, to: Builder) -> None:
    """FLOOR_MOD, whose sign is the divisor's; fmod's is the dividend's, and given to the remainder of magnitudes."""
    signed = bool(node.attribute("fmod", 0))
    layout, sources = _operands(node, to, ("float32", "int32") if signed else NUMBERS)
    made, options = to.define(node.outputs[0], layout), schema.FloorModOptionsT()
    if not signed:
        run(to, Code.FLOOR_MOD, sources, made, options)
        return
    magnitudes = [step(to, Code.ABS, [source], source, schema.AbsOptionsT()) for source in sources]
    left = to.temporary(to.tensors[made].shape, to.tensors[sources[0]].dtype, to.tensors[made].name)
    to.add(Code.FLOOR_MOD, magnitudes, [left], options)
    sign = step(to, Code.SIGN, sources[:1], sources[0], schema.SignOptionsT())
    run(to, Code.MUL, [left, sign], made, schema.MulOptionsT())


@operator(*_COMPARING)
def comparison(node: Node, to: Builder) -> None:
    """Booleans out of two operands; of booleans, exclusive or is inequality."""
    code, options, kernels = _COMPARING[node.operator]
    layout, sources = _operands(node, to, kernels)
    to.add(code, sources, [to.define(node.outputs[0], layout)], options())


@operator("Where")
def where(node: Node, to: Builder) -> None:
    """SELECT_V2, of any type."""
    layout, sources = _aligned(node, to)
    to.add(Code.SELECT_V2, sources, [to.define(node.outputs[0], layout)], schema.SelectV2OptionsT())


@operator("Expand")
def expand(node: Node, to: Builder) -> None:
    """BROADCAST_TO the output's shape, which is known."""
    shape = to.graph.shape(node.outputs[0])
    name = node.inputs[0]
    layout = to.agreed([name], len(shape))
    sources = [to.tensor(name, broadcast(layout, to.graph.rank(name))), to.integers(arranged(shape, layout, 1))]
    to.add(Code.BROADCAST_TO, sources, [to.define(node.outputs[0], layout)], schema.BroadcastToOptionsT())
