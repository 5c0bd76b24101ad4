from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_rai import SpoolSettings, load
from edge_rai._native import merge_batches, read_snapshot
from edge_rai.counts import Snapshot
from edge_rai.telemetry.spool import Spool

special = st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.5, -1.0, 2.0, 10.0, -10.0])
batches = st.lists(
    st.lists(st.tuples(*[st.floats(-12, 12, width=32) | special] * 3), min_size=1, max_size=6), min_size=1, max_size=8
)


def merged(snapshots: list[Snapshot]) -> dict[str, object]:
    """Every count but those of time, added up; sums of z are signed integers modulo 2^64."""
    counts: dict[str, object] = {
        name: sum(getattr(snapshot, name).astype(object) for snapshot in snapshots).tolist()
        for name in ("rows_by_verdict", "rows_by_source", "reasons")
    }
    counts["calls"] = sum(snapshot.calls for snapshot in snapshots)
    counts["latency"] = sum(int(snapshot.latency.sum()) for snapshot in snapshots)
    counts["features"] = [
        (
            sum(part.histogram.astype(object) for part in parts).tolist(),
            *(sum(getattr(part, name) for part in parts) for name in ("not_finite", "sum", "sum_squares")),
        )
        for parts in zip(*(snapshot.features for snapshot in snapshots), strict=True)
    ]
    return counts


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches, st.sets(st.integers(0, 7)))
def test_merging_by_addition_equals_one_session_over_everything(
    linear_bundle: Path, tmp_path_factory: pytest.TempPathFactory, given_batches: list, flush_after: set[int]
) -> None:
    arrays = [np.array(batch, np.float32) for batch in given_batches]
    folder = tmp_path_factory.mktemp("merge") / "spool"
    with load(linear_bundle, threads=1) as whole, load(linear_bundle, spool=folder, threads=1) as parts:
        for i, array in enumerate(arrays):
            whole.predict(array)
            parts.predict(array)
            if i in flush_after:
                parts.flush()
        parts.flush()
        expected = merged([whole.snapshot()])
    spool = Spool(folder)
    assert merged([spool.read(batch) for batch in spool.batches()]) == expected


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches)
def test_rows_one_by_one_or_as_one_batch_count_the_same(linear_bundle: Path, given_batches: list) -> None:
    rows = np.array([row for batch in given_batches for row in batch], np.float32)
    with load(linear_bundle, threads=1) as together, load(linear_bundle, threads=1) as apart:
        together.predict(rows)
        for row in rows:
            apart.predict(row[np.newaxis])
        first, second = merged([together.snapshot()]), merged([apart.snapshot()])
    for name in ("rows_by_verdict", "rows_by_source", "reasons", "features"):
        assert first[name] == second[name]


def windows_of(bundle: Path, folder: Path, given_batches: list, flush_after: set[int]) -> list[bytes]:
    """The batch files of one session, with events in them."""
    with load(bundle, spool=SpoolSettings(folder, events=16, sample_one_in=2), threads=1) as session:
        for i, batch in enumerate(given_batches):
            session.predict(np.array(batch, np.float32))
            if i in flush_after:
                session.flush()
        session.flush()
    return [batch.path.read_bytes() for batch in Spool(folder).batches()]


def merged_in_any_grouping(files: list[bytes], choose: random.Random) -> bytes:
    """Merges two at a time, any two, in either order, until one is left."""
    left = list(files)
    while len(left) > 1:
        one = left.pop(choose.randrange(len(left)))
        other = left.pop(choose.randrange(len(left)))
        left.append(merge_batches(one, other))
    return left[0]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches, st.sets(st.integers(0, 7), min_size=2), st.randoms(use_true_random=False))
def test_merging_batch_files_is_exact_and_the_same_in_any_order_and_grouping(
    linear_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
    given_batches: list,
    flush_after: set[int],
    choose: random.Random,
) -> None:
    files = windows_of(linear_bundle, tmp_path_factory.mktemp("group") / "spool", given_batches, flush_after)
    first = merged_in_any_grouping(files, choose)
    assert merged_in_any_grouping(files, choose) == first
    whole, parts = read_snapshot(first), [read_snapshot(data) for data in files]
    assert merged([whole]) == merged(parts)
    assert whole.latency.tolist() == sum(part.latency.astype(object) for part in parts).tolist()
    assert whole.events == tuple(event for part in parts for event in part.events)
    assert sum(window.length for window in whole.windows) == len(files)
    assert (whole.epoch, whole.sequence) == (parts[-1].epoch, parts[-1].sequence)
    assert whole.duration_ns == sum(part.duration_ns for part in parts)


def test_batch_files_that_share_a_window_or_are_of_two_spools_are_not_merged(
    linear_bundle: Path, tmp_path: Path
) -> None:
    one, other = (windows_of(linear_bundle, tmp_path / name, [[[1, 2, 3]]], {0}) for name in "ab")
    with pytest.raises(ValueError, match="share a window"):
        merge_batches(merge_batches(one[0], one[1]), one[0])
    with pytest.raises(ValueError, match="two spools"):
        merge_batches(one[0], other[0])
