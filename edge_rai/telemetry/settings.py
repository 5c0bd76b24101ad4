"""What may be said of a spool beside where it is, and of uploading it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from edge_rai import arguments

_LEAST_QUOTA_BYTES = 64 << 10
_MOST_EVENTS = 1 << 20
_MOST_INTERVAL_S = 366 * 86400.0
_MOST_AGE_S = 100 * _MOST_INTERVAL_S


_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_OWN = ("service.name", "service.instance.id")
_PREFIXES = ("service.", "device.", "deployment.", "feature_flag.", "artifact.", "host.", "os.", "hw.")
_SITE = ("edge.site", "edge.firmware")
_LONGEST = 256


class Quiet(NamedTuple):
    """Minutes of the day, from the first until before the last, over midnight where the last is not after the first."""

    first: int
    last: int

    def holds(self, minute: int) -> bool:
        """Whether a minute of the day is one of them."""
        if self.first < self.last:
            return self.first <= minute < self.last
        return minute >= self.first or minute < self.last

    def __str__(self) -> str:
        return f"{self.first // 60:02}:{self.first % 60:02}-{self.last // 60:02}:{self.last % 60:02}"


def parse_quiet(text: str) -> Quiet:
    """Reads "22:00-06:00".

    Raises:
        ValueError: It is not like that, or has no end.
    """
    match = _CLOCK.fullmatch(text)
    if not match or text[:5] == text[6:]:
        raise ValueError(f"quiet hours are like 22:00-06:00, not {text!r}")
    hours = [int(part) for part in match.groups()]
    return Quiet(hours[0] * 60 + hours[1], hours[2] * 60 + hours[3])


def parse_attribute(text: str) -> tuple[str, str]:
    """Reads "KEY=VALUE", a resource attribute (docs/formats/otlp.md).

    Raises:
        ValueError: It is not like that, or the key is not one that an operator gives.
    """
    key, equals, value = text.partition("=")
    if not equals or not 1 <= len(value.encode()) <= _LONGEST or not value.isprintable():
        raise ValueError(f"an attribute is KEY=VALUE, with a printable value of at most {_LONGEST} bytes, not {text!r}")
    named = key in _SITE or (
        key.startswith(_PREFIXES) and key not in _OWN and re.fullmatch(r"[a-z0-9_.]+[a-z0-9]", key)
    )
    if not named:
        raise ValueError(
            f"{key!r} is no attribute that is given: expected {' or '.join(_SITE)}, or a name of the OpenTelemetry "
            f"conventions that begins with {', '.join(_PREFIXES)}, and is none of {', '.join(_OWN)}"
        )
    return key, value


class UploadSettings(NamedTuple):
    """Where a spool is uploaded to, and how much when.

    Attributes:
        endpoint: "http://host:port" or "https://host/prefix", to which "/v1/metrics" and "/v1/logs" are added.
        interval_s: From one pass to the next, give or take a tenth.
        timeout_s: For each connecting, sending and receiving; an answer as a whole may take three times that.
        token_file: Holds a bearer token; read again every pass. Over http only to this machine.
        ca: Authorities in PEM form, which alone are trusted; None: the system's.
        certificate: The device's, in PEM form, with its key unless that is in ``key``.
        key: Its key.
        bytes_a_day: That requests may have in any 24 hours, heads included; 0: any number.
        quiet: Hours in which nothing is sent, by the device's clock.
        attributes: Of the resource, beside ours: what site, which hardware.
    """

    endpoint: str
    interval_s: float = 60.0
    timeout_s: float = 10.0
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    bytes_a_day: int = 0
    quiet: Quiet | None = None
    attributes: tuple[tuple[str, str], ...] = ()


class SpoolSettings(NamedTuple):
    """Where batch files go, how many bytes they may take, and what is flushed when.

    Attributes:
        path: The directory, made when missing.
        quota_bytes: That it may take, at least 64 KiB; None: 64 MiB. A full spool merges windows, and loses no count.
        events: Decisions that are kept one by one until the next flush, at most; 0: none; None: as the policy says.
        sample_one_in: So many accepted rows, one is drawn as an event; 0: as the policy says.
        flush_s: Seconds between the flushes of a thread of the session's own, which also flushes at once what is
            urgent; None: the application calls ``flush``. Either way the session flushes once more when it is closed.
        max_age_s: Batches that were never offered to a receiver expire, and are counted, when sessions of the spool
            have been open for so many seconds since; None: they do not. Time in which none is open does not count.
        upload: Has a thread of the session's own upload the spool, as `edge-rai agent` would; or the endpoint alone.
            None: an agent does.
    """

    path: str | os.PathLike[str]
    quota_bytes: int | None = None
    events: int | None = None
    sample_one_in: int = 0
    flush_s: float | None = None
    max_age_s: float | None = None
    upload: UploadSettings | str | None = None

    @property
    def room(self) -> int | None:
        """For events, as the native library has it: 0 is what the policy says, and None none."""
        return 0 if self.events is None else self.events or None


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
        None if given.events is None else arguments.within("events", given.events, 0, _MOST_EVENTS),
        arguments.within("sample_one_in", given.sample_one_in, 0, 2**31),
        None if given.flush_s is None else _interval(given.flush_s),
        None if given.max_age_s is None else _age(given.max_age_s),
        None if given.upload is None else _upload(given.upload),
    )


def _quota(given: Any) -> int:
    return arguments.within("quota_bytes", given, _LEAST_QUOTA_BYTES, 2**62, "at least 65536")


def _interval(given: Any) -> float:
    return arguments.seconds("flush_s", given, 0.001, _MOST_INTERVAL_S, "0.001 to a year of seconds")


def _age(given: Any) -> float:
    return arguments.seconds("max_age_s", given, 1.0, _MOST_AGE_S, "1 to a hundred years of seconds")


def _upload(given: Any) -> UploadSettings:
    upload = UploadSettings(given) if isinstance(given, str) else given
    if not isinstance(upload, UploadSettings):
        raise arguments.wrong_type("upload", given, "UploadSettings, or an endpoint")
    arguments.seconds("upload.interval_s", upload.interval_s, 0.001, _MOST_INTERVAL_S, "0.001 to a year of seconds")
    return upload
