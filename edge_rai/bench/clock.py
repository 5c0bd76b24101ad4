"""The clock that scenarios run by: the system's, or in proofs a simulated one that implements the same two methods."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

# A sleeping thread is woken late by about this much, so the last stretch before a moment is spent asking for the time.
_WAKES_LATE_NS = 300_000
_SHARE = 10


class Clock(Protocol):
    """Time in nanoseconds from an arbitrary beginning, never backwards."""

    def now_ns(self) -> int:
        """The time."""

    def sleep_until(self, moment_ns: int) -> None:
        """Returns at that time, or at once when it is past."""


class SystemClock:
    """The machine's. Any thread."""

    now_ns = staticmethod(time.perf_counter_ns)

    def sleep_until(self, moment_ns: int) -> None:
        """Sleeps, then waits awake for the end; other threads get the interpreter all the while."""
        ahead = moment_ns - self.now_ns()
        if ahead > _WAKES_LATE_NS:
            time.sleep((ahead - _WAKES_LATE_NS) / 1e9)
        while self.now_ns() < moment_ns:
            time.sleep(0)


class Seldom:
    """Something that is done now and then, and takes a tenth of the time at most, but for the first time.

    Args:
        clock: None: the system's.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._next_ns = self._clock.now_ns()

    @property
    def due(self) -> bool:
        """Whether it may be done."""
        return self._clock.now_ns() >= self._next_ns

    @contextmanager
    def taking(self) -> Iterator[None]:
        """While it is done."""
        began_ns = self._clock.now_ns()
        yield
        ended_ns = self._clock.now_ns()
        self._next_ns = ended_ns + (_SHARE - 1) * (ended_ns - began_ns)
