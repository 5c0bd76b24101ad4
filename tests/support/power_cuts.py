"""A session and its uploader, traced; and every state in which a power cut may leave their spool."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_rai._native import NativeSpool, read_snapshot
from edge_rai.counts import Snapshot
from edge_rai.telemetry.spool import Spool
from support.children import run_python
from support.disk import Call, cuts, read_trace
from support.faults import PRELUDE, build_faults
from support.spools import disjoint, set_aside_rows

# A spool of 64 KiB is full after a dozen windows. The marks say what was acknowledged: "stored ROWS" and "got NAME".
LIFE = (
    PRELUDE
    + """
import numpy
from pathlib import Path
from edge_rai.backends.opening import open_session
from edge_rai.telemetry.spool import REFUSED, Spool
bundle, path, trace, windows = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
row, number = numpy.ones((1, 3), numpy.float32), 0
own = ctypes.CDLL(None)
own.faults_trace(trace.encode())
mark = lambda text: own.faults_mark(text.encode())
for opening in range(2):
    session = open_session(bundle, runtime=None, spool=str(path), threads=1, clock=None, provider=None,
                           provider_path=None, cache_bytes=0, spool_quota_bytes=64 << 10)
    spool = Spool(path)
    for window in range(windows):
        for _ in range(1 + number % 3):
            session.predict([row])
        mark(f"storing {1 + number % 3}")
        session.flush()
        mark(f"stored {1 + number % 3}")
        number += 1
        found = spool.batches()
        if number % 5 == 0 and spool.offer(found[0]):
            mark(f"got {found[0].path.name} {found[0].path.read_bytes().hex()}")
            if number % 10 == 0:
                spool.remove(found[0])
        elif number % 7 == 0 and not found[1].path.with_suffix(".offered").exists():
            spool.set_aside(found[1], REFUSED)
    session.close()
"""
)


def trace_life(bundle: Path, folder: Path, windows: int) -> tuple[list[Call], Path]:
    """Runs LIFE; returns its trace and the spool that it was about."""
    path = folder / "spool"
    path.mkdir()
    child = run_python(LIFE, bundle, path, folder / "trace", str(windows), environment=build_faults(folder))
    assert child.returncode == 0, child.stderr
    return read_trace(folder / "trace"), path


def check_every_cut(calls: list[Call], path: Path, scratch: Path, seeds: int) -> int:
    """Holds every state against the equation; returns how many there were."""
    states, seen = 0, set()
    for place, mode, files, marks in cuts(calls, path, seeds):
        states += 1
        state = hash((frozenset(files.items()), len(marks)))
        if state not in seen:
            seen.add(state)
            _check_state(files, marks, path, scratch, f"call {place}, {mode}")
    return states


def _check_state(files: dict[str, bytes], marks: list[str], path: Path, scratch: Path, where: str) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for name, data in files.items():
        target = scratch / Path(name).relative_to(path)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
    NativeSpool(str(scratch))
    received = _received(marks)
    spool = Spool(scratch)
    queued = [spool.read(batch) for batch in spool.batches()]
    held = list(received.values()) + [one for one in queued if (one.epoch, one.sequence) not in received]
    assert disjoint([window for one in held for window in one.windows]), where
    rows = sum(one.rows + sum(gone.rows for gone in one.expired) for one in held) + set_aside_rows(scratch)
    stored = sum(int(mark.split()[1]) for mark in marks if mark.startswith("stored"))
    storing = [int(mark.split()[1]) for mark in marks if mark.startswith("storing")]
    in_doubt = sum(storing) - stored
    assert rows in (stored, stored + in_doubt), f"{where}: {rows} rows of {stored} stored and {in_doubt} in doubt"


def _received(marks: list[str]) -> dict[tuple[int, int], Snapshot]:
    got = [read_snapshot(bytes.fromhex(mark.split()[2])) for mark in marks if mark.startswith("got")]
    return {(one.epoch, one.sequence): one for one in got}


# On copies of a full spool: each call in turn fails once, or writes short, while two windows are stored. Prints how
# many calls there were, and what of the equation does not hold.
REFUSALS = (
    PRELUDE
    + """
import errno, numpy, shutil
from pathlib import Path
from edge_rai import SpoolError
from edge_rai.backends.opening import open_session
from edge_rai.telemetry.spool import CORRUPT, Spool
bundle, folder = sys.argv[1], Path(sys.argv[2])
row = numpy.ones((1, 3), numpy.float32)

def open_at(path):
    return open_session(bundle, runtime=None, spool=str(path), threads=1, clock=None, provider=None,
                        provider_path=None, cache_bytes=0, spool_quota_bytes=64 << 10)

def rows_of(path):
    found = [Spool(path).read(batch) for batch in Spool(path).batches()]
    windows = sorted(window for one in found for window in one.windows)
    for one, other in zip(windows, windows[1:]):
        assert one.epoch != other.epoch or one.first + one.length <= other.first, (one, other)
    return sum(one.rows + sum(gone.rows for gone in one.expired) for one in found)

full = folder / "full"
session = open_at(full)
for _ in range(14):
    session.predict([row])
    session.flush()
session.close()
Spool(full).set_aside(Spool(full).batches()[3], CORRUPT)
for error in (0, errno.EIO, errno.ENOSPC, -1):
    nth, calls = 0, 1 if error == 0 else seen
    while nth < calls:
        nth += 1
        path = folder / f"{error} {nth}"
        shutil.copytree(full, path)
        session = open_at(path)
        failures = 0
        arm(nth if error else 0, error)
        for _ in range(2):
            session.predict([row])
            try:
                session.flush()
            except SpoolError:
                failures += 1
        seen = disarm()
        session.predict([row])
        session.flush()
        session.close()
        open_at(path).close()
        if rows_of(path) != 17:
            print("rows", rows_of(path), "error", error, "call", nth, "failures", failures)
        shutil.rmtree(path)
    print("calls", seen)
"""
)
