"""Features that follow the hour of the day: what is learned of them from data with times, and what that finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import edge_rai
from edge_rai.cli import main
from edge_rai.errors import PolicyError
from edge_rai.policy import (
    FeatureRule,
    InputRule,
    Observation,
    OutputRule,
    Policy,
    Reference,
    compile_policy,
    load_policy,
)
from edge_rai.simulation import simulate
from edge_rai_converters import convert, profile_model
from edge_rai_converters.data import drawn
from edge_rai_converters.data.times import read_times
from edge_rai_converters.errors import DataError
from edge_rai_converters.rehearsal import without_seasons
from edge_rai_converters.sample import sample_of
from edge_rai_converters.seasons import Shown, written_seasons
from support.models import save_linear

Values = npt.NDArray[np.float64]

MINUTE, DAY = 60, 86400
START = 1_700_000_000 // DAY * DAY
ROWS = 14 * DAY // MINUTE
CYCLE, NOISE = "x[0]", "x[1]"


def minutes(first: int, rows: int) -> Values:
    return START + MINUTE * np.arange(first, first + rows, dtype=np.float64)


def rows_at(times: Values, seed: int, shift: float = 0.0) -> npt.NDArray[np.float32]:
    """A sine of a day with noise of standard deviation 0.5, and noise alone."""
    noise = np.random.default_rng(seed).normal(size=(len(times), 2))
    cycle = 20 + 1.0 * np.sin(2 * np.pi * times / DAY) + 0.5 * (noise[:, 0] + shift)
    return np.stack([cycle, noise[:, 1]], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, and two weeks of a row a minute with their times."""
    folder = tmp_path_factory.mktemp("seasons")
    times = minutes(0, ROWS)
    np.savez(folder / "data.npz", x=rows_at(times, 1), when=times)
    return save_linear(folder / "model.onnx", 2, 1), folder / "data.npz"


