"""A run of the bench that is told to stop, by Ctrl-C or by SIGTERM, ends with what there is."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any


class Stop(AbstractContextManager["Stop"]):
    """Has the two signals raise KeyboardInterrupt where this is the main thread, unless somebody has them already.

    Attributes:
        number: The signal that came first, and None where none has. It is asked for, too, because extension modules
            swallow an exception that comes while they run, or make another one of it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        """Raises KeyboardInterrupt where one of the signals came."""
        if self.number is not None:
            raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """For the shell."""
        return 128 + (self.number or signal.SIGINT)

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
                if signal.getsignal(number) == usual:
                    self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _came(self, number: int, _: FrameType | None) -> None:
        self.number = self.number or number
        raise KeyboardInterrupt
