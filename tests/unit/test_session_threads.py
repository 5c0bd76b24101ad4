from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge_rai import Session, Verdict, load
from edge_rai.telemetry.spool import Spool
from support.models import reference_run

THREADS, CALLS = 8, 300


def run_all(jobs: list[Callable[[], None]]) -> None:
    """Runs every job in its own thread; the first failure is the test's."""
    failures: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]


def test_counts_are_exact_and_answers_right_under_many_threads(
    linear_bundle: Path, linear_model: Path, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    batches = [generator.uniform(-9, 9, (rows, 3)).astype(np.float32) for rows in (1, 2, 7, 400)]
    expected = [reference_run(linear_model, {"x": batch})["y"] for batch in batches]
    for batch, right in zip(batches, expected, strict=True):
        bad = batch.copy()
        bad[0, 0], row = np.nan, right.copy()
        row[0] = 0.25, 0.75
        batches, expected = [*batches, bad], [*expected, row]
    done = threading.Event()

    def predict(number: int) -> None:
        for call in range(CALLS):
            i = (number + call) % len(batches)
            answer = session.predict(batches[i])
            assert answer.outputs["y"].tobytes() == expected[i].tobytes()
            assert answer.verdict is (Verdict.REJECT if i >= 4 else Verdict.ACCEPT)

    def flush() -> None:
        while not done.is_set():
            session.flush()
            session.snapshot()
            time.sleep(0.001)

    flusher = threading.Thread(target=flush)
    with load(linear_bundle, spool=tmp_path / "spool", threads=1) as session:
        flusher.start()
        try:
            run_all([lambda number=number: predict(number) for number in range(THREADS)])
        finally:
            done.set()
            flusher.join()
        session.flush()
    spool = Spool(tmp_path / "spool")
    snapshots = [spool.read(batch) for batch in spool.batches()]
    assert [snapshot.sequence for snapshot in snapshots] == list(range(len(snapshots)))
    assert len(snapshots) > 1
    calls = [(number + call) % len(batches) for number in range(THREADS) for call in range(CALLS)]
    assert sum(snapshot.calls for snapshot in snapshots) == len(calls)
    assert sum(snapshot.rows for snapshot in snapshots) == sum(len(batches[i]) for i in calls)
    assert sum(int(snapshot.reasons.sum()) for snapshot in snapshots) == sum(i >= 4 for i in calls)
    assert sum(int(snapshot.latency.sum()) for snapshot in snapshots) == len(calls)
    for feature in range(3):
        values = sum(len(batches[i]) for i in calls) - (sum(i >= 4 for i in calls) if feature == 0 else 0)
        assert sum(int(snapshot.features[feature].histogram.sum()) for snapshot in snapshots) == values


def predict_for_ever(session: Session, rows: npt.NDArray[np.float32], right: bytes) -> None:
    while True:
        assert session.predict(rows).outputs["y"].tobytes() == right


def test_close_lets_running_predictions_finish(linear_bundle: Path) -> None:
    rows = np.ones((50, 3), np.float32)
    for _ in range(20):
        session = load(linear_bundle, threads=1)
        right = session.predict(rows).outputs["y"].tobytes()
        started = threading.Barrier(5)

        def predict(session: Session = session, right: bytes = right, started: threading.Barrier = started) -> None:
            started.wait()
            with pytest.raises(ValueError, match="session is closed"):
                predict_for_ever(session, rows, right)

        def close(session: Session = session, started: threading.Barrier = started) -> None:
            started.wait()
            time.sleep(0.002)
            session.close()

        run_all([predict] * 4 + [close])


def use_for_ever(use: Callable[[], object]) -> None:
    while True:
        use()


def test_close_lets_running_flushes_finish(linear_bundle: Path, tmp_path: Path) -> None:
    for number in range(20):
        session = load(linear_bundle, spool=tmp_path / str(number), threads=1)
        started = threading.Barrier(4)

        def count(use: Callable[[], object], started: threading.Barrier = started) -> None:
            started.wait()
            with pytest.raises(ValueError, match="session is closed"):
                use_for_ever(use)

        def close(session: Session = session, started: threading.Barrier = started) -> None:
            started.wait()
            time.sleep(0.003)
            session.close()

        uses = (session.flush, session.snapshot, session.flush)
        run_all([*[lambda use=use: count(use) for use in uses], close])
