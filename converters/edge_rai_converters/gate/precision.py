"""Precision: a share of rows that the models themselves choose, so that the same rows never make both shares.

With p the original's precision, the candidate's is lower by d or more exactly where the mean over all rows of

    (1 - p) (right lost - right gained) + p (wrong gained - wrong lost) - d (decided for the class by the candidate)

is 0 or more. That is a bounded mean, for which betting.py has a test, but for p, which is not known: it is somewhere in
an interval that holds with a confidence of 1 - a tenth of alpha, and the least capital over that interval counts. As
the logarithm of each bet is concave in p, its least is at an end of the interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge_rai_converters.gate.betting import BETS, as_p, log_mean_exp
from edge_rai_converters.gate.cells import Method
from edge_rai_converters.gate.counted import Counted, Proof, share, some
from edge_rai_converters.gate.exact import MOST_ROWS, crossing, first_rows, lower_share, upper_share
from edge_rai_converters.gate.metrics import Precision
from edge_rai_converters.gate.paired import Floats, Mask
from edge_rai_converters.gate.slices import Index, Slices

# Of alpha, for the interval of the original's precision: of harm far less, as that alpha is divided by all cells.
_TO_PASS, _TO_FAIL = 0.1, 1e-4
_KINDS = 8


def count_precision(measure: Precision, slices: Slices, alpha: float) -> Counted:
    """The precision of both models.

    Args:
        measure: What is true of each row, and what was decided.
        slices: To count it in.
        alpha: Of each statement.
    """
    kinds = 4 * measure.truth.astype(np.int64) + 2 * measure.original + measure.candidate
    table = slices.table(measure.chosen, kinds, _KINDS)
    rows = table[:, [2, 3, 6, 7]].sum(axis=1)
    original = share(table[:, 6] + table[:, 7], rows)
    candidate = share(table[:, 5] + table[:, 7], table[:, [1, 3, 5, 7]].sum(axis=1))
    flips = np.stack([table[:, 6] + table[:, 1], table[:, 5] + table[:, 2]], axis=1)
    proof = _Proof(table, rows, table[:, 6] + table[:, 7], alpha)
    return Counted(rows, original, candidate, original - candidate, flips, proof)


@dataclass(frozen=True, eq=False, slots=True)
class _Proof:
    """(S, 8) rows by kind; those that the original chose, the right ones of these."""

    kinds: Floats
    rows: Floats
    right: Floats
    alpha: float

    def at(self, places: Index) -> Proof:
        return some(self, places)

    def methods(self) -> list[Method]:
        return ["precision_betting"] * len(self.kinds)

    def not_worse(self, margin: Floats) -> Floats:
        return self._not_worse(self._interval(_TO_PASS))(margin)

    def worse(self, _margin: Floats) -> Floats:
        return self._worse(self._interval(_TO_FAIL))(np.zeros(len(self.rows)))

    def limits(self) -> tuple[Floats, Floats]:
        shape, worse = self.rows.shape, self._worse(self._interval(_TO_FAIL))
        not_worse = self._not_worse(self._interval(_TO_PASS))
        low = crossing(lambda margin: worse(margin) <= self.alpha, -1.0, 1.0, shape)
        return low, crossing(lambda margin: not_worse(margin) > self.alpha, -1.0, 1.0, shape)

    def can_pass(self, margin: Floats) -> Mask:
        unchanged = np.zeros_like(self.kinds)
        unchanged[:, 7], unchanged[:, 3] = self.right, self.rows - self.right
        return np.asarray(replace(self, kinds=unchanged).not_worse(margin) <= self.alpha)

    def rows_needed(self, margin: Floats, cells: int) -> Floats:
        # With more rows the interval shrinks too, to the share as it is.
        known = np.repeat(np.nan_to_num(share(self.right, self.rows))[:, np.newaxis], 2, axis=1)
        per_row = self.kinds / np.maximum(self.rows, 1)[:, np.newaxis]
        none = np.zeros(len(margin))

        def of(rows: Floats) -> _Proof:
            return replace(self, kinds=per_row * rows[:, np.newaxis])

        def passes_not(rows: Floats) -> Mask:
            return np.asarray(of(rows)._not_worse(known)(margin) > self.alpha)

        def fails_not(rows: Floats) -> Mask:
            return np.asarray(of(rows)._worse(known)(none) * cells > self.alpha)

        most = np.full(len(margin), MOST_ROWS)
        needed = np.where(fails_not(most), np.inf, first_rows(fails_not, margin.shape))
        return np.where(passes_not(most), needed, first_rows(passes_not, margin.shape))

    def _interval(self, part: float) -> Floats:
        """(S, 2) of the original's precision, of a part of alpha."""
        spent = part * self.alpha / 2
        return np.stack([lower_share(self.right, self.rows, spent), upper_share(self.right, self.rows, spent)], axis=1)

    def _not_worse(self, interval: Floats) -> Callable[[Floats], Floats]:
        """(S,) p-values of "lower by the margin or more", by margin."""
        return lambda margin: _p(self.kinds, interval, margin, -1) + _TO_PASS * self.alpha

    def _worse(self, interval: Floats) -> Callable[[Floats], Floats]:
        """(S,) p-values of "not lower by more than the margin", by margin."""
        return lambda margin: _p(self.kinds, interval, margin, 1) + _TO_FAIL * self.alpha


def _p(kinds: Floats, ends: Floats, margin: Floats, side: int) -> Floats:
    logs = np.min([_capital(kinds, end, margin, side) for end in ends.T], axis=0)
    return as_p(log_mean_exp(logs))


def _capital(kinds: Floats, precision: Floats, margin: Floats, side: int) -> Floats:
    """(S, bets) logarithms."""
    p, d = precision[:, np.newaxis], margin[:, np.newaxis]
    # By kind, in the order of its places: nothing decided; only by one model; by both.
    values = np.stack(
        [0 * p, p - d, -p, -d + 0 * p, 0 * p, -(1 - p) - d, 1 - p, -d + 0 * p], axis=1
    )[..., 0]  # fmt: skip
    steps = side * values / (1 + np.abs(margin))[:, np.newaxis]
    return np.asarray((kinds[:, np.newaxis, :] * np.log1p(BETS[:, np.newaxis] * steps[:, np.newaxis, :])).sum(axis=2))
