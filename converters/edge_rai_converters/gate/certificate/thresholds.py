"""Below which score a candidate abstains, by Learn-then-Test (Angelopoulos, Bates, Candès, Jordan and Lei, 2021).

Each threshold is a hypothesis: "in some group it errs on more of what it answers than was promised, or abstains on
more rows". Of a fixed threshold the errors among the answered rows are binomial given how many those are, so that the
exact tail is its p-value; of a hypothesis that is about several shares it is the greatest of theirs. Thresholds are
tested one after the other until the first that is not refuted, which needs no correction (fixed sequence); their order
is learned from rows apart, the most promising one first.

Rows of one person or device are no binomial: there the p-value of a share is that of a bet against it, cluster by
cluster (``gate.clustered``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edge_rai_converters.gate.betting import as_p, log_mean_exp
from edge_rai_converters.gate.clustered import Clusters, clustered
from edge_rai_converters.gate.exact import at_most, first_rows
from edge_rai_converters.gate.rows import Floats, Mask
from edge_rai_converters.gate.slices import Index, Slices

_QUANTILES = np.linspace(0, 0.99, 100)


class Evidence(Protocol):
    """What rows say of a threshold."""

    def p_values(self, promise: Promise, growth: float = 1.0, /) -> Floats:
        """(S,) of "the slice breaks the promise", if there were so many times the rows; 0 where none is given."""


@dataclass(frozen=True, eq=False)
class Scored:
    """n rows and what the candidate made of them.

    Attributes:
        score: (n,) float64; -inf where the guard rejects the row, so that nothing is answered at any threshold.
        wrong: (n,) the answer is not the label, or there is no label.
        slices: Of these rows.
        clusters: (n,) the number of each row's cluster; None: each row is an observation by itself.
    """

    score: Floats
    wrong: Mask
    slices: Slices
    clusters: Index | None = None

    def of(self, chosen: Mask) -> Scored:
        """Some of the rows."""
        clusters = None if self.clusters is None else self.clusters[chosen]
        return Scored(self.score[chosen], self.wrong[chosen], self.slices.of(chosen), clusters)

    @cached_property
    def clustered(self) -> Clusters:
        """Which rows are one observation, where some are."""
        assert self.clusters is not None
        return clustered(np.ones(len(self.score), np.bool_), self.clusters, self.slices)

    def evidence(self, threshold: float, promise: Promise) -> Evidence:
        """What proves, or not, that a threshold keeps the promise."""
        if self.clusters is None:
            return counted(self, [threshold]).first()
        answered = self.score >= threshold
        errors = self.clustered.units((self.wrong & answered).astype(np.float64), answered)
        abstains = self.clustered.units((~answered).astype(np.float64))
        return _Bets(
            *(units.growth(np.nan_to_num(limit)) for units, limit in zip((errors, abstains), promise, strict=True))
        )


class Promise(NamedTuple):
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

    def p_values(self, promise: Promise, growth: float = 1.0, /) -> Floats:
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
class _Bets:
    """Capitals' logarithms of who bets that a share is below its limit, by cluster, (S, bets) each."""

    errors: Floats
    abstains: Floats

    def p_values(self, promise: Promise, growth: float = 1.0, /) -> Floats:
        return np.maximum(
            *(
                np.where(np.isnan(limit), 0.0, as_p(log_mean_exp(growth * bets)))
                for bets, limit in zip((self.errors, self.abstains), promise, strict=True)
            )
        )


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What the tests said.

    Attributes:
        threshold: The lowest that is certified; of none the most promising.
        p_value: Of it.
        kept: All that are certified, in the order in which they were tested.
        tested: How many thresholds were.
        counts: At this threshold.
        evidence: Of it.
    """

    threshold: float
    p_value: float
    kept: tuple[float, ...]
    tested: int
    counts: Counts
    evidence: Evidence

    @property
    def granted(self) -> bool:
        """Whether any is certified."""
        return bool(self.kept)


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
    if scored.clusters is None:
        chances = counted(scored, thresholds).p_values(promise, growth).max(axis=1)
    else:
        chances = np.array([scored.evidence(entry, promise).p_values(promise, growth).max() for entry in thresholds])
    return tuple(thresholds[np.argsort(chances, kind="stable")].tolist())


def certified(
    scored: Scored, promise: Promise, thresholds: Sequence[float], alpha: float, wanted: float | None = None
) -> Found:
    """Tests in order until one is not refuted.

    Args:
        scored: Rows that had no part in the thresholds or their order.
        promise: Limits.
        thresholds: In the order of testing; at least one.
        alpha: Chance of certifying any threshold that breaks the promise.
        wanted: Of the certified ones the one to take; None: the lowest.
    """
    kept: list[float] = []
    for threshold in thresholds:
        if scored.evidence(threshold, promise).p_values(promise).max() > alpha:
            break
        kept.append(threshold)
    best = (wanted if wanted in kept else min(kept)) if kept else thresholds[0]
    evidence, counts = scored.evidence(best, promise), counted(scored, [best]).first()
    tested = min(len(kept) + 1, len(thresholds))
    return Found(best, float(evidence.p_values(promise).max()), tuple(kept), tested, counts, evidence)


def rows_needed(found: Found, promise: Promise, alpha: float) -> int | None:
    """About how many rows would certify the threshold, of shares as they are; None: no number would."""
    counts, rows = found.counts, float(found.counts.rows[0])
    abstained = counts.rows - counts.answered
    if (counts.wrong >= promise.errors * counts.answered).any() or (abstained >= promise.abstains * counts.rows).any():
        return None

    def too_few(numbers: Floats) -> Mask:
        return np.array([found.evidence.p_values(promise, float(n) / rows).max() > alpha for n in numbers])

    needed = float(first_rows(too_few, (1,))[0])
    return int(needed) if needed < 1e9 else None
