from __future__ import annotations

import errno
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from edge_rai import Session, SpoolError, load
from edge_rai.counts import Snapshot
from edge_rai.telemetry.spool import Spool
from support.children import run_python
from support.faults import POWER_CUT, PRELUDE, build_faults

ROW = np.ones((1, 3), np.float32)


def batches(spool: Path) -> list[Snapshot]:
    """Every batch of a spool; fails when one is not whole."""
    reader = Spool(spool)
    snapshots = [reader.read(batch) for batch in reader.batches()]
    for snapshot in snapshots:
        assert len(reader.features(snapshot.guard_digest)) == len(snapshot.features)
    return snapshots


def rows(spool: Path) -> int:
    return sum(snapshot.rows for snapshot in batches(spool))


def predict(session: Session, count: int) -> None:
    for _ in range(count):
        session.predict(ROW)


# ---- A flush that fails ----


def replace_by_a_file(spool: Path) -> Callable[[], None]:
    aside = spool.rename(spool.with_name("aside"))
    spool.write_bytes(b"")
    return lambda: (spool.unlink(), aside.rename(spool))  # type: ignore[func-returns-value, return-value]


def remove(spool: Path) -> Callable[[], None]:
    aside = spool.rename(spool.with_name("aside"))
    return lambda: aside.rename(spool)  # type: ignore[return-value]


def take_the_room(spool: Path) -> Callable[[], None]:
    assert spool.is_dir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, limits[1]))  # Python ignores SIGXFSZ
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("break_it", [replace_by_a_file, remove, take_the_room])
def test_failed_flush_loses_nothing(
    linear_bundle: Path, tmp_path: Path, break_it: Callable[[Path], Callable[[], None]]
) -> None:
    spool = tmp_path / "spool"
    with load(linear_bundle, spool=spool) as session:
        predict(session, 3)
        session.flush()
        mend = break_it(spool)
        try:
            for _ in range(3):
                predict(session, 2)
                with pytest.raises(SpoolError, match="spool: writing .*spool/"):
                    session.flush()
        finally:
            mend()
        predict(session, 1)
        assert session.snapshot().rows == 7
        session.flush()
        session.flush()
    assert [(snapshot.sequence, snapshot.calls) for snapshot in batches(spool)] == [(0, 3), (1, 7), (2, 0)]
    first, second, _ = batches(spool)
    assert first.end_unix_ns == second.start_unix_ns
    assert [int(feature.histogram.sum()) for feature in second.features] == [7, 7, 7]
    assert not list(spool.glob(".writing-*"))


