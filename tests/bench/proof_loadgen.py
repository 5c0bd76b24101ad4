"""The bench beside MLPerf's LoadGen, both driving the same session, with models of several sizes.

There are three times of a query: LoadGen's, the bench's for the same query, and that of the bench's own loop. LoadGen's
holds its binding's way to our function and back, which is taken off as a system that does nothing shows it. The bench's
own loop makes its calls in a row, where LoadGen's queries have its work between them and so find colder caches: that is
what is left between the last two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edge_rai
from edge_rai.bench.closed_loop import closed_loop
from edge_rai.bench.contenders import harness
from edge_rai.bench.percentiles import percentile_of
from edge_rai.bench.ratios import throughput_of
from edge_rai.bench.series import Series, Subject
from support.bench_models import convolutional, perceptron
from support.loadgen import Driven, offline, single_stream

pytest.importorskip("mlperf_loadgen", reason="no wheel of mlcommons-loadgen for this Python and machine")
pytestmark = pytest.mark.proof

ROUNDS, DURATION_MS = 7, 500
PERCENTS = (50.0, 90.0, 99.0)
ROWS = 64
SMALLEST = "MLP 30-64-32-2"
MODELS: dict[str, tuple[Callable[[Path], Path], tuple[int, ...]]] = {
    SMALLEST: (lambda path: perceptron(path, 30, 64, 32, 2), (30,)),
    "MLP 30-640-640-2": (lambda path: perceptron(path, 30, 640, 640, 2), (30,)),
    "convolutions of 3x48x48": (lambda path: convolutional(path, 48), (3, 48, 48)),
    "convolutions of 3x160x160": (lambda path: convolutional(path, 160), (3, 160, 160)),
}


def calls(session: edge_rai.Session, shape: tuple[int, ...], rows: int) -> Callable[[int], object]:
    generator = np.random.default_rng(0)
    inputs = [generator.normal(size=(rows, *shape)).astype(np.float32) for _ in range(4 if rows > 1 else 16)]
    predict, count = session.predict, len(inputs)
    return lambda number: predict(inputs[number % count])


def nothing(_: int) -> None:
    pass


def own_loop(call: Callable[[int], object], rows: int, seed: int) -> Series:
    """What the bench's loop records of the call, beside its harness's own subjects."""
    subjects = [Subject("model", call, rows), *harness(with_empty=True)]
    return closed_loop(subjects, duration_s=DURATION_MS / 1000, seed=seed).series[0]


def percentiles(series: Series) -> list[float]:
    ordered = np.sort(series.latency_ns)
    return [percentile_of(ordered, percent) for percent in PERCENTS]


def usual_ns(driven: Driven) -> float:
    return float(np.median(driven.series.latency_ns))


@pytest.mark.parametrize("model", MODELS)
def test_single_streams_percentiles_agree_within_5_percent_or_1_us(model, tmp_path) -> None:
    """Of interleaved runs; what is compared is the median of the rounds."""
    write, shape = MODELS[model]
    rounds = []
    with edge_rai.load(write(tmp_path / "model.onnx"), threads=1) as session:
        call = calls(session, shape, 1)
        usual = usual_ns(single_stream(call, tmp_path, duration_ms=100, usual_ns=1e4))
        for seed in range(ROUNDS):
            driven = single_stream(call, tmp_path, duration_ms=DURATION_MS, usual_ns=usual)
            idle = single_stream(nothing, tmp_path, duration_ms=DURATION_MS // 5, usual_ns=2e3)
            theirs, idle_theirs = ([one.percentile_ns(percent) for percent in PERCENTS] for one in (driven, idle))
            same, idle_same, own = map(percentiles, (driven.series, idle.series, own_loop(call, 1, seed)))
            rounds.append([theirs, np.subtract(idle_theirs, idle_same), same, own])
    measured = np.moveaxis(np.array(rounds), 1, 0)  # each (rounds, percents)
    theirs, binding, same, own = np.median(measured, axis=1) / 1e3
    gaps = [gap(measured[0] - measured[1], measured[2]), gap(measured[2], measured[3])]
    for i, percent in enumerate(PERCENTS):
        sys.stdout.write(
            f"{model} p{percent:g}: {theirs[i]:.2f} us by LoadGen, of which its binding {binding[i]:.2f}; by the "
            f"bench {same[i]:.2f} for the same queries ({gaps[0][1][i]:+.1%}), {own[i]:.2f} in its own loop "
            f"({gaps[1][1][i]:+.1%} to the same queries)\n"
        )
    for apart_ns, share in gaps:
        assert ((np.abs(apart_ns) <= 1_000) | (np.abs(share) <= 0.05)).all()


def gap(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians over rounds of how far the first is above the second: in ns, and as a share."""
    return np.median(first - second, axis=0), np.median(first / second, axis=0) - 1


@pytest.mark.parametrize("model", [name for name in MODELS if name != SMALLEST])
def test_offline_throughput_agrees_within_5_percent(model, tmp_path) -> None:
    """Of interleaved runs, after what the binding adds to rows of nothing: more than the smallest model's rows take."""
    write, shape = MODELS[model]
    rounds = []
    with edge_rai.load(write(tmp_path / "model.onnx"), threads=1) as session:
        call = calls(session, shape, ROWS)
        first = offline(call, ROWS, tmp_path, duration_ms=100, rows_per_s=500)
        usual = ROWS * 1e9 / usual_ns(first)
        for seed in range(ROUNDS):
            driven = offline(call, ROWS, tmp_path, duration_ms=DURATION_MS, rows_per_s=usual)
            idle = offline(nothing, ROWS, tmp_path, duration_ms=DURATION_MS // 5, rows_per_s=1e6)
            theirs, idle_theirs = (1e9 / one.said["Samples per second"] for one in (driven, idle))
            same, idle_same, own = map(ns_a_row, (driven.series, idle.series, own_loop(call, ROWS, seed)))
            rounds.append([theirs, idle_theirs - idle_same, same, own])
    measured = np.array(rounds).T
    theirs, binding, same, own = np.median(measured, axis=1)
    (_, of_same), (_, of_own) = gap(measured[0] - measured[1], measured[2]), gap(measured[2], measured[3])
    sys.stdout.write(
        f"{model}, {ROWS} rows a call: {1e9 / theirs:,.0f} rows/s by LoadGen, whose binding takes {binding:.0f} ns a "
        f"row; by the bench {1e9 / same:,.0f} for the same batches ({of_same:+.1%} in time), {1e9 / own:,.0f} in its "
        f"own loop ({of_own:+.1%} to the same batches)\n"
    )
    assert abs(of_same) <= 0.05
    assert abs(of_own) <= 0.05


def ns_a_row(series: Series) -> float:
    (found,) = throughput_of([series])
    return 1e9 / found.rows_per_s
