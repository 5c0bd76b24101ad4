"""A bounded sample of the calibration rows, and what tensors inside a model are on it, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from edge_rai_converters.passes.contract import Feed, Material, NotApplicableError
from edge_rai_converters.passes.prune.tidy import captured
from edge_rai_converters.runner import Runner

Array = npt.NDArray[Any]

_MOST_ROWS = 2048
_MOST_BYTES = 128 << 20
# Of the tensors looked at, in one call.
_VALUES_A_CALL = 1 << 20
# One row in so many is kept apart, to judge by.
_APART = 4


class Sample:
    """Calls of the model with some of the calibration rows, in memory.

    Args:
        material: Whose calibration rows.
        seed: Of whatever draws from them further.

    Raises:
        NotApplicableError: There are no rows.
    """

    def __init__(self, material: Material, seed: int) -> None:
        self.batched, self.seed = material.batched, seed
        rows: list[Feed] = []
        every = 1
        for position, row in enumerate(_one_by_one(material)):
            if not rows:
                size = sum(array.nbytes for array in row.values())
                every = -(-material.rows // max(1, min(_MOST_ROWS, _MOST_BYTES // max(size, 1))))
            if position % every == 0:
                rows.append({name: array.copy() for name, array in row.items()})
        if not rows:
            raise NotApplicableError("there are no calibration rows")
        apart = rows[_APART - 1 :: _APART]
        self.fitted = [row for place, row in enumerate(rows) if place % _APART != _APART - 1] if apart else rows
        self.apart = apart or rows

    def calls(self, rows: Sequence[Feed], most: int) -> Iterator[Feed]:
        """Rows as calls of at most so many."""
        if not self.batched:
            yield from rows
            return
        for start in range(0, len(rows), most):
            chosen = rows[start : start + most]
            yield {name: np.concatenate([row[name] for row in chosen]) for name in chosen[0]}


def _one_by_one(material: Material) -> Iterator[Feed]:
    for feed in material.calibration():
        if not material.batched:
            yield feed
            continue
        for row in range(len(next(iter(feed.values())))):
            yield {name: array[row : row + 1] for name, array in feed.items()}


class Probe:
    """What some tensors of a model are; only what they need is run."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        made = {name for node in model.graph.node for name in node.output}
        self._given = [name for name in tensors if name not in made]
        wanted = [name for name in dict.fromkeys(tensors) if name in made]
        self._runner = Runner(_part(model, wanted).SerializeToString(), "a part of the model") if wanted else None

    def run(self, feed: Feed) -> dict[str, Array]:
        """By tensor, on the rows of a call."""
        found = {} if self._runner is None else self._runner.call(feed)
        return {**found, **{name: feed[name] for name in self._given}}


def _part(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    needed, nodes = set(tensors), []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input, captured(node))
    graph = helper.make_graph(
        nodes[::-1],
        "part",
        [value for value in model.graph.input if value.name in needed],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors],
        [tensor for tensor in model.graph.initializer if tensor.name in needed],
    )
    return helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version, functions=model.functions
    )


def rows_a_call(probe: Probe, sample: Sample, copies: int = 1) -> int:
    """How many rows keep what the probe sees, so many times over, within bounds."""
    first = next(sample.calls(sample.fitted, 1))
    values = sum(array.size for array in probe.run(first).values())
    return max(1, _VALUES_A_CALL // max(1, values * copies))
