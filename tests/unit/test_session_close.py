"""What closing a session with a spool does with what was counted and not flushed."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_rai import load
from edge_rai.telemetry.spool import Spool
from support.children import run_python

ROWS = np.ones((4, 3), np.float32)

FORKED = """
import os, sys, numpy, edge_rai
with edge_rai.load(sys.argv[1], spool=sys.argv[2]) as session:
    session.predict(numpy.ones((4, 3), numpy.float32))
    child = os.fork()
    if child == 0:
        session.predict(numpy.ones((1, 3), numpy.float32))
        session.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def delivered(spool: Path) -> list[int]:
    """Rows of each batch file."""
    found = Spool(spool)
    return [found.read(batch).rows for batch in found.batches()]


def test_what_was_counted_since_the_last_flush_is_flushed_at_close(linear_bundle: Path, tmp_path: Path) -> None:
    with load(linear_bundle, spool=tmp_path) as session:
        session.predict(ROWS)
        session.flush()
        session.predict(ROWS[:3])
    session.close()
    assert delivered(tmp_path) == [4, 3]


def test_nothing_is_flushed_at_close_when_nothing_was_counted(linear_bundle: Path, tmp_path: Path) -> None:
    with load(linear_bundle, spool=tmp_path) as session:
        pass
    with load(linear_bundle, spool=tmp_path) as session:
        session.predict(ROWS)
        session.flush()
    assert delivered(tmp_path) == [4]
    with load(linear_bundle) as session:  # without a spool there is nowhere to
        session.predict(ROWS)


def test_forked_child_leaves_the_flush_at_close_to_its_parent(linear_bundle: Path, tmp_path: Path) -> None:
    child = run_python(FORKED, linear_bundle, tmp_path / "spool")
    assert child.returncode == 0, child.stderr
    assert delivered(tmp_path / "spool") == [4]


def fail_at_close(bundle: Path, spool: Path) -> None:
    """Ends a session whose spool is gone with a failure of the caller's own."""
    with load(bundle, spool=spool) as session:
        session.predict(ROWS)
        shutil.rmtree(spool)
        raise LookupError(os.fspath(spool))


def test_failing_flush_at_close_is_told_to_the_log_and_hides_no_failure_of_the_caller(
    linear_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(LookupError):
        fail_at_close(linear_bundle, tmp_path / "spool")
    (record,) = caplog.records
    assert record.getMessage().startswith("the flush at close failed, and 1 calls of 4 rows may be lost: ")
