"""Below which score a candidate abstains, by Learn-then-Test (Angelopoulos, Bates, Candès, Jordan and Lei, 2021).

Each threshold is a hypothesis: "in some group it errs on more of what it answers than was promised, or abstains on
more rows". Of a fixed threshold the errors among the answered rows are binomial given how many those are, so that the
exact tail is its p-value; of a hypothesis that is about several shares it is the greatest of theirs. Thresholds are
tested one after the other until the first that is not refuted, which needs no correction (fixed sequence); their order
is learned from rows apart, the most promising one first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai_converters.gate.exact import at_most, first_rows
from edge_rai_converters.gate.rows import Floats, Mask
from edge_rai_converters.gate.slices import Slices

_QUANTILES = np.linspace(0, 0.99, 100)


@dataclass(frozen=True, eq=False, slots=True)
class Scored:
    """n rows and what the candidate made of them.

    Attributes:
        score: (n,) float64; -inf where the guard rejects the row, so that nothing is answered at any threshold.
        wrong: (n,) the answer is not the label, or there is no label.
        slices: Of these rows.
    """

    score: Floats
    wrong: Mask
    slices: Slices


@dataclass(frozen=True, eq=False, slots=True)
class Promise:
    """Limits of shares, by slice: (S,) each, NaN where nothing is promised.

    Attributes:
        errors: Of the answered rows that are wrong.
        abstains: Of rows without an answer.
    """

    errors: Floats
    abstains: Floats


@dataclass(frozen=True, eq=False, slots=True)
class Counts:
    """Of each slice at one threshold, (S,) each, or at several, (T, S).

    Attributes:
        rows: All.
        answered: Of these.
        wrong: Of those.
    """

    rows: Floats
    answered: Floats
    wrong: Floats

    def first(self) -> Counts:
        """Of the first of several thresholds."""
        return Counts(self.rows[0], self.answered[0], self.wrong[0])

    def p_values(self, promise: Promise, growth: float = 1.0) -> Floats:
        """(S,) or (T, S) of "the slice breaks the promise"; 0 where nothing is promised.

        Args:
            promise: Limits.
            growth: Times so many rows with the same shares.
        """
        found = []
        for count, rows, limit in (
            (self.wrong, self.answered, promise.errors),
            (self.rows - self.answered, self.rows, promise.abstains),
        ):
            asked = ~np.isnan(limit)
            tail = at_most(count * growth, rows * growth, np.where(asked, limit, 0.5))
            found.append(np.where(asked, tail, 0.0))
        return np.maximum(*found)


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What the tests said.

    Attributes:
        threshold: The lowest that is certified; of none the most promising.
        p_value: Of it.
        granted: Whether it is certified.
        tested: How many thresholds were.
        counts: At this threshold.
    """

    threshold: float
    p_value: float
    granted: bool
    tested: int
    counts: Counts


def counted(scored: Scored, thresholds: npt.ArrayLike) -> Counts:
    """What is answered and wrong in each slice, (T, S).

    Args:
        scored: Rows.
        thresholds: (T,) ascending.
    """
    limits = np.asarray(thresholds, np.float64)
    reached = np.searchsorted(limits, scored.score, side="right")  # how many thresholds each row is answered at
    every, count, slices = np.ones(len(reached), np.bool_), len(limits) + 1, scored.slices
    answered, wrong = slices.table(every, reached, count), slices.table(scored.wrong, reached[scored.wrong], count)
    rows = np.broadcast_to(slices.sums(every), (len(limits), len(slices)))
    return Counts(rows, *(np.cumsum(part[:, :0:-1], axis=1)[:, ::-1].T for part in (answered, wrong)))


def promising(scored: Scored, promise: Promise, rows: int) -> tuple[float, ...]:
    """Thresholds, the one most likely to be certified by so many rows first; of equal ones the lowest.

    Args:
        scored: Rows that are not those of the test.
        promise: Limits.
        rows: Of the test.
    """
    known = scored.score[np.isfinite(scored.score)]
    if not known.size:
        return (0.0,)
    # Digits that a person reads in the policy.
    thresholds = np.unique(np.floor(np.quantile(known, _QUANTILES) * 1e5) / 1e5)
    growth = rows / max(1, len(scored.score))
    chances = counted(scored, thresholds).p_values(promise, growth).max(axis=1)
    return tuple(thresholds[np.argsort(chances, kind="stable")].tolist())


def certified(scored: Scored, promise: Promise, thresholds: Sequence[float], alpha: float) -> Found:
    """Tests in order until one is not refuted.

    Args:
        scored: Rows that had no part in the thresholds or their order.
        promise: Limits.
        thresholds: In the order of testing; at least one.
        alpha: Chance of certifying any threshold that breaks the promise.
    """
    best: Found | None = None
    for place, threshold in enumerate(thresholds):
        counts = counted(scored, [threshold]).first()
        p_value = float(counts.p_values(promise).max())
        if p_value > alpha:
            return best or Found(threshold, p_value, False, place + 1, counts)
        if best is None or threshold < best.threshold:
            best = Found(threshold, p_value, True, place + 1, counts)
    assert best is not None
    return best


def rows_needed(found: Found, promise: Promise, alpha: float) -> int | None:
    """About how many rows would certify the threshold, of shares as they are; None: no number would."""
    counts, rows = found.counts, float(found.counts.rows[0])
    abstained = counts.rows - counts.answered
    if (counts.wrong >= promise.errors * counts.answered).any() or (abstained >= promise.abstains * counts.rows).any():
        return None

    def too_few(numbers: Floats) -> Mask:
        return np.array([counts.p_values(promise, float(n) / rows).max() > alpha for n in numbers])

    needed = float(first_rows(too_few, (1,))[0])
    return int(needed) if needed < 1e9 else None
