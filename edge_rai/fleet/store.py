"""Keeps batches in SQLite: what `add` returned from survives a power cut.

Write-ahead log with synchronous=FULL, so every commit is fsynced before it counts. Facts are kept as they came, one row
a batch, and merged by whoever reads. References are shared by content: a device that sends another reference under the
same digest gets its own row and spoils nobody else's.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np

from edge_rai.errors import StoreError
from edge_rai.fleet.decode import Batch, FeatureBatch

FILE_NAME: Final = "fleet.sqlite3"
SCHEMA_VERSION: Final = 1

_APPLICATION_ID: Final = 0x45524149  # "ERAI"
_BUSY_TIMEOUT_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    instance TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    content BLOB NOT NULL,            -- SHA-256 of everything in the batch
    received_unix_ns INTEGER NOT NULL,
    start_unix_ns INTEGER NOT NULL,   -- the device's clock
    end_unix_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    model_digest TEXT NOT NULL,
    guard_digest TEXT NOT NULL,
    calls INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    latency BLOB NOT NULL,            -- little-endian u64 a slot
    latency_sum_ns INTEGER NOT NULL,
    UNIQUE (instance, epoch, sequence)
) STRICT;
CREATE TABLE tally (
    batch INTEGER NOT NULL REFERENCES batch,
    kind TEXT NOT NULL,               -- verdict, source or reason
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (batch, kind, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE reference (
    id INTEGER PRIMARY KEY,
    guard_digest TEXT NOT NULL,
    feature TEXT NOT NULL,
    bounds BLOB NOT NULL,             -- little-endian f64, bins - 1
    counts BLOB NOT NULL,             -- little-endian u64, bins
    UNIQUE (guard_digest, feature, bounds, counts)
) STRICT;
CREATE TABLE feature (
    batch INTEGER NOT NULL REFERENCES batch,
    reference INTEGER NOT NULL REFERENCES reference,
    counts BLOB NOT NULL,             -- little-endian u64, bins
    not_finite INTEGER NOT NULL,
    z_sum INTEGER NOT NULL,
    z_sum_squares INTEGER NOT NULL,
    PRIMARY KEY (batch, reference)
) STRICT, WITHOUT ROWID;
CREATE INDEX feature_by_reference ON feature (reference);
"""


class Outcome(Enum):
    """What became of a batch."""

    STORED = "stored"
    DUPLICATE = "duplicate"  # the same batch again; nothing changed
    CONFLICT = "conflict"  # another batch under the same identity; nothing changed


class Store:
    """The fleet's batches in a directory. Any thread."""

    def __init__(self, directory: Path) -> None:
        """Opens the store, making the directory and its file when missing.

        Raises:
            StoreError: It is not a store, or a newer one, or cannot be opened.
            OSError: The directory cannot be made.
        """
        _make_directory(directory)
        path = directory / FILE_NAME
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be opened: {error}") from error
        try:
            self._prepare(path)
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreError(f"{path} is not a usable store: {error}") from error
        except StoreError:
            self._connection.close()
            raise

    def _prepare(self, path: Path) -> None:
        execute = self._connection.execute
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA foreign_keys = ON")
        execute("BEGIN IMMEDIATE")  # two collectors may start at once
        try:
            if not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                for statement in _SCHEMA.split(";\n"):
                    execute(statement)
                execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            _require_known_schema(self._connection, path)
        except BaseException:
            execute("ROLLBACK")
            raise
        execute("COMMIT")
        (mode,) = execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"{path} is on a file system without shared memory; give a directory on a local disk")

    def add(self, batches: Sequence[Batch], received_unix_ns: int) -> list[Outcome]:
        """Stores batches in one transaction: all are durable when it returns, none when it raises.

        Args:
            batches: In any order; the same one may come again.
            received_unix_ns: The collector's wall clock.

        Returns:
            What became of each.

        Raises:
            StoreError: Nothing was stored: the disk is full, read-only or faulty.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                outcomes = [self._add_one(batch, received_unix_ns) for batch in batches]
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(f"the store cannot be written: {error}") from error
            finally:
                if self._connection.in_transaction:  # whatever it was that went wrong
                    self._connection.rollback()
        return outcomes

    def _add_one(self, batch: Batch, received_unix_ns: int) -> Outcome:
        content = _content_digest(batch)
        execute = self._connection.execute
        identity = (batch.instance, batch.epoch, batch.sequence)
        known = execute("SELECT content FROM batch WHERE (instance, epoch, sequence) = (?, ?, ?)", identity).fetchone()
        if known:
            return Outcome.DUPLICATE if known[0] == content else Outcome.CONFLICT
        row = execute(
            "INSERT INTO batch VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *identity,
                content,
                received_unix_ns,
                batch.start_unix_ns,
                batch.end_unix_ns,
                batch.duration_ns,
                batch.model_digest,
                batch.guard_digest,
                batch.calls,
                batch.errors,
                _integers(batch.latency),
                batch.latency_sum_ns,
            ),
        ).lastrowid
        self._connection.executemany(
            "INSERT INTO tally VALUES (?, ?, ?, ?)",
            [(row, kind, name, count) for (kind, name), count in batch.tallies.items()],
        )
        for feature in batch.features.values():
            reference = self._reference(batch.guard_digest, feature)
            numbers = (feature.not_finite, feature.z_sum, feature.z_sum_squares)
            execute(
                "INSERT INTO feature VALUES (?, ?, ?, ?, ?, ?)", (row, reference, _integers(feature.counts), *numbers)
            )
        return Outcome.STORED

    def _reference(self, guard_digest: str, feature: FeatureBatch) -> int:
        bounds = np.array(feature.bounds, dtype="<f8").tobytes()
        key = (guard_digest, feature.name, bounds, _integers(feature.reference))
        select = "SELECT id FROM reference WHERE (guard_digest, feature, bounds, counts) = (?, ?, ?, ?)"
        found = self._connection.execute(select, key).fetchone()
        if found:
            return int(found[0])
        inserted = self._connection.execute("INSERT INTO reference VALUES (NULL, ?, ?, ?, ?)", key).lastrowid
        assert inserted is not None
        return inserted

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()


def _make_directory(directory: Path) -> None:
    """Makes it durably: SQLite syncs its files and their directory, but not the directory's own entry."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in missing:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_read_only(directory: Path) -> sqlite3.Connection:
    """Opens a store for reading, also while a collector writes to it. The caller closes it.

    Raises:
        StoreError: There is no store, or it is not one, or a newer one.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        raise StoreError(f"no store at {path}; `edge-rai collect --store {directory}` makes one")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)
    try:
        _require_known_schema(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{path} is not a usable store: {error}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def _require_known_schema(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite file of something else; give another directory")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version}, this build understands {SCHEMA_VERSION}; "
            "use the edge_rai that wrote it or a newer one"
        )


def _content_digest(batch: Batch) -> bytes:
    """Equal for equal batches, whatever the order in which a relay put their parts."""
    parts = (
        astuple(replace(batch, tallies={}, features={})),
        sorted(batch.tallies.items()),
        sorted(astuple(feature) for feature in batch.features.values()),
    )
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _integers(values: Iterable[int]) -> bytes:
    return np.fromiter(values, dtype="<u8").tobytes()
