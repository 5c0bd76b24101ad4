from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pytest

from edge_rai.cli import main
from edge_rai.errors import StoreError
from edge_rai.events import Windows
from edge_rai.fleet.roll import roll
from edge_rai.fleet.store import FILE_NAME, Outcome, Store
from support.fleets import HOUR_NS, OTHER, batch_of, open_store, seen, store_all, with_radius
from support.telemetry import FEATURES, snapshot

DAY_NS = 24 * HOUR_NS


def listed(directory: Path) -> set[str]:
    with closing(Store(directory)) as store, store.transaction() as connection:
        return {path for (path,) in connection.execute("SELECT path FROM part")}


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in (directory / "facts").glob("*/*/*")}


def test_facts_stand_in_a_directory_a_day_and_nothing_waits(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(0), at=20_000 * DAY_NS)
    store_all(tmp_path, snapshot(1), at=20_001 * DAY_NS)
    with open_store(tmp_path) as (store, _):
        assert {path.parent.name for path in (tmp_path / "facts/batches").glob("*/0*")} == {
            "day=2024-10-04",
            "day=2024-10-05",
        }
        with store.transaction() as connection:
            assert connection.execute("SELECT count(*) FROM pending").fetchone() == (0,)
    with closing(Store(tmp_path)) as store:
        assert roll(store) == 0
    assert files(tmp_path) == listed(tmp_path)


def test_many_small_files_become_few_and_say_the_same(tmp_path: Path) -> None:
    for sequence in range(10):
        store_all(tmp_path, with_radius([sequence, 1, 0, 2], sequence), at=sequence)
        with open_store(tmp_path):
            pass
    # One of eight, two of one.
    assert len([path for path in files(tmp_path) if path.startswith("facts/batches/day=1970")]) == 3
    assert files(tmp_path) == listed(tmp_path)
    found = seen(tmp_path)
    assert found.feature("radius").window == (45, 10, 0, 20)
    assert (found.group.batches, found.devices[0].missing) == (10, {})


def test_file_that_the_ledger_does_not_list_is_removed_and_not_read(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot())
    with open_store(tmp_path):
        pass
    (known,) = tmp_path.glob("facts/batches/day=1970*/*.parquet")
    stray = known.with_name("000000000009-000000000009-0.parquet")
    stray.write_bytes(known.read_bytes())
    known.with_name(".half.parquet").write_bytes(b"half")
    assert seen(tmp_path).group.batches == 1
    assert files(tmp_path) == listed(tmp_path)


@pytest.mark.parametrize("is_empty", [True, False], ids=["empty", "missing"])
def test_facts_whose_ledger_is_gone_are_not_removed(tmp_path: Path, is_empty: bool) -> None:
    store_all(tmp_path, snapshot())
    expected = seen(tmp_path)
    ledger = tmp_path / FILE_NAME
    kept = ledger.read_bytes()
    ledger.write_bytes(b"") if is_empty else ledger.unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match="put the ledger back"):
            Store(tmp_path)
    ledger.write_bytes(kept)
    assert seen(tmp_path) == expected


def test_facts_are_rolled_so_many_bytes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_all(tmp_path, *(with_radius([sequence, 1, 0, 2], sequence) for sequence in range(3)))
    with closing(Store(tmp_path)) as store:
        monkeypatch.setattr("edge_rai.fleet.roll._ENOUGH_BYTES", 1)
        assert roll(store) == 6  # three batches and three references
    assert len([path for path in files(tmp_path) if path.startswith("facts/batches/day=1970")]) == 3
    found = seen(tmp_path)
    assert (found.feature("radius").window, found.group.batches) == ((3, 3, 0, 6), 3)


