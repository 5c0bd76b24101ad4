"""What may be said of a spool beside where it is."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from edge_rai import arguments

_LEAST_QUOTA_BYTES = 64 << 10
_MOST_EVENTS = 1 << 20
_MOST_INTERVAL_S = 366 * 86400.0


class SpoolSettings(NamedTuple):
    """Where batch files go, how many bytes they may take, and what is flushed when.

    Attributes:
        path: The directory, made when missing.
        quota_bytes: That it may take, at least 64 KiB; None: 64 MiB. A full spool merges windows, and loses no count.
        events: Decisions that are kept one by one until the next flush, at most; 0: none.
        sample_one_in: So many accepted rows, one is drawn as an event; 0: none.
        flush_s: Seconds between the flushes of a thread of the session's own, which also flushes at once what is
            urgent, and once more when the session is closed; None: the application calls ``flush``.
    """

    path: str | os.PathLike[str]
    quota_bytes: int | None = None
    events: int = 0
    sample_one_in: int = 0
    flush_s: float | None = None


def checked(spool: Any) -> SpoolSettings | None:
    """What ``load`` was given, as settings.

    Raises:
        TypeError: It is neither a path nor settings, or one of these is of another type; names it.
        ValueError: A path that is empty, or a number out of range; names it.
    """
    if spool is None:
        return None
    given = spool if isinstance(spool, SpoolSettings) else SpoolSettings(spool)
    path = arguments.path("spool", given.path)
    if not path:
        raise ValueError("spool is empty; leave it out for a session without one")
    return SpoolSettings(
        path,
        None if given.quota_bytes is None else _quota(given.quota_bytes),
        arguments.within("events", given.events, 0, _MOST_EVENTS),
        arguments.within("sample_one_in", given.sample_one_in, 0, 2**31),
        None if given.flush_s is None else _interval(given.flush_s),
    )


def _quota(given: Any) -> int:
    return arguments.within("quota_bytes", given, _LEAST_QUOTA_BYTES, 2**62, "at least 65536")


def _interval(given: Any) -> float:
    return arguments.seconds("flush_s", given, 0.001, _MOST_INTERVAL_S, "0.001 to a year of seconds")
