"""Created = delivered + queued + expired, by reason and exactly, whatever becomes of the files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge_rai import SpoolError
from edge_rai._native import NativeSession, merge_batches, read_snapshot
from edge_rai.events import Expiry
from edge_rai.telemetry.spool import CORRUPT, REFUSED, BatchFile, Spool
from support.spools import ROW, Ledger, disjoint, expired_rows, small_session, used_bytes

QUOTA = 96 << 10


def snapshots(path: Path) -> list:
    spool = Spool(path)
    return [spool.read(batch) for batch in spool.batches()]


def flush(session: NativeSession) -> str:
    """What it said when the spool was full; empty when the window was stored."""
    try:
        session.flush()
    except SpoolError as error:
        said = str(error)
        if "is full: of" not in said:
            raise
        return said
    return ""


def test_full_spool_merges_neighbours_and_keeps_every_count_within_its_quota(
    linear_bundle: Path, tmp_path: Path
) -> None:
    ledger = Ledger()
    with small_session(linear_bundle, tmp_path, QUOTA) as session:
        for _ in range(150):
            session.predict([ROW])
            ledger.rows += 1
            session.flush()
            assert used_bytes(tmp_path) <= QUOTA
    ledger.check(tmp_path)
    found = snapshots(tmp_path)
    assert sum(window.length for one in found for window in one.windows) == 150
    assert sum(gone.rows for one in found for gone in one.expired) == 0
    merged = sorted(sum(window.length for window in one.windows) for one in found)
    assert merged[-1] > 1
    assert merged[-1] <= 4 * merged[len(merged) // 2]  # resolution falls evenly


def test_batch_that_was_offered_is_never_merged(linear_bundle: Path, tmp_path: Path) -> None:
    with small_session(linear_bundle, tmp_path, QUOTA) as session:
        session.flush()
        first = Spool(tmp_path).batches()[0]
        assert Spool(tmp_path).offer(first)
        before = first.path.read_bytes()
        for _ in range(60):
            session.flush()
        assert first.path.read_bytes() == before
        assert disjoint([window for one in snapshots(tmp_path) for window in one.windows])


def test_spool_full_of_offered_batches_refuses_the_flush_and_the_session_keeps_its_counts(
    linear_bundle: Path, tmp_path: Path
) -> None:
    ledger, rows = Ledger(), 0
    with small_session(linear_bundle, tmp_path, QUOTA) as session:
        spool = Spool(tmp_path)
        while not flush(session):
            session.predict([ROW])
            rows += 1
            for batch in spool.batches():
                assert spool.offer(batch)
        ledger.rows = rows
        ledger.check(tmp_path, waiting=1)
        for batch in spool.batches():
            ledger.receive(spool.read(batch))
            spool.remove(batch)
        session.flush()
    ledger.check(tmp_path)


@pytest.mark.parametrize("damage", ["a flipped byte", "cut off after the head"])
def test_corrupt_batch_is_counted_exactly_in_the_next_one(linear_bundle: Path, tmp_path: Path, damage: str) -> None:
    with small_session(linear_bundle, tmp_path) as session:
        for rows in (2, 3, 4):
            for _ in range(rows):
                session.predict([ROW])
            session.flush()
        spool = Spool(tmp_path)
        victim = spool.batches()[1]
        data = bytearray(victim.path.read_bytes())
        data[-1] ^= 1
        victim.path.write_bytes(bytes(data) if damage == "a flipped byte" else bytes(data[:200]))
        spool.set_aside(victim, CORRUPT)
        session.flush()
    last = snapshots(tmp_path)[-1]
    gone = last.expired[Expiry.CORRUPT]
    assert (gone.windows, gone.unknown, gone.calls, gone.rows) == (1, 0, 3, 3)
    assert [(window.first, window.length) for window in last.windows] == [(1, 1), (3, 1)]
    assert [file.suffix for file in (tmp_path / CORRUPT).iterdir()] == [".counted"]


def test_batch_whose_head_is_gone_is_counted_as_a_window_that_nobody_knows(linear_bundle: Path, tmp_path: Path) -> None:
    with small_session(linear_bundle, tmp_path) as session:
        for _ in range(3):
            session.flush()
        spool = Spool(tmp_path)
        victim = spool.batches()[1]
        victim.path.write_bytes(b"")
        spool.set_aside(victim, CORRUPT)
        session.flush()
    gone = snapshots(tmp_path)[-1].expired[Expiry.CORRUPT]
    assert (gone.windows, gone.unknown, gone.rows) == (1, 1, 0)


def test_corrupt_batch_of_a_full_spool_is_set_aside_and_counted_without_an_agent(
    linear_bundle: Path, tmp_path: Path
) -> None:
    with small_session(linear_bundle, tmp_path, QUOTA) as session:
        for _ in range(10):
            session.predict([ROW])
            session.flush()
        for batch in Spool(tmp_path).batches()[2:6]:
            batch.path.write_bytes(batch.path.read_bytes()[:-1])
        for _ in range(60):
            session.predict([ROW])
            session.flush()
    found = snapshots(tmp_path)
    assert expired_rows(found, Expiry.CORRUPT) == 4
    assert sum(one.rows for one in found) == 66
    assert used_bytes(tmp_path) <= QUOTA


def test_what_was_set_aside_is_counted_once_also_when_the_power_goes_between(
    linear_bundle: Path, tmp_path: Path
) -> None:
    with small_session(linear_bundle, tmp_path) as session:
        session.predict([ROW])
        session.flush()
        spool = Spool(tmp_path)
        spool.set_aside(spool.batches()[0], REFUSED)
        session.flush()
    (counted,) = (tmp_path / REFUSED).iterdir()
    counted.rename(counted.with_suffix(".batch"))  # the power went before this rename was durable
    with small_session(linear_bundle, tmp_path) as session:
        session.flush()
    assert expired_rows(snapshots(tmp_path), Expiry.REFUSED) == 1


def test_merge_that_was_cut_short_is_ended_before_the_merged_file_can_leave(
    linear_bundle: Path, tmp_path: Path
) -> None:
    with small_session(linear_bundle, tmp_path) as session:
        for _ in range(2):
            session.predict([ROW])
            session.flush()
    spool = Spool(tmp_path)
    first, second = spool.batches()
    merged = merge_batches(first.path.read_bytes(), second.path.read_bytes())
    second.path.write_bytes(merged)
    first.path.rename(first.path.with_suffix(".merging"))
    assert spool.offer(second)
    assert [path.suffix for path in sorted(tmp_path.glob("*-*")) if path.suffix in (".batch", ".merging")] == [".batch"]
    assert read_snapshot(second.path.read_bytes()).rows == 2
    # And one of which the merged file never came to be durable comes back.
    second.path.rename(second.path.with_suffix(".merging"))
    Spool(tmp_path).offer(second)
    assert [batch.sequence for batch in spool.batches()] == [second.sequence]


def deliver(spool: Spool, batch: BatchFile, ledger: Ledger, *, lost: bool) -> None:
    """Sends a batch; with ``lost`` the receipt does not come back."""
    if not spool.offer(batch):
        return
    ledger.receive(spool.read(batch))
    if not lost:
        spool.remove(batch)


def take_a_step(path: Path, chance: random.Random, ledger: Ledger) -> None:
    """What may happen to a spool beside flushes."""
    spool = Spool(path)
    found = spool.batches()
    if not found:
        return
    batch = chance.choice(found)
    step = chance.random()
    if step < 0.5:
        deliver(spool, found[0], ledger, lost=chance.random() < 0.3)
    elif step < 0.7 and not batch.path.with_suffix(".offered").exists():
        spool.set_aside(batch, chance.choice([CORRUPT, REFUSED]))


@pytest.mark.parametrize("seed", range(4))
def test_random_life_of_a_spool_conserves_every_row(linear_bundle: Path, tmp_path: Path, seed: int) -> None:
    chance, ledger = random.Random(seed), Ledger()
    for _ in range(4):
        with small_session(linear_bundle, tmp_path, 64 << 10) as session:
            waiting = 0
            for _ in range(25):
                for _ in range(chance.randrange(3)):
                    session.predict([ROW])
                    ledger.rows += 1
                    waiting += 1
                if not flush(session):
                    waiting = 0
                take_a_step(tmp_path, chance, ledger)
                ledger.check(tmp_path, waiting)
            ledger.rows -= waiting  # what a session that ends has not flushed is gone, and was never said to be stored
    ledger.check(tmp_path)
