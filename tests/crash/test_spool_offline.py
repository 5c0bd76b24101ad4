from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

from edge_rai import SpoolError
from edge_rai._native import NativeSpool
from edge_rai.events import Expiry
from edge_rai.telemetry.spool import CORRUPT, BatchFile, NotReadableYetError, Spool
from support.kernel_cuts import Machine, total_rows
from support.spools import ROW, offline, small_session


def test_days_offline_at_256_kib_lose_no_count_whatever_the_clock_says(linear_bundle: Path, quick_path: Path) -> None:
    found = offline(linear_bundle, quick_path, days=3, seed=1)
    lengths = sorted(sum(window.length for window in one.windows) for one in found)
    assert lengths[-1] < 4 * 3 * 24 * 60 / len(found)
    assert any(one.events for one in found)


def test_disk_that_is_full_for_an_hour_stops_no_prediction_and_costs_no_count(
    linear_bundle: Path, tmp_path: Path
) -> None:
    machine = Machine(tmp_path)
    path, filler = machine.mount_point / "spool", machine.mount_point / "filler"
    failures = rows = 0
    try:
        with small_session(linear_bundle, path) as session:
            for minute in range(-5, 65):
                if minute == 0:
                    fill(filler)
                if minute == 60:
                    filler.unlink()
                for _ in range(3):
                    session.predict([ROW])
                    rows += 1
                try:
                    session.flush()
                except SpoolError:
                    failures += 1
        assert total_rows(path) == rows
        assert failures < 5  # the reserve lets windows be stored in the place of others
    finally:
        machine.unmount()


def fill(path: Path) -> None:
    """Takes what is left of the disk, to the last block."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def set_aside_if_bad(spool: Spool, batch: BatchFile) -> None:
    try:
        spool.read(batch)
    except NotReadableYetError:
        batch.path.write_bytes(b"")  # a flipped bit of the version's lower half
        spool.set_aside(batch, CORRUPT)
    except SpoolError:
        spool.set_aside(batch, CORRUPT)


def test_damage_costs_what_it_touches_and_opening_stays_quick(linear_bundle: Path, tmp_path: Path) -> None:
    chance = random.Random(7)
    with small_session(linear_bundle, tmp_path, events=20, sample_one_in=2) as session:
        for _ in range(40):
            for _ in range(5):
                session.predict([ROW])
            session.flush()
        spool = Spool(tmp_path)
        touched = chance.sample(spool.batches(), 12)
        for batch in touched:
            data = bytearray(batch.path.read_bytes())
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            batch.path.write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
        began = time.monotonic()
        NativeSpool(str(tmp_path))
        assert time.monotonic() - began < 1
        for batch in spool.batches():
            set_aside_if_bad(spool, batch)
        session.flush()
    found = [spool.read(batch) for batch in spool.batches()]
    gone = found[-1].expired[Expiry.CORRUPT]
    assert len(found) == 40 - 12 + 1
    assert gone.windows == 12
    assert gone.rows == 5 * (gone.windows - gone.unknown)
    assert sum(one.rows for one in found) == 5 * 28
