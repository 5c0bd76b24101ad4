"""Whether a candidate is worse than its original on the same rows: counts of losses and gains, tested.

Of n rows, b were right and are wrong (losses), c were wrong and are right (gains). A cell passes where "worse by the
margin or more" is rejected: by the score test of Tango (1998), "Equivalence test and confidence interval for the
difference in proportions for the paired-sample design", or, where counts are small, by the exact test of Clopper and
Pearson on b alone, which is on the safe side because the loss b - c is at most b. Harm is shown by the exact test of
McNemar (1947). Arrays hold one entry a cell.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from edge_rai_converters.gate.exact import at_most, crossing, first_rows, upper_share

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# The score test alone passes up to 6.0 % of the cells that are truly worse by the margin, at 5 %. With the exact test
# where counts are small, and this part of alpha for itself, it is 4.94 % at most, summed over all outcomes for 90 sizes
# from 30 to 10,000 rows, margins of 0.2 % to 5 % and flips of 0.2 % to 10 %, of which there were 400 at most.
_FEW_ROWS, _FEW_FLIPS = 100, 5
_SCORE_SHARE = 0.85


def tango(losses: npt.ArrayLike, gains: npt.ArrayLike, rows: npt.ArrayLike, margin: npt.ArrayLike) -> Floats:
    """Tango's score statistic of "the loss is the margin": standard normal there, lower where less is lost.

    Args:
        losses: b.
        gains: c.
        rows: n, above 0.
        margin: Share of the rows, -1 to 1, not 0 where b and c are 0.
    """
    b, c, n, d = (np.asarray(v, np.float64) for v in (losses, gains, rows, margin))
    linear = (2 * n - b + c) * d - b - c
    gained = (np.sqrt(np.maximum(linear**2 + 8 * n * c * d * (1 - d), 0)) - linear) / (4 * n)
    spread = n * np.maximum(2 * gained + d * (1 - d), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((b - c - n * d) / np.sqrt(spread))


def is_small(losses: npt.ArrayLike, gains: npt.ArrayLike, rows: npt.ArrayLike) -> Mask:
    """Where counts are too small for the score test, and the exact one decides."""
    return np.asarray((np.asarray(rows) < _FEW_ROWS) | (np.asarray(losses) + np.asarray(gains) < _FEW_FLIPS))


def not_worse(losses: Floats, gains: Floats, rows: Floats, margin: Floats) -> Floats:
    """p-values of "worse by the margin or more"; 1 without rows. Small ones let a cell pass."""
    p = np.ones(len(rows))
    small = is_small(losses, gains, rows) & (rows > 0)
    p[small] = at_most(losses[small], rows[small], margin[small])
    large = ~small & (rows > 0)
    scores = tango(losses[large], gains[large], rows[large], margin[large])
    normal = NormalDist()
    p[large] = [min(1.0, normal.cdf(float(score)) / _SCORE_SHARE) for score in scores]
    return p


def upper_loss(losses: Floats, gains: Floats, rows: Floats, alpha: float) -> Floats:
    """The least margin with which each cell would pass: the upper limit of b/n - c/n, of confidence 1 - alpha."""
    limit = np.ones(len(rows))
    small = is_small(losses, gains, rows) & (rows > 0)
    limit[small] = upper_share(losses[small], rows[small], alpha)
    large = ~small & (rows > 0)
    b, c, n = losses[large], gains[large], rows[large]
    least = NormalDist().inv_cdf(_SCORE_SHARE * alpha)
    limit[large] = crossing(lambda margin: tango(b, c, n, margin) > least, (b - c) / n, 1.0, b.shape)
    return limit


def worse(losses: npt.ArrayLike, gains: npt.ArrayLike) -> Floats:
    """One-sided p-values of McNemar's exact test of "not worse": chance of so many losses among the flips."""
    b, c = np.asarray(losses, np.float64), np.asarray(gains, np.float64)
    return at_most(c, b + c, 0.5)  # as likely, at one half, as so many losses or more


def holm(p_values: Floats) -> Floats:
    """p-values adjusted by Holm (1979) for being the least of several."""
    order = np.argsort(p_values, kind="stable")
    count = len(p_values)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.maximum.accumulate((count - np.arange(count)) * p_values[order]), 1.0)
    return adjusted


def rows_to_pass(losses: Floats, gains: Floats, rows: Floats, margin: Floats, alpha: float) -> Floats:
    """About how many rows would let each cell pass if the shares of losses and gains stay; inf: no number would."""
    b, c = (np.divide(v, rows, out=np.zeros(len(rows)), where=rows > 0) for v in (losses, gains))
    exact = rows_for_events(b, margin, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The score grows as the square root of the rows.
        score = tango(losses, gains, np.maximum(rows, 1), margin)
        tested = np.maximum(rows, 1) * (NormalDist().inv_cdf(_SCORE_SHARE * alpha) / score) ** 2
        tested = np.maximum(np.maximum(tested, _FEW_ROWS), _FEW_FLIPS / (b + c))
    known = np.where(np.isfinite(exact), exact, 0.0)
    small = np.isfinite(exact) & is_small(b * known, c * known, known)
    needed = np.where(small, np.minimum(exact, tested), tested)
    return np.where(b - c < margin, np.ceil(needed), np.inf)


def rows_for_events(rate: Floats, margin: Floats, alpha: float) -> Floats:
    """About how many rows would prove a rate below a margin, by Clopper and Pearson, if it stays; inf: none would.

    By the approximation of Wilson and Hilferty (1931) to the quantile of chi-square that the limit of a rare event is.
    """
    quantile = NormalDist().inv_cdf(1 - alpha)

    def too_few(rows: Floats) -> Mask:
        happened = rate * rows
        half = (happened + 1) * (1 - 1 / (9 * (happened + 1)) + quantile / (3 * np.sqrt(happened + 1))) ** 3
        return np.asarray(rows < half * (1 / margin - 0.5) + happened / 2)

    return np.where(rate < margin, first_rows(too_few, rate.shape), np.inf)


def rows_to_fail(losses: Floats, gains: Floats, rows: Floats, alpha: float) -> Floats:
    """How many would show harm, likewise (by the normal approximation)."""
    quantile = NormalDist().inv_cdf(1 - alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = rows * quantile**2 * (losses + gains) / (losses - gains) ** 2
    return np.where(losses > gains, np.ceil(needed), np.inf)


def least_rows(margin: Floats, alpha: float) -> Floats:
    """The fewest rows with which a cell can pass at all, without a single loss."""
    return np.asarray(np.ceil(np.log(alpha) / np.log1p(-margin)))
