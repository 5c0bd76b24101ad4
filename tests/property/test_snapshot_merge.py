from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_rai import load
from edge_rai.telemetry.spool import Spool
from edge_rai.types import Snapshot

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
