"""Latency of the candidates, interleaved in one process; for the terminal only: a bundle holds no times."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from edge_rai.bench.interleave import Contender, interleave
from edge_rai_converters.data import Rows
from edge_rai_converters.runner import Runner

_Name = TypeVar("_Name", bound=str)
_MOST_ROUNDS, _BLOCK = 100, 20
_BUDGET_NS = 700_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one call with one row, one thread, nanoseconds."""

    p10_ns: int
    p50_ns: int
    p90_ns: int


def latencies(runners: Mapping[_Name, Runner], feed: Rows) -> dict[_Name, Latency]:
    """Calls the models in turn for about as long as the time budget allows, and at least once each.

    Args:
        runners: By a name of the caller's.
        feed: Arguments of one call.
    """
    start = time.perf_counter_ns()
    for runner in runners.values():
        runner.call(feed)
    calls = max(1, _BUDGET_NS // max(1, time.perf_counter_ns() - start))  # of each
    block = min(_BLOCK, calls)
    contenders: dict[str, Contender] = {name: _contender(runner, feed) for name, runner in runners.items()}
    timings = interleave(contenders, rounds=min(_MOST_ROUNDS, max(1, calls // block)), block=block)
    return {name: Latency(*(int(timings[name].percentile_ns(percent)) for percent in (10, 50, 90))) for name in runners}


def _contender(runner: Runner, feed: Rows) -> Contender:
    return lambda _: runner.call(feed)
