"""LoadGen's server scenario: Poisson arrivals in one queue, and the highest rate that keeps a percentile in a bound.

The arrivals are drawn before a trial begins and do not wait for answers. Latency counts from the scheduled arrival, so
a stall delays every query that arrives during it and is seen in each (no coordinated omission; Tene, How NOT to Measure
Latency, 2013). Servers take the next arrival of the schedule when they are free, which is a first-come-first-served
queue without a thread that fills it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from edge_rai.bench.clock import Clock, SystemClock
from edge_rai.bench.closed_loop import Run, closed_loop
from edge_rai.bench.percentiles import percentile_of, rank_of
from edge_rai.bench.result import ServerRate, Trial, WarmUp
from edge_rai.bench.series import Nanoseconds, Series, Subject, naming

# Given, after every trial, the series at each subject's highest rate so far, the rates, and the share of the run done.
WatchRates = Callable[[Run, list[ServerRate], float], None]

_BOUND_MEDIANS = 10
_LEAST_BOUND_NS = 1_000_000
# How a duration is spent.
_ALONE, _SEARCH, _CONFIRM = 0.1, 0.4, 0.5
_STEPS = 7
_CONFIRMATIONS = 5
_LOWER = 0.95
_LEAD_NS = 1_000_000


def server(
    subjects: Sequence[Subject],
    clock: Clock | None = None,
    *,
    duration_s: float,
    servers: int = 1,
    percent: float = 99.0,
    bound_ns: int | None = None,
    seed: int = 0,
    watch: WatchRates | None = None,
) -> tuple[Run, list[ServerRate]]:
    """Searches each subject's highest rate by bisection, and confirms it in a longer trial.

    Args:
        subjects: Each is tried alone; their trials take turns in random order.
        clock: None: the system's.
        duration_s: About how long, all subjects together.
        servers: Threads that serve the one queue.
        percent: Which percentile of latency is bounded.
        bound_ns: The bound; None: 10 times the slowest subject's median latency alone, 1 ms at least.
        seed: Of arrivals and order.
        watch: Given what there is after every trial. A rate is that of the search until it is confirmed.

    Returns:
        The series of the confirming trials, and the rates. A subject that keeps the bound at no rate has no series.

    Raises:
        ValueError: The duration is too short for one query in a trial to be beyond the percentile.
        InferenceError: A call failed; names the subject.
    """
    clock = clock or SystemClock()
    order = random.Random(seed)
    alone = closed_loop(subjects, clock, duration_s=_ALONE * duration_s, seed=seed)
    if bound_ns is None:
        slowest = max(float(np.median(series.latency_ns)) for series in alone.series)
        bound_ns = max(_LEAST_BOUND_NS, int(_BOUND_MEDIANS * slowest))
    trial_s = _SEARCH * duration_s / _STEPS / len(subjects)
    confirm_s = _CONFIRM * duration_s / len(subjects)
    searches = [
        _Search(subject, clock, servers, percent, bound_ns, float(series.latency_ns.mean()))
        for subject, series in zip(subjects, alone.series, strict=True)
    ]
    for search in searches:
        search.refuse_too_short(trial_s, duration_s)
    done = _ALONE
    for _ in range(_STEPS):
        for search in order.sample(searches, len(searches)):
            search.bisect(trial_s, order.getrandbits(63))
            done += _SEARCH / _STEPS / len(searches)
            if watch is not None:
                watch(*_found(searches, alone.warm_up), done)
    for search in order.sample(searches, len(searches)):
        search.confirm(confirm_s, order.getrandbits(63))
        done += _CONFIRM / len(searches)
        if watch is not None:
            watch(*_found(searches, alone.warm_up), done)
    return _found(searches, alone.warm_up)


def _found(searches: Sequence[_Search], warm_up: WarmUp) -> tuple[Run, list[ServerRate]]:
    kept = [search.series for search in searches if search.series is not None]
    return Run(kept, warm_up), [search.found() for search in searches]


@dataclass(slots=True)
class _Search:
    """One subject's rates between which the highest one lies."""

    subject: Subject
    clock: Clock
    servers: int
    percent: float
    bound_ns: int
    mean_ns: float
    low: float = 0.0
    high: float | None = None
    rate: float = 0.0  # the highest that kept the bound, with its series; of the confirming trials once they are over
    series: Series | None = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def capacity(self) -> float:
        """Queries a second with no pause between them: no higher rate can be kept for long."""
        return self.servers * 1e9 / max(1.0, self.mean_ns)

    def refuse_too_short(self, trial_s: float, duration_s: float) -> None:
        needed = math.ceil(1 / (1 - self.percent / 100))
        if trial_s * self.capacity < needed:
            raise ValueError(
                f"{duration_s:g} s give {int(trial_s * self.capacity)} queries of {self.subject.name} in each trial "
                f"of a rate, and p{self.percent:g} asks for {needed}; expected a duration of at least "
                f"{math.ceil(duration_s * needed / (trial_s * self.capacity))} s"
            )

    def bisect(self, trial_s: float, seed: int) -> None:
        rate = (self.low + (self.high or self.capacity)) / 2
        kept, series = self._try(rate, trial_s, seed)
        if kept:
            self.low = self.rate = rate
            self.series = series
        else:
            self.high = rate

    def confirm(self, trial_s: float, seed: int) -> None:
        """A longer trial at the rate found, and at lower ones while they fail: a short trial may have been lucky."""
        rate = self.low
        for attempt in range(_CONFIRMATIONS):
            if not rate:
                break
            kept, series = self._try(rate, trial_s, seed + attempt)
            if kept:
                self.rate, self.series = rate, series
                return
            self.high = rate
            rate *= _LOWER ** (attempt + 1)
        self.rate, self.series = 0.0, None

    def found(self) -> ServerRate:
        return ServerRate(
            self.subject.name, self.servers, self.percent, self.bound_ns, self.rate, self.high, self.trials
        )

    def _try(self, rate: float, trial_s: float, seed: int) -> tuple[bool, Series]:
        queries = max(1, int(rate * trial_s))
        gaps = np.random.default_rng(seed).exponential(1e9 / rate, queries)
        if queries == 1:
            gaps = np.minimum(gaps, 1e9 * trial_s)  # the next may be far away
        scheduled = np.cumsum(gaps).astype(np.int64)
        allowed = queries - 1 - rank_of(queries, self.percent)
        trial = _Trial(self.subject, self.clock, scheduled, self.bound_ns, allowed)
        with naming(self.subject.name):
            trial.run(self.servers)
        series = trial.series(len(self.trials))
        kept = trial.over <= allowed
        ns = percentile_of(np.sort(series.latency_ns), self.percent)
        self.trials.append(Trial(rate, len(series.latency_ns), ns, kept))
        return kept, series


