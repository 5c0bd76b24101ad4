"""What a rule of lowering sees of a node, and what it writes instead: plain nodes and constants with fresh names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
# From these opsets on, the axes of a reduction are an input and no attribute.
_AXES_GIVEN = {"ReduceSum": 13, "ReduceMax": 18}


@dataclass(frozen=True, slots=True)
class Tensor:
    """What is known of a tensor.

    Attributes:
        name: In the graph.
        dtype: An element type of TensorProto, 0 when it is not known.
        shape: None where an extent is free; None as a whole when not even the rank is known.
    """

    name: str
    dtype: int = TensorProto.UNDEFINED
    shape: tuple[int | None, ...] | None = None

    @property
    def rank(self) -> int:
        """Number of axes, -1 when it is not known."""
        return -1 if self.shape is None else len(self.shape)


@dataclass(slots=True)
class Sketch:
    """The nodes that stand for one node; nothing of the graph changes before all of them are there.

    Attributes:
        node: The one to be replaced.
        inputs: Its inputs.
        opset: Of the plain operators.
        taken: Names of the graph; those made here are added.
        nodes: What was made.
        constants: What was made.
    """

    node: onnx.NodeProto
    inputs: tuple[Tensor, ...]
    opset: int
    taken: set[str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the node, by name; strings as bytes."""
        return {attribute.name: helper.get_attribute_value(attribute) for attribute in self.node.attribute}

    def op(self, operator: str, *inputs: str | Array, named: str = "", **attributes: Any) -> str:
        """Adds a node.

        Args:
            operator: A plain one with one output.
            inputs: Names; an array becomes a constant.
            named: Its output; a fresh name when empty.
            attributes: Of the node.

        Returns:
            The name of its output.
        """
        names = [given if isinstance(given, str) else self._constant(given) for given in inputs]
        named = named or self._fresh(operator.lower())
        self.nodes.append(helper.make_node(operator, names, [named], **attributes))
        return named

    def reduced(self, operator: str, values: str) -> str:
        """The rows of a matrix reduced to (rows, 1)."""
        if self.opset < _AXES_GIVEN[operator]:
            return self.op(operator, values, axes=[-1], keepdims=1)
        return self.op(operator, values, np.array([-1], np.int64), keepdims=1)

    def cast(self, tensor: Tensor, dtype: int = TensorProto.FLOAT) -> str:
        """The tensor in another type, itself when it has that one."""
        return tensor.name if tensor.dtype == dtype else self.op("Cast", tensor.name, to=dtype)

    def _constant(self, values: Array) -> str:
        name = self._fresh("constant")
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _fresh(self, what: str) -> str:
        stem = f"{self.node.output[0]}_{self.node.op_type.lower()}_{what}"
        name, count = stem, 1
        while name in self.taken:
            count += 1
            name = f"{stem}_{count}"
        self.taken.add(name)
        return name


# Writes what stands for a node, or says that it stays as it is.
Rule = Callable[[Sketch], bool]
Rules = Mapping[str, Rule]
