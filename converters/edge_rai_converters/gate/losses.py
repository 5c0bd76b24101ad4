"""Losses of a user's own, a number a row: for detection, sequences, and whatever has no class."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edge_rai_converters.answered import Answered
from edge_rai_converters.compare import Answers
from edge_rai_converters.data import Array
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.rows import Floats
from edge_rai_converters.runner import Running

# Of a model's answers to some rows, and of their labels: a loss a row.
Loss = Callable[[Answers, Array | None], Array]


class AnyShape(Answered):
    """Answers that nobody but a loss reads: outputs may change their shape from row to row, as found objects do."""

    def by(self, runner: Running) -> Answered:
        """What another model answers to the same calls, of any shape too."""
        return AnyShape(runner, self.calls, batched=self.batched)

    def _hold_to(self, shapes: dict[str, tuple[int, ...]], part: Answers) -> None:
        pass


def losses_of(
    losses: Mapping[str, Loss], original: Answered, candidate: Answered, labels: Array | None
) -> dict[str, tuple[Floats, Floats]]:
    """(n,) each, of both models.

    Args:
        losses: By name.
        original: Its answers.
        candidate: Its answers to the same rows.
        labels: (n, ...) of these rows, as they were written.

    Raises:
        DataError: A function gave something else than a number a row.
    """
    return {
        name: (_values(name, loss, original, labels), _values(name, loss, candidate, labels))
        for name, loss in losses.items()
    }


def _values(name: str, loss: Loss, model: Answered, labels: Array | None) -> Floats:
    """(n,) of all rows, part by part."""
    found, start = [], 0
    for part in model.parts():
        count = len(next(iter(part.values())))
        values = np.asarray(loss(part, None if labels is None else labels[start : start + count]), np.float64)
        if values.shape != (count,):
            raise DataError(f"loss {name!r} gave {values.shape} for {count} rows; it must give one number a row")
        found.append(values)
        start += count
    return np.concatenate(found)
