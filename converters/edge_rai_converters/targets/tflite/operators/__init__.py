"""The operators that are written: a handler each, in a table by ONNX name.

How to add one. A handler writes one ONNX node (of a lowered graph: static shapes, opset differences gone):

    @operator("Abs", "Neg")
    def unary(node: Node, to: Builder) -> None:
        layout = to.held(node.inputs[0])                      # any layout will do: take the one that is there
        source = to.tensor(node.inputs[0], layout)
        to.add(CODES[node.operator], [source], [to.define(node.outputs[0], layout)])

- ``to.graph`` answers ``shape(name)``, ``rank(name)``, ``dtype(name)``, ``constant(name)`` (an array, or None where the
  value is computed or left out), ``readers(name)``, ``only_reader(name)``, ``outputs``; ``node`` has
  ``operator``, ``name``, ``inputs``, ``outputs``, ``input(index)`` ("" where left out), ``attribute(name, otherwise)``
  (strings as str).
- ``to.tensor(name)`` is the index of a TFLite tensor that holds the ONNX value natively, ``to.tensor(name, layout)`` in
  another layout (see layout.py: a tuple that says which ONNX axis lies where, UNIT an axis of length 1 of the tensor
  alone). It inserts one Transpose where the value is not at hand in that layout; constants are permuted when written.
- ``to.define(name, layout)`` makes the tensor for an output of the node; its shape and dtype come from the graph.
- A handler whose operator works along axes takes the layout at hand and places what belongs to axes in it:
  ``arranged(per_axis, layout, unit)`` for a value an axis (begins of a slice, paddings), ``layout.index(axis)`` for an
  axis.
  Operators of several operands choose by ``to.agreed(names, rank)`` and take each operand as
  ``to.tensor(name, broadcast(layout, to.graph.rank(name)))``.
- ``to.constant(array)``, ``to.integers([..])`` (an int32 vector), ``to.temporary(shape, dtype, name)`` and
  ``to.reshaped(index, shape, name)`` are for what ONNX has no name for; ``to.alias(name, layout, index)`` says that a
  tensor holds a value: no operator.
- ``to.fused(node)`` returns the activation that follows and can be applied by the operator itself, and the name of the
  value that the operator then computes; without one it is (NONE, the node's output).
- What cannot be written raises ``node.refused(why, nearest)``. convert.py has refused types that TFLite does not know;
  ``floats(node, to, ...)`` refuses those that only float32 kernels take.

A module of handlers is imported by ``_MODULES`` below; that is all there is to registering it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib import import_module

import numpy as np

from edge_rai_converters.targets.tflite.builder import Builder
from edge_rai_converters.targets.tflite.graph import Node

Handler = Callable[[Node, Builder], None]

_MODULES = (
    *("convolution", "matmul", "pool", "activation", "elementwise", "unary", "reduce", "pieces", "resize", "shape"),
    *("blocks", "ranking"),
)
_HANDLERS: dict[str, Handler] = {}


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Registers a handler for ONNX operators."""

    def registered(handler: Handler) -> Handler:
        for name in names:
            if name in _HANDLERS:
                raise AssertionError(f"two handlers of {name}")
            _HANDLERS[name] = handler
        return handler

    return registered


def handlers() -> dict[str, Handler]:
    """The table: a handler by ONNX operator."""
    for module in _MODULES:
        import_module(f"{__name__}.{module}")
    return _HANDLERS


# What is written that comes nearest to operators that are not.
_QUANTIZED = (
    *("ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"),
    *("QLinearConv", "QLinearMatMul", "QuantizeLinear"),
)
_NEAREST = {
    **dict.fromkeys(_QUANTIZED, "the float model, quantized on the way to TFLite"),
    **dict.fromkeys(("Acosh", "Asinh", "Atanh"), "Log"),
    **dict.fromkeys(("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"), "And, Or, Xor and Not of booleans"),
    **dict.fromkeys(("Cosh", "Sinh"), "Exp"),
    "GatherElements": "Gather",
    "GridSample": "Resize",
    "If": "a graph without branches",
    "Loop": "a graph with the loop unrolled",
    "LpPool": "MaxPool or AveragePool",
    "MaxUnpool": "Resize or ConvTranspose",
    "Scan": "a graph with the loop unrolled",
    "ScatterElements": "Where with a constant mask",
    "ScatterND": "Where with a constant mask",
}
_NEAREST_ELSE = "products, convolutions, pools and operators of each value by itself"


def nearest(name: str, table: Iterable[str]) -> str:
    """What comes nearest to an operator that is not written: as known, else the one with a similar name."""
    similar = difflib.get_close_matches(name, table, n=1, cutoff=0.75)
    return f"the nearest that is written: {_NEAREST.get(name, similar[0] if similar else _NEAREST_ELSE)}"


def floats(node: Node, to: Builder, *names: str) -> None:
    """Refuses values that are not float32.

    Args:
        node: The node that takes them.
        to: Where it is written to.
        names: Of values; the node's first input when none is given.

    Raises:
        UnsupportedModelError: One of them is of another type.
    """
    for name in names or node.inputs[:1]:
        dtype = to.graph.dtype(name)
        if dtype != np.float32:
            raise node.refused(f"it takes {dtype}, which TFLite computes in float32 only", "cast it to float32")
