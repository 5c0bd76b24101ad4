"""Latency of the candidates, interleaved in one process; for the terminal only: a bundle holds no times."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edge_rai_converters.runner import Runner

_Name = TypeVar("_Name", bound=str)
_WARM_UP = 10
_MAX_ROUNDS = 2000
_BUDGET_NS = 700_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one call with one row, one thread, nanoseconds."""

    p10_ns: int
    p50_ns: int
    p90_ns: int


def latencies(runners: Mapping[_Name, Runner], feed: Mapping[str, npt.NDArray[np.float32]]) -> dict[_Name, Latency]:
    """Calls the models in turn until the time budget is spent.

    Args:
        runners: By a name of the caller's.
        feed: Arguments of one call.
    """
    for _ in range(_WARM_UP):
        for runner in runners.values():
            runner.call(feed)
    samples: dict[_Name, list[int]] = {name: [] for name in runners}
    deadline = time.perf_counter_ns() + _BUDGET_NS
    for _ in range(_MAX_ROUNDS):
        for name, runner in runners.items():
            start = time.perf_counter_ns()
            runner.call(feed)
            samples[name].append(time.perf_counter_ns() - start)
        if time.perf_counter_ns() > deadline:
            break
    return {name: Latency(*(int(q) for q in np.percentile(taken, (10, 50, 90)))) for name, taken in samples.items()}
