"""What slices have of a metric: the figures, and what they prove. Arrays hold one entry a slice."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from edge_rai_converters.gate.cells import Method
from edge_rai_converters.gate.paired import Floats, Mask
from edge_rai_converters.gate.slices import Index

_Arrays = TypeVar("_Arrays")


class Proof(Protocol):
    """What counts of S slices say of a loss, at the alpha that they were made for."""

    def at(self, places: Index, /) -> Proof:
        """The same of some slices."""

    def methods(self) -> list[Method]:
        """By which test each slice passes or not."""

    def not_worse(self, margin: Floats, /) -> Floats:
        """(S,) p-values of "worse by the margin or more"; 1 without rows."""

    def worse(self, margin: Floats, /) -> Floats:
        """(S,) p-values of "not worse", or of events of "not more than the margin"."""

    def limits(self) -> tuple[Floats, Floats]:
        """(S,) each: lower and upper limit of the loss, of one-sided confidence 1 - alpha."""

    def can_pass(self, margin: Floats, /) -> Mask:
        """(S,) which would pass if nothing had changed in any row."""

    def rows_needed(self, margin: Floats, cells: int, /) -> Floats:
        """(S,) how many rows would let it pass, or show harm among so many cells, of shares as they are; or inf."""


@dataclass(frozen=True, eq=False, slots=True)
class Counted:
    """One metric of S slices; NaN where it is not defined.

    Attributes:
        rows: (S,) that the metric is about.
        original: (S,) of the original.
        candidate: (S,) of the candidate.
        loss: (S,) how much worse the candidate is.
        flips: (S, 2) rows that became worse, and better; None where that is not counted.
        proof: What that proves.
    """

    rows: Floats
    original: Floats
    candidate: Floats
    loss: Floats
    flips: Floats | None
    proof: Proof

    def at(self, places: Index) -> Counted:
        """The same of some slices."""
        return replace(some(self, places), proof=self.proof.at(places))


def some(entry: _Arrays, places: Index) -> _Arrays:
    """A dataclass of arrays with one entry a slice on axis 0, of some slices."""
    values = {each.name: getattr(entry, each.name) for each in fields(cast("Any", entry))}
    chosen = {name: value[places] for name, value in values.items() if isinstance(value, np.ndarray)}
    return cast("_Arrays", replace(cast("Any", entry), **chosen))


def share(part: Floats, whole: Floats) -> Floats:
    """NaN of nothing."""
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))
