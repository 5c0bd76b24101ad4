"""Tails of the binomial distribution, whole arrays at a time.

The regularized incomplete beta function by the continued fraction of DLMF 8.17.22, evaluated with Lentz's method: it is
the binomial's tail, and its inverse is the interval of Clopper and Pearson (1934).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TINY = 1e-300
_ENOUGH = 1e-14
# It converges in about the square root of the larger argument; a million rows need a few hundred.
_MOST_STEPS = 20_000
_HALVINGS = 30
_MOST_SUMMED = 400
# Beyond which nobody asks how many are needed.
MOST_ROWS = 1e12
_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])


def beta_cdf(a: npt.ArrayLike, b: npt.ArrayLike, x: npt.ArrayLike) -> Floats:
    """The regularized incomplete beta function I_x(a, b), to 1e-8 for arguments up to 1e6.

    Args:
        a: Above 0; 0 gives 1.
        b: Above 0; 0 gives 0 below x = 1.
        x: 0 to 1.
    """
    first, second, at = (np.array(v, np.float64) for v in np.broadcast_arrays(a, b, x))
    result: Floats = np.where(first <= 0, 1.0, 0.0)
    result[(second <= 0) & (first > 0)] = np.where(at >= 1, 1.0, 0.0)[(second <= 0) & (first > 0)]
    inner = (first > 0) & (second > 0)
    result[inner & (at >= 1)] = 1.0
    inner &= (at > 0) & (at < 1)
    if inner.any():
        result[inner] = _inside(first[inner], second[inner], at[inner])
    return result


def _inside(a: Floats, b: Floats, x: Floats) -> Floats:
    turned = x > (a + 1) / (a + b + 2)
    a, b, x = np.where(turned, b, a), np.where(turned, a, b), np.where(turned, 1 - x, x)
    front = a * np.log(x) + b * np.log1p(-x) + _log_gamma(a + b) - _log_gamma(a) - _log_gamma(b) - np.log(a)
    with np.errstate(under="ignore"):
        value = np.exp(front) * _fraction(a, b, x)
    return np.asarray(np.clip(np.where(turned, 1 - value, value), 0.0, 1.0))


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    d: Floats = np.asarray(1 / _away(1 - (a + b) * x / (a + 1)))
    c: Floats = np.ones_like(a)
    value: Floats = d
    for step in range(1, _MOST_STEPS):
        for term in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            value = value * c * d
        if np.abs(c * d - 1).max() < _ENOUGH:
            break
    return value


def _away(values: Floats) -> Floats:
    """The values, but none of them 0."""
    return np.where(np.abs(values) < _TINY, _TINY, values)


def at_most(count: npt.ArrayLike, rows: npt.ArrayLike, share: npt.ArrayLike) -> Floats:
    """P(X <= count) of a binomial X of so many rows."""
    k, n, p = (np.array(v, np.float64) for v in np.broadcast_arrays(count, rows, share))
    return _tails(k, n)(p)


def at_least(count: npt.ArrayLike, rows: npt.ArrayLike, share: npt.ArrayLike) -> Floats:
    """P(X >= count), likewise; exact for tiny ones too."""
    k, n = np.asarray(count, np.float64), np.asarray(rows, np.float64)
    return beta_cdf(k, n - k + 1, share)


def upper_share(count: npt.ArrayLike, rows: npt.ArrayLike, alpha: float) -> Floats:
    """Clopper and Pearson's upper limit of a share, of one-sided confidence 1 - alpha; 1 without rows."""
    k, n = (np.array(v, np.float64) for v in np.broadcast_arrays(count, rows))
    tail = _tails(k, n)
    return crossing(lambda share: np.asarray(tail(share) > alpha), 0.0, 1.0, k.shape)


def lower_share(count: npt.ArrayLike, rows: npt.ArrayLike, alpha: float) -> Floats:
    """The lower limit, likewise; 0 without rows."""
    k, n = (np.array(v, np.float64) for v in np.broadcast_arrays(count, rows))
    tail = _tails(k - 1, n)
    return crossing(lambda share: np.asarray(tail(share) >= 1 - alpha), 0.0, 1.0, k.shape)


def _tails(count: Floats, rows: Floats) -> Callable[[Floats], Floats]:
    """P(X <= count) as a function of shares, (cells,): summed up where counts are small, which is many times faster."""
    most = int(count.max(initial=0))
    if most > _MOST_SUMMED:
        return lambda share: np.asarray(1 - beta_cdf(count + 1, rows - count, share))
    steps = np.arange(1, most + 1)
    left = rows[..., np.newaxis] - steps + 1
    with np.errstate(divide="ignore"):
        logs = np.cumsum(np.log(np.maximum(left, 0) / steps), axis=-1)
    logs = np.concatenate([np.zeros((*rows.shape, 1)), logs], axis=-1)
    happened = np.arange(most + 1.0)
    logs[happened > count[..., np.newaxis]] = -np.inf
    rest = np.maximum(rows[..., np.newaxis] - happened, 0)

    def tail(share: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore", under="ignore"):
            odds = happened * np.log(share)[..., np.newaxis] + rest * np.log1p(-share)[..., np.newaxis]
            terms = np.exp(logs + odds)
        inside = np.minimum(np.nansum(terms, axis=-1), 1.0)
        return np.asarray(np.where(share <= 0, 1.0, np.where(count >= rows, 1.0, inside)) * (count >= 0))

    return tail


def crossing(
    below: Callable[[Floats], npt.NDArray[np.bool_]], low: npt.ArrayLike, high: npt.ArrayLike, shape: tuple[int, ...]
) -> Floats:
    """Where a condition that holds below some value ends to hold, by bisection.

    Args:
        below: Whether it holds, of an array of the shape.
        low: Where it holds.
        high: Where it does not.
        shape: Of the result.
    """
    lows, highs = (np.array(np.broadcast_to(edge, shape), np.float64) for edge in (low, high))
    for _ in range(_HALVINGS):
        middle = (lows + highs) / 2
        holds = below(middle)
        lows, highs = np.where(holds, middle, lows), np.where(holds, highs, middle)
    return (lows + highs) / 2


def first_rows(too_few: Callable[[Floats], npt.NDArray[np.bool_]], shape: tuple[int, ...]) -> Floats:
    """The least number of rows that is enough, 1 to 1e12, by bisection.

    Args:
        too_few: Whether a number of rows is not, of an array of the shape.
        shape: Of the result.
    """
    return np.asarray(np.ceil(np.exp(crossing(lambda logs: too_few(np.exp(logs)), 0.0, np.log(MOST_ROWS), shape))))
