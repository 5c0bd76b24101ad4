"""Looks at sealed data, counted in a log beside them: each has an equal part of alpha, and there are only so many.

The log is a line of JSON a look, each with the SHA-256 of the line before (of the first: of the data), so that a line
that is changed or taken out of the middle is found. What is cut off its end is not: the evidence of a bundle names its
look's number and digest, against which the log can be held. A look is written down before it is taken.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.rules import HoldoutRule

_SUFFIX = ".attempts.jsonl"
_MOST_BYTES = 1 << 24
_KEYS = frozenset({"attempt", "made", "candidate", "original", "policy", "data", "previous"})


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at with what, as digests (SHA-256, hex)."""

    candidate: str
    original: str
    policy: str
    data: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A look that was taken.

    Attributes:
        number: From 1.
        of: How many there will be at most.
        sha256: Of its line in the log.
        again: The same look was taken before, and says what it said then: it is not counted twice.
    """

    number: int
    of: int
    sha256: str
    again: bool


def log_of(data: Path) -> Path:
    """Where the log of a data file or folder is."""
    return data.with_name(data.name + _SUFFIX)


def take(data: Path, rule: HoldoutRule, look: Look, now: datetime) -> Attempt:
    """Writes a look down, and allows it.

    Args:
        data: The sealed file or folder.
        rule: How many looks there are.
        look: What is to be looked at.
        now: Stands in the log.

    Raises:
        DataError: The data are not the sealed ones, no look is left, or the log was changed.
        OSError: The log cannot be written.
    """
    if look.data != rule.sha256:
        raise DataError(f"{data}: not the sealed data: their sha256 is {rule.sha256}, and this file's is {look.data}")
    descriptor = os.open(log_of(data), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        lines = _verified(log_of(data), log.read(_MOST_BYTES + 1), rule.sha256)
        for line, entry in lines:
            if Look(**{key: entry[key] for key in asdict(look)}) == look:
                return Attempt(entry["attempt"], rule.attempts, _digest(line), again=True)
        number = len(lines) + 1
        if number > rule.attempts:
            raise DataError(
                f"{data}: all {rule.attempts} looks at these data were taken (see {log_of(data)}); a further one would "
                "say less than it seems: seal new data"
            )
        previous = _digest(lines[-1][0]) if lines else rule.sha256
        made = now.isoformat(timespec="seconds")
        entry = {"attempt": number, "made": made, **asdict(look), "previous": previous}
        line = json.dumps(entry, sort_keys=True).encode()
        log.write(line + b"\n")
        log.flush()
        os.fsync(log.fileno())
        return Attempt(number, rule.attempts, _digest(line), again=False)


def _verified(path: Path, content: bytes, sealed: str) -> list[tuple[bytes, Mapping[str, Any]]]:
    """The lines, with what they say."""
    broken = DataError(f"{path}: the log of looks was changed or cut short; restore it, or seal new data")
    if len(content) > _MOST_BYTES or (content and not content.endswith(b"\n")):
        raise broken
    found: list[tuple[bytes, Mapping[str, Any]]] = []
    previous = sealed
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            raise broken from None
        if not isinstance(entry, dict) or entry.keys() != _KEYS:
            raise broken
        if entry["attempt"] != number or entry["previous"] != previous:
            raise broken
        previous = _digest(line)
        found.append((line, entry))
    return found


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
