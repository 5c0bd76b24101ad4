"""Reads the spool: the directory of immutable batch files that the native library writes (docs/formats/snapshot.md).

Files are only ever removed or moved aside as a whole, never modified. A batch file whose own bytes are bad is moved
into `corrupt/` inside the spool, where they stay for whoever looks into it. One that is of a newer format, or whose
guard program is missing or bad, may be read another day: it stays where it is. Neither holds back the others.
"""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from edge_rai import _native
from edge_rai.counts import Snapshot
from edge_rai.errors import BundleError, SpoolError
from edge_rai.events import Expiry
from edge_rai.types import Feature

CORRUPT: Final = "corrupt"
REFUSED: Final = "refused"

_BATCH_NAME: Final = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.batch")
# Far above any real file: a snapshot of 10,000 features with 32 bins is 3 MB.
_LARGEST_FILE_BYTES: Final = 64 << 20
_MAGIC: Final = b"ERAIBAT\n"
_FORMAT_VERSION: Final = 5
# The version stands outside the checksum: a flipped bit of its upper half is damage, not the future.
_IMPLAUSIBLE_VERSION = 1 << 16


class NotReadableYetError(SpoolError):
    """A batch that this program cannot read here and now, though its own bytes may well be sound."""


class BatchFile(NamedTuple):
    """One batch file; tuples sort by (epoch, sequence), the order of upload. The wall clock has no say in it."""

    epoch: int
    sequence: int
    path: Path


class Account(NamedTuple):
    """Rows and events of a spool: held in its batch files, and expired, indexed by Expiry, as these say."""

    rows: int
    events: int
    rows_expired: tuple[int, ...]
    events_expired: tuple[int, ...]


class Spool:
    """A spool directory seen by its reader. One thread at a time.

    A session may write to the same directory meanwhile: a batch file appears under its name only when it is complete.
    """

    def __init__(self, path: Path) -> None:
        """Opens a spool.

        Raises:
            SpoolError: There is no such directory.
        """
        if not path.is_dir():
            raise SpoolError(f"no spool directory at {path}; give the directory that the session writes to")
        self.path = path
        self._guards: dict[str, tuple[Feature, ...]] = {}

    def batches(self) -> list[BatchFile]:
        """Complete batch files, oldest first."""
        matches = filter(None, map(_BATCH_NAME.fullmatch, os.listdir(self.path)))
        return sorted(BatchFile(int(match[1], 16), int(match[2], 16), self.path / match[0]) for match in matches)

    def read(self, batch: BatchFile) -> Snapshot:
        """Decodes a batch file.

        Raises:
            NotReadableYetError: It is of a newer format version.
            SpoolError: Its bytes are corrupt, or belong under another name.
            OSError: It cannot be read.
        """
        data = _read_bounded(batch.path)
        version = _format_version(data)
        if _FORMAT_VERSION < version < _IMPLAUSIBLE_VERSION:
            raise NotReadableYetError(
                f"{batch.path} has format version {version}, this edge_rai reads {_FORMAT_VERSION}: update it here"
            )
        snapshot = _native.read_snapshot(data)
        if (snapshot.epoch, snapshot.sequence) != (batch.epoch, batch.sequence):
            raise SpoolError(
                f"{batch.path} holds epoch {snapshot.epoch:x}, sequence {snapshot.sequence:x}: "
                "not the batch that its name says"
            )
        return snapshot

    def features(self, guard_digest: str) -> tuple[Feature, ...]:
        """The features of the guard program with this SHA-256 (hex), which the session put beside its batch files.

        Raises:
            NotReadableYetError: The guard program is missing, malformed, or not the one its name says. The session
                puts it there again when it next opens the spool.
            OSError: It cannot be read.
        """
        if guard_digest not in self._guards:
            path = self.path / f"guard-{guard_digest}.bin"
            try:
                guard = _native.GuardProgram(_read_bounded(path))
            except FileNotFoundError:
                raise NotReadableYetError(
                    f"{path} is missing: without it nobody knows which feature is which"
                ) from None
            except (BundleError, SpoolError) as error:
                raise NotReadableYetError(f"{path}: {error}") from error
            if guard.digest != guard_digest:
                raise NotReadableYetError(
                    f"{path} has SHA-256 {guard.digest}: not the guard program that its name says"
                )
            self._guards[guard_digest] = guard.features
        return self._guards[guard_digest]

    def offer(self, batch: BatchFile) -> bool:
        """Has a batch file stay as it is, before it is read and sent: nobody merges it any more. Durable.

        Returns:
            Whether there is such a file: it may have been merged, or another agent was quicker.

        Raises:
            SpoolError: The spool cannot be written.
        """
        return self._writable.offer(batch.path.name)

    def remove(self, batch: BatchFile) -> None:
        """Removes a batch file, durably. Call it only with a receipt. One that is gone already is no error."""
        self._writable.receipt(batch.path.name)

    def set_aside(self, batch: BatchFile, folder: str) -> None:
        """Moves a batch file into CORRUPT or REFUSED inside the spool, durably, with its bytes as they are.

        The session's next flush counts it as expired.
        """
        self._writable.set_aside(batch.path.name, Expiry.CORRUPT if folder == CORRUPT else Expiry.REFUSED)

    @cached_property
    def _writable(self) -> _native.NativeSpool:
        """Opened when something is first changed: a spool that may not be written can still be read."""
        return _native.NativeSpool(str(self.path))

    def account(self) -> Account:
        """What is in the spool, and what its batch files say to have expired; what was set aside counts as held."""
        held = [self.read(batch) for batch in self.batches()]
        expired = [0] * len(Expiry)
        events_expired = [0] * len(Expiry)
        for snapshot in held:
            for why, gone in zip(Expiry, snapshot.expired, strict=False):
                expired[why] += gone.rows
                events_expired[why] += gone.events
        return Account(
            sum(snapshot.rows for snapshot in held),
            sum(len(snapshot.events) for snapshot in held),
            tuple(expired),
            tuple(events_expired),
        )


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_LARGEST_FILE_BYTES + 1)
    if len(data) > _LARGEST_FILE_BYTES:
        raise SpoolError(f"{path} is larger than {_LARGEST_FILE_BYTES} bytes; no file of a spool is")
    return data


def _format_version(data: bytes) -> int:
    """Of a batch file; 0 when it is none.

    Read here (docs/formats/snapshot.md) because the native reader calls a newer file and a corrupt one by one error,
    and only the corrupt one may be set aside.
    """
    return int.from_bytes(data[8:12], "little") if data.startswith(_MAGIC) and len(data) >= 12 else 0
