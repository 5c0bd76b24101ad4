"""Subjects in turn, each call made when the one before has ended: single_stream, multi_stream and offline.

A round is one block of each subject, in an order drawn anew each time. A block lasts about 2 ms, less than a clock
speed or a neighbour's load does, so that the blocks of a round meet the same machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_rai.bench.clock import Clock, SystemClock
from edge_rai.bench.percentiles import queries_needed
from edge_rai.bench.result import WarmUp
from edge_rai.bench.series import YARDSTICK, Nanoseconds, Series, Subject, naming
from edge_rai.bench.warm_up import FEWEST_ROUNDS, settled

Times = tuple[Nanoseconds, Nanoseconds]

_BLOCK_NS = 2_000_000
_MOST_CALLS = 1000
# The first calls after another subject find that one's data in the caches: of a block of more than one call, this share
# (at least one) runs before those that count.
_REFILLS = 10
_USUAL = 5  # blocks that say how long a call takes: one of them may have been stalled
FEWEST_KEPT = 8  # the fewest rounds of which a median has an interval at 99 %
_WARM_UP_SHARE = 0.2
_LEAST_WARM_UP_SHARE, _LEAST_WARM_UP_S = 0.05, 1.0  # a slow settling cannot be seen in less
_WARM_UP_GROWS = 1.5
_FIRST_WATCH_NS, _WATCH_NS = 250_000_000, 2_000_000_000
_WATCH_SHARE = 10  # the watcher gets at most about a tenth of the time


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """What a scenario recorded.

    Attributes:
        series: One a subject, in the order given.
        warm_up: What ran before.
        processes: The first round of each process that measured a part (`processes.pooled`).
    """

    series: list[Series]
    warm_up: WarmUp
    processes: tuple[int, ...] = (0,)


Watch = Callable[[Run], None]


def closed_loop(
    subjects: Sequence[Subject],
    clock: Clock | None = None,
    *,
    duration_s: float,
    seed: int = 0,
    percentile: float | None = None,
    fewest_rounds: int = FEWEST_KEPT,
    watch: Watch | None = None,
) -> Run:
    """Warms up and then calls the subjects in turn until the time is over.

    LoadGen's single_stream is this with subjects of one row, its multi_stream with subjects of several rows a query,
    its offline with subjects that differ in rows: the latency of a query is that of all of its rows.

    Args:
        subjects: At least one.
        clock: None: the system's.
        duration_s: How long, all subjects together, warm-up apart (which takes at most a fifth of it, or 1 s, and one
            round at least).
        seed: Of the order within rounds.
        percentile: The percentile that is to be claimed; None: whichever the queries will do for.
        fewest_rounds: So many run even when the duration is shorter than they are.
        watch: Given what there is so far, between rounds: at first soon, then about every 2 s.

    Raises:
        ValueError: The duration is too short for the percentile, by the speed seen in warming up.
        InferenceError: A call failed; names the subject.
    """
    bench = _Bench(subjects, clock or SystemClock(), random.Random(seed))
    least_s = min(_LEAST_WARM_UP_S, _LEAST_WARM_UP_SHARE * duration_s)
    bench.warm_up(least_s, max(_LEAST_WARM_UP_S, _WARM_UP_SHARE * duration_s))
    if percentile is not None:
        bench.refuse_too_short(duration_s, percentile)
    bench.measure(duration_s, fewest_rounds, watch)
    return bench.run()


class _Bench:
    """Subjects, how many calls make a block of each, and what was recorded."""

    def __init__(self, subjects: Sequence[Subject], clock: Clock, order: random.Random) -> None:
        self.subjects = subjects
        self.clock = clock
        self.order = order
        self.calls = [1] * len(subjects)
        self.next_query = [0] * len(subjects)
        self.began_ns = clock.now_ns()
        self.round_ns = 0.0
        self.warmed_up = WarmUp(0.0, 0, False)
        self.kept: list[list[Times]] = [[] for _ in subjects]

    def warm_up(self, least_s: float, most_s: float) -> None:
        """Runs rounds until all subjects are steady, and fits the blocks to the subjects' speed."""
        medians: list[list[float]] = [[] for _ in self.subjects]
        check_at, elapsed_ns = FEWEST_ROUNDS, 0
        while True:
            began_ns = self.clock.now_ns()
            for number, (began, ended) in self._round():
                medians[number].append(float(np.median(ended - began)))
                usual = float(np.median(medians[number][-_USUAL:]))
                self.calls[number] = min(_MOST_CALLS, max(1, int(_BLOCK_NS / max(1.0, usual))))
            now_ns = self.clock.now_ns()
            self.round_ns, elapsed_ns = now_ns - began_ns, now_ns - self.began_ns
            rounds = len(medians[0])
            over = elapsed_ns > most_s * 1e9
            if over or (rounds >= check_at and elapsed_ns >= least_s * 1e9):
                check_at = int(rounds * _WARM_UP_GROWS)
                steady = settled(medians)
                if over or steady:
                    self.warmed_up = WarmUp(elapsed_ns / 1e9, rounds, steady)
                    return

    def refuse_too_short(self, duration_s: float, percentile: float) -> None:
        needed = queries_needed(percentile)
        for subject, calls in zip(self.subjects, self.calls, strict=True):
            expected = int(duration_s * 1e9 / self.round_ns * calls)
            if expected < needed and subject.name != YARDSTICK:
                enough_s = needed / calls * self.round_ns / 1e9
                raise ValueError(
                    f"{duration_s:g} s give about {expected:,} queries of {subject.name}, and p{percentile:g} asks for "
                    f"{needed:,}; expected a duration of about {enough_s * 1.1:.0f} s, or a lower percentile"
                )

    def measure(self, duration_s: float, fewest_rounds: int, watch: Watch | None) -> None:
        self.began_ns = self.clock.now_ns()
        watch_at_ns = self.began_ns + _FIRST_WATCH_NS
        rounds = 0
        while rounds < fewest_rounds or self.clock.now_ns() - self.began_ns < duration_s * 1e9:
            for number, times in self._round():
                self.kept[number].append(times)
            rounds += 1
            now_ns = self.clock.now_ns()
            if watch is not None and now_ns >= watch_at_ns:
                watch(self.run())
                took_ns = self.clock.now_ns() - now_ns
                watch_at_ns = now_ns + max(min(_WATCH_NS, now_ns - self.began_ns), _WATCH_SHARE * took_ns)

    def run(self) -> Run:
        """What is kept of all subjects."""
        return Run([self._series(*pair) for pair in zip(self.subjects, self.kept, strict=True)], self.warmed_up)

    def _series(self, subject: Subject, kept: list[Times]) -> Series:
        began = _joined([times for times, _ in kept]) - self.began_ns
        ended = _joined([times for _, times in kept]) - self.began_ns
        block = np.repeat(np.arange(len(kept), dtype=np.int32), [len(times) for times, _ in kept])
        return Series(subject.name, subject.rows, block, began, began, ended)

    def _round(self) -> list[tuple[int, Times]]:
        """One block of each subject: their numbers, and when their calls began and ended."""
        numbers = list(range(len(self.subjects)))
        self.order.shuffle(numbers)
        return [(number, self._block(number)) for number in numbers]

    def _block(self, number: int) -> Times:
        subject, calls, first = self.subjects[number], self.calls[number], self.next_query[number]
        counted = first + (max(1, calls // _REFILLS) if calls > 1 else 0)
        self.next_query[number] = counted + calls
        with naming(subject.name):
            if subject.block is not None:
                began, ended = subject.block(first, counted + calls - first)
                return began[-calls:], ended[-calls:]
            for query in range(first, counted):
                subject.call(query)
            return timed_calls(subject.call, counted, calls, self.clock.now_ns)


def timed_calls(call: Callable[[int], object], first: int, calls: int, now_ns: Callable[[], int]) -> Times:
    """Calls with consecutive numbers, and returns when each began and ended."""
    began, ended = [0] * calls, [0] * calls
    for i in range(calls):
        began[i] = now_ns()
        call(first + i)
        ended[i] = now_ns()
    return np.array(began, np.int64), np.array(ended, np.int64)


def _joined(parts: list[Nanoseconds]) -> Nanoseconds:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
