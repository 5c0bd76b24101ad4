"""What a rewrite sees of a node, every extent known and constants by value, and what it writes instead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.passes.lower.sketch import Array, Sketch, Tensor
from edge_rai_converters.targets.tflite.errors import refused

# Everything drafted, and so everything a lowered model has, is written in this version of the standard operators: the
# first that has Gelu, and old enough for every ONNX Runtime in use.
OPSET = 20
Shape = tuple[int, ...]


@dataclass(slots=True)
class Draft(Sketch):
    """The nodes of OPSET that stand for one node.

    Attributes:
        values: Constants of the graph, by name.
        outputs: The node's outputs as far as they could be inferred.
        counts: Names of tensors whose values are whole and not negative.
        numbered: How often each stem of a name was used.
        settled: Outputs of nodes that no rule is to rewrite.
    """

    values: Mapping[str, Array] = field(default_factory=dict)
    outputs: tuple[Tensor, ...] = ()
    counts: Collection[str] = frozenset()
    numbered: dict[str, int] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def has(self, index: int) -> bool:
        """Whether the input is given."""
        return index < len(self.node.input) and self.node.input[index] != ""

    def wants(self, index: int) -> bool:
        """Whether the node names the output."""
        return index < len(self.node.output) and self.node.output[index] != ""

    def shape(self, index: int = 0) -> Shape:
        """Extents of an input."""
        return static(self.inputs[index])

    def value(self, index: int) -> Array | None:
        """An input's value; None when it is not given, or no constant."""
        return self.values.get(self.node.input[index]) if self.has(index) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """Of the node, text as str; the default where it is silent."""
        found = self.attributes.get(name, default)
        return found.decode(errors="replace") if isinstance(found, bytes) else found

    def constant(self, index: int, what: str) -> Array:
        """An input that has to be a constant; ``what`` it is called in the specification.

        Raises:
            UnsupportedModelError: It is computed.
        """
        found = self.value(index)
        if found is None:
            raise self.refusal(f"its input {what!r} is computed", "make it constant")
        return found

    def integers(self, index: int, name: str) -> list[int] | None:
        """What older opsets have as an attribute and newer ones as an input; None when neither is given."""
        if self.has(index):
            return [int(number) for number in self.constant(index, name).reshape(-1)]
        found = self.attribute(name)
        return None if found is None else [int(number) for number in found]

    def axis(self, default: int, name: str = "axis") -> int:
        """The attribute, counted from the front of the first input."""
        axis = int(self.attribute(name, default))
        return axis + len(self.shape()) if axis < 0 else axis

    def same(self, name: str = "", index: int = 0) -> bool:
        """One output is the input, or what is named; always true, as rules return it."""
        self.op("Identity", name or self.node.input[0], named=self.node.output[index])
        return True

    def reshape(self, values: str, shape: Sequence[int], named: str = "") -> str:
        """The values in another shape."""
        return self.op("Reshape", values, np.array(shape, np.int64), named=named)

    def reduce(self, operator: str, values: str, axes: Sequence[int], *, keep: bool = True, named: str = "") -> str:
        """The values reduced over axes."""
        return self.op(operator, values, np.array(axes, np.int64), keepdims=int(keep), named=named)

    def slice(self, values: str, axis: int, start: int, end: int, named: str = "") -> str:
        """A range of one axis."""
        ranges = (np.array([number], np.int64) for number in (start, end, axis))
        return self.op("Slice", values, *ranges, named=named)

    def split(self, values: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """The values in pieces."""
        names = [self._fresh("part") for _ in sizes]
        size = self._constant(np.array(sizes, np.int64))
        self.nodes.append(helper.make_node("Split", [values, size], names, axis=axis))
        return names

    def scalar(self, number: float) -> Array:
        """A constant of the first input's type."""
        return np.array(number, numpy_type(self.inputs[0]))

    def _fresh(self, what: str) -> str:
        return fresh(f"{self.node.output[0]}_{self.node.op_type.lower()}_{what}", self.taken, self.numbered)

    def held(self, value: Array) -> str:
        """The name of a constant that many nodes take."""
        return self._constant(np.asarray(value, order="C"))

    def refusal(self, does: str, supported: str) -> UnsupportedModelError:
        """That this node cannot be written.

        Args:
            does: What is in the way, as a sentence of "it".
            supported: The nearest form that is written, or what to do.
        """
        return refused(named(self.node), does, supported)


def fresh(stem: str, taken: set[str], numbered: dict[str, int]) -> str:
    """A name that is not taken, by then it is.

    Args:
        stem: The name that is wanted; a number follows it where that is taken.
        taken: The names.
        numbered: The numbers that were tried, by stem, so that thousands of names take no time.
    """
    name, count = stem, numbered.get(stem, 1)
    while name in taken:
        count += 1
        name = f"{stem}_{count}"
    numbered[stem] = count
    taken.add(name)
    return name


# Writes what stands for a node, or says that the node stays as it is.
Rule = Callable[[Draft], bool]
Rules = Mapping[str, Rule]


def named(node: onnx.NodeProto) -> str:
    """The node as messages call it."""
    label = node.name or next(filter(None, node.output), "")
    return f"{node.domain + '.' if node.domain else ''}{node.op_type} node {label!r}"


def static(tensor: Tensor) -> Shape:
    """All extents of a tensor of a lowered model, where none is free."""
    if tensor.shape is None:
        raise refused(f"value {tensor.name!r}", "its rank is not known")
    return tuple(-1 if extent is None else extent for extent in tensor.shape)


def numpy_type(tensor: Tensor) -> np.dtype[Any]:
    """Of a tensor's elements."""
    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.dtype))
