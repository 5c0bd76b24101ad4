"""Keeps a store up: rolls what has arrived, and forgets what is old.

Facts go by the day of their receipt, and the ledger's rows of batches and events with them. What arrived stays known,
as ranges: a batch or an event that comes again after it was forgotten gets its receipt and changes nothing. Its
contents are not compared any more.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Final

from edge_rai.errors import StoreError
from edge_rai.events import Windows
from edge_rai.fleet.ranges import add_range
from edge_rai.fleet.roll import day, locked, remove_unlisted, roll
from edge_rai.fleet.store import Store

_INTERVAL_S: Final = 5.0
_DAY_NS: Final = 86_400_000_000_000
_AT_ONCE: Final = 1000  # rows a transaction: receipts wait for it

_log = logging.getLogger(__name__)


@contextmanager
def kept_up(store: Store, keep_days: int | None) -> Iterator[None]:
    """Rolls every few seconds, and forgets when a day has ended, on a thread until the block ends.

    Args:
        store: The ledger.
        keep_days: None: nothing is forgotten.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_keep_up, args=(store, keep_days, stop), name="edge-rai-roll", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keep_up(store: Store, keep_days: int | None, stop: threading.Event) -> None:
    done = ""
    while not stop.wait(_INTERVAL_S):
        now = time.time_ns()
        with _told():
            roll(store)
            if keep_days and done != day(now):
                forget(store, keep_days, now)
                done = day(now)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (StoreError, OSError) as error:
        _log.error("%s; it is tried again", error)


def forget(store: Store, keep_days: int, now_unix_ns: int) -> int:
    """Forgets what was received before the day `keep_days` days ago began, in UTC. Any process, beside any other.

    References are kept: they are few, and what is kept is measured against them.

    Args:
        store: The ledger.
        keep_days: At least 1.
        now_unix_ns: The collector's wall clock.

    Returns:
        How many batches.

    Raises:
        StoreError: The ledger cannot be written.
        OSError: A file cannot be removed.
    """
    roll(store)
    first_kept = day(now_unix_ns - keep_days * _DAY_NS)
    before = int(datetime.fromisoformat(first_kept).replace(tzinfo=timezone.utc).timestamp()) * 10**9
    with locked(store.directory, exclusive=True):
        with store.transaction() as connection:
            query = "DELETE FROM part WHERE day < ? AND level >= 0 AND dataset != 'references'"
            connection.execute(query, (first_kept,))
        remove_unlisted(store)
    forgotten = 0
    while count := _forget_batches(store, before):
        forgotten += count
    while _forget_events(store, before):
        pass
    if forgotten:
        _log.info("forgot %d batches received before %s", forgotten, first_kept)
    return forgotten


def _forget_batches(store: Store, before_unix_ns: int) -> int:
    with store.transaction() as connection:
        query = "SELECT id, instance, windows FROM batch WHERE received_unix_ns < ? ORDER BY id LIMIT ?"
        old = connection.execute(query, (before_unix_ns, _AT_ONCE)).fetchall()
        for number, instance, windows in old:
            for one in json.loads(windows):
                add_range(connection, "forgotten_span", instance, Windows(*one))
            connection.execute("DELETE FROM batch WHERE id = ?", (number,))
    return len(old)


def _forget_events(store: Store, before_unix_ns: int) -> int:
    with store.transaction() as connection:
        query = "SELECT instance, epoch, number FROM event WHERE received_unix_ns < ? LIMIT ?"
        old = connection.execute(query, (before_unix_ns, _AT_ONCE)).fetchall()
        for name in old:
            _forget_event(connection, *name)
    return len(old)


def _forget_event(connection: sqlite3.Connection, instance: str, epoch: int, number: int) -> None:
    add_range(connection, "forgotten_event", instance, Windows(epoch, number, 1))
    connection.execute("DELETE FROM event WHERE (instance, epoch, number) = (?, ?, ?)", (instance, epoch, number))
