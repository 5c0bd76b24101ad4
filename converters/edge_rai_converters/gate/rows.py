"""What the gate judges: rows, what both models answered to them, and what else is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.rules import Kind

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NO_LABEL = -1


@dataclass(frozen=True, eq=False, slots=True)
class Predicted:
    """What one model answered to n rows.

    Attributes:
        decided: Of classes (n,) int64; of labels (n, C) bool; of a quantity (n,) float64; of others (n,) zeros.
        scores: (n, C) float64 probabilities, in the order of the classes; None where the model gives none.
    """

    decided: Array
    scores: Floats | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """n rows with the answers of both models.

    Attributes:
        kind: Of the answers.
        classes: Names, of classes and labels.
        labels: Of classes (n,) int64, -1 where there is none; of labels (n, C) int64, -1 likewise, the whole row; of a
            quantity (n,) float64, NaN likewise; None: no row has one.
        original: What the candidate is held against.
        candidate: What is to be released.
        columns: (n,) each, by name: float64, or objects of text; NaN for a missing value. For slices, clusters, values.
        losses: By name, (n,) float64 each: a loss of the original's answer, and of the candidate's; less is better.
        place: What to call a row in a message.
    """

    kind: Kind
    classes: tuple[str, ...]
    labels: Array | None
    original: Predicted
    candidate: Predicted
    columns: Mapping[str, Array] = field(default_factory=dict)
    losses: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)
    place: Callable[[int], str] = "row {}".format

    def __post_init__(self) -> None:
        count = len(self.original.decided)
        if not count:
            raise DataError("there are no rows to judge")
        for what, array in self._arrays():
            if len(array) != count:
                raise DataError(f"{what} are of {len(array)} rows, the original's of {count}; give as many of each")
        for what, model in (("original", self.original), ("candidate", self.candidate)):
            for numbers in (model.scores, model.decided if self.kind == "quantity" else None):
                self._refuse_non_finite(f"the {what}'s answer", numbers)
        for name, pair in self.losses.items():
            for numbers in pair:
                self._refuse_non_finite(f"loss {name!r}", numbers)

    def __len__(self) -> int:
        return len(self.original.decided)

    @property
    def labelled(self) -> Mask:
        """(n,) which rows have a label."""
        if self.labels is None:
            return np.zeros(len(self), np.bool_)
        if self.kind == "quantity":
            return np.asarray(~np.isnan(self.labels))
        return np.asarray((self.labels.reshape(len(self), -1) != NO_LABEL).all(axis=1))

    def _arrays(self) -> list[tuple[str, Array]]:
        found: list[tuple[str, Array | None]] = [
            ("the candidate's answers", self.candidate.decided),
            ("the original's scores", self.original.scores),
            ("the candidate's scores", self.candidate.scores),
            ("the labels", self.labels),
            *((f"values of column {name!r}", column) for name, column in self.columns.items()),
            *((f"values of loss {name!r}", values) for name, pair in self.losses.items() for values in pair),
        ]
        return [(what, array) for what, array in found if array is not None]

    def _refuse_non_finite(self, what: str, numbers: Array | None) -> None:
        if numbers is None or np.isfinite(numbers).all():
            return
        bad = ~np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
        raise DataError(
            f"{what} is not finite in {int(bad.sum())} of {len(self)} rows, first {self.place(int(np.argmax(bad)))}; a "
            "model that does not answer cannot be judged: mend it, or leave these rows out"
        )
