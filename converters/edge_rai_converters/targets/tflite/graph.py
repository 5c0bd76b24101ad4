"""The lowered ONNX graph as the operators' handlers read it: static shapes, constants as arrays, who reads what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite.errors import refused
from edge_rai_converters.targets.tflite.layout import Shape

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Node:
    """One ONNX node. Names of left-out optional inputs and outputs are ""."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    name: str

    def attribute(self, name: str, otherwise: Any = None) -> Any:
        """An attribute's value, strings as str; what is given where the node does not set it."""
        return self.attributes.get(name, otherwise)

    def input(self, index: int) -> str:
        """The name of an input; "" where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    @property
    def described(self) -> str:
        """As refusals call it."""
        return f"{self.operator} node {self.name!r}"

    def refused(self, why: str, nearest: str = "") -> UnsupportedModelError:
        """The exception to raise where this node cannot be written."""
        return refused(self.described, why, nearest)


class Graph:
    """A model whose every value has a static shape.

    Attributes:
        nodes: In an order in which they can be computed.
        inputs: Names, without the constants.
        outputs: Names.
        constants: Arrays by name.

    Raises:
        UnsupportedModelError: A value's shape is not known.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants: dict[str, Array] = {
            initializer.name: numpy_helper.to_array(initializer) for initializer in model.graph.initializer
        }
        self._types: dict[str, tuple[Shape, np.dtype[Any]]] = {
            name: (array.shape, array.dtype) for name, array in self.constants.items()
        }
        self.nodes = [_node(proto) for proto in model.graph.node]
        self.inputs = [value.name for value in model.graph.input if value.name not in self.constants]
        self.outputs = [value.name for value in model.graph.output]
        self._read_types([*model.graph.input, *model.graph.output, *model.graph.value_info])
        self._makers = {name: node for node in self.nodes for name in node.outputs if name}
        self._readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in filter(None, dict.fromkeys(node.inputs)):
                self._readers.setdefault(name, []).append(node)

    def shape(self, name: str) -> Shape:
        """Of a value, by its name."""
        return self._type(name)[0]

    def rank(self, name: str) -> int:
        """How many axes a value has."""
        return len(self.shape(name))

    def dtype(self, name: str) -> np.dtype[Any]:
        """Of a value, by its name."""
        return self._type(name)[1]

    def constant(self, name: str) -> Array | None:
        """The array of a constant; None where the value is computed, or left out."""
        return self.constants.get(name)

    def readers(self, name: str) -> list[Node]:
        """The nodes that take a value."""
        return self._readers.get(name, [])

    def maker(self, name: str) -> Node | None:
        """The node that computes a value; None of inputs and constants."""
        return self._makers.get(name)

    def only_reader(self, name: str) -> Node | None:
        """The node that takes a value, where that is one and the value is no output of the graph."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def _type(self, name: str) -> tuple[Shape, np.dtype[Any]]:
        if name not in self._types:
            raise refused(f"value {name!r}", "its shape depends on the values of the input", "make it constant")
        return self._types[name]

    def _read_types(self, values: Iterable[onnx.ValueInfoProto]) -> None:
        for value in values:
            tensor = value.type.tensor_type
            dimensions = tensor.shape.dim
            known = tensor.elem_type and tensor.HasField("shape")
            if known and all(dimension.HasField("dim_value") for dimension in dimensions):
                shape = tuple(dimension.dim_value for dimension in dimensions)
                self._types[value.name] = shape, np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _node(proto: onnx.NodeProto) -> Node:
    attributes = {attribute.name: _value(attribute) for attribute in proto.attribute}
    name = proto.name or (proto.output[0] if proto.output else "")
    return Node(proto.op_type, tuple(proto.input), tuple(proto.output), attributes, name)


def _value(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    return [item.decode() if isinstance(item, bytes) else item for item in value] if isinstance(value, list) else value
