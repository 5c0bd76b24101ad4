"""LoadGen and the bench on the same queries; how near they are with models, on a quiet machine, is for the proof."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rai.bench.clock import SystemClock
from edge_rai.bench.percentiles import percentile_of
from edge_rai.bench.ratios import throughput_of
from support.loadgen import offline, single_stream

pytest.importorskip("mlperf_loadgen", reason="no wheel of mlcommons-loadgen for this Python and machine")

BUSY_NS = 2_000_000


def busy(_: int) -> None:
    """So long that the binding's part is nothing on any machine."""
    until = SystemClock.now_ns() + BUSY_NS
    while SystemClock.now_ns() < until:
        pass


def test_loadgens_percentiles_are_those_of_the_same_queries_by_our_clock(tmp_path) -> None:
    driven = single_stream(busy, tmp_path, duration_ms=400, usual_ns=BUSY_NS)
    ordered = np.sort(driven.series.latency_ns)
    assert len(ordered) >= 100
    for percent in (50.0, 90.0, 99.0):
        ours = percentile_of(ordered, percent)
        assert BUSY_NS <= ours <= driven.percentile_ns(percent)
    assert driven.percentile_ns(50) <= 2 * percentile_of(ordered, 50)


def test_loadgens_rows_a_second_are_those_of_the_same_batches_by_our_clock(tmp_path) -> None:
    driven = offline(busy, 8, tmp_path, batches=200)
    (ours,) = throughput_of([driven.series])
    assert driven.said["Samples per second"] <= ours.rows_per_s <= 8e9 / BUSY_NS
    assert driven.said["Samples per second"] >= ours.rows_per_s / 2
