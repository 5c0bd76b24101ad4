"""A file whose fsync failed is never a batch: what that left of it is nobody's to know."""

from __future__ import annotations

import errno
from pathlib import Path

from edge_rai.telemetry.spool import Spool
from support.children import run_python
from support.disk import Call, read_trace
from support.faults import PRELUDE, build_faults

# Flushes one window while the call of this number, if any, fails with EIO; says how many calls there were.
_FLUSH = (
    PRELUDE
    + """
import numpy
from edge_rai.backends.opening import open_session
bundle, path, trace, nth, error = *sys.argv[1:4], *map(int, sys.argv[4:])
session = open_session(bundle, runtime=None, spool=path, threads=1, clock=None, provider=None, provider_path=None,
                       cache_bytes=0, spool_quota_bytes=64 << 10)
session.predict([numpy.ones((1, 3), numpy.float32)])
ctypes.CDLL(None).faults_trace(trace.encode())
arm(nth, error)
session.flush()
print(disarm())
"""
)


def flush(bundle: Path, folder: Path, nth: int) -> list[Call]:
    """The calls of a flush that succeeds although the n-th failed; 0: none does."""
    folder.mkdir()
    path, trace = folder / "spool", folder / "trace"
    child = run_python(_FLUSH, bundle, path, trace, str(nth), str(errno.EIO), environment=build_faults(folder))
    assert child.returncode == 0, child.stderr
    (batch,) = Spool(path).batches()
    assert Spool(path).read(batch).rows == 1
    assert not list(path.glob(".writing-*"))
    return read_trace(trace)


def test_file_whose_fsync_failed_is_given_up_and_written_anew_elsewhere(linear_bundle: Path, tmp_path: Path) -> None:
    whole = flush(linear_bundle, tmp_path / "whole", 0)
    kinds = "".join(call.kind for call in whole if call.kind in "cwsrud")
    fsync = 1 + kinds.index("s")
    assert kinds[: fsync - 1].strip("cw") == ""  # of the file, before it has its name
    calls = flush(linear_bundle, tmp_path / "failed", fsync)
    first, second = (call.one for call in calls if call.kind == "c" and b".writing-" in call.one)
    assert first != second
    assert [call.one for call in calls if call.kind == "u"] == [first]
    assert [call.one for call in calls if call.kind == "r"] == [second]
    written = [call.one for call in calls if call.kind == "w"]
    assert b"".join(written).count(b"ERAIBAT\n") == 2