class _Trial:
    """One schedule of arrivals, served. It ends early when the bound can no longer be kept."""

    def __init__(self, subject: Subject, clock: Clock, scheduled: Nanoseconds, bound_ns: int, allowed: int) -> None:
        self.subject, self.clock, self.bound_ns, self.allowed = subject, clock, bound_ns, allowed
        self.scheduled = scheduled
        self.start_ns = clock.now_ns() + _LEAD_NS
        self.due = iter(enumerate((scheduled + self.start_ns).tolist()))
        self.turn, self.counting = Lock(), Lock()
        self.over = 0
        self.began = np.zeros(len(scheduled), np.int64)
        self.ended = np.zeros(len(scheduled), np.int64)

    def run(self, servers: int) -> None:
        if servers == 1:
            self._serve()
            return
        with ThreadPoolExecutor(servers) as pool:
            for served in [pool.submit(self._serve) for _ in range(servers)]:
                served.result()

    def series(self, number: int) -> Series:
        """The queries that were answered."""
        done = self.ended > 0
        return Series(
            self.subject.name,
            self.subject.rows,
            np.full(int(done.sum()), number, np.int32),
            self.scheduled[done],
            self.began[done] - self.start_ns,
            self.ended[done] - self.start_ns,
        )

    def _serve(self) -> None:
        call, now_ns = self.subject.call, self.clock.now_ns
        while True:
            with self.turn:  # who waits for the next arrival keeps the others from waiting for the one after it
                query, due = next(self.due, (-1, 0))
                if query < 0 or self.over > self.allowed:
                    return
                self.clock.sleep_until(due)
            began = now_ns()
            call(query)
            ended = now_ns()
            with self.counting:
                self.began[query], self.ended[query] = began, ended
                self.over += ended - due > self.bound_ns
