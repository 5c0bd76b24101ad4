"""Operators of one operand, each value by itself, in the layout at hand."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Node
from edge_rai_converters.targets.tflite.operators import floats, operator
from edge_rai_converters.targets.tflite.operators.kernels import NUMBERS, cast, computed_in, run, step

# Round takes halves to the even neighbour in both.
_KERNELS = {
    "Abs": (Code.ABS, schema.AbsOptionsT, ("float32", "int32")),
    "Ceil": (Code.CEIL, None, ("float32",)),
    "Cos": (Code.COS, schema.CosOptionsT, ("float32",)),
    "Exp": (Code.EXP, schema.ExpOptionsT, ("float32",)),
    "Floor": (Code.FLOOR, None, ("float32",)),
    "Log": (Code.LOG, None, ("float32",)),
    "Neg": (Code.NEG, schema.NegOptionsT, NUMBERS),
    "Not": (Code.LOGICAL_NOT, schema.LogicalNotOptionsT, ("bool",)),
    "Round": (Code.ROUND, None, ("float32",)),
    "Sign": (Code.SIGN, schema.SignOptionsT, ("float32", "int32")),
    "Sin": (Code.SIN, None, ("float32",)),
    "Sqrt": (Code.SQRT, None, ("float32",)),
}


@operator(*_KERNELS)
def unary(node: Node, to: Builder) -> None:
    """One operator with one operand."""
    code, options, kernels = _KERNELS[node.operator]
    name = node.inputs[0]
    dtype, layout = computed_in(node, to.graph.dtype(name), kernels), to.held(name)
    source = cast(to, to.tensor(name, layout), dtype)
    run(to, code, [source], to.define(node.outputs[0], layout), options and options())


@operator("Tan")
def tangent(node: Node, to: Builder) -> None:
    """The sine divided by the cosine."""
    floats(node, to)
    layout = to.held(node.inputs[0])
    source = to.tensor(node.inputs[0], layout)
    parts = [step(to, Code.SIN, [source], source), step(to, Code.COS, [source], source, schema.CosOptionsT())]
    to.add(Code.DIV, parts, [to.define(node.outputs[0], layout)], schema.DivOptionsT())


@operator("Cast")
def casted(node: Node, to: Builder) -> None:
    """CAST."""
    layout = to.held(node.inputs[0])
    source = to.tensor(node.inputs[0], layout)
    to.add(Code.CAST, [source], [to.define(node.outputs[0], layout)], schema.CastOptionsT())
