"""What a watch for drift has come to travels with the counts: in snapshots, batch files and on the wire."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import edge_rai
from edge_rai import SpoolSettings
from edge_rai._native import merge_batches, read_snapshot
from edge_rai.counts import DecisionCount
from edge_rai.events import EventClass
from edge_rai.fleet.decode import decode
from edge_rai.fleet.request import read_request
from edge_rai.telemetry import otlp
from edge_rai.telemetry.spool import Spool


def laws_of_the_reference(random: np.random.Generator, rows: int) -> np.ndarray:
    """Values in the four bins of each feature as often as in its reference."""
    bins = random.choice([-2.0, 0.0, 1.0, 3.0], size=(rows, 3), p=[0.2, 0.3, 0.3, 0.2])
    return bins.astype(np.float32)


def test_each_window_tells_what_the_watch_had_come_to_by_its_end(watched_bundle: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    calm = laws_of_the_reference(random, 1000)
    shifted = calm + np.array([0, 3, 0], np.float32)
    with edge_rai.load(watched_bundle, spool=tmp_path / "spool", threads=1) as session:
        watches = []
        for rows in (calm, shifted, calm):
            session.predict(rows)
            session.flush()
            watches.append(session.watch())
        session.reset_watch()
        session.flush()
        names = [feature.name for feature in session.features]
    spool = Spool(tmp_path / "spool")
    files = [batch.path.read_bytes() for batch in spool.batches()]
    for data, watch in zip(files, watches, strict=False):
        snapshot = read_snapshot(data)
        assert watch is not None
        assert snapshot.drift == (watch.rows, watch.evidence, watch.alarm is not None)
        named = dict(zip(names, (one.drift_evidence for one in snapshot.features), strict=True))
        about = watch.alarm.features if watch.alarm else ()
        assert {name for name, evidence in named.items() if evidence} == set(about)
        assert all(named[one.name] == one.evidence for one in watch.features if one.name in about)
    assert [watch.alarm is not None for watch in watches if watch] == [False, True, True]
    merged = read_snapshot(merge_batches(merge_batches(files[2], files[0]), files[1]))
    last = read_snapshot(files[2])
    assert merged.drift == last.drift
    assert [one.drift_evidence for one in merged.features] == [one.drift_evidence for one in last.features]
    taken_back = read_snapshot(files[3]).drift
    assert taken_back is not None
    assert (taken_back.evidence, taken_back.alarm) == (0.0, False)
    features = spool.features(last.guard_digest)
    [(batch, _)], refusals = decode(read_request(otlp.encode(last, features)))
    assert last.drift is not None
    assert (batch.drift_evidence, batch.drift_rows) == (last.drift.evidence, last.drift.rows)
    assert refusals == []


def test_session_that_watches_nothing_says_nothing(linear_bundle: Path) -> None:
    with edge_rai.load(linear_bundle, threads=1) as session:
        session.predict(np.zeros((2, 3), np.float32))
        assert session.snapshot().drift is None


def test_alarm_is_flushed_at_once_and_calm_waits_for_its_time(watched_bundle: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    settings = SpoolSettings(tmp_path / "spool", flush_s=3600, events=1000, sample_one_in=0)
    with edge_rai.load(watched_bundle, spool=settings, threads=1) as session:
        session.predict(laws_of_the_reference(random, 1000))
        assert Spool(tmp_path / "spool").batches() == []
        session.predict(laws_of_the_reference(random, 1000) + np.array([0, 3, 0], np.float32))
        deadline = time.monotonic() + 60
        while not (found := Spool(tmp_path / "spool").batches()) and time.monotonic() < deadline:
            time.sleep(0.01)
        snapshot = Spool(tmp_path / "spool").read(found[0])
    spool = Spool(tmp_path / "spool")
    # The alarm is counted when its call ends, which may be after the flush that it asked for.
    assert sum(spool.read(one).decisions[DecisionCount.DRIFT_ALARMS] for one in spool.batches()) == 1
    assert snapshot.drift is not None
    assert snapshot.drift.alarm
    assert [event.event_class for event in snapshot.events] == [EventClass.URGENT]
