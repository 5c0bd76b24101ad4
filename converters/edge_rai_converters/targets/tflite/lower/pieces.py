"""Reads a range of what was put together from the piece that it lies in.

Of a recurrent layer that answers after every step often the last answer alone is asked for: then nothing has to put the
others beside it, which no delegate does for so many.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from edge_rai_converters.passes.lower.sketch import Tensor
from edge_rai_converters.targets.tflite.lower.draft import Shape, fresh, static
from edge_rai_converters.targets.tflite.lower.walk import Walk


class _Range(NamedTuple):
    """Places of one axis, from start up to stop."""

    axis: int
    start: int
    stop: int


def read_pieces(walk: Walk) -> None:
    """Rewrites the nodes of the walk, when all are walked; what nothing reads any more stays in it."""
    makers: dict[str, onnx.NodeProto] = {}
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in walk.nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        wanted = _range_of(walk, node)
        made = [node]
        if wanted is not None:
            reader = _Reader(walk, makers)
            found = reader.read(node.input[0], wanted)
            if found is not None:
                made = reader.nodes
                renamed[node.output[0]] = walk.aliases[node.output[0]] = found
        makers.update((name, part) for part in made for name in part.output)
        kept.extend(made)
    walk.nodes[:] = kept


def _range_of(walk: Walk, node: onnx.NodeProto) -> _Range | None:
    """What a Slice keeps, where it is a range of one axis."""
    if node.op_type != "Slice":
        return None
    before, behind = static(walk.known[node.input[0]]), static(walk.known[node.output[0]])
    starts, stops, axes, *steps = (walk.values[name].tolist() for name in node.input[1:] if name)
    cut = [axis for axis, (whole, left) in enumerate(zip(before, behind, strict=True)) if whole != left]
    if len(cut) != 1 or any(step != 1 for step in (steps[0] if steps else ())):
        return None
    at = axes.index(cut[0])
    return _Range(cut[0], starts[at], stops[at])


class _Reader:
    """Follows a range back to the piece that it lies in, through what moves and shapes pieces.

    Attributes:
        nodes: That make what was read, behind the piece.
    """

    def __init__(self, walk: Walk, makers: dict[str, onnx.NodeProto]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._walk, self._makers = walk, makers

    def read(self, name: str, wanted: _Range) -> str | None:
        """The name of the range alone; None when it is not of one piece."""
        node = self._makers.get(name)
        if node is None:
            return None
        if node.op_type == "Concat":
            return self._of_pieces(node, wanted)
        if node.op_type == "Transpose":
            order = list(helper.get_attribute_value(node.attribute[0]))
            found = self.read(node.input[0], wanted._replace(axis=order[wanted.axis]))
            return None if found is None else self._add("Transpose", [found], self._cut(name, wanted), perm=order)
        if node.op_type == "Reshape":
            before = _before(self._shape(node.input[0]), self._shape(name), wanted)
            found = None if before is None else self.read(node.input[0], before)
            return None if found is None else self._reshaped(found, self._cut(name, wanted))
        return None

    def _of_pieces(self, node: onnx.NodeProto, wanted: _Range) -> str | None:
        joined = helper.get_attribute_value(node.attribute[0])
        if joined != wanted.axis:
            parts = [self.read(name, wanted) for name in node.input]
            known = [part for part in parts if part is not None]
            shape = self._cut(node.output[0], wanted)
            return self._add("Concat", known, shape, axis=joined) if len(known) == len(parts) else None
        start = 0
        for name in node.input:
            stop = start + self._shape(name)[joined]
            if start <= wanted.start and wanted.stop <= stop:
                return self._within(name, _Range(joined, wanted.start - start, wanted.stop - start))
            start = stop
        return None

    def _within(self, name: str, wanted: _Range) -> str:
        shape = self._cut(name, wanted)
        if shape == self._shape(name):
            return name
        bounds = (self._constant([number]) for number in (wanted.start, wanted.stop, wanted.axis, 1))
        return self.read(name, wanted) or self._add("Slice", [name, *bounds], shape)

    def _reshaped(self, name: str, shape: Shape) -> str:
        return name if shape == self._shape(name) else self._add("Reshape", [name, self._constant(shape)], shape)

    def _shape(self, name: str) -> Shape:
        return static(self._walk.known[name])

    def _cut(self, name: str, wanted: _Range) -> Shape:
        shape = self._shape(name)
        return *shape[: wanted.axis], wanted.stop - wanted.start, *shape[wanted.axis + 1 :]

    def _constant(self, numbers: Shape | list[int]) -> str:
        name = fresh("places", self._walk.taken, self._walk.numbered)
        self._walk.define(name, np.array(numbers, np.int64))
        return name

    def _add(self, operator: str, inputs: list[str], shape: Shape, **attributes: Any) -> str:
        name = fresh(f"{inputs[0]}_piece", self._walk.taken, self._walk.numbered)
        self._walk.known[name] = Tensor(name, self._walk.known[inputs[0]].dtype, shape)
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name


def _before(given: Shape, made: Shape, wanted: _Range) -> _Range | None:
    """The range of a reshaped tensor as one of the tensor before; None when it is none."""
    for axis, extent in enumerate(given):
        if prod(given[:axis]) == prod(made[: wanted.axis]) and extent > 1 and extent % made[wanted.axis] == 0:
            each = extent // made[wanted.axis]
            return _Range(axis, wanted.start * each, wanted.stop * each)
    return None
