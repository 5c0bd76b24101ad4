"""A model's answers to many rows, part by part: kept where they are small, and asked for again where they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.compare import Answers, Decision, Output, summarize
from edge_rai_converters.data import Array, Rows
from edge_rai_converters.runner import Running, feeds, is_numeric

# Of one model's answers; a second look at more than this costs a second inference instead of memory.
_KEPT_BYTES = 1 << 25
# Of all outputs of one call.
_VALUES_A_CALL = 1 << 20

Calls = Callable[[], Iterator[Rows]]


class Answered:
    """The numbers that a model answers to the same rows, whenever they are asked for; bounded memory.

    Args:
        runner: Of the model.
        calls: Arguments of its calls, afresh each time.
        batched: A call has many rows, on axis 0; else it is one.
    """

    def __init__(self, runner: Running, calls: Calls, *, batched: bool) -> None:
        self.runner, self.calls, self.batched = runner, calls, batched
        self._kept: list[Answers] | None = None

    def parts(self) -> Iterator[Answers]:
        """Outputs of numbers of some rows after the others, (n, ...) each.

        Raises:
            UnsupportedModelError: The shape of an output depends on the values of the input.
            InferenceError: ONNX Runtime failed.
        """
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Answers] | None = []
        shapes: dict[str, tuple[int, ...]] = {}
        size = 0
        for call in self.calls():
            part = self._part(call)
            self._hold_to(shapes, part)
            size += sum(array.nbytes for array in part.values())
            if kept is not None:
                kept.append(part)
            if size > _KEPT_BYTES:
                kept = None
            yield part
        self._kept = kept

    @cached_property
    def outputs(self) -> dict[str, Output]:
        """What is known of each output that is numbers in every row; the first look at them runs the model."""
        return summarize(self.parts())

    def all_of(self, name: str) -> Array:
        """One output of all rows, (N, ...): for outputs of a few values."""
        return np.concatenate([part[name] for part in self.parts()])

    def decided(self, decision: Decision) -> npt.NDArray[np.int64]:
        """The class of each row, (N,)."""
        return np.concatenate([decision.of(part) for part in self.parts()])

    def by(self, runner: Running) -> Answered:
        """What another model answers to the same calls."""
        return self if runner is self.runner else Answered(runner, self.calls, batched=self.batched)

    def beside(self, other: Answered) -> Iterator[tuple[Answers, Answers]]:
        """These answers and another model's to the same calls, part by part."""
        if other is self:
            return ((part, part) for part in self.parts())
        return zip(self.parts(), other.parts(), strict=True)

    def _part(self, call: Rows) -> dict[str, Array]:
        found = {name: output for name, output in self.runner.call(call).items() if is_numeric(output)}
        return found if self.batched else {name: np.asarray(output)[np.newaxis] for name, output in found.items()}

    def _hold_to(self, shapes: dict[str, tuple[int, ...]], part: Answers) -> None:
        for name, array in part.items():
            if shapes.setdefault(name, array.shape[1:]) != array.shape[1:]:
                raise UnsupportedModelError(f"{self.runner.where}: output {name!r} changes its shape from row to row")


def answered(runner: Running, rows: Rows, index: npt.NDArray[np.int64], *, batched: bool) -> Answered:
    """The answers to the chosen rows, so many of them a call that inputs and outputs of one stay small.

    Args:
        runner: Of the model.
        rows: Per input (N, *call), see ``data.Dataset``.
        index: Of the rows.
        batched: The model answers row by row.

    Raises:
        InferenceError: ONNX Runtime failed.
    """
    most_rows = rows_a_call(runner, next(feeds(rows, index[:1], batched=True))) if batched else 1
    return Answered(runner, lambda: feeds(rows, index, batched=batched, most_rows=most_rows), batched=batched)


def rows_a_call(runner: Running, one: Rows) -> int:
    """How many rows a call may have for its outputs to stay small.

    Args:
        runner: Of the model.
        one: A call with one row.
    """
    values = sum(int(array.size) for array in runner.call(one).values() if is_numeric(array))
    return max(1, _VALUES_A_CALL // max(1, values))