def test_roll_takes_memory_for_what_it_rolls_and_not_for_what_might_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda: connect(config={"memory_limit": "100MB", "threads": 2}))
    many = tuple(FEATURES[0]._replace(name=f"{index:01024}") for index in range(2000))  # a line of 4 MB
    long = snapshot(1, features=tuple(snapshot().features[0] for _ in many))
    store_all(tmp_path, long, features=many)
    store_all(tmp_path, snapshot(0))
    with closing(Store(tmp_path)) as store:
        assert roll(store) == 2005


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from edge_rai.fleet.roll import roll
from edge_rai.fleet.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
roll(store)
time.sleep(60)
"""


def test_roll_killed_anywhere_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    made = np.zeros(4, int)
    for round_number in range(4):
        for sequence in range(round_number * 3, round_number * 3 + 3):
            bins = rng.integers(0, 50, 4)
            made += bins
            store_all(tmp_path, with_radius(bins.tolist(), sequence), at=round_number)
        child = [sys.executable, "-c", KILLED, tmp_path, str(float(rng.random()) * 0.1)]
        with subprocess.Popen(child, stdout=subprocess.PIPE, cwd=tmp_path) as process:
            assert process.wait(timeout=120) == -signal.SIGKILL
    found = seen(tmp_path)
    assert found.feature("radius").window == tuple(made.tolist())
    assert found.group.batches == 12
    assert files(tmp_path) == listed(tmp_path)


def test_batch_of_windows_that_are_stored_is_refused_whichever_way_they_overlap(tmp_path: Path) -> None:
    def add(sequence: int, *windows: Windows) -> Outcome:
        with closing(Store(tmp_path)) as store:
            (outcome,) = store.add([batch_of(snapshot(sequence, windows=windows, calls=sequence))], 0)
            return outcome

    assert add(12, Windows(7, 10, 3)) is Outcome.STORED
    for first, length in ((9, 2), (10, 1), (11, 5), (12, 1), (5, 20)):
        assert add(first + length - 1, Windows(7, first, length)) is Outcome.CONFLICT
    assert add(9, Windows(7, 9, 1)) is Outcome.STORED
    assert add(13, Windows(7, 13, 1)) is Outcome.STORED
    assert add(8, Windows(6, 11, 1), Windows(7, 8, 1)) is Outcome.STORED


def test_what_is_said_of_a_device_may_change_between_two_tries(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        assert store.add([batch_of(snapshot(), site="Oslo")], 0) == [Outcome.STORED]
        assert store.add([batch_of(snapshot(), site="Rome", firmware="2")], 0) == [Outcome.DUPLICATE]
    assert seen(tmp_path).devices[0].site == "Oslo"


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson"])
def test_export_writes_one_file_that_others_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    now = time.time_ns()
    store_all(tmp_path, snapshot(0), at=now - 5 * HOUR_NS)
    store_all(tmp_path, snapshot(0, instance=OTHER), at=now)
    path = tmp_path / f"it's all{suffix}"
    assert main(["fleet", "export", "--store", str(tmp_path), "--hours", "2", "batches", str(path)]) == 0
    assert capsys.readouterr().out == f"1 rows in {path}\n"
    reader = {".parquet": "read_parquet", ".csv": "read_csv", ".ndjson": "read_json"}[suffix]
    found = duckdb.execute(f"SELECT instance, calls FROM {reader}(?)", [str(path)]).fetchall()
    assert found == [(OTHER, 13)]
    assert main(["fleet", "export", "--store", str(tmp_path), "batches", str(tmp_path / "x.xls")]) == 2


def test_reference_is_kept_once_for_all_devices_and_restarts(tmp_path: Path) -> None:
    store_all(tmp_path, snapshot(0), snapshot(1))
    store_all(tmp_path, snapshot(2), snapshot(0, instance=OTHER))
    with open_store(tmp_path):
        pass
    path = str(tmp_path / "facts/references/*/*.parquet")
    assert duckdb.execute("SELECT count(*), count(DISTINCT digest) FROM read_parquet(?)", [path]).fetchone() == (3, 3)
