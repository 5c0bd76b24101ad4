"""From a lowered ONNX graph to a TFLite graph, node by node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import onnx

from edge_rai_converters.targets.tflite.axes import check_axes, check_rank
from edge_rai_converters.targets.tflite.builder import Builder, Code, Operator, Tensor
from edge_rai_converters.targets.tflite.errors import refused
from edge_rai_converters.targets.tflite.graph import Graph
from edge_rai_converters.targets.tflite.layout import Layout, channels_last, native
from edge_rai_converters.targets.tflite.operators import handlers, nearest

# The types of values that are written, by their names in numpy and, in capitals, in the schema.
DTYPES = ("float32", "int32", "int64", "bool", "uint8", "int8", "int16")
# Those that a Cast takes and makes besides.
CAST_DTYPES = (*DTYPES, "float16", "float64")


@dataclass(frozen=True, eq=False)
class Converted:
    """A TFLite graph.

    Attributes:
        tensors: By index.
        operators: Those that an output depends on, in the order in which they run.
        inputs: Index of the tensor of each input of the ONNX graph, in its order.
        outputs: The same of its outputs.
        layouts: The layout of each input and output by name.
    """

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: dict[str, int]
    outputs: dict[str, int]
    layouts: dict[str, Layout]

    @property
    def cost(self) -> tuple[int, int]:
        """How many values are put elsewhere in a call, and how many operators there are."""
        transposes = (operator for operator in self.operators if operator.code == Code.TRANSPOSE)
        moved = sum(prod(self.tensors[operator.outputs[0]].shape) for operator in transposes)
        return moved, len(self.operators)


def converted(model: onnx.ModelProto, *, keep: bool) -> Converted:
    """The graph.

    Args:
        model: Lowered, with static shapes.
        keep: Inputs and outputs keep the order of their axes; else they have their channels last where that costs
            less: convolutions and pools take and make them so.

    Raises:
        UnsupportedModelError: An operator, or a form or type of one, is not written.
    """
    graph = Graph(model)
    inputs = {name: native(graph.rank(name)) for name in graph.inputs}
    best = _written(graph, inputs, keep)
    for name in () if keep else graph.inputs:
        other = _written(graph, inputs | {name: _last(graph.rank(name))}, keep)
        if other.cost < best.cost:
            best, inputs[name] = other, other.layouts[name]
    return best


def _written(graph: Graph, inputs: Mapping[str, Layout], keep: bool) -> Converted:
    """The graph for inputs in these layouts."""
    to, table = Builder(graph, inputs), handlers()
    for name in graph.inputs:
        _check(graph, name, (f"input {name!r}", "it"), CAST_DTYPES)
        check_rank(f"input {name!r}", graph.rank(name))
    for node in graph.nodes:
        if to.is_done(node):
            continue
        if node.operator not in table:
            raise node.refused("there is no TFLite form of this operator", nearest(node.operator, table))
        for name in filter(None, (*node.inputs, *node.outputs)):
            _check(graph, name, (node.described, repr(name)), CAST_DTYPES if node.operator == "Cast" else DTYPES)
        begun = len(to.operators)
        table[node.operator](node, to)
        check_axes(node, to, to.operators[begun:])
    for name in graph.outputs:
        check_rank(f"output {name!r}", graph.rank(name))
    ends = {
        name: native(graph.rank(name)) if keep else _outer(graph.rank(name), to.held(name)) for name in graph.outputs
    }
    taken = {name: to.tensor(name, layout) for name, layout in inputs.items()}
    outputs = _distinct(to, taken, {name: to.tensor(name, layout) for name, layout in ends.items()})
    return Converted(to.tensors, _needed(to, set(outputs.values())), taken, outputs, {**inputs, **ends})


def _last(rank: int) -> Layout:
    """Channels last, of as many axes as the ONNX value has."""
    return (0, *range(2, rank), 1) if rank > 2 else native(rank)


def _outer(rank: int, held: Layout) -> Layout:
    """The layout of an output: channels last where it was made so."""
    return _last(rank) if rank > 2 and held in (channels_last(rank), _last(rank)) else native(rank)


def _check(graph: Graph, name: str, place: tuple[str, str], dtypes: tuple[str, ...]) -> None:
    """Refuses a value of another type; says where, and what it is there."""
    dtype, (where, what) = graph.dtype(name).name, place
    if dtype not in dtypes:
        if dtype == "object":
            raise refused(where, f"{what} is text", "give classes numbers")
        kind = "float32" if dtype.startswith(("float", "bfloat")) else "int64"
        raise refused(where, f"{what} is of type {dtype}, for which TFLite has no kernels", f"cast it to {kind}")


def _distinct(to: Builder, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> dict[str, int]:
    """The outputs as tensors of their own: what is an input, a constant or another output too is copied."""
    taken, made = set(inputs.values()), {}
    for name, index in outputs.items():
        if index in taken or to.tensors[index].data is not None:
            index = to.copied(index, name)
        taken.add(index)
        made[name] = index
    return made


def _needed(to: Builder, wanted: set[int]) -> list[Operator]:
    """The operators that some tensors depend on, in their order."""
    needed = []
    for operator in reversed(to.operators):
        if wanted.intersection(operator.outputs):
            wanted.update(operator.inputs)
            needed.append(operator)
    return needed[::-1]
