"""Sketches of quantiles beside Apache DataSketches' own: time a value, also with the guard, bytes, errors of ranks.

The table goes to benchmarks/results/quantiles.txt. `make bench` runs this.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_rai import QuantileSketch
from edge_rai.bench.interleave import interleave, ratio

datasketches = pytest.importorskip("datasketches", reason="DataSketches is not installed: pip install datasketches")

ROWS, FEATURES, SEEDS, RANKED = 4096, 30, 200, 20_000


@pytest.fixture(scope="module")
def table():
    """Collects lines, and writes them at the end."""
    lines: list[str] = []
    yield lines.append
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "quantiles.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def say(table, capsys, line: str) -> None:
    table(line)
    with capsys.disabled():
        print("\n" + line, end="")


@pytest.mark.parametrize("k", [100, 200, 400])
def test_nanoseconds_a_value(k, table, capsys) -> None:
    """A matrix of rows to 30 sketches, column by column; DataSketches' vector of sketches takes it whole."""
    values = np.random.default_rng(1).normal(size=(ROWS, FEATURES)).astype(np.float32)
    columns = np.ascontiguousarray(values.T)
    mine = [QuantileSketch(k, seed=feature) for feature in range(FEATURES)]
    apache = [datasketches.kll_floats_sketch(k) for _ in range(FEATURES)]
    vector = datasketches.vector_of_kll_floats_sketches(k, FEATURES)

    def each(sketches) -> None:
        for sketch, column in zip(sketches, columns, strict=True):
            sketch.update(column)

    timings = interleave(
        {
            "edge_rai": lambda _: each(mine),
            "one by one": lambda _: each(apache),
            "vector": lambda _: vector.update(values),
        },
        rounds=20,
        block=3,
    )
    said = ", ".join(f"{name} {timing.percentile_ns(10) / values.size:.1f}" for name, timing in timings.items())
    cost = ratio(timings["edge_rai"], timings["one by one"])
    say(
        table,
        capsys,
        f"k {k}, {FEATURES} features, ns a value (p10): {said}; "
        f"ratio {cost.p50:.2f} ({cost.p10:.2f} to {cost.p90:.2f})",
    )
    assert cost.p50 < 1


def test_nanoseconds_a_value_beside_the_guard(table, capsys) -> None:
    """In C, rows of 30 features one by one: the guard with its histograms and detectors, and then the sketches too."""
    driver = os.environ.get("EDGE_RAI_GUARD_COST")
    if not driver:
        pytest.skip("`make bench` builds benchmarks/guard_cost.c and says where it is")
    lines = subprocess.run([driver], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    for name in (
        "30 features, sketched",
        "  and watched",
        "  and watched, learning",
        "  and quantiles, learning",
        "  and quantiles, k 200",
    ):
        (line,) = (line for line in lines if line.startswith(f"{name}   "))
        say(table, capsys, f"guard in C, ns a value, {name.strip()}: {line.split()[-1]}")


@pytest.mark.parametrize("k", [50, 100, 200])
def test_bytes(k, table, capsys) -> None:
    for count in (500, 10_000, 1_000_000):
        values = np.random.default_rng(count).normal(size=count).astype(np.float32)
        mine, apache = QuantileSketch(k), datasketches.kll_floats_sketch(k)
        mine.update(values)
        apache.update(values)
        say(table, capsys, f"k {k}, {count} values: {len(mine.to_bytes())} bytes, Apache {len(apache.serialize())}")


def test_rank_errors(table, capsys) -> None:
    """The greatest error of a rank, over all ranks."""
    asked = np.arange(RANKED, dtype=np.float32)
    true = (asked + 1) / RANKED
    errors: dict[str, list[float]] = {"edge_rai": [], "Apache": []}
    for seed in range(SEEDS):
        values = np.random.default_rng(seed).permutation(asked)
        mine, apache = QuantileSketch(seed=seed), datasketches.kll_floats_sketch(200)
        mine.update(values)
        apache.update(values)
        for name, data in (("edge_rai", mine.to_bytes()), ("Apache", apache.serialize())):
            errors[name].append(float(np.max(np.abs(QuantileSketch.from_bytes(data).rank(asked) - true))))
    for name, found in errors.items():
        words = f"mean {np.mean(found):.4f}, p99 {np.quantile(found, 0.99):.4f}"
        say(table, capsys, f"k 200, {RANKED} values, {SEEDS} seeds, greatest error of a rank: {name} {words}")
    assert np.mean(errors["edge_rai"]) <= 1.1 * np.mean(errors["Apache"])
