"""A clock that stands where it is put."""

from __future__ import annotations

import math

from edge_rai import arguments
from edge_rai._ffi import ffi


class ManualClock:
    """Time as the application says it is, for tests, simulations and replays; several sessions may share one.

    Attributes:
        monotonic_ns: What durations are measured by: ages, cooldowns, rates, latency. It should never go back.
        unix_ns: Wall clock: ages of time stamps, and what people read.

    Raises:
        TypeError: One of them is no integer.
        ValueError: monotonic_ns would be below 0 or no uint64, or unix_ns no int64; neither has moved.
    """

    def __init__(self, *, monotonic_ns: int = 0, unix_ns: int = 0) -> None:
        self.struct = ffi.new("erai_clock *")
        self.monotonic_ns = monotonic_ns
        self.unix_ns = unix_ns

    @property
    def monotonic_ns(self) -> int:
        return int(self.struct.monotonic_ns)

    @monotonic_ns.setter
    def monotonic_ns(self, value: int) -> None:
        self.struct.monotonic_ns = arguments.within("monotonic_ns", value, 0, 2**64 - 1)

    @property
    def unix_ns(self) -> int:
        return int(self.struct.unix_ns)

    @unix_ns.setter
    def unix_ns(self, value: int) -> None:
        self.struct.unix_ns = arguments.within("unix_ns", value, -(2**63), 2**63 - 1)

    def advance(self, seconds: float) -> None:
        """Moves both on by as much."""
        elapsed = arguments.seconds("seconds", seconds, -math.inf, math.inf, "a finite number")
        before, nanoseconds = self.monotonic_ns, round(elapsed * 1e9)
        self.monotonic_ns = before + nanoseconds
        try:
            self.unix_ns += nanoseconds
        except ValueError:
            self.monotonic_ns = before
            raise

    def __repr__(self) -> str:
        return f"ManualClock(monotonic_ns={self.monotonic_ns}, unix_ns={self.unix_ns})"
