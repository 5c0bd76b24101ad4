"""The ledger: what has arrived, in SQLite. What `add` returned from survives a power cut.

Write-ahead log with synchronous=FULL, so every commit is fsynced before it counts, and one commit for whatever waits at
the time. The ledger holds who said what under which name; the facts themselves wait in `pending` until `roll` has
put them into Parquet files, which `part` lists. A file that is not listed there does not exist.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from edge_rai.errors import StoreError
from edge_rai.events import Windows
from edge_rai.fleet.decode_events import DeviceEvent
from edge_rai.fleet.facts import Facts
from edge_rai.fleet.ranges import add_range, has_all, has_some

FILE_NAME: Final = "fleet.sqlite3"
FOLDER: Final = "facts"
SCHEMA_VERSION: Final = 3

_APPLICATION_ID: Final = 0x45524149  # "ERAI"
_BUSY_TIMEOUT_S: Final = 10.0
_MOST_KNOWN_REFERENCES: Final = 1 << 16
_SCHEMA: Final = """
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    instance TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    content BLOB NOT NULL,            -- SHA-256 of everything that was counted
    received_unix_ns INTEGER NOT NULL,
    windows TEXT NOT NULL,            -- ranges that it accounts for, a JSON array of [epoch, first, count]
    calls INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    UNIQUE (instance, epoch, sequence)
) STRICT;
CREATE TABLE span (                   -- windows that arrived; neighbours are one row: between rows some are missing
    instance TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (instance, epoch, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE forgotten_span (         -- windows of batches that retention has forgotten, likewise
    instance TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (instance, epoch, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE forgotten_event (        -- numbers of events that it has, likewise
    instance TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (instance, epoch, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE event (
    instance TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    received_unix_ns INTEGER NOT NULL,
    PRIMARY KEY (instance, epoch, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE reference (
    digest TEXT PRIMARY KEY           -- SHA-256 of guard digest, name, bounds and counts
) STRICT, WITHOUT ROWID;
CREATE TABLE pending (                -- facts that are in no Parquet file yet; an id is never given again
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,               -- batch, event or reference
    received_unix_ns INTEGER NOT NULL,
    facts TEXT NOT NULL               -- a JSON object
) STRICT;
CREATE TABLE part (                   -- the Parquet files
    path TEXT PRIMARY KEY,
    dataset TEXT NOT NULL,
    day TEXT NOT NULL,
    level INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE alert (                  -- what the alerts' rules remember from one look to the next
    rule TEXT NOT NULL,
    subject TEXT NOT NULL,
    raised INTEGER NOT NULL,          -- 0 or 1
    looks INTEGER NOT NULL,           -- in a row that spoke against `raised`
    PRIMARY KEY (rule, subject)
) STRICT, WITHOUT ROWID;
CREATE TABLE notice (                 -- what was or is to be told, once for each sink
    id INTEGER PRIMARY KEY,
    sink TEXT NOT NULL,
    made_unix_ns INTEGER NOT NULL,
    body TEXT NOT NULL,               -- a JSON object
    told_unix_ns INTEGER,             -- NULL: not yet
    message INTEGER                   -- notices that were told together have the same
) STRICT;
"""


class Outcome(Enum):
    """What became of a batch."""

    STORED = "stored"
    DUPLICATE = "duplicate"  # the same batch again; nothing changed
    CONFLICT = "conflict"  # another batch under the same identity, or of windows that are stored; nothing changed


class Stored(NamedTuple):
    """What the ledger says of one batch; windows are counted, rows are those of all verdicts."""

    instance: str
    epoch: int
    sequence: int
    windows: int
    calls: int
    rows: int


class Store:
    """The fleet's ledger in a directory. Any thread."""

    def __init__(self, directory: Path) -> None:
        """Opens the store, making the directory and its file when missing.

        Raises:
            StoreError: It is not a store, or a newer one, or cannot be opened.
            OSError: The directory cannot be made.
        """
        _make_directory(directory)
        self.directory = directory
        path = directory / FILE_NAME
        self._lock = threading.Lock()
        self._references: set[bytes] = set()  # of whole batches
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
        execute("BEGIN IMMEDIATE")  # two collectors may start at once
        try:
            if not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                _require_no_facts(path)
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

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is durable when the block ends, none of it when the block raises.

        Raises:
            StoreError: Nothing was stored: the disk is full, read-only or faulty.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(f"the store cannot be written: {error}") from error
            finally:
                if self._connection.in_transaction:  # whatever it was that went wrong
                    self._connection.rollback()
                    self._references.clear()  # some may be of the transaction that never was

    def add(self, batches: Sequence[Facts], received_unix_ns: int, events: Sequence[DeviceEvent] = ()) -> list[Outcome]:
        """Stores batches and events in one transaction: all are durable when it returns, none when it raises.

        Args:
            batches: In any order; the same one may come again.
            received_unix_ns: The collector's wall clock.
            events: Likewise; one whose name is stored changes nothing.

        Returns:
            What became of each batch.

        Raises:
            StoreError: Nothing was stored: the disk is full, read-only or faulty.
        """
        with self.transaction() as connection:
            outcomes = [self._add_batch(connection, batch, received_unix_ns) for batch in batches]
            for event in events:
                _add_event(connection, event, received_unix_ns)
        return outcomes

    def _add_batch(self, connection: sqlite3.Connection, batch: Facts, received_unix_ns: int) -> Outcome:
        execute = connection.execute
        identity = (batch.instance, batch.epoch, batch.sequence)
        if any(has_some(connection, "span", batch.instance, one) for one in batch.windows):
            return _known_outcome(connection, batch)
        for one in batch.windows:
            add_range(connection, "span", batch.instance, one)
        execute(
            "INSERT INTO batch VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, batch.content, received_unix_ns, json.dumps(batch.windows), batch.calls, batch.rows),
        )
        _add_pending(connection, "batch", received_unix_ns, batch.text)
        digest, lines = batch.references
        if digest not in self._references:
            self._add_references(connection, lines, received_unix_ns)
            self._references.add(digest)
        return Outcome.STORED

    def _add_references(self, connection: sqlite3.Connection, lines: str, received_unix_ns: int) -> None:
        if len(self._references) >= _MOST_KNOWN_REFERENCES:
            self._references.clear()
        for line in lines.splitlines():
            if connection.execute("INSERT OR IGNORE INTO reference VALUES (?)", (json.loads(line)["digest"],)).rowcount:
                _add_pending(connection, "reference", received_unix_ns, line)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()


def stored(directory: Path) -> list[Stored]:
    """All batches of the ledger.

    Raises:
        StoreError: There is no store, or it is not one, or a newer one.
    """
    query = "SELECT instance, epoch, sequence, windows, calls, rows FROM batch ORDER BY instance, epoch, sequence"
    with closing(open_read_only(directory)) as connection:
        return [
            Stored(instance, epoch, sequence, sum(count for _, _, count in json.loads(windows)), calls, rows)
            for instance, epoch, sequence, windows, calls, rows in connection.execute(query)
        ]


def _known_outcome(connection: sqlite3.Connection, batch: Facts) -> Outcome:
    """Of a batch some of whose windows are stored, as its own one is wherever it is stored itself."""
    identity = (batch.instance, batch.epoch, batch.sequence)
    query = "SELECT content FROM batch WHERE (instance, epoch, sequence) = (?, ?, ?)"
    known = connection.execute(query, identity).fetchone()
    if known:
        return Outcome.DUPLICATE if known[0] == batch.content else Outcome.CONFLICT
    forgotten = all(has_all(connection, "forgotten_span", batch.instance, one) for one in batch.windows)
    return Outcome.DUPLICATE if forgotten else Outcome.CONFLICT


def _add_event(connection: sqlite3.Connection, event: DeviceEvent, received_unix_ns: int) -> None:
    if has_all(connection, "forgotten_event", event.instance, Windows(event.epoch, event.number, 1)):
        return
    row = (event.instance, event.epoch, event.number, received_unix_ns)
    if connection.execute("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?)", row).rowcount:
        _add_pending(connection, "event", received_unix_ns, json.dumps(event._asdict()))


def _add_pending(connection: sqlite3.Connection, kind: str, received_unix_ns: int, facts: str) -> None:
    connection.execute("INSERT INTO pending VALUES (NULL, ?, ?, ?)", (kind, received_unix_ns, facts))


def _make_directory(directory: Path) -> None:
    """Makes it durably: SQLite syncs its files and their directory, but not the directory's own entry."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Has the disk know a directory's entries."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_read_only(directory: Path) -> sqlite3.Connection:
    """Opens a store for reading, also while a collector writes to it. The caller closes it.

    Raises:
        StoreError: There is no store, or it is not one, or a newer one.
    """
    path = require_store(directory)
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


def require_store(directory: Path) -> Path:
    """The ledger's file.

    Raises:
        StoreError: There is none.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        raise StoreError(f"no store at {path}; `edge-rai collect --store {directory}` makes one")
    return path


def _require_no_facts(path: Path) -> None:
    """Facts that a new ledger does not list would be removed."""
    if next((path.parent / FOLDER).glob("*/*/*.parquet"), None):
        raise StoreError(
            f"{path} is missing or empty, and {path.parent / FOLDER} has facts: put the ledger back with its -wal, "
            "or give another directory"
        )


def _require_known_schema(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite file of something else; give another directory")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version}, this build understands {SCHEMA_VERSION}; "
            "use the edge_rai that wrote it"
        )
