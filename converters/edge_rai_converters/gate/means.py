"""Means of bounded values, proved by betting; and the roots of mean squares.

The root of a mean square is worse by d or more exactly where the mean square is worse by d^2 + 2 d r, where r is the
original's root. It is not known, but it is above a limit with a confidence of 1 - a tenth of alpha, and that limit in
its place errs on the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge_rai_converters.gate import betting
from edge_rai_converters.gate.cells import Method
from edge_rai_converters.gate.counted import Counted, Proof, share, some
from edge_rai_converters.gate.metrics import Means
from edge_rai_converters.gate.paired import Floats, Mask
from edge_rai_converters.gate.slices import Index, Slices

# Of alpha, for the limit of the original's root.
_FOR_LIMIT = 0.1
# Of the span, beyond which no margin says anything.
_MOST = 1 - 1e-9


def count_means(measure: Means, slices: Slices, alpha: float) -> Counted:
    """The mean of a value under both models, or its root.

    Args:
        measure: The values.
        slices: To average it in.
        alpha: Of each statement.
    """
    rows = slices.sums(measure.chosen)
    original, candidate = (
        share(slices.sums(measure.chosen, values), rows) for values in (measure.original, measure.candidate)
    )
    change = (measure.candidate - measure.original) / measure.span
    losses = betting.histogram(-change if measure.better == 1 else change, measure.chosen, slices)
    proof: Proof = _MeanProof(losses, rows, measure.span, measure.better == 0, alpha)
    if measure.root:
        squares = betting.histogram(measure.original / measure.span, measure.chosen, slices)
        inner = _MeanProof(losses, rows, measure.span, two_sided=False, alpha=alpha * (1 - _FOR_LIMIT))
        least = np.sqrt(np.maximum(betting.lower_mean(squares, _FOR_LIMIT * alpha), 0) * measure.span)
        original, candidate = np.sqrt(original), np.sqrt(candidate)
        proof = _RootProof(inner, original, least, alpha)
    loss = np.abs(candidate - original) if measure.better == 0 else (original - candidate) * measure.better
    return Counted(rows, original, candidate, loss, None, proof)


@dataclass(frozen=True, eq=False, slots=True)
class _MeanProof:
    """(S, points) histogram of losses over their span, (S,) rows."""

    losses: Floats
    rows: Floats
    span: float
    two_sided: bool
    alpha: float

    def at(self, places: Index) -> Proof:
        return some(self, places)

    def _sides(self) -> list[Floats]:
        return [self.losses, self.losses[:, ::-1]] if self.two_sided else [self.losses]

    def methods(self) -> list[Method]:
        return ["betting"] * len(self.rows)

    def not_worse(self, margin: Floats) -> Floats:
        capital = [betting.against_at_least(side, margin / self.span) for side in self._sides()]
        return betting.as_p(np.asarray(np.min(capital, axis=0)))

    def worse(self, _margin: Floats) -> Floats:
        none = np.zeros(len(self.rows))
        p_values = [betting.as_p(betting.against_at_least(side[:, ::-1], none)) for side in self._sides()]
        return np.asarray(np.minimum(np.min(p_values, axis=0) * len(p_values), 1.0))

    def limits(self) -> tuple[Floats, Floats]:
        sides = self._sides()
        low = np.max([betting.lower_mean(side, self.alpha) for side in sides], axis=0)
        high = np.max([betting.upper_mean(side, self.alpha) for side in sides], axis=0)
        return np.asarray(low * self.span), np.asarray(high * self.span)

    def can_pass(self, margin: Floats) -> Mask:
        return np.asarray(betting.no_change(self.rows, margin / self.span) >= -np.log(self.alpha))

    def rows_needed(self, margin: Floats, cells: int) -> Floats:
        sides, none = self._sides(), np.zeros(len(self.rows))
        passing = np.max([betting.rows_to_prove(side, margin / self.span, self.alpha) for side in sides], axis=0)
        level = self.alpha / cells / len(sides)
        failing = np.min([betting.rows_to_prove(side[:, ::-1], none, level) for side in sides], axis=0)
        return np.asarray(np.where(np.isfinite(passing), passing, failing))


@dataclass(frozen=True, eq=False, slots=True)
class _RootProof:
    """What is proved of mean squares, at what is left of alpha; (S,) the original's roots, and what they are above."""

    squares: _MeanProof
    original: Floats
    least: Floats
    alpha: float

    def at(self, places: Index) -> Proof:
        return replace(some(self, places), squares=some(self.squares, places))

    def methods(self) -> list[Method]:
        return self.squares.methods()

    def not_worse(self, margin: Floats) -> Floats:
        # Held to alpha, where what is left of it after the limit is what the squares are held to.
        return np.minimum(self.squares.not_worse(self._in_squares(margin, self.least)) + _FOR_LIMIT * self.alpha, 1.0)

    def worse(self, margin: Floats) -> Floats:
        return self.squares.worse(margin)

    def limits(self) -> tuple[Floats, Floats]:
        low, high = self.squares.limits()
        grown = np.sqrt(np.maximum(np.square(self.original) + low, 0)) - self.original
        return grown, np.sqrt(np.maximum(np.square(self.least) + high, 0)) - self.least

    def can_pass(self, margin: Floats) -> Mask:
        return self.squares.can_pass(self._in_squares(margin, self.least))

    def rows_needed(self, margin: Floats, cells: int) -> Floats:
        return self.squares.rows_needed(self._in_squares(margin, np.nan_to_num(self.original)), cells)

    def _in_squares(self, margin: Floats, root: Floats) -> Floats:
        return np.minimum(np.square(margin) + 2 * margin * root, _MOST * self.squares.span)
