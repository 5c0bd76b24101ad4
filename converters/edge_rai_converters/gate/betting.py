"""Statements about the mean of bounded values that hold for any distribution and any number of rows.

A gambler who bets against "the mean is m or more" multiplies a capital of 1 by 1 + k (m - x) for each value x. If that
is true, the capital exceeds 1 / alpha with a chance of at most alpha (Waudby-Smith and Ramdas, 2024, "Estimating
means of bounded random variables by betting"). The capital is split evenly over bets k of different sizes, each a share
of the largest that cannot lose everything.

Values are differences within -1 to 1: losses of the candidate less those of the original, over the span of the loss.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from edge_rai_converters.gate.exact import first_rows
from edge_rai_converters.gate.paired import Floats, Mask
from edge_rai_converters.gate.slices import Slices

# Shares of the largest possible bet, of which a loss would take everything.
BETS: Floats = np.array([0.95, 0.6, 0.3, 0.1, 0.03, 0.01])
# Values become mixtures of the two nearest points of a grid, with their mean: as growth is concave, that costs power, a
# little, and never truth.
_POINTS = 257
_MEANS = 97
GRID: Floats = np.linspace(-1.0, 1.0, _POINTS)
# Denser around 0, where margins lie.
_CANDIDATES: Floats = np.linspace(-1, 1, _MEANS) ** 3 * 0.999


def log_mean_exp(values: Floats) -> Floats:
    """The logarithm of the mean of exp over the last axis, without overflow."""
    most = values.max(axis=-1)
    return np.asarray(most + np.log(np.exp(values - most[..., np.newaxis]).mean(axis=-1)))


def histogram(values: Floats, chosen: Mask, slices: Slices) -> Floats:
    """(S, points) how much of each point of the grid each slice has.

    Args:
        values: (chosen rows,) -1 to 1.
        chosen: (n,) mask.
        slices: S of them.
    """
    at = (np.clip(values, -1, 1) + 1) * ((_POINTS - 1) / 2)
    low = np.minimum(at.astype(np.int64), _POINTS - 2)
    share = at - low
    size = _POINTS
    parts = []
    for family in slices.families:
        keys = family.codes[chosen] * size + low
        counted = np.bincount(keys, 1 - share, family.count * size + 1)
        counted += np.bincount(keys + 1, share, family.count * size + 1)
        parts.append(counted[:-1].reshape(-1, size))
    return np.concatenate(parts)


def _growth(means: Floats) -> Floats:
    """(means, bets, points) logarithm of what each bet against a mean makes of each value."""
    steps = (means[:, np.newaxis] - GRID) / (1 - means[:, np.newaxis])
    return np.log1p(BETS[:, np.newaxis] * steps[:, np.newaxis, :])


def against_at_least(counts: Floats, means: Floats) -> Floats:
    """(S,) logarithm of the capital of who bets that the mean is below means: at least log(1 / alpha) proves it.

    Args:
        counts: (S, points), see ``histogram``.
        means: (S,) -1 to below 1.
    """
    result = np.empty(len(means))
    for mean in np.unique(means):
        same = means == mean
        result[same] = log_mean_exp(counts[same] @ _growth(np.array([mean]))[0].T)
    return result


def as_p(log_capital: Floats) -> Floats:
    """p-values of what the capital was bet against, of its logarithms."""
    return np.asarray(np.exp(-np.maximum(log_capital, 0.0)))


def upper_mean(counts: Floats, alpha: float) -> Floats:
    """(S,) upper limits of the means, of one-sided confidence 1 - alpha: to about a hundredth of their own distance."""
    capital = log_mean_exp((counts @ _all_bets()).reshape(len(counts), _MEANS, len(BETS)))
    enough = capital >= -np.log(alpha)
    place = np.argmax(enough, axis=1)
    limit = np.ones(len(counts))
    found = np.flatnonzero(enough.any(axis=1) & (place > 0))
    at = place[found]
    low, high = capital[found, at - 1], capital[found, at]
    between = (-np.log(alpha) - low) / (high - low)
    limit[found] = _CANDIDATES[at - 1] + between * (_CANDIDATES[at] - _CANDIDATES[at - 1])
    limit[enough[:, 0]] = -1.0
    return limit


@cache
def _all_bets() -> Floats:
    """(points, means times bets) growth of every bet against every candidate."""
    return np.ascontiguousarray(_growth(_CANDIDATES).reshape(-1, _POINTS).T)


def lower_mean(counts: Floats, alpha: float) -> Floats:
    """(S,) lower limits."""
    return -upper_mean(counts[:, ::-1], alpha)


def rows_to_prove(counts: Floats, means: Floats, alpha: float) -> Floats:
    """(S,) how many rows would prove the mean below means if values stayed distributed as they are; inf: none would."""
    total = counts.sum(axis=1)
    growth = np.stack([_growth(np.array([mean]))[0] @ row for mean, row in zip(means, counts, strict=True)])
    growth /= np.maximum(total, 1)[:, np.newaxis]

    def too_few(rows: Floats) -> Mask:
        return np.asarray(log_mean_exp(rows[:, np.newaxis] * growth) < -np.log(alpha))

    return np.where((total > 0) & (growth.max(axis=1) > 0), first_rows(too_few, total.shape), np.inf)


def no_change(rows: Floats, means: Floats) -> Floats:
    """(S,) the capital's logarithm after so many rows in which nothing changed: what a slice can prove at best."""
    steps = BETS * (means / (1 - means))[:, np.newaxis]
    return log_mean_exp(rows[:, np.newaxis] * np.log1p(steps))
