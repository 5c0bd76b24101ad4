"""The TFLite graph while it is built: which tensor holds which ONNX value in which layout, and the operators so far."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.graph import Array, Graph, Node
from edge_rai_converters.targets.tflite.layout import (
    UNIT,
    Layout,
    Shape,
    arranged,
    native,
    permuted,
    same_order,
)

Activation = schema.ActivationFunctionType
Code = schema.BuiltinOperator

# By the limits of a Clip.
_BY_LIMITS: dict[tuple[float | None, ...], int] = {
    (0.0, np.inf): Activation.RELU,
    (0.0, 6.0): Activation.RELU6,
    (-1.0, 1.0): Activation.RELU_N1_TO_1,
}


@dataclass(eq=False, slots=True)
class Tensor:
    """One tensor of the TFLite graph; ``data`` is its constant value."""

    name: str
    shape: Shape
    dtype: np.dtype[Any]
    data: Array | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Operator:
    """One operator: its code in BuiltinOperator, indices of tensors (-1 where left out), its options' object."""

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


class Builder:
    """What handlers write to.

    Attributes:
        graph: The ONNX graph.
        tensors: By index.
        operators: In the order in which they run.
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, Layout]) -> None:
        self.graph = graph
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self._held: dict[str, dict[Layout, int]] = {}
        self._done: set[Node] = set()
        self._constants: dict[tuple[bytes, str, Shape], int] = {}
        self._reshaped: dict[int, int] = {}
        self._unrolled: dict[str, tuple[int, npt.NDArray[np.int64]]] = {}
        for name in graph.inputs:
            self.define(name, inputs[name])

    # ---- Values of the ONNX graph ------------------------------------------------------------------------------------

    def tensor(self, name: str, layout: Layout | None = None) -> int:
        """The tensor that holds an ONNX value in a layout (native unless said); made where there is none yet.

        A constant is rearranged now; a computed value costs one Transpose, or a Reshape where only axes of length 1
        move, once for all who ask.
        """
        layout = native(self.graph.rank(name)) if layout is None else layout
        held = self._held.setdefault(name, {})
        if layout not in held:
            array = self.graph.constant(name)
            held[layout] = self._moved(name, layout) if array is None else self.constant(permuted(array, layout), name)
        return held[layout]

    def held(self, name: str) -> Layout:
        """The layout in which a value was made."""
        return next(iter(self._held.get(name, ())), native(self.graph.rank(name)))

    def layouts(self, name: str) -> tuple[Layout, ...]:
        """All layouts in which a value is at hand; of a constant none in particular, so none."""
        return () if name in self.graph.constants else tuple(self._held[name])

    def agreed(self, names: Iterable[str], rank: int) -> Layout:
        """The layout for an operator that works in any, with the fewest values to be moved; equal ones not natively.

        Args:
            names: Of its operands; constants and those of a lower rank have no say.
            rank: Of the result.
        """
        voters = [name for name in names if self.graph.rank(name) == rank and name not in self.graph.constants]
        choices = dict.fromkeys(layout for name in voters for layout in self.layouts(name))

        def cost(layout: Layout) -> tuple[int, bool]:
            moved = sum(prod(self.graph.shape(name)) for name in voters if layout not in self._held[name])
            return moved, layout == native(rank)

        return min(choices, key=cost, default=native(rank))

    def define(self, name: str, layout: Layout | None = None) -> int:
        """A new tensor that holds an ONNX value in a layout (native unless said): the output of what computes it."""
        shape = self.graph.shape(name)
        layout = native(len(shape)) if layout is None else layout
        index = self.temporary(tuple(arranged(shape, layout, 1)), self.graph.dtype(name), name)
        self._held.setdefault(name, {})[layout] = index
        return index

    def alias(self, name: str, layout: Layout, index: int) -> None:
        """Says that an existing tensor holds an ONNX value in a layout."""
        self._held.setdefault(name, {})[layout] = index

    def unroll(self, name: str, index: int, order: npt.NDArray[np.int64]) -> None:
        """Says that a tensor holds the rows of a flattened value in another order; flatten.py says where that may be.

        Args:
            name: Of the value, (N, values).
            index: Of the tensor.
            order: Which of the value's columns each column of the tensor is.
        """
        self._unrolled[name] = index, order

    def rows_of(self, name: str) -> tuple[int, npt.NDArray[np.int64]] | None:
        """What unroll() said of a value."""
        return self._unrolled.get(name)

    # ---- Values of TFLite's own --------------------------------------------------------------------------------------

    def temporary(self, shape: Sequence[int], dtype: npt.DTypeLike, name: str) -> int:
        """A new tensor between two operators of one ONNX node; named after that node's value."""
        self.tensors.append(Tensor(name, tuple(int(length) for length in shape), np.dtype(dtype)))
        return len(self.tensors) - 1

    def constant(self, array: Array, name: str = "") -> int:
        """A tensor with a constant value; equal ones are one tensor, as the steps of an unrolled loop have them."""
        array = np.asarray(array, order="C")
        key = hashlib.blake2b(array.reshape(-1).view(np.uint8).data).digest(), array.dtype.str, array.shape
        if key not in self._constants:
            self.tensors.append(Tensor(name or "constant", array.shape, array.dtype, array))
            self._constants[key] = len(self.tensors) - 1
        return self._constants[key]

    def integers(self, values: Iterable[int]) -> int:
        """A constant int32 vector, as TFLite takes shapes, axes and paddings."""
        return self.constant(np.array(list(values), dtype=np.int32))

    def add(self, code: int, inputs: Iterable[int], outputs: Iterable[int], options: Any = None) -> None:
        """Appends an operator.

        Args:
            code: Of schema.BuiltinOperator.
            inputs: Indices of tensors; -1 for an optional one that is left out.
            outputs: Indices of tensors.
            options: The object of its options, schema.XOptionsT; None where the operator has none.
        """
        self.operators.append(Operator(code, tuple(inputs), tuple(outputs), options))

    def reshaped(self, source: int, shape: Sequence[int], name: str) -> int:
        """A tensor with the values of another one in another shape: that one itself where it has the shape already.

        Args:
            source: Index of the tensor.
            shape: Of the result.
            name: Of the result.
        """
        source = self._reshaped.get(source, source)
        target = tuple(int(length) for length in shape)
        if self.tensors[source].shape == target:
            return source
        made = self.temporary(target, self.tensors[source].dtype, name)
        self._reshaped[made] = source
        options = schema.ReshapeOptionsT(newShape=np.array(target, dtype=np.int32))
        self.add(Code.RESHAPE, [source, self.integers(target)], [made], options)
        return made

    def copied(self, source: int, name: str) -> int:
        """A tensor of its own with the values of another one."""
        tensor = self.tensors[source]
        made = self.temporary(tensor.shape, tensor.dtype, name)
        options = schema.ReshapeOptionsT(newShape=np.array(tensor.shape, dtype=np.int32))
        self.add(Code.RESHAPE, [source, self.integers(tensor.shape)], [made], options)
        return made

    # ---- What lies behind a node -------------------------------------------------------------------------------------

    def fused(self, node: Node) -> tuple[int, str]:
        """The activation that an operator can apply itself, and the name of the ONNX value that it then computes.

        Args:
            node: The node about to be written, with one output of float32; the one that follows is marked as written
                where its activation is one of TFLite's fused ones.
        """
        after = self.graph.only_reader(node.outputs[0])
        activation = activation_of(after, self.graph) if after else None
        if after is None or activation is None:
            return Activation.NONE, node.outputs[0]
        self._done.add(after)
        return activation, after.outputs[0]

    def skip(self, node: Node) -> None:
        """Marks a node as written along with another one."""
        self._done.add(node)

    def is_done(self, node: Node) -> bool:
        """Whether a node was written along with another one."""
        return node in self._done

    # ---- Inside ------------------------------------------------------------------------------------------------------

    def _moved(self, name: str, layout: Layout) -> int:
        """The value in another layout: by a Reshape if one will do, else by a Transpose of the tensor made first."""
        shape, held = self.graph.shape(name), self._held[name]
        for other, index in held.items():
            if same_order(shape, other, layout):
                return self.reshaped(index, arranged(shape, layout, 1), name)
        source = next(iter(held))
        before = [axis for axis in source if axis != UNIT]
        after = [axis for axis in layout if axis != UNIT]
        plain = self.reshaped(held[source], [shape[axis] for axis in before], name)
        made = self.temporary([shape[axis] for axis in after], self.graph.dtype(name), name)
        order = self.integers(before.index(axis) for axis in after)
        self.add(Code.TRANSPOSE, [plain, order], [made], schema.TransposeOptionsT())
        return self.reshaped(made, arranged(shape, layout, 1), name)


def activation_of(node: Node, graph: Graph) -> int | None:
    """The fused activation that does what a Relu or Clip does; None of other nodes and other limits."""
    if node.operator == "Relu":
        return int(Activation.RELU)
    if node.operator != "Clip" or graph.dtype(node.outputs[0]) != np.float32:
        return None
    ends = zip((-np.inf, np.inf), (node.input(1), node.input(2)), strict=True)
    limits = [graph.constant(name) if name else np.array(none) for none, name in ends]
    return _BY_LIMITS.get(tuple(None if limit is None else float(limit.reshape(())) for limit in limits))
