"""What the bench does now and how long it still takes, in one line of a terminal."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import TextIO

_CLEAR = "\r\x1b[K"
_LEAST_SHARE = 0.02  # of a stage: less says nothing of how long the rest takes


class Progress:
    """Called with a stage and the share of it that is done; silent where the stream is no terminal.

    Args:
        stream: Where the line goes. It is cleared in the end.
    """

    def __init__(self, stream: TextIO | None) -> None:
        shown = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._stream = stream if shown else None
        self._stage, self._began_s = "", 0.0

    def __call__(self, stage: str, share: float, /) -> None:
        """Says it."""
        now_s = time.monotonic()
        if stage != self._stage:
            self._stage, self._began_s = stage, now_s
        said = f"edge-rai: {stage}"
        if share > _LEAST_SHARE:
            left_s = (now_s - self._began_s) * max(0.0, 1 - share) / share
            said += f", {min(share, 1):.0%} done, about {_seconds(left_s)} left"
        self._write(f"{_CLEAR}{said} …")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write(_CLEAR)

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()


def _seconds(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
