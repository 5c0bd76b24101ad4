"""Percentiles with confidence intervals from order statistics, and how many queries a percentile asks for.

The interval of a percentile is a pair of the sorted values themselves: how many of n independent values lie below the
true percentile is binomial, whatever the law (David and Nagaraja, Order Statistics, 3rd edition, section 7.1). Where
neighbours resemble each other the values count for fewer: the variance of the share of values below the estimate,
taken from means of consecutive batches, says for how many (Flegal and Jones 2010 for the batches).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.bench.result import Percentile

PERCENTS = (50.0, 90.0, 99.0, 99.9)

# LoadGen's rule (Reddi et al., MLPerf Inference Benchmark, 2020, section III-D): the share of queries within the
# percentile is known to a twentieth of what is beyond it, at 99 % confidence; rounded up to a multiple of 2^13.
_MARGIN = 1 / 20
_CONFIDENCE = 0.99
_ROUND_UP = 2**13

_ROUNDING = 1e-12  # of sums of probabilities, and of percentages
_BATCHES = 40
# Variance among batches over what independent values would give: beyond this, one run in a hundred of independent ones.
_RESEMBLES = 1.6


@dataclass(frozen=True, slots=True)
class Ranks:
    """An interval as ranks of sorted values, from 0; None: it would lie outside them."""

    low: int | None
    high: int | None


def queries_needed(percent: float) -> int:
    """Queries that LoadGen's rule asks for before a percentile is claimed: 24,576 for p90, 270,336 for p99."""
    share = percent / 100
    margin = _MARGIN * min(share, 1 - share) if share < 0.5 else _MARGIN * (1 - share)
    z = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    return math.ceil(z * z * share * (1 - share) / (margin * margin) / _ROUND_UP) * _ROUND_UP


def interval_ranks(n: int, share: float, confidence: float) -> Ranks:
    """The ranks between which the true quantile lies with at least that confidence, with little more.

    Args:
        n: Independent values.
        share: Of the law below the quantile, between 0 and 1.
        confidence: For example 0.95.
    """
    first, cumulative = _binomial(n, share)

    def upto(count: int) -> float:
        """The probability that at most so many values lie below the quantile."""
        return float(cumulative[min(count - first, len(cumulative) - 1)]) if count >= first else 0.0

    half = (1 - confidence) / 2
    # The quantile is above sorted value r (from 0) when more than r values lie below it.
    low = first + int(np.searchsorted(cumulative, half, side="right")) - 1
    high = first + int(np.searchsorted(cumulative, 1 - half - _ROUNDING))
    # Counts are whole, so that equal tails leave some to spare: give it to the end that is further out in time.
    if high < n and upto(high - 1) - upto(low) >= confidence:
        high -= 1
    elif low >= 0 and upto(high) - upto(low + 1) >= confidence:
        low += 1
    return Ranks(low if low >= 0 else None, high if high < n else None)


def percentile(ordered: npt.NDArray[Any], percent: float, independent: int) -> Percentile:
    """One percentile of sorted latencies.

    Args:
        ordered: (n,) Rising, n at least 1.
        percent: Which.
        independent: How many independent values these count for, at most n.
    """
    needed = queries_needed(percent)
    return Percentile(
        percent,
        percentile_of(ordered, percent),
        *_interval(ordered, percent, independent, 0.95),
        *_interval(ordered, percent, independent, 0.99),
        queries_needed=needed,
        claimed=len(ordered) >= needed,
    )


def percentile_of(ordered: npt.NDArray[Any], percent: float) -> float:
    """The least of the sorted values that so many percent of them do not exceed."""
    return float(ordered[rank_of(len(ordered), percent)])


def independent_queries(latency_ns: npt.NDArray[Any], percent: float) -> int:
    """For how many independent values these count, where a percentile is asked for.

    Args:
        latency_ns: (n,) In the order in which the calls began, n at least 1.
        percent: Which.

    Returns:
        n, unless consecutive batches differ more than independent values would.
    """
    n = len(latency_ns)
    size = n // _BATCHES
    if size < 2:
        return n
    rank = rank_of(n, percent)
    over = (latency_ns > np.partition(latency_ns, rank)[rank])[: size * _BATCHES]
    mean = float(over.mean())
    if not 0 < mean < 1:
        return n
    spread = float(np.var(over.reshape(_BATCHES, size).mean(axis=1), ddof=1)) * size / (mean * (1 - mean))
    return n if spread <= _RESEMBLES else max(1, int(n / spread))


def rank_of(n: int, percent: float) -> int:
    """The rank of a percentile among n sorted values, from 0."""
    return min(n - 1, max(0, math.ceil(n * percent / 100 * (1 - _ROUNDING)) - 1))


def _interval(
    ordered: npt.NDArray[Any], percent: float, independent: int, confidence: float
) -> tuple[float | None, float | None]:
    ranks = interval_ranks(independent, percent / 100, confidence)
    return _at(ordered, ranks.low, independent), _at(ordered, ranks.high, independent)


def _at(ordered: npt.NDArray[Any], rank: int | None, independent: int) -> float | None:
    """The sorted value at that rank of `independent` values, where these are more."""
    if rank is None:
        return None
    return float(ordered[min(len(ordered) - 1, int((rank + 0.5) * len(ordered) / independent))])


def _binomial(n: int, share: float) -> tuple[int, npt.NDArray[np.float64]]:
    """The binomial law's distribution function from a first count on, and that count; what lies beyond is nothing."""
    spread = 12 * math.sqrt(n * share * (1 - share)) + 40
    first, last = max(0, math.floor(n * share - spread)), min(n, math.ceil(n * share + spread))
    counts = np.arange(first, last, dtype=np.float64)
    steps = np.log((n - counts) / (counts + 1)) + math.log(share / (1 - share))
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    masses = np.exp(logs - logs.max())
    return first, np.cumsum(masses) / masses.sum()
