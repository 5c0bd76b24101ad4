"""The bench beside MLPerf's LoadGen on the same queries of the same session, three models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edge_rai
from edge_rai.bench.percentiles import percentile_of
from edge_rai.bench.ratios import throughput_of
from support.bench_models import convolutional, perceptron
from support.loadgen import Driven, offline, single_stream

pytest.importorskip("mlperf_loadgen", reason="no wheel of mlcommons-loadgen for this Python and machine")
pytestmark = pytest.mark.proof

ROUNDS, DURATION_MS = 9, 700
PERCENTS = (50.0, 90.0, 99.0)
ROWS = 64
MODELS: dict[str, tuple[Callable[[Path], Path], tuple[int, ...]]] = {
    "MLP 30-64-32-2": (lambda path: perceptron(path, 30, 64, 32, 2), (30,)),
    "MLP 30-1024-1024-512-2": (lambda path: perceptron(path, 30, 1024, 1024, 512, 2), (30,)),
    "four convolutions": (convolutional, (3, 32, 32)),
}


def calls(session: edge_rai.Session, shape: tuple[int, ...], rows: int) -> Callable[[int], object]:
    generator = np.random.default_rng(0)
    inputs = [generator.normal(size=(rows, *shape)).astype(np.float32) for _ in range(16)]
    predict = session.predict
    return lambda number: predict(inputs[number % 16])


def usual_ns(driven: Driven) -> float:
    return float(np.median(driven.series.latency_ns))


@pytest.mark.parametrize("model", MODELS)
def test_single_streams_percentiles_agree_within_5_percent_or_1_us(model, tmp_path) -> None:
    """Round by round, after what the binding adds to a query of nothing at that percentile."""
    write, shape = MODELS[model]
    rounds = []
    with edge_rai.load(write(tmp_path / "model.onnx"), threads=1) as session:
        call = calls(session, shape, 1)
        usual = usual_ns(single_stream(call, tmp_path, duration_ms=100, usual_ns=1e4))
        for _ in range(ROUNDS):
            driven = single_stream(call, tmp_path, duration_ms=DURATION_MS, usual_ns=usual)
            nothing = single_stream(lambda _: None, tmp_path, duration_ms=DURATION_MS // 4, usual_ns=2e3)
            rounds.append([percentiles(driven), percentiles(nothing)])
    model_ns, nothing_ns = np.moveaxis(np.array(rounds), 1, 0)  # each (rounds, percents, LoadGen's and ours)
    binding_ns = nothing_ns[..., 0] - nothing_ns[..., 1]
    apart_ns = model_ns[..., 0] - binding_ns - model_ns[..., 1]
    for i, percent in enumerate(PERCENTS):
        theirs, ours, binding = (np.median(part[:, i]) for part in (model_ns[..., 0], model_ns[..., 1], binding_ns))
        apart, share = np.median(apart_ns[:, i]), np.median(apart_ns[:, i] / model_ns[:, i, 0])
        sys.stdout.write(
            f"{model} p{percent:g}: {theirs / 1e3:.2f} us by LoadGen, of which its binding {binding / 1e3:.2f}; "
            f"{ours / 1e3:.2f} by ours; apart by {apart / 1e3:.2f} us or {share:.1%}\n"
        )
        assert abs(apart) <= 1_000 or abs(share) <= 0.05


def percentiles(driven: Driven) -> list[tuple[float, float]]:
    """LoadGen's and ours."""
    ordered = np.sort(driven.series.latency_ns)
    return [(driven.percentile_ns(percent), percentile_of(ordered, percent)) for percent in PERCENTS]


@pytest.mark.parametrize("model", MODELS)
def test_offline_throughput_agrees_within_5_percent(model, tmp_path) -> None:
    """Round by round, after what the binding adds to rows of nothing."""
    write, shape = MODELS[model]
    rounds = []
    with edge_rai.load(write(tmp_path / "model.onnx"), threads=1) as session:
        call = calls(session, shape, ROWS)
        first = offline(call, ROWS, tmp_path, duration_ms=100, rows_per_s=2e3)
        usual = ROWS * 1e9 / usual_ns(first)
        for _ in range(ROUNDS):
            driven = offline(call, ROWS, tmp_path, duration_ms=DURATION_MS, rows_per_s=usual)
            nothing = offline(lambda _: None, ROWS, tmp_path, duration_ms=DURATION_MS // 4, rows_per_s=1e6)
            rounds.append([ns_a_row(driven), ns_a_row(nothing)])
    model_ns, nothing_ns = np.moveaxis(np.array(rounds), 1, 0)  # each (rounds, LoadGen's and ours)
    binding_ns = nothing_ns[:, 0] - nothing_ns[:, 1]
    share = float(np.median((model_ns[:, 0] - binding_ns) / model_ns[:, 1])) - 1
    theirs, ours = 1e9 / np.median(model_ns, axis=0)
    sys.stdout.write(
        f"{model}, {ROWS} rows a call: {theirs:,.0f} rows/s by LoadGen, {ours:,.0f} by ours; "
        f"{np.median(binding_ns):.0f} ns a row are its binding's; apart by {share:.1%}\n"
    )
    assert abs(share) <= 0.05


def ns_a_row(driven: Driven) -> tuple[float, float]:
    """LoadGen's and ours."""
    (ours,) = throughput_of([driven.series])
    return 1e9 / driven.said["Samples per second"], 1e9 / ours.rows_per_s
