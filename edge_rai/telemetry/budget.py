"""A budget of bytes for any 24 hours, kept across restarts by clocks that a device has.

What was sent is kept by the hour, and what counts is the hour that runs and the 24 before it: no 24 hours ever see
more than the budget. Hours are those of the agent's own time, which is never ahead of the world's: within a boot it
goes on by the kernel's clock, and of the time that a device was off it knows nothing. The wall clock has no say.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Final

FILE_NAME: Final = "upload"
_HOURS: Final = 24
_HOUR_S: Final = 3600.0
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

_log = logging.getLogger(__name__)


def since_boot() -> tuple[str, float]:
    """The name of this boot, and seconds since it, suspended ones included."""
    return _BOOT.read_text(encoding="ascii").strip(), time.clock_gettime(time.CLOCK_BOOTTIME)


class Budget:
    """Bytes that may still be sent. One process a spool, one thread at a time."""

    def __init__(self, folder: Path, bytes_a_day: int, clock: Callable[[], tuple[str, float]] = since_boot) -> None:
        """Reads what was sent before. Where that cannot be read, a day's bytes have been sent now.

        Args:
            folder: The spool.
            bytes_a_day: Above 0.
            clock: A name that is another after each boot, and seconds since it.
        """
        self.bytes_a_day = bytes_a_day
        self._path, self._clock = folder / FILE_NAME, clock
        self._boot, self._boot_s = clock()
        self._elapsed_s = 0.0
        self._sent: dict[int, int] = {}
        self._load()

    def left(self) -> int:
        """Bytes that may be sent now."""
        return max(self.bytes_a_day - sum(self._recent().values()), 0)

    def take(self, size: int) -> bool:
        """Whether so many bytes may be sent; then they count as sent, durably, before the first of them is.

        Raises:
            OSError: That cannot be written.
        """
        recent = self._recent()
        if sum(recent.values()) + size > self.bytes_a_day:
            return False
        hour = int(self._elapsed_s // _HOUR_S)
        self._sent = recent | {hour: recent.get(hour, 0) + size}
        self._store()
        return True

    def _recent(self) -> dict[int, int]:
        boot, boot_s = self._clock()
        # Of a boot that ended nothing is known but that this one has lasted so long since.
        self._elapsed_s += max(boot_s - self._boot_s, 0.0) if boot == self._boot else boot_s
        self._boot, self._boot_s = boot, boot_s
        hour = int(self._elapsed_s // _HOUR_S)
        return {at: size for at, size in self._sent.items() if at >= hour - _HOURS}

    def _load(self) -> None:
        try:
            kept = json.loads(self._path.read_text(encoding="ascii"))
            self._boot, self._boot_s, self._elapsed_s = str(kept["boot"]), float(kept["boot_s"]), float(kept["s"])
            self._sent = {int(hour): int(size) for hour, size in kept["sent"].items()}
            if not (isfinite(self._boot_s) and isfinite(self._elapsed_s)) or min(self._sent.values(), default=0) < 0:
                raise ValueError("a time or a size is none")
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            _log.warning("%s is damaged (%s): the day's bytes count as sent", self._path, error)
            self._boot, self._boot_s = self._clock()
            self._elapsed_s, self._sent = 0.0, {0: self.bytes_a_day}

    def _store(self) -> None:
        kept = {"boot": self._boot, "boot_s": self._boot_s, "s": self._elapsed_s, "sent": self._sent}
        fresh = self._path.with_name(f".{FILE_NAME}")
        with fresh.open("w", encoding="ascii") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
