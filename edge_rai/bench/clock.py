"""The clock that scenarios run by: the system's, or in proofs a simulated one that implements the same two methods."""

from __future__ import annotations

import time
from typing import Protocol

# A sleeping thread is woken late by about this much, so the last stretch before a moment is spent asking for the time.
_WAKES_LATE_NS = 300_000


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
