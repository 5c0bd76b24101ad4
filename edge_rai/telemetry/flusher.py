"""A thread that flushes a session by time, and at once when something is urgent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from edge_rai.counts import Snapshot
from edge_rai.errors import EdgeRaiError, SpoolError

_LOOK_S: Final = 0.2  # how long stopping may take

_log = logging.getLogger(__name__)


class Flushable(Protocol):
    """What is flushed: a session."""

    def flush_due(self, timeout_s: float) -> bool:
        """Waits at most so long for a reason to flush before its time; whether there is one."""

    def flush(self) -> str:
        """Writes what was counted as one batch file."""

    def snapshot(self) -> Snapshot:
        """What has been counted since the last flush."""


class Flusher:
    """Flushes every ``interval_s``, and before that when an event is urgent or the room for events half taken.

    A flush that fails is told to the log and tried again an interval later: the session keeps its counts. Predictions
    never wait for it: all that a flush and a prediction share is a lock that the flush holds while it adds up counts.
    """

    def __init__(self, session: Flushable, interval_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts the thread.

        Args:
            session: Open until ``stop`` has returned.
            interval_s: Above 0.
            clock: Seconds that never go back.
        """
        if not interval_s > 0:
            raise ValueError(f"interval_s is {interval_s}; expected a number above 0")
        self._session, self._interval_s, self._clock = session, interval_s, clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge_rai flush", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Any number of times."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        next_s = self._clock() + self._interval_s
        while not self._ended.is_set():
            began_s = self._clock()
            look_s = min(next_s - began_s, _LOOK_S)
            if look_s > 0 and not self._session.flush_due(look_s):
                # A session without room for events has said so at once.
                self._ended.wait(max(began_s + look_s - self._clock(), 0))
                continue
            try:
                self._session.flush()
            except SpoolError as error:
                _log.warning("a flush failed, its counts go into the next one: %s", error)
                self._ended.wait(_LOOK_S)  # what is urgent stays so
            next_s = self._clock() + self._interval_s


def flush_last(session: Flushable) -> None:
    """Flushes what was counted since the last flush, if anything was, before the session is closed.

    A failure goes to the log: whoever closes may be about to hear of another, and can do nothing about this one.
    """
    counted = session.snapshot()
    if not (counted.calls or counted.decisions.any() or any(counted.events_by_class) or any(map(any, counted.expired))):
        return
    try:
        session.flush()
    except (EdgeRaiError, MemoryError, ValueError) as error:
        told = "the flush at close failed, and %d calls of %d rows may be lost: %s"
        _log.warning(told, counted.calls, counted.rows, error)
