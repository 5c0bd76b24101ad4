"""Where values lie along an axis, which of them are marked, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_LOG_BEYOND = 8.0  # times: a linear axis would press the small values together
_MOST_TICKS = 5  # that a phone has room for
_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, which differ; both above 0 where it is logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Percent of the way, 0 to 100 also for what lies outside."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return 100 * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """A few round values on it."""
        if self.logarithmic and self.high / self.low > _LOG_BEYOND:
            for digits in ((1, 2, 5), (1, 3), (1,)):
                found = self._rounds(digits)
                if len(found) <= _MOST_TICKS:
                    return found
            return found[:: -(-len(found) // _MOST_TICKS)]
        step = 10 ** math.floor(math.log10(self.high - self.low))
        steps = (step * factor for factor in (0.1, 0.2, 0.25, 0.5, 1, 2, 5))
        every = next(one for one in steps if (self.high - self.low) / one < _MOST_TICKS)
        first, last = math.ceil(self.low / every - 1e-9), math.floor(self.high / every + 1e-9)
        return [number * every for number in range(first, last + 1)]

    def _rounds(self, digits: tuple[int, ...]) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = (digit * 10.0**power for power in powers for digit in digits)
        return [value for value in found if self.low <= value <= self.high]


def fitting(values: Iterable[float], *, pad: float = 0.04, logarithmic: bool | None = None) -> Scale:
    """A scale on which all values lie, with some room on either side.

    Args:
        values: At least one.
        pad: Of its length, on either side.
        logarithmic: None: where all values are above 0 and far apart.
    """
    known = list(values)
    low, high = min(known), max(known)
    if logarithmic is None:
        logarithmic = low > 0 and high / low > _LOG_BEYOND
    if logarithmic:
        room = max(math.log(high / low), 0.02) * pad
        return Scale(low * math.exp(-room), high * math.exp(room), True)
    room = max((high - low) * pad, abs(high) * 0.01, _TINY)
    return Scale(low - room, high + room)


def duration(ns: float, *, sign: bool = False) -> str:
    """With three digits and a unit: 6.43 µs."""
    factor, unit = _unit(ns)
    return f"{digits(ns / factor, sign=sign)}\u00a0{unit}"


def durations(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """An interval: 4.36 to 7.08 µs; a question mark where an end is not known."""
    factor, unit = _unit(max(abs(end) for end in (low, high, 0.0) if end is not None))
    return between(low, high, lambda ns: digits(ns / factor, sign=sign)) + f"\u00a0{unit}"


def digits(value: float, *, sign: bool = False) -> str:
    """With three digits, and all of those before the point."""
    size = abs(value)
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 or not size else 3
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def short_duration(ns: float) -> str:
    """Of a tick, which is round: 20 µs."""
    factor, unit = _unit(ns)
    return f"{ns / factor:g}\u00a0{unit}".replace("-", "\N{MINUS SIGN}") if ns else "0"


def count(value: float) -> str:
    """A number of things, also of very many: 1.2 million."""
    if value >= 1e6:
        return f"{digits(value / 1e6)}\u00a0million"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def between(low: float | None, high: float | None, written: Callable[[float], str]) -> str:
    """An interval; a question mark where an end is not known."""
    return f"{'?' if low is None else written(low)} to {'?' if high is None else written(high)}"


def _unit(ns: float) -> tuple[float, str]:
    return next(((factor, unit) for factor, unit in _UNITS if abs(ns) >= 0.9995 * factor), _UNITS[-1])
