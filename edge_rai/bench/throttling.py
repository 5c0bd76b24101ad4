"""Throttling: a series that slows down for good.

Pettitt's test for one change (A non-parametric approach to the change-point problem, Applied Statistics 28, 1979) on
medians of consecutive windows. It uses their ranks alone, and sees a slope as well as a step. On a machine that goes
to and fro, neighbouring windows resemble each other and count for fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edge_rai.bench.result import Step
from edge_rai.bench.series import Blocks, Series, blocks_of, same_rounds

_WINDOWS = 160
_FEWEST_WINDOWS = 20
# One steady series in a hundred thousand looks like this by chance.
_CHANCE = 1e-5
_SLOWER = 1.05
# Before and after may overlap by so much, or it is a machine that goes to and fro.
_QUARTILE = 25
_AGREEING = 3
_LEAST = 1e-9  # where a clock is so coarse that a call takes no time


def find_throttling(series: Series, yardstick: Series | None = None, processes: Sequence[int] = (0,)) -> Step | None:
    """The moment from which a subject was slower by at least 5 %, to the end.

    Args:
        series: The subject's, of one load.
        yardstick: The yardstick's of the same run: a subject that slows down beside it is found on a machine that goes
            to and fro, too.
        processes: The first round of each process. Of several, one may be slow by itself, from its beginning to its
            end: three on either side must agree.

    Returns:
        None where there is none, or too few blocks to tell.
    """
    blocks = blocks_of(series)
    step = None
    if yardstick is not None:
        ours, theirs = same_rounds(blocks, blocks_of(yardstick))
        step = _find(ours, ours.median_ns / np.maximum(theirs.median_ns, 1.0), processes)
    return step or _find(blocks, blocks.median_ns, processes)


def _find(blocks: Blocks, values: npt.NDArray[np.float64], processes: Sequence[int]) -> Step | None:
    level = _windows(values)
    if len(level) < _FEWEST_WINDOWS:
        return None
    split, chance = _pettitt(level)
    before, after = level[:split], level[split:]
    ratio = float(np.median(after) / max(np.median(before), _LEAST))
    lasting = np.percentile(after, _QUARTILE) > np.percentile(before, 100 - _QUARTILE)
    if chance > _CHANCE or ratio < _SLOWER or not lasting:
        return None
    first = split * len(values) // len(level)
    if len(processes) > 1:
        earlier = int(np.searchsorted(processes, blocks.block[first]))  # processes that began before the step
        if min(earlier, len(processes) - earlier) < _AGREEING:
            return None
    return Step(float(blocks.began_ns[first]) / 1e9, ratio)


def _windows(medians: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Medians of at most so many runs of consecutive blocks: a stalled block does not count."""
    count = min(_WINDOWS, len(medians))
    edges = np.arange(count + 1) * len(medians) // max(1, count)
    return np.array([np.median(medians[a:b]) for a, b in pairwise(edges)], np.float64)


def _pettitt(level: npt.NDArray[np.float64]) -> tuple[int, float]:
    """Where the series rises most, and how likely a rise like its greatest is by chance."""
    n = len(level)
    ordered = np.sort(level)
    above, upto = np.searchsorted(ordered, level, "left"), np.searchsorted(ordered, level, "right")
    doubled_ranks = (above + upto + 1).astype(np.float64)
    size = np.arange(1.0, n)
    rises = np.maximum(0.0, size * (n + 1.0) - np.cumsum(doubled_ranks)[:-1])
    # The statistic alone would draw the place towards the middle: divide by its own standard deviation.
    split = int(np.argmax(rises / np.sqrt(size * (n - size)))) + 1
    exponent = 6.0 * float(rises.max()) ** 2 / (n**3 + n**2)
    return split, math.exp(-exponent * _independence(doubled_ranks[:split], doubled_ranks[split:]))


def _independence(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    """What share of the windows counts: less than 1 where neighbours resemble each other beside step and slope.

    That of a first-order autoregression, (1 - r) / (1 + r).
    """
    around = np.concatenate((_without_slope(before), _without_slope(after)))
    r = float(np.dot(around[1:], around[:-1]) / max(_LEAST, float(np.dot(around, around))))
    return (1 - r) / (1 + r) if r > 0 else 1.0


def _without_slope(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    time = np.arange(len(values)) - (len(values) - 1) / 2
    slope = float(np.dot(time, values)) / max(1.0, float(np.dot(time, time)))
    rest: npt.NDArray[np.float64] = values - values.mean() - slope * time
    return rest
