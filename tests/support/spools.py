"""A session with a small spool, and what is in it, held against what was created."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from edge_rai._native import ManualClock, NativeSession
from edge_rai.backends.opening import open_session
from edge_rai.counts import Snapshot
from edge_rai.events import Expiry, Windows
from edge_rai.telemetry.spool import CORRUPT, REFUSED, Spool

ROW = np.ones((1, 3), np.float32)
BAD_ROW = np.array([[1, np.nan, 1]], np.float32)
YEAR_NS = 366 * 86400 * 10**9


@contextmanager
def small_session(
    bundle: Path, spool: Path, quota_bytes: int = 0, clock: ManualClock | None = None, **config: int
) -> Iterator[NativeSession]:
    """A session whose spool has a quota."""
    session = open_session(
        str(bundle),
        runtime=None,
        spool=str(spool),
        threads=1,
        clock=clock,
        provider=None,
        provider_path=None,
        cache_bytes=0,
        spool_quota_bytes=quota_bytes,
        **config,
    )
    try:
        yield session
    finally:
        session.close()


def offline(bundle: Path, path: Path, days: int, seed: int) -> list[Snapshot]:
    """A device that nobody hears of: a flush a minute, a restart a day, and a wall clock that jumps by decades.

    Returns:
        The batches that are in its spool of 256 KiB afterwards.
    """
    chance, rows = random.Random(seed), 0
    clock = ManualClock(unix_ns=10**18)
    for _ in range(days):
        with small_session(bundle, path, 256 << 10, clock, events=50, sample_one_in=50) as session:
            for _ in range(24 * 60):
                for _ in range(chance.randrange(3)):
                    session.predict([ROW if chance.random() < 0.95 else BAD_ROW])
                    rows += 1
                clock.monotonic_ns += 60 * 10**9
                clock.unix_ns += 60 * 10**9
                if chance.random() < 0.01:
                    clock.unix_ns = 10**18 + chance.randrange(-20 * YEAR_NS, 20 * YEAR_NS)
                session.flush()
        assert used_bytes(path) <= 256 << 10
    spool = Spool(path)
    found = [spool.read(batch) for batch in spool.batches()]
    assert disjoint([window for one in found for window in one.windows])
    assert sum(window.length for one in found for window in one.windows) == days * 24 * 60
    assert sum(one.rows for one in found) == rows
    for one in found:
        assert sum(one.events_by_class) == len(one.events) + sum(gone.events for gone in one.expired)
        assert [gone.windows for gone in one.expired] == [0] * len(Expiry)
    return found


class Ledger:
    """What was created, and what a receiver has got: the other side of the equation."""

    def __init__(self) -> None:
        self.rows = 0
        self.received: list[Snapshot] = []

    def receive(self, snapshot: Snapshot) -> None:
        """Takes a batch as a collector does: one of a name that it has already changes nothing."""
        names = {(one.epoch, one.sequence) for one in self.received}
        if (snapshot.epoch, snapshot.sequence) not in names:
            self.received.append(snapshot)

    def check(self, path: Path, waiting: int = 0) -> None:
        """Every row that was created is delivered, queued, set aside, expired, or waits in memory; and only once."""
        spool = Spool(path)
        queued = [spool.read(batch) for batch in spool.batches()]
        names = {(one.epoch, one.sequence) for one in self.received}
        files = self.received + [one for one in queued if (one.epoch, one.sequence) not in names]
        aside = set_aside_rows(path)
        assert disjoint([window for one in files for window in one.windows])
        expired = sum(gone.rows for one in files for gone in one.expired)
        assert self.rows == sum(one.rows for one in files) + expired + aside + waiting
        for one in files:
            kept = sum(one.events_by_class) - sum(gone.events for gone in one.expired)
            assert kept == len(one.events)


def set_aside_rows(path: Path) -> int:
    """Rows that files account for which were set aside whole, and which no batch counts yet."""
    rows = 0
    for folder in (CORRUPT, REFUSED):
        if (path / folder).is_dir():
            aside = Spool(path / folder)
            found = [aside.read(batch) for batch in aside.batches()]
            rows += sum(one.rows + sum(gone.rows for gone in one.expired) for one in found)
    return rows


def disjoint(windows: list[Windows]) -> bool:
    """Whether no window is in two of these ranges."""
    ordered = sorted(windows)
    return all(one.epoch != other.epoch or one.first + one.length <= other.first for one, other in pairwise(ordered))


def expired_rows(snapshots: list[Snapshot], why: Expiry) -> int:
    return sum(one.expired[why].rows for one in snapshots)


def used_bytes(path: Path) -> int:
    """What the quota is about: every file, in blocks of 4,096 bytes."""
    return sum(-(-file.stat().st_size // 4096) * 4096 for file in path.rglob("*") if file.is_file())
