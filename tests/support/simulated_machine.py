"""A machine in simulated time: its clock, and work that takes as long as a law and the machine's mood say."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

Law = Callable[[np.random.Generator, int], np.ndarray]

_DRAWN = 4096


class SimulatedMachine:
    """Implements `edge_rai.bench.clock.Clock`; time passes in `work` and `sleep_until` alone.

    Args:
        seed: Of its moods.
        slow: Factor of all work while the machine is slow.
        mood_s: Mean time until it turns slow or fast again; 0: never.
        stalls_per_s: Mean number of stalls a second; 0: none.
        stall_s: Mean length of one; exponential.
    """

    def __init__(
        self, seed: int = 0, *, slow: float = 1.7, mood_s: float = 0, stalls_per_s: float = 0, stall_s: float = 0.01
    ) -> None:
        self._random = random.Random(seed)
        self._now = 0.0
        self._slow, self._mood_s, self._stalls_per_s, self._stall_s = slow, mood_s, stalls_per_s, stall_s
        self._factor = slow if mood_s and self._random.random() < 0.5 else 1.0
        self._turns_at = self._later(mood_s)
        self._stalls_at = self._later(1 / stalls_per_s if stalls_per_s else 0)

    def now_ns(self) -> int:
        return int(self._now)

    def sleep_until(self, moment_ns: int) -> None:
        self._now = max(self._now, float(moment_ns))

    def work(self, ns: float) -> None:
        """So many nanoseconds of a fast machine."""
        while self._now >= self._turns_at:
            self._factor = 1.0 if self._factor > 1 else self._slow
            self._turns_at += self._random.expovariate(1 / self._mood_s) * 1e9
        while self._stalls_at < self._now:  # nobody was working
            self._stalls_at += self._random.expovariate(self._stalls_per_s) * 1e9
        self._now += ns * self._factor
        if self._stalls_at < self._now:
            self._now += self._random.expovariate(1 / self._stall_s) * 1e9

    def _later(self, mean_s: float) -> float:
        return self._now + self._random.expovariate(1 / mean_s) * 1e9 if mean_s else float("inf")


def worker(machine: SimulatedMachine, law: Law, seed: int) -> Callable[[int], None]:
    """A call whose durations, in ns of a fast machine, are drawn from a law."""
    rng = np.random.default_rng(seed)
    drawn: list[float] = []

    def call(_: int) -> None:
        if not drawn:
            drawn.extend(law(rng, _DRAWN).tolist())
        machine.work(drawn.pop())

    return call


def jittered(ns: float, jitter: float = 0.03) -> Law:
    """A constant, and what a real clock and cache make of it: a gamma law's tail of that share of it on top."""
    return lambda rng, n: ns * (1 + jitter * rng.gamma(2.0, 0.5, n))