@pytest.fixture(scope="module")
def bundle(given: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "m.erai"
    convert(
        *given,
        path,
        prune="none",
        quantize="none",
        distance="none",
        average_run_length=1e5,
        ordered=True,
        times="when",
        reproducible=True,
    )
    return path


def watched(
    session: edge_rai.Session, clock: edge_rai.ManualClock, times: Values, seed: int, shift: float = 0.0
) -> int:
    """Shows the rows in calls of ten, each at its time; the row of the alarm, or 0."""
    rows = rows_at(times, seed, shift)
    for first in range(0, len(rows), 10):
        clock.unix_ns = int(times[first] + 5 * MINUTE) * 10**9
        session.predict(rows[first : first + 10])
    watch = session.watch()
    assert watch is not None
    if watch.alarm is None:
        return 0
    assert f"seasonal of {CYCLE}" in watch.alarm.features
    return watch.alarm.row


def test_without_times_a_daily_cycle_is_not_watched(given: tuple[Path, Path], tmp_path: Path) -> None:
    arrays = np.load(given[1])
    found = profile_model(given[0], arrays["x"], tmp_path / "rules", average_run_length=1e5, ordered=True)
    assert found.policy.drift is not None
    assert found.policy.drift.strides[CYCLE] == 0
    assert NOISE not in found.policy.drift.strides
    assert not any(rule.kind == "seasonal" for rule in found.policy.observe)


def test_a_daily_cycle_is_watched_by_what_is_left_of_it(bundle: Path) -> None:
    clock = edge_rai.ManualClock()
    with edge_rai.load(bundle, clock=clock) as session:
        names = [feature.name for feature in session.features]
        assert f"seasonal of {CYCLE}" in names
        assert f"seasonal of {NOISE}" not in names
        times = minutes(ROWS, 2 * ROWS)
        assert watched(session, clock, times, 2) == 0  # four more weeks
        row = watched(session, clock, minutes(3 * ROWS + 400, 2000), 3, 1.0)
        assert 2 * ROWS < row <= 2 * ROWS + 100


def test_rows_of_a_file_are_held_against_the_hour_in_which_they_came(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = minutes(ROWS, ROWS // 4)
    calm, moved = tmp_path / "calm.npz", tmp_path / "moved.npz"
    np.savez(calm, x=rows_at(times, 4), when=times)
    np.savez(moved, x=rows_at(times, 4, 1.0), when=times)
    assert main(["drift", "report", str(bundle), "--data", str(calm)]) == 2
    assert (
        f"feature {CYCLE!r} is held against the hour; say when each row came, with --times" in capsys.readouterr().err
    )
    assert main(["drift", "report", str(bundle), "--data", str(calm), "--times", "when"]) == 0
    assert main(["drift", "report", str(bundle), "--data", str(moved), "--times", "when"]) == 1
    assert f"seasonal of {CYCLE}" in capsys.readouterr().out
    few = ["--runs", "4", "--rows", "500", "--quiet-rows", "1000", "--times", "when", "--json"]
    assert main(["drift", "simulate", str(bundle), "--data", str(calm), *few]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["false_alarms"] == 0
    assert {delay["shift"]: delay["found"] for delay in found["delays"]}["mean +1 sd"] == 4
    with edge_rai.load(bundle) as session:
        assert session.seasonal == {CYCLE: f"seasonal of {CYCLE}"}
        with pytest.raises(ValueError, match="is held against the hour; give moments"):
            simulate(session, {"x": rows_at(times, 4)})


def test_the_card_quotes_how_soon_drift_is_found(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(bundle), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "evidence/drift.json" in found["from"]
    delays = {delay["shift"]: delay for delay in found["drift"]["delays"]}
    assert (found["drift"]["false_alarms"], found["drift"]["runs"]) == (0, 5)
    assert delays["mean +1 sd"]["found"] == 5
    assert main(["card", str(bundle)]) == 0
    card = capsys.readouterr().out
    assert "without a shift 0\nof 5 streams of 10,000 rows had an alarm (the policy promises 10 % of" in card
    assert f"| mean +1 sd | 5 of 5 | {delays['mean +1 sd']['median']} | {delays['mean +1 sd']['ninth']} |" in card


@pytest.mark.parametrize(("days", "slots", "stride"), [(28, 168, 4), (91, 168, 1), (7, 24, 2), (14, 24, 1)])
def test_rows_of_an_hour_whose_mean_is_of_few_periods_are_not_all_looked_at(days: int, slots: int, stride: int) -> None:
    """They have its error in common: of four weeks, with every row, a third of calm streams had an alarm."""
    times = START + 300.0 * np.arange(days * 288)
    values = np.random.default_rng(5).normal(size=len(times)).astype(np.float32)
    held_back = drawn(len(times), 4)
    given = InputRule("x", "float32", (-1, 1), max_shape=(8, 1), feature_axis=1, features=(FeatureRule("f"),))
    policy = Policy(
        1, True, (given,), (OutputRule("y", "float32", (-1, 1)),), observe=(Observation("seasonal", "f", slots=slots),)
    )
    shown = Shown({"x": values[:, None, None]}, times, np.flatnonzero(~held_back), np.flatnonzero(held_back))
    (season,) = written_seasons(policy, shown)
    assert season.stride == stride


def test_where_nobody_says_when_rows_came_nothing_is_watched_by_the_hour(
    given: tuple[Path, Path], tmp_path: Path
) -> None:
    asked = {"average_run_length": 1e5, "ordered": True}
    when = np.load(given[1])["when"]
    found = profile_model(*given, tmp_path / "two", times=when, **asked)  # type: ignore[arg-type]
    rest = without_seasons(found.policy, found.reference)
    assert rest.drift is not None
    assert rest.drift.strides[f"seasonal of {CYCLE}"] == 0
    compile_policy(rest, found.reference)
    rows = np.load(given[1])["x"][:, :1]
    alone = profile_model(
        save_linear(tmp_path / "one.onnx", 1, 1),
        rows,
        tmp_path / "one",
        times=when,
        **asked,  # type: ignore[arg-type]
    )
    assert alone.policy.drift is not None
    assert without_seasons(alone.policy, alone.reference).drift is None


def test_a_weekly_cycle_is_watched_where_the_hour_of_the_day_is_not_enough(tmp_path: Path) -> None:
    times = START + 5 * MINUTE * np.arange(8 * 7 * DAY // (5 * MINUTE), dtype=np.float64)
    rows = np.random.default_rng(6).normal(size=(len(times), 2)).astype(np.float32)
    rows[:, 0] += np.where((times // DAY + 4) % 7 < 2, 3.0, 0.0)  # at weekends
    np.savez(tmp_path / "data.npz", x=rows, when=times)
    model = save_linear(tmp_path / "model.onnx", 2, 1)
    given = {"average_run_length": 1e5, "ordered": True, "times": "when"}
    found = profile_model(model, tmp_path / "data.npz", tmp_path / "rules", **given)  # type: ignore[arg-type]
    assert [(rule.kind, rule.of, rule.slots) for rule in found.policy.observe if rule.slots] == [
        ("seasonal", CYCLE, 168)
    ]
    learned = next(entry for entry in found.reference.features if entry.name == f"seasonal of {CYCLE}")
    weekend = (np.arange(168) // 24 + 4) % 7 < 2
    assert np.ptp(np.array(learned.slot_means)[weekend]) < 1.0
    assert np.mean(np.array(learned.slot_means)[weekend]) > 2.5 + np.mean(np.array(learned.slot_means)[~weekend])


def test_what_a_session_makes_of_a_row_is_what_was_learned(bundle: Path) -> None:
    """Of the rows that it was learned from, in every slot: mean 0 and standard deviation 1."""
    clock = edge_rai.ManualClock()
    with edge_rai.load(bundle, clock=clock) as session:
        times = minutes(0, ROWS)
        rows = rows_at(times, 1)
        for hour in (0, 6, 23):
            parts = []
            for first in np.flatnonzero((times % DAY) // 3600 == hour)[::10]:
                clock.unix_ns = int(times[first] + 5 * MINUTE) * 10**9
                parts.append(session.observe(rows[first : first + 10])[f"seasonal of {CYCLE}"])
            seen = np.concatenate(parts)
            assert abs(float(seen.mean())) < 0.1
            assert 0.95 < float(seen.std()) < 1.05


def test_a_written_policy_takes_its_seasons_from_the_data(given: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = given
    rules = tmp_path / "rules"
    options = ["--average-run-length", "1e5", "--ordered", "--times", "when", "--distance", "none"]
    assert main(["profile", str(model), "--data", str(data), *options, "-o", str(rules)]) == 0
    text = (rules / "policy.toml").read_text(encoding="utf-8")
    assert re.search(rf'kind = "seasonal"\nof = "{re.escape(CYCLE)}"\nslots = 24', text)
    reference = Reference.from_json((rules / "reference.json").read_bytes())
    learned = next(entry for entry in reference.features if entry.name == f"seasonal of {CYCLE}")
    assert len(learned.slot_means) == 24
    assert min(learned.slot_scales) > 1
    kept = {"prune": "none", "quantize": "none", "reproducible": True, "policy": rules / "policy.toml"}
    with pytest.raises(PolicyError, match="nothing says when rows came"):
        convert(model, data, tmp_path / "m.erai", **kept)  # type: ignore[arg-type]
    when = np.load(data)["when"]
    np.savez(tmp_path / "rows.npz", x=np.load(data)["x"])
    convert(model, tmp_path / "rows.npz", tmp_path / "m.erai", times=when, **kept)  # type: ignore[arg-type]
    again = edge_rai.load(tmp_path / "m.erai")
    with again as session:
        names = [feature.name for feature in session.features]
        found = session.features[names.index(f"seasonal of {CYCLE}")]
        assert found.counts.tolist() == learned.counts.tolist()
        assert found.edges.tolist() == learned.edges.tolist()
    plain = tmp_path / "plain"
    profile_model(model, data, plain)
    assert not load_policy(plain / "policy.toml").observe


def test_a_written_policy_may_open_the_breaker_on_an_alarm(given: tuple[Path, Path], tmp_path: Path) -> None:
    """What is learned before anything is watched is learned without that breaker."""
    model, data = given
    options = ["--average-run-length", "1e5", "--ordered", "--times", "when", "--distance", "none"]
    assert main(["profile", str(model), "--data", str(data), *options, "-o", str(tmp_path)]) == 0
    policy = tmp_path / "policy.toml"
    breaker = '[decision]\nbreaker = { on = ["drift"], window = 1, failures = 1, probes = 1 }\n'
    policy.write_text(policy.read_text(encoding="utf-8").replace("\n[drift]", f"\n{breaker}\n[drift]"))
    kept = {"prune": "none", "quantize": "none", "reproducible": True, "policy": policy, "times": "when"}
    convert(model, data, tmp_path / "m.erai", **kept)  # type: ignore[arg-type]
    with edge_rai.load(tmp_path / "m.erai") as session:
        assert session.watch() is not None
        assert session.breaker is edge_rai.Breaker.CLOSED


def test_times_are_read_in_the_forms_that_people_have(tmp_path: Path) -> None:
    expected = [1_800_000_000.0, 1_800_003_600.5]
    table = tmp_path / "rows.csv"
    table.write_text("a,when,n\n1,2027-01-15T08:00:00Z,1800000000\n2,2027-01-15T10:00:00.5+01:00,1800003600.5\n")
    assert read_times("when", table, 2).tolist() == expected
    assert read_times("n", table, 2).tolist() == expected
    stamps = np.array(["2027-01-15T08:00:00", "2027-01-15T09:00:00.5"], "datetime64[ms]")
    assert read_times(stamps, table, 2).tolist() == expected
    assert read_times(stamps.astype(str), table, 2).tolist() == expected
    np.save(tmp_path / "when.npy", np.array(expected))
    assert read_times(tmp_path / "when.npy", table, 2).tolist() == expected


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ("then", "neither a file nor in .*'when'"),
        ("when", "'noon' in row 1 is no time; write 2026"),
        ("a", "nan in row 1 is no time"),
        (np.zeros(3), r"times of shape \[3\] for 2 rows"),
        (np.array([1.0, 1.8e12]), r"1.8e\+12 in row 1 is no time"),
        (np.array([True, False]), "bool is no time"),
        (np.array(["NaT", "2027-01-15"], "datetime64[s]"), "nan in row 0 is no time"),
        (np.array(["2027-01-15", "2999-01-01"], "datetime64[D]"), r"3\.24721e\+10 in row 1 is no time"),
        (np.array(["2027-01-15", "2999-01-01"]), r"3\.24721e\+10 in row 1 is no time"),
    ],
)
def test_what_is_no_time_is_refused_by_its_row(tmp_path: Path, times: str | Values, says: str) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("a,when\n1,2027-01-15T08:00:00Z\n,noon\n")
    with pytest.raises(DataError, match=says):
        read_times(times, table, 2)


def test_times_are_no_input_of_a_model_in_memory_that_names_none(given: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("a,b,when\n1,2,1800000000\n3,4,1800003600\n")
    for path in (given[1], table):
        found = sample_of(object(), path, None, times="when")
        assert found is not None
        assert sum(array.shape[1] for array in found.values()) == 2


def test_times_that_nobody_would_ask_for_are_refused(given: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="times of rows matter for an average run length alone"):
        profile_model(*given, tmp_path / "rules", times="when")
