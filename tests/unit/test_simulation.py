"""Shifts put into rows are found as soon as the detector finds them, and what cannot be simulated is said."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper

import edge_rai
from edge_rai import ManualClock
from edge_rai.cli import main
from edge_rai.policy import (
    CircuitBreaker,
    Decision,
    Drift,
    FeatureReference,
    FeatureRule,
    InputRule,
    Observation,
    OutputRule,
    Policy,
    RateLimit,
    Reference,
)
from edge_rai.simulation import SHIFTS, Moments, _typed, simulate
from edge_rai.types import TensorSpec
from support.bundles import write_bundle
from support.models import FLOAT, save, save_linear

FEATURES = 3


def rows_of(random: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """Two normal columns that have much to do with each other, and one of five values."""
    first = random.normal(size=count)
    second = 0.95 * first + np.sqrt(1 - 0.95**2) * random.normal(size=count)
    # Far from alike, so that two of them swapped make a difference.
    last = random.choice(5, size=count, p=[0.6, 0.05, 0.1, 0.1, 0.15])
    return np.stack([first, second, last], axis=1).astype(np.float32)


def bundle_of(
    folder: Path,
    rows: npt.NDArray[np.float32],
    drift: Drift | None,
    decision: Decision | None = None,
    observe: tuple[Observation, ...] = (),
    **checks: Any,
) -> Path:
    entries = []
    for index, column in enumerate(rows.T.astype(np.float64)):
        edges = np.unique(np.quantile(column, np.arange(1, 32) / 32, method="inverted_cdf"))
        counts = np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(edges) + 1)
        entries.append(
            FeatureReference("x", f"f{index}", len(rows), column.mean(), column.std(), edges, counts.astype(np.uint64))
        )
    entries += [
        FeatureReference(
            "", one.name, len(rows), 0.0, 0.0, np.array([0.5, 1.5]), np.array([len(rows), 0, 0], np.uint64)
        )
        for one in observe
    ]
    features = tuple(FeatureRule(f"f{index}", low=-8.0, high=8.0, **checks) for index in range(FEATURES))
    inputs = (InputRule("x", "float32", (-1, FEATURES), max_shape=(4096, FEATURES), feature_axis=1, features=features),)
    policy = Policy(1, True, inputs, (OutputRule("y", "float32", (-1, 1)),), decision, drift=drift, observe=observe)
    model = save_linear(folder / "model.onnx", FEATURES, 1)
    golden = {"x": np.zeros((2, FEATURES), np.float32)}
    return write_bundle(folder / "m.erai", model, policy, golden, Reference(tuple(entries)), written=True)


@pytest.fixture
def rows() -> npt.NDArray[np.float32]:
    return rows_of(np.random.default_rng(3), 4000)


def test_each_shift_is_found_but_the_one_that_no_margin_shows(tmp_path: Path, rows: npt.NDArray[np.float32]) -> None:
    path, sizes = bundle_of(tmp_path, rows, Drift(average_run_length=1e5)), {"runs": 6, "most_rows": 3000}
    with edge_rai.load(path, threads=1) as session:
        found = simulate(session, {"x": rows}, quiet_rows=5000, **sizes)
        watch = session.watch()
    with edge_rai.load(path, threads=1) as session:
        assert simulate(session, {"x": rows}, quiet_rows=5000, **sizes) == found
    assert watch is not None
    assert watch.evidence == 0  # nothing of it is left
    assert (found.rows, found.runs, found.average_run_length) == (4000, 6, 1e5)
    assert found.false_alarms <= 1  # 0.05 of 6 are promised
    by_name = {delay.shift: delay for delay in found.delays}
    assert by_name.keys() == SHIFTS.keys()
    for name, delay in by_name.items():
        assert delay.early <= 1
        if name in ("order of its own", "correlations turned around"):
            assert delay.found <= 1
        elif name != "mean -0.5 sd":  # half a step down leaves five whole values in their bins
            assert delay.found == delay.runs - delay.early, name
    assert by_name["mean +0.5 sd"].median in range(20, 200)
    assert by_name["mean +1 sd"].median < by_name["mean +0.5 sd"].median
    assert by_name["+1 sd over 1000 rows"].median > by_name["mean +1 sd"].median
    assert by_name["unit x10"].rejected > 0.1
    assert by_name["a tenth missing"].rejected == pytest.approx(0.1, abs=0.05)


def test_streams_of_rows_that_depend_on_each_other_are_pieces_of_them(
    tmp_path: Path, rows: npt.NDArray[np.float32]
) -> None:
    strides = {f"f{index}": 10 for index in range(FEATURES)}
    with edge_rai.load(bundle_of(tmp_path, rows, Drift(1e5, strides=strides)), threads=1) as session:
        found = simulate(session, {"x": rows}, runs=2, most_rows=3000, quiet_rows=2000)
        plain = simulate(session, {"x": np.repeat(rows, 2, axis=0)}, runs=2, most_rows=3000, quiet_rows=2000)
    assert {delay.shift: delay.found for delay in found.delays}["mean +1 sd"] == 2
    assert plain != found


def test_what_cannot_be_simulated_is_said(tmp_path: Path, rows: npt.NDArray[np.float32]) -> None:
    with edge_rai.load(bundle_of(tmp_path, rows, None)) as session, pytest.raises(ValueError, match="has no"):
        simulate(session, {"x": rows})
    path = bundle_of(tmp_path, rows, Drift(average_run_length=1e5))
    with edge_rai.load(path) as session, pytest.raises(ValueError, match="two or more"):
        simulate(session, {"x": rows[:1]})


def test_behind_a_breaker_that_opens_on_an_alarm_nothing_is_measured(
    tmp_path: Path, rows: npt.NDArray[np.float32]
) -> None:
    breaker = CircuitBreaker(on=("drift",), window=1, failures=1, probes=1)
    path = bundle_of(tmp_path, rows, Drift(average_run_length=1e5), Decision(breaker=breaker))
    with edge_rai.load(path) as session, pytest.raises(ValueError, match="the circuit breaker is open, so that"):
        simulate(session, {"x": rows}, runs=2, most_rows=500, quiet_rows=16)


def test_rules_of_the_clock_and_of_order_say_nothing_of_rows_shown_at_once(
    tmp_path: Path, rows: npt.NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    """A breaker that opened in one stream is not open in the next, and nobody waits for a rate limit."""
    data, few = tmp_path / "rows.npy", ("--runs", "2", "--rows", "500", "--quiet-rows", "500", "--json")
    np.save(data, rows)
    drift = Drift(average_run_length=1e5)
    found = []
    for decision, checks in (
        (None, {}),
        (
            Decision(
                breaker=CircuitBreaker(on=("drift", "reject"), window=1, failures=1, cooldown_s=3600.0),
                rate_limit=RateLimit(rows_per_second=1.0, burst=100),
            ),
            {"step": 0.01},
        ),
    ):
        path = bundle_of(tmp_path, rows, drift, decision, observe=(Observation("verdict"),), **checks)
        assert main(["drift", "simulate", str(path), "--data", str(data), *few]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[1] == found[0]

    path = bundle_of(tmp_path, rows, drift, decision, observe=(Observation("verdict"),))
    assert main(["drift", "report", str(path), "--data", str(data)]) == 0
    assert "No alarm in 4000 rows" in capsys.readouterr().out


def test_commands_print_and_draw_it(
    tmp_path: Path, rows: npt.NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle_of(tmp_path, rows, Drift(average_run_length=1e5))
    data, page = tmp_path / "rows.npy", tmp_path / "page.html"
    np.save(data, rows)
    few = ("--runs", "2", "--rows", "500", "--quiet-rows", "500")
    assert main(["drift", "simulate", str(path), "--data", str(data), *few]) == 0
    printed = capsys.readouterr().out
    assert "without a shift: 0 of 2 streams of 500 rows had an alarm" in printed
    assert "its rows come again" not in printed
    assert main(["drift", "simulate", str(path), "--data", str(data), *few[:4], "--quiet-rows", "4001"]) == 0
    assert "longer than the file its rows come again" in capsys.readouterr().out
    assert re.search(r"^mean \+1 sd +2 of 2 ", printed, flags=re.MULTILINE)
    assert main(["drift", "simulate", str(path), "--data", str(data), *few, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["delays"][0]["found"] == 2

    assert main(["drift", "report", str(path), "--data", str(data), "--html", str(page)]) == 0
    assert "No alarm in 4000 rows" in capsys.readouterr().out
    np.save(data, np.where(np.arange(FEATURES) == 1, rows + 1, rows))
    assert main(["drift", "report", str(path), "--data", str(data), "--json"]) == 1
    alarm = json.loads(capsys.readouterr().out)["watch"]["alarm"]
    assert alarm["features"][0] == "f1"
    assert main(["drift", "report", str(path), "--data", str(data)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"f1, its values have risen by \+\S+ standard deviations \(95 %: .*\), since about", said)
    np.save(data, np.where(np.arange(FEATURES) == 1, rows - 5, rows))
    assert main(["drift", "report", str(path), "--data", str(data)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"f1, its values have fallen by -(1.[89]|2.\d) standard deviations or more \(95 %: .*\)", said)
    drawn = page.read_text(encoding="utf-8")
    assert drawn.count("<svg") == FEATURES
    assert "default-src &#x27;none&#x27;" in drawn
    assert not re.search(r"https?:|<script|<link|<img|url\(", drawn)  # it needs nothing but itself
    assert "No alarm in 4000 rows" in drawn


def test_what_an_alarm_names_stands_first_also_where_its_values_are_distributed_as_ever(
    tmp_path: Path, rows: npt.NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    path, data, page = bundle_of(tmp_path, rows, Drift(average_run_length=1e5)), tmp_path / "rows.npy", tmp_path / "p"
    holed = rows.copy()
    holed[2000:, 1] = np.nan
    holed[2000:, 0] *= 1.3
    np.save(data, holed)
    assert main(["drift", "report", str(path), "--data", str(data), "--html", str(page)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert "f1, more of its values are missing or not finite, now 100 % of them" in said[1]
    assert said[4].startswith("f1 ")
    drawn = page.read_text(encoding="utf-8")
    assert drawn.index(">f1<") < drawn.index(">f0<")
    assert "2000 values, 2000 missing or not finite" in drawn


def test_rows_of_another_shape_are_none_of_the_model_s(
    tmp_path: Path, rows: npt.NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    path, data = bundle_of(tmp_path, rows, Drift(average_run_length=1e5)), tmp_path / "rows.npy"
    for others in (rows[:, :2], rows[:, :, None], rows.ravel()):
        np.save(data, others)
        for command in ("report", "simulate"):
            assert main(["drift", command, str(path), "--data", str(data)]) == 2
            shape = ", ".join(map(str, others.shape))
            assert f"'x' has the shape ({shape}); the model takes (any, 3)" in capsys.readouterr().err
    np.save(data, rows[:0])
    assert main(["drift", "simulate", str(path), "--data", str(data)]) == 2
    assert "0 rows; streams are drawn from two or more" in capsys.readouterr().err
    np.save(data, rows.astype(complex))
    assert main(["drift", "simulate", str(path), "--data", str(data)]) == 2
    assert "of numbers alone" in capsys.readouterr().err


def test_inputs_of_different_numbers_of_rows_are_refused(
    tmp_path: Path, rows: npt.NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    shape = ["rows", 3]
    nodes, given = [helper.make_node("Add", ["x0", "x1"], ["y"])], [("x0", FLOAT, shape), ("x1", FLOAT, shape)]
    model = save(tmp_path / "two.onnx", nodes, given, [("y", FLOAT, shape)])
    np.savez(tmp_path / "rows.npz", x0=rows[:10], x1=rows[:17])
    assert main(["drift", "report", str(model), "--data", str(tmp_path / "rows.npz")]) == 2
    assert "numbers of rows differ, 10 in 'x0', 17 in 'x1'" in capsys.readouterr().err


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_missing_or_infinite_are_shifted_by_what_is_known_of_them(
    tmp_path: Path, rows: npt.NDArray[np.float32], value: float
) -> None:
    """Of one feature nothing, of one a single value, and of one all but a row."""
    path = bundle_of(tmp_path, rows, Drift(average_run_length=1e5))
    holed = rows.copy()
    holed[:, 0], holed[::2, 1], holed[1::2, 1], holed[0, 2] = value, value, 1.0, value
    with edge_rai.load(path, threads=1) as session:
        found = simulate(session, {"x": holed}, runs=3, most_rows=50, quiet_rows=50)
        assert found.false_alarms == 3  # it is not what was known
        assert {delay.shift for delay in found.delays} == SHIFTS.keys()
        holed[:] = value
        found = simulate(session, {"x": holed}, runs=3, most_rows=50, quiet_rows=50)
        assert [delay.shift for delay in found.delays] == ["a tenth missing"]


def test_greatest_numbers_of_a_type_stay_within_it() -> None:
    for dtype in (np.int64, np.uint64, np.int8):
        given = np.array([[10.0 * np.iinfo(dtype).max], [np.iinfo(dtype).min * 10.0]])
        held = _typed(given, TensorSpec("x", np.dtype(dtype).name, (None, 1)))
        assert held[0, 0] > 0.99 * np.iinfo(dtype).max
        assert held[1, 0] == np.iinfo(dtype).min


def test_rows_that_came_years_apart_do_not_run_the_clock_out() -> None:
    clock = ManualClock()
    moments = Moments(clock, np.array([1.5e9, 1.8e9]))
    for row in range(20_000):
        moments.come(row % 2)
    assert clock.unix_ns == 1_800_000_000_000_000_000
    assert clock.monotonic_ns < 2**60
