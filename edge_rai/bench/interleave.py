"""Times contenders in turn for a given number of rounds, for who needs no scenario."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai.bench.closed_loop import timed_calls

Contender = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations of single calls.

    Attributes:
        samples_ns: (rounds, block) durations, the clock's own cost included.
    """

    samples_ns: npt.NDArray[np.int64]

    def percentile_ns(self, percent: float) -> float:
        """A percentile over all calls."""
        return float(np.percentile(self.samples_ns, percent))


@dataclass(frozen=True, slots=True)
class Ratio:
    """How long one contender took of another's time, round by round: the median and the middle 80 %."""

    p50: float
    p10: float
    p90: float


def interleave(contenders: Mapping[str, Contender], *, rounds: int = 200, block: int = 50) -> dict[str, Timing]:
    """Calls the contenders in blocks, in turn, beginning each round with another one.

    A contender receives the number of its call, to choose an input by. The first tenth of the rounds is warm-up and is
    not kept.

    Args:
        contenders: By name.
        rounds: Rounds kept.
        block: Calls of one contender in a round; each is timed by itself.
    """
    names = list(contenders)
    warm_up = max(1, rounds // 10)
    samples = {name: np.empty((warm_up + rounds, block), np.int64) for name in names}
    for turn in range(warm_up + rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            began, ended = timed_calls(contenders[name], 0, block, time.perf_counter_ns)
            samples[name][turn] = ended - began
    return {name: Timing(kept[warm_up:]) for name, kept in samples.items()}


def ratio(timing: Timing, against: Timing) -> Ratio:
    """The ratio of the rounds' medians."""
    ratios = np.median(timing.samples_ns, axis=1) / np.median(against.samples_ns, axis=1)
    p10, p50, p90 = (float(value) for value in np.percentile(ratios, (10, 50, 90)))
    return Ratio(p50, p10, p90)
