"""Shares of rows, such as of right ones, proved by counting which rows flipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_rai_converters.gate.cells import Method
from edge_rai_converters.gate.counted import Counted, Proof, share, some
from edge_rai_converters.gate.exact import at_least, at_most, lower_share, upper_share
from edge_rai_converters.gate.metrics import Better, Events, Paired
from edge_rai_converters.gate.paired import (
    Floats,
    Mask,
    is_small,
    least_rows,
    not_worse,
    rows_for_events,
    rows_to_fail,
    rows_to_pass,
    upper_loss,
    worse,
)
from edge_rai_converters.gate.slices import Index, Slices

# A row's kind: it counts under neither model, the candidate, the original, both; it has no label and stayed, flipped.
_KINDS = 6
_GAINED, _LOST, _PRESUMED = 1, 2, 4


def count_paired(measure: Paired, slices: Slices, alpha: float) -> Counted:
    """A share of rows under both models.

    Args:
        measure: What each row counts as.
        slices: To count it in.
        alpha: Of each statement.
    """
    kinds = 2 * measure.original + measure.candidate
    if measure.presumed is not None:
        kinds = np.where(measure.presumed, _PRESUMED + (measure.original != measure.candidate), kinds)
    table = slices.table(measure.chosen, kinds.astype(np.int64), _KINDS)
    known = table[:, :_PRESUMED].sum(axis=1)
    original, candidate = (share(table[:, kind] + table[:, 3], known) for kind in (_LOST, _GAINED))
    change = original - candidate
    worse_first = (_LOST, _GAINED) if measure.better >= 0 else (_GAINED, _LOST)
    flips = table[:, worse_first]
    rows, presumed = table.sum(axis=1), table[:, _PRESUMED + 1]
    return Counted(
        rows=rows,
        original=original,
        candidate=candidate,
        loss=np.abs(change) if measure.better == 0 else change * measure.better,
        flips=flips,
        proof=_PairedProof(flips[:, 0], flips[:, 1], presumed, known, rows, measure.better, alpha),
    )


@dataclass(frozen=True, eq=False, slots=True)
class _PairedProof:
    """Losses and gains among rows with a label, flips among those without, rows with a label, all rows: (S,) each."""

    losses: Floats
    gains: Floats
    presumed: Floats
    known: Floats
    rows: Floats
    better: Better
    alpha: float

    def at(self, places: Index) -> Proof:
        return some(self, places)

    def _sides(self) -> list[tuple[Floats, Floats, Floats]]:
        """What may be a loss, a gain, and of how many rows; where neither way is better, both ways."""
        if self.better == 0:
            return [(self.losses, self.gains, self.rows), (self.gains, self.losses, self.rows)]
        return [(self.losses + self.presumed, self.gains, self.rows)]

    def methods(self) -> list[Method]:
        return ["clopper_pearson" if small else "tango" for small in is_small(*self._sides()[0])]

    def not_worse(self, margin: Floats) -> Floats:
        return np.asarray(np.max([not_worse(*side, margin) for side in self._sides()], axis=0))

    def worse(self, _margin: Floats) -> Floats:
        one_way = worse(self.losses, self.gains)
        if self.better != 0:
            return one_way
        return np.asarray(np.minimum(2 * np.minimum(one_way, worse(self.gains, self.losses)), 1.0))

    def limits(self) -> tuple[Floats, Floats]:
        sides = [upper_loss(*side, self.alpha) for side in self._sides()]
        low = -upper_loss(self.gains, self.losses, self.known, self.alpha)
        if self.better == 0:
            low = np.maximum(low, -sides[0])
        return low, np.asarray(np.max(sides, axis=0))

    def can_pass(self, margin: Floats) -> Mask:
        return np.asarray(self.rows >= least_rows(margin, self.alpha))

    def rows_needed(self, margin: Floats, cells: int) -> Floats:
        passing = np.max([rows_to_pass(*side, margin, self.alpha) for side in self._sides()], axis=0)
        ways = [(self.losses, self.gains), (self.gains, self.losses)][: 1 + (self.better == 0)]
        level = self.alpha / cells / len(ways)
        failing = np.min([rows_to_fail(*way, self.rows, level) for way in ways], axis=0)
        return np.asarray(np.where(np.isfinite(passing), passing, failing))


def count_events(measure: Events, slices: Slices, alpha: float) -> Counted:
    """The share of rows in which something happened.

    Args:
        measure: In which rows it did.
        slices: To count it in.
        alpha: Of each statement.
    """
    table = slices.table(measure.chosen, measure.happened.astype(np.int64), 2)
    rows, events = table.sum(axis=1), table[:, 1]
    rate = share(events, rows)
    flips = np.stack([events, np.zeros_like(events)], axis=1)
    return Counted(rows, np.where(rows > 0, 0.0, np.nan), rate, rate, flips, _EventProof(events, rows, alpha))


@dataclass(frozen=True, eq=False, slots=True)
class _EventProof:
    events: Floats
    rows: Floats
    alpha: float

    def at(self, places: Index) -> Proof:
        return some(self, places)

    def methods(self) -> list[Method]:
        return ["clopper_pearson"] * len(self.rows)

    def not_worse(self, margin: Floats) -> Floats:
        return np.where(self.rows > 0, at_most(self.events, self.rows, margin), 1.0)

    def worse(self, margin: Floats) -> Floats:
        return np.where(self.rows > 0, at_least(self.events, self.rows, margin), 1.0)

    def limits(self) -> tuple[Floats, Floats]:
        return lower_share(self.events, self.rows, self.alpha), upper_share(self.events, self.rows, self.alpha)

    def can_pass(self, margin: Floats) -> Mask:
        return np.asarray(self.rows >= least_rows(margin, self.alpha))

    def rows_needed(self, margin: Floats, cells: int) -> Floats:
        rate = np.nan_to_num(share(self.events, self.rows))
        passing = rows_for_events(rate, margin, self.alpha)
        # Of what does not happen, the same.
        failing = rows_for_events(1 - rate, 1 - margin, self.alpha / cells)
        return np.minimum(passing, failing)
