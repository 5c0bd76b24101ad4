"""A clock that stands where it is put."""

from __future__ import annotations

from edge_rai._ffi import ffi


class ManualClock:
    """Time as the application says it is, for tests, simulations and replays; several sessions may share one.

    Attributes:
        monotonic_ns: What durations are measured by: ages, cooldowns, rates, latency. It should never go back.
        unix_ns: Wall clock: ages of time stamps, and what people read.
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
        self.struct.monotonic_ns = value

    @property
    def unix_ns(self) -> int:
        return int(self.struct.unix_ns)

    @unix_ns.setter
    def unix_ns(self, value: int) -> None:
        self.struct.unix_ns = value

    def advance(self, seconds: float) -> None:
        """Moves both on by as much."""
        nanoseconds = round(seconds * 1e9)
        self.monotonic_ns += nanoseconds
        self.unix_ns += nanoseconds

    def __repr__(self) -> str:
        return f"ManualClock(monotonic_ns={self.monotonic_ns}, unix_ns={self.unix_ns})"
