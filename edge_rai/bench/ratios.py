"""Subjects beside each other: ratios and differences of the block medians of one round, and throughput.

Why the interval needs no assumption about the machine: which of two subjects comes first in a round is drawn anew each
time. Were they equal, each would be the slower one of a round with probability one half, whatever clock speeds and
neighbours did and however long; so how often a ratio lies above 1 is binomial (the sign test as a randomization test),
and the median of the ratios has the interval of a median of independent values. What one process cannot see, how its
memory happens to lie, shows in the spread of several: then their medians take the place of the rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from edge_rai.bench.percentiles import interval_ranks
from edge_rai.bench.result import Ratio, Throughput
from edge_rai.bench.series import Series, blocks_of, same_rounds

# Fewer have no interval at 99 %.
FEWEST_ROUNDS = 8
FEWEST_PROCESSES = FEWEST_ROUNDS
# What one process measures is off by up to about this much, because of where its memory lies (`processes`). Fewer than
# FEWEST_PROCESSES do not show it, so that no verdict is built on less.
ONE_PROCESS = 0.05
FASTER, SLOWER, CANNOT_TELL = "faster", "slower", "cannot tell"

_BATCHES = 20


def verdict(low: float, high: float) -> str:
    """What an interval of a ratio of latencies says of the subject above the line."""
    return FASTER if high < 1 else SLOWER if low > 1 else CANNOT_TELL


def ratio_of(subject: Series, against: Series, processes: Sequence[int] = (0,)) -> Ratio | None:
    """Latency of one subject beside another's of the same run; None: they share too few rounds.

    Args:
        subject: Above the line.
        against: Below it.
        processes: The first round of each process. Of FEWEST_PROCESSES or more, the values are their medians.
    """
    ours, theirs = same_rounds(blocks_of(subject), blocks_of(against))
    if len(ours.block) < FEWEST_ROUNDS:
        return None
    above, below = np.maximum(ours.median_ns, 1.0), np.maximum(theirs.median_ns, 1.0)
    parts = by_process(ours.block, processes)
    logs, differences = np.log(above / below), above - below
    middle, low_95, high_95, low_99, high_99 = (math.exp(value) for value in _estimate(logs, parts))
    difference, difference_low, difference_high, _, _ = _estimate(differences, parts)
    alone = 1 + ONE_PROCESS if len(parts) < FEWEST_PROCESSES else 1.0
    return Ratio(
        subject.subject,
        against.subject,
        len(ours.block),
        middle,
        low_95,
        high_95,
        low_99,
        high_99,
        difference,
        difference_low,
        difference_high,
        verdict(low_99 / alone, high_99 * alone),
    )


def by_process(rounds: npt.ArrayLike, processes: Sequence[int]) -> list[slice]:
    """Where in rising round numbers each process has its own; processes without any are left out."""
    edges = [*np.searchsorted(rounds, processes).tolist(), len(np.asarray(rounds))]
    return [slice(first, last) for first, last in pairwise(edges) if first < last]


def throughput_of(batches: list[Series], processes: Sequence[int] = (0,)) -> list[Throughput]:
    """Rows per second of one subject by batch size, and the best one.

    Args:
        batches: Of one run, each with another number of rows, and FEWEST_ROUNDS at least.
        processes: See ratio_of.
    """
    fastest = max(batches, key=_rows_per_s)
    unbeaten = [series for series in batches if not _beaten(series, fastest, processes)]
    best = min(unbeaten, key=lambda series: series.rows)
    return [
        Throughput(series.subject, series.rows, _rows_per_s(series), *_rate_interval(series), series is best)
        for series in batches
    ]


def _estimate(values: npt.NDArray[np.float64], parts: list[slice]) -> tuple[float, float, float, float, float]:
    """The median, and its intervals at 95 % and 99 %: of processes where there are enough, or of rounds."""
    if len(parts) >= FEWEST_PROCESSES:
        values = np.array([np.median(values[part]) for part in parts])
    ordered = np.sort(values)
    return float(np.median(values)), *_median_interval(ordered, 0.95), *_median_interval(ordered, 0.99)


def _median_interval(ordered: npt.NDArray[np.float64], confidence: float) -> tuple[float, float]:
    ranks = interval_ranks(len(ordered), 0.5, confidence)
    # FEWEST_ROUNDS, or FEWEST_PROCESSES, have both ends.
    return float(ordered[ranks.low or 0]), float(ordered[-1 if ranks.high is None else ranks.high])


def _rows_per_s(series: Series) -> float:
    return series.rows * len(series.latency_ns) * 1e9 / max(1, int(series.latency_ns.sum()))


def _beaten(series: Series, fastest: Series, processes: Sequence[int]) -> bool:
    """Whether a batch takes longer a row than the fastest one, beyond doubt."""
    if series is fastest:
        return False
    ratio = ratio_of(series, fastest, processes)
    return ratio is None or ratio.low_99 * fastest.rows / series.rows > 1


def _rate_interval(series: Series) -> tuple[float, float]:
    """At 95 %, from the mean times of consecutive batches of calls, by Student's t."""
    latency = series.latency_ns
    batches = min(_BATCHES, len(latency))
    size = len(latency) // batches
    means = latency[: size * batches].reshape(batches, size).mean(axis=1)
    half = student_t(0.95, batches - 1) * float(np.std(means, ddof=1)) / math.sqrt(batches)
    rate, mean = _rows_per_s(series), max(1.0, float(latency.mean()))
    return rate * mean / (mean + half), rate * mean / max(1.0, mean - half)


def student_t(confidence: float, freedom: int) -> float:
    """Two-sided quantile of Student's t, to 1.5 % from 4 degrees of freedom on (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms)))