def test_spool_that_cannot_be_made_is_named(linear_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/below", tmp_path / "absent/below"):
        with pytest.raises(SpoolError, match=f"spool: making {path}"):
            load(linear_bundle, spool=path)


# ---- Epochs and names ----


def test_epochs_increase_and_sequences_are_contiguous(linear_bundle: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    instances = set()
    for opening in range(5):
        with load(linear_bundle, spool=spool) as session:
            for _ in range(opening + 1):
                predict(session, 1)
                session.flush()
        instances.add((spool / "instance").read_text())
    found = batches(spool)
    epochs = sorted({snapshot.epoch for snapshot in found})
    assert [epoch >> 32 for epoch in epochs] == [1, 2, 3, 4, 5]
    for opening, epoch in enumerate(epochs):
        sequences = [snapshot.sequence for snapshot in found if snapshot.epoch == epoch]
        assert sequences == list(range(opening + 1))
    assert len(instances) == 1
    assert {snapshot.instance for snapshot in found} == {instances.pop().strip()}
    assert [path.name for path in spool.glob("epoch-*")] == ["epoch-00000005"]
    assert len(list(spool.glob("guard-*.bin"))) == 1


def test_leftovers_of_ended_epochs_are_removed_and_nothing_else(linear_bundle: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    load(linear_bundle, spool=spool).close()
    ours = f".writing-{1 << 32 | 7:016x}-3"
    later = f".writing-{99 << 32:016x}-3"
    for name in (ours, later, ".hidden", "notes.txt", "epoch-0000zzzz"):
        (spool / name).write_bytes(b"half")
    load(linear_bundle, spool=spool).close()
    assert not (spool / ours).exists()
    for name in (later, ".hidden", "notes.txt", "epoch-0000zzzz"):
        assert (spool / name).exists()


@pytest.mark.parametrize(
    "text",
    [b"", b"0" * 32, b"0" * 33, b"g" * 32 + b"\n", b"A" * 32 + b"\n", b"0" * 32 + b"\n\n", b"\0" * 33, bytes(100)],
)
def test_damaged_instance_is_set_aside_and_costs_no_batch(linear_bundle: Path, tmp_path: Path, text: bytes) -> None:
    spool = tmp_path / "spool"
    with load(linear_bundle, spool=spool) as session:
        session.predict(np.ones((1, 3), np.float32))
    name = (spool / "instance").read_bytes()
    (spool / "instance").write_bytes(text)
    with load(linear_bundle, spool=spool) as session:
        session.predict(np.ones((1, 3), np.float32))
    assert (spool / "corrupt" / "instance").read_bytes() == text
    another = (spool / "instance").read_bytes()
    assert another != name
    names = [snapshot.instance for snapshot in batches(spool)]
    assert names == [name.decode().strip(), another.decode().strip()]


def test_used_up_epochs_say_so(linear_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "epoch-7fffffff").touch()
    with pytest.raises(SpoolError, match="used up its epochs"):
        load(linear_bundle, spool=tmp_path)


OPEN_MANY = """
import sys, numpy, edge_rai
sys.stdin.readline()
for _ in range(20):
    with edge_rai.load(sys.argv[1], spool=sys.argv[2]) as session:
        session.predict(numpy.ones((1, 3), numpy.float32))
        session.flush()
"""


def test_processes_that_open_a_spool_at_once_share_its_name_and_no_epoch(linear_bundle: Path, tmp_path: Path) -> None:
    code = "import sys; sys.path = [p for p in sys.path if p]\n" + OPEN_MANY
    spool = tmp_path / "spool"
    command = [sys.executable, "-c", code, str(linear_bundle), str(spool)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    found = batches(spool)
    assert len({snapshot.epoch for snapshot in found}) == len(found) == 60
    assert {snapshot.instance for snapshot in found} == {(spool / "instance").read_text().strip()}


def test_threads_that_open_a_new_spool_at_once_share_its_name(linear_bundle: Path, tmp_path: Path) -> None:
    for attempt in range(30):
        spool, started = tmp_path / str(attempt), threading.Barrier(4)

        def use(spool: Path = spool, started: threading.Barrier = started) -> None:
            started.wait()
            with load(linear_bundle, spool=spool, threads=1) as session:
                session.flush()

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = batches(spool)
        assert len({snapshot.epoch for snapshot in found}) == 4
        assert {snapshot.instance for snapshot in found} == {(spool / "instance").read_text().strip()}


# ---- Power cuts and refusals at every call ----

# Flushes 2, 3 and 4 rows, and says which flushes were stored.
FLUSH = (
    PRELUDE
    + """
import numpy, edge_rai
bundle, spool, nth, error = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
row = numpy.ones((1, 3), numpy.float32)
arm(nth, error)
try:
    session = edge_rai.load(bundle, spool=spool, threads=1)
except edge_rai.SpoolError as failure:
    disarm()
    print("not opened", failure)
    sys.exit(0)
for count in (2, 3, 4):
    for _ in range(count):
        session.predict(row)
    try:
        session.flush()
    except edge_rai.SpoolError as failure:
        print("refused", failure)
    else:
        print("stored", count, flush=True)
seen = disarm()
session.flush()
print("calls", seen)
"""
)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return build_faults(tmp_path_factory.mktemp("faults"))


def run_flushes(
    bundle: Path, spool: Path, faults: dict[str, str], nth: int, error: int
) -> subprocess.CompletedProcess[str]:
    return run_python(FLUSH, bundle, spool, str(nth), str(error), environment=faults)


@pytest.fixture(scope="module")
def call_count(linear_bundle: Path, tmp_path_factory: pytest.TempPathFactory, faults: dict[str, str]) -> int:
    """Calls that change the file system in a run of FLUSH on a new spool."""
    spool = tmp_path_factory.mktemp("count") / "spool"
    child = run_flushes(linear_bundle, spool, faults, 0, 0)
    assert child.returncode == 0, child.stderr
    assert rows(spool) == 9
    return int(child.stdout.rsplit("calls ", 1)[1])


def test_power_cut_at_every_call_leaves_whole_files_and_every_stored_batch(
    linear_bundle: Path, tmp_path: Path, faults: dict[str, str], call_count: int
) -> None:
    assert call_count > 20
    for nth in range(1, call_count + 1):
        spool = tmp_path / str(nth)
        child = run_flushes(linear_bundle, spool, faults, nth, 0)
        assert child.returncode == POWER_CUT, (nth, child.stderr)
        stored = [int(line.split()[1]) for line in child.stdout.splitlines()]
        found = [snapshot.rows for snapshot in batches(spool)] if spool.exists() else []
        # The batch being flushed when the power went may be there as well, whole.
        assert found in (stored, [2, 3, 4][: len(stored) + 1]), nth
        earlier = {snapshot.epoch for snapshot in batches(spool)} if spool.exists() else set()
        with load(linear_bundle, spool=spool) as session:
            predict(session, 5)
            session.flush()
        last = batches(spool)[-1]
        assert (last.rows, last.sequence) == (5, 0)
        assert all(last.epoch > epoch for epoch in earlier)
        assert not list(spool.glob(".writing-*"))
        assert len(list(spool.glob("epoch-*"))) == 1


def test_refusal_of_every_call_is_an_error_and_loses_nothing(
    linear_bundle: Path, tmp_path: Path, faults: dict[str, str], call_count: int
) -> None:
    for nth in range(1, call_count + 1):
        spool = tmp_path / str(nth)
        child = run_flushes(linear_bundle, spool, faults, nth, errno.ENOSPC if nth % 2 else errno.EIO)
        assert child.returncode == 0, (nth, child.stderr)
        if child.stdout.startswith("not opened"):
            assert str(spool) in child.stdout
            continue
        found = batches(spool)
        assert sum(snapshot.rows for snapshot in found) == 9, nth
        # On a full disk a window is merged into the one before. Where only the sync of the directory was refused, the
        # file is there, complete, and said to be in doubt.
        windows = [one for snapshot in found for one in snapshot.windows]
        assert [one.first for one in windows] == [0, *accumulate(one.length for one in windows)][:-1], nth
        flushed = child.stdout.count("stored") + child.stdout.count("may not outlast")
        assert flushed == sum(one.length for one in windows) - 1, nth


# ---- kill -9 ----

FLUSH_FOR_EVER = """
import sys, numpy, edge_rai
session = edge_rai.load(sys.argv[1], spool=sys.argv[2], threads=1)
row = numpy.ones((1, 3), numpy.float32)
while True:
    session.predict(row)
    print(session.flush(), flush=True)
"""


def test_every_batch_that_a_killed_process_stored_is_there(linear_bundle: Path, tmp_path: Path) -> None:
    code = "import sys; sys.path = [p for p in sys.path if p]\n" + FLUSH_FOR_EVER
    spool = tmp_path / "spool"
    for attempt in range(4):
        command = [sys.executable, "-c", code, str(linear_bundle), str(spool)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            first = child.stdout.readline().strip()
            time.sleep(0.02 * (attempt + 1))
            child.send_signal(signal.SIGKILL)
            names = [first, *child.stdout.read().split("\n")[:-1]]
        for name in names:
            assert (spool / name).is_file()
        found = [snapshot for snapshot in batches(spool) if snapshot.epoch >> 32 == attempt + 1]
        assert [snapshot.sequence for snapshot in found] == list(range(len(found)))
        assert len(found) - len(names) in (0, 1)
        assert {snapshot.rows for snapshot in found} == {1}
    shutil.rmtree(spool)
