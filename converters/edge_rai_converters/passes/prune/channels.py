"""Which channels of which tensors must go together: union-find over single channels.

Every layer's outputs get fresh channels; an operator hands on those of its arguments, joins them (residual additions),
lines them up (Concat) or repeats them (Flatten). Channels that an operator cannot be followed through, or that leave
the graph, are joined with FROZEN. What is left falls into groups: classes of channels that the same layers make.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edge_rai_converters.passes.prune.tidy import Shape, captured, constants, shapes_of

Ids = npt.NDArray[np.int64]

# The channel that stands for all that stay.
FROZEN = 0


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Along which axis of a tensor which channels lie."""

    axis: int
    ids: Ids


@dataclass(frozen=True, eq=False, slots=True)
class Cut:
    """An input of a node, a constant, that has one entry a channel along an axis."""

    node: int
    index: int
    axis: int
    ids: Ids


@dataclass(frozen=True, eq=False, slots=True)
class Count:
    """A number in the graph that counts channels: a place in a Reshape's shape, or the attribute ``group``."""

    node: int
    place: int | None
    ids: Ids


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """A node that makes channels of channels by constant weights.

    Attributes:
        node: Its index.
        reads: The tensor it reads, with the channels on ``axis``; those are ``sources``, None where they are not known.
        makes: The channels of its answer.
        groups: Blocks of channels that do not see each other.
    """

    node: int
    reads: str
    axis: int
    sources: Ids | None
    makes: Ids
    groups: int = 1

    @property
    def mixes(self) -> bool:
        """Whether channels become others, as they do not where each is seen by itself."""
        return self.sources is not None and (self.groups == 1 or self.groups < len(self.sources))


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Classes of channels that may go one by one: ``classes`` are their roots, of ``width`` channels a layer each."""

    makers: tuple[int, ...]
    classes: Ids
    width: int


class DisjointSets:
    """Union-find; the least member of a set is its root."""

    def __init__(self) -> None:
        self._parents = [FROZEN]

    def fresh(self, count: int) -> Ids:
        """New sets of one."""
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def join(self, left: Iterable[int], right: Iterable[int]) -> None:
        """Joins the sets pair by pair."""
        for one, other in zip(left, right, strict=True):
            low, high = sorted((self._root(int(one)), self._root(int(other))))
            self._parents[high] = low

    def roots(self) -> Ids:
        """The root of every member."""
        return np.array([self._root(member) for member in range(len(self._parents))])

    def _root(self, member: int) -> int:
        while self._parents[member] != member:
            self._parents[member] = self._parents[self._parents[member]]
            member = self._parents[member]
        return member


@dataclass(eq=False, slots=True)
class Trace:
    """What is found on the way through a graph; handlers of operators write into it."""

    graph: onnx.GraphProto
    shapes: dict[str, Shape]
    constants: dict[str, onnx.TensorProto]
    readers: dict[str, list[onnx.NodeProto]]
    sets: DisjointSets = field(default_factory=DisjointSets)
    layouts: dict[str, Layout] = field(default_factory=dict)
    cuts: list[Cut] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    stops: set[str] = field(default_factory=set)

    def value(self, node: onnx.NodeProto, index: int) -> npt.NDArray[Any] | None:
        """The constant that an input is, None where it is none."""
        tensor = self.constants.get(node.input[index]) if index < len(node.input) else None
        return None if tensor is None else numpy_helper.to_array(tensor)

    def freeze(self, names: Iterable[str]) -> None:
        """The channels of these tensors stay."""
        for name in names:
            layout = self.layouts.get(name)
            if layout is not None:
                self.sets.join(layout.ids, [FROZEN] * len(layout.ids))

    def stop(self, node: onnx.NodeProto) -> None:
        """The channels of all that a node reads stay."""
        names = (*node.input, *captured(node))
        if any(name in self.layouts and self.layouts[name].ids.size for name in names):
            self.stops.add(node.op_type)
        self.freeze(names)


@dataclass(frozen=True, eq=False, slots=True)
class Channels:
    """The channels of a model.

    Attributes:
        roots: By channel, the one that stands for its class.
        cuts: All constants that have an entry for each of some channels.
        counts: All numbers that count them.
        layers: In the order of nodes.
        groups: Those that may go.
        stops: Operators that could not be followed through.
    """

    roots: Ids
    cuts: tuple[Cut, ...]
    counts: tuple[Count, ...]
    layers: tuple[Layer, ...]
    groups: tuple[Group, ...]
    stops: frozenset[str]


def trace(model: onnx.ModelProto) -> Channels:
    """Follows the channels of a tidied model."""
    from edge_rai_converters.passes.prune.operators import HANDLERS

    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in (*node.input, *captured(node)):
            readers.setdefault(name, []).append(node)
    found = Trace(graph, shapes_of(model), constants(graph), readers)
    for index, node in enumerate(graph.node):
        handler = HANDLERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        layout = handler(found, index, node) if handler else None
        if layout is None:
            found.stop(node)
        else:
            found.layouts[node.output[0]] = layout
    found.freeze(value.name for value in graph.output)
    roots = found.sets.roots()
    groups = _groups(found.layers, roots)
    return Channels(roots, tuple(found.cuts), tuple(found.counts), tuple(found.layers), groups, frozenset(found.stops))


def _groups(layers: Iterable[Layer], roots: Ids) -> tuple[Group, ...]:
    makers: dict[int, list[int]] = {}
    for position, layer in enumerate(layers):
        for root in roots[layer.makes]:
            if root != roots[FROZEN]:
                makers.setdefault(int(root), []).append(position)
    alike: dict[tuple[int, ...], list[int]] = {}
    for root in sorted(makers):
        alike.setdefault(tuple(makers[root]), []).append(root)
    return tuple(
        Group(tuple(sorted(set(who))), np.array(members), max(who.count(one) for one in who))
        for who, members in alike.items()
    )
