"""Telling somebody of an alarm, from a thread that holds none of the session's locks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

from edge_rai._ffi import ffi, lib
from edge_rai.drift import Watch

_log = logging.getLogger(__name__)


@ffi.def_extern()  # type: ignore[untyped-decorator, unused-ignore]
def py_alarm(event: Any) -> None:
    """What C calls, in whatever thread noticed."""
    ffi.from_handle(event).set()


class AlarmListener:
    """A thread that waits for alarms of a session and calls somebody with the watch.

    Args:
        handle: Of the C session; open until ``stop`` has returned.
        watch: Reads the watch of a session that is not kept alive by this.
        told: Is called with it, once an alarm; what it raises goes to the log.

    Raises:
        ValueError: The policy watches nothing.
    """

    def __init__(
        self, handle: Any, watch: WeakMethod[Callable[[], Watch | None]], told: Callable[[Watch], object]
    ) -> None:
        self._event, self._ended = threading.Event(), False
        self._context = ffi.new_handle(self._event)
        self._handle, self._watch, self._told = handle, watch, told
        if lib.erai_session_on_alarm(handle, lib.py_alarm, self._context):
            raise ValueError("the policy watches nothing for drift: it has no [drift]")
        self._thread = threading.Thread(target=self._run, name="edge_rai alarm", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; one that is telling of an alarm is waited for. Any number of times."""
        if self._ended:
            return
        lib.erai_session_on_alarm(self._handle, ffi.NULL, ffi.NULL)
        self._ended = True
        self._event.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._event.wait()
            self._event.clear()
            if self._ended:
                return
            try:
                watch = self._watch()
                found = watch() if watch is not None else None
                if found is not None and found.alarm is not None:
                    self._told(found)
            except Exception:  # noqa: BLE001  of code that is not ours; the thread goes on
                _log.exception("whoever is told of alarms failed")
