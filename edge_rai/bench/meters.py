"""Energy, where the machine has a meter that may be read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

SYSTEM = Path("/sys")


class Meter(Protocol):
    """Counts energy. One thread.

    Attributes:
        name: What it measures, for people.
    """

    name: str

    def joules(self) -> float:
        """Used since an arbitrary beginning; ask often: some meters wrap, and some show power."""


def find_meter(system: Path = SYSTEM) -> Meter | None:
    """The first that can be read now: RAPL's packages, then an energy counter or a power sensor of hwmon.

    Args:
        system: Where sysfs is mounted.
    """
    packages = [zone for zone in sorted((system / "class/powercap").glob("intel-rapl:*")) if _is_package(zone)]
    if packages:
        zones = [(zone / "energy_uj", _number(zone / "max_energy_range_uj")) for zone in packages]
        return _Counters(f"RAPL, {len(zones)} package{'s' * (len(zones) > 1)}", zones)
    for sensor in _sensors(system, "energy*_input"):
        return _Counters(_label(sensor), [(sensor, None)])
    for pattern in ("power*_input", "power*_average"):
        for sensor in _sensors(system, pattern):
            return _Power(_label(sensor), sensor)
    return None


class _Counters:
    """Counters of microjoules, each of which may wrap at its range."""

    def __init__(self, name: str, zones: list[tuple[Path, float | None]]) -> None:
        self.name = name
        self._zones = zones
        self._last = [_number(path) or 0.0 for path, _ in zones]
        self._sum = 0.0

    def joules(self) -> float:
        for i, (path, wraps_at) in enumerate(self._zones):
            now = _number(path)
            if now is None:
                continue
            used = now - self._last[i]
            self._sum += used if used >= 0 else used + (wraps_at or 0.0)
            self._last[i] = now
        return self._sum / 1e6


class _Power:
    """A sensor of microwatts, taken to have shown the same since it was last asked."""

    def __init__(self, name: str, sensor: Path) -> None:
        self.name = name
        self._sensor = sensor
        self._at, self._sum = time.perf_counter(), 0.0

    def joules(self) -> float:
        now, watts = time.perf_counter(), (_number(self._sensor) or 0.0) / 1e6
        self._sum += watts * (now - self._at)
        self._at = now
        return self._sum


def _is_package(zone: Path) -> bool:
    """Not a part of one, nor the platform that holds them all; and readable, which takes rights on most systems."""
    try:
        name = (zone / "name").read_text()
    except OSError:
        return False
    return name.startswith("package") and _number(zone / "energy_uj") is not None


def _sensors(system: Path, pattern: str) -> Iterator[Path]:
    return (sensor for sensor in sorted((system / "class/hwmon").glob(f"*/{pattern}")) if _number(sensor) is not None)


def _label(sensor: Path) -> str:
    try:
        name = (sensor.parent / "name").read_text().strip()
    except OSError:
        name = sensor.parent.name
    return f"hwmon {name} {sensor.name}"


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
