"""A session that watches for drift: quiet while nothing changes, an alarm that says what has changed, and its end."""

from __future__ import annotations

import queue
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import edge_rai
from edge_rai import Direction, ReasonCode, Verdict
from edge_rai.errors import PolicyError
from edge_rai.policy import (
    Drift,
    FeatureReference,
    FeatureRule,
    InputRule,
    OutputRule,
    Policy,
    Reference,
    parse_policy,
    policy_tables,
    policy_to_toml,
)
from support.bundles import write_bundle
from support.models import save_linear

Rows = npt.NDArray[np.float32]
FEATURES = 5


def reference_of(rows: Rows) -> Reference:
    """As profile learns it: 32 bins of as many values each."""
    entries = []
    for index, column in enumerate(rows.T.astype(np.float64)):
        edges = np.unique(np.quantile(column, np.arange(1, 32) / 32, method="inverted_cdf"))
        counts = np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(edges) + 1)
        entries.append(
            FeatureReference("x", f"f{index}", len(rows), column.mean(), column.std(), edges, counts.astype(np.uint64))
        )
    return Reference(tuple(entries))


def policy_of(drift: Drift | None) -> Policy:
    features = tuple(FeatureRule(f"f{index}", low=-50.0, high=50.0) for index in range(FEATURES))
    shape = (-1, FEATURES)
    inputs = (InputRule("x", "float32", shape, max_shape=(4096, FEATURES), feature_axis=1, features=features),)
    return Policy(1, True, inputs, (OutputRule("y", "float32", (-1, 1)),), drift=drift)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(8)


def open_session(tmp_path: Path, random: np.random.Generator, drift: Drift | None) -> edge_rai.Session:
    reference = reference_of(random.normal(size=(5000, FEATURES)).astype(np.float32))
    model = save_linear(tmp_path / "model.onnx", FEATURES, 1)
    golden = {"x": np.zeros((2, FEATURES), np.float32)}
    return edge_rai.load(write_bundle(tmp_path / "m.erai", model, policy_of(drift), golden, reference))


def predict_rows(session: edge_rai.Session, rows: Rows, batch: int = 100) -> edge_rai.Answer:
    for start in range(0, len(rows), batch):
        answer = session.predict(rows[start : start + batch])
    return answer


def drifted(random: np.random.Generator, count: int, feature: int, shift: float) -> Rows:
    rows = random.normal(size=(count, FEATURES)).astype(np.float32)
    rows[:, feature] += np.float32(shift)
    return rows


def test_policy_without_drift_watches_nothing(tmp_path: Path, random: np.random.Generator) -> None:
    with open_session(tmp_path, random, None) as session:
        assert session.watch() is None
        session.reset_watch()


def test_alarm_says_what_has_changed_and_stands(tmp_path: Path, random: np.random.Generator) -> None:
    with open_session(tmp_path, random, Drift(1e6)) as session:
        predict_rows(session, drifted(random, 5000, 0, 0.0))
        quiet = session.watch()
        assert quiet is not None
        assert quiet.alarm is None
        assert 4992 <= quiet.rows <= 5000
        assert quiet.average_run_length == 1e6
        assert [feature.name for feature in quiet.features] == [f"f{index}" for index in range(FEATURES)]
        answer = predict_rows(session, drifted(random, 1000, 3, -0.8))
        assert answer.verdict is Verdict.ACCEPT  # "accept": an alarm changes no answer
        watch = session.watch()
        assert watch is not None
        assert watch.alarm is not None
        assert watch.alarm.features == ("f3",)
        assert 5000 < watch.alarm.row < 5200
        assert watch.alarm.evidence >= 1e6
        assert watch.features[3].direction is Direction.MEAN_DOWN
        assert abs(watch.alarm.row - watch.features[3].changed - 5000) < 150
        assert watch.features[3].effect is not None
        assert watch.features[3].effect_interval is not None
        low, high = watch.features[3].effect_interval
        assert low < watch.features[3].effect < high
        assert low < -0.8 < high
        predict_rows(session, drifted(random, 1000, 0, 0.0))
        later = session.watch()
        assert later is not None
        assert later.alarm == watch.alarm
        session.reset_watch()
        reset = session.watch()
        assert reset is not None
        assert (reset.alarm, reset.evidence) == (None, 0.0)


def test_an_alarm_is_told_once_from_a_thread_that_may_ask_the_session(
    tmp_path: Path, random: np.random.Generator
) -> None:
    told: queue.Queue[edge_rai.Watch] = queue.Queue()
    with open_session(tmp_path, random, Drift(1e5)) as session:

        def hear(watch: edge_rai.Watch) -> None:
            session.snapshot()
            told.put(watch)

        session.on_alarm(hear)
        predict_rows(session, drifted(random, 600, 2, 1.0))
        heard = told.get(timeout=60)
        assert heard.alarm is not None
        assert heard.alarm.features[0] == "f2"
        session.reset_watch()
        session.on_alarm(None)
        predict_rows(session, drifted(random, 600, 2, 1.0))
        watch = session.watch()
        assert watch is not None
        assert watch.alarm is not None
        session.on_alarm(hear)
    assert told.empty()  # neither nobody nor who comes after the alarm is told
    with open_session(tmp_path, random, None) as session, pytest.raises(ValueError, match=r"no \[drift\]"):
        session.on_alarm(hear)


def test_alarm_speaks_against_rows_where_the_policy_says_so(tmp_path: Path, random: np.random.Generator) -> None:
    with open_session(tmp_path, random, Drift(1e5, verdict="flag")) as session:
        assert predict_rows(session, drifted(random, 2000, 0, 0.0)).verdict is Verdict.ACCEPT
        predict_rows(session, drifted(random, 1000, 2, 1.0))
        answer = session.predict(drifted(random, 1, 0, 0.0))
        assert answer.verdict is Verdict.FLAG
        (reason,) = answer.reasons
        assert (reason.code, reason.subject, reason.row) == (ReasonCode.DRIFT, "f2", -1)
        assert str(reason).startswith("f2 has drifted: evidence ")


def test_features_of_stride_0_are_not_watched_and_others_less_often(
    tmp_path: Path, random: np.random.Generator
) -> None:
    with open_session(tmp_path, random, Drift(1e5, strides={"f1": 0, "f2": 10})) as session:
        predict_rows(session, drifted(random, 3000, 1, 3.0))
        watch = session.watch()
        assert watch is not None
        assert watch.alarm is None
        assert [(feature.name, feature.stride) for feature in watch.features] == [
            ("f0", 1), ("f2", 10), ("f3", 1), ("f4", 1),
        ]  # fmt: skip


def test_missing_and_outside_values_raise_alarms_of_their_own(tmp_path: Path, random: np.random.Generator) -> None:
    for value, direction in ((np.nan, Direction.MISSING), (99.0, Direction.OUTSIDE)):
        with open_session(tmp_path, random, Drift(1e6)) as session:
            rows = drifted(random, 2000, 0, 0.0)
            rows[1000::10, 4] = value
            for row in rows:
                session.predict(row[None])
            watch = session.watch()
            assert watch is not None
            assert watch.alarm is not None
            assert watch.alarm.features[0] == "f4"
            assert watch.features[4].direction is direction


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("average_run_length = 10", "drift.average_run_length is 10; it must be 100 to 1e15 rows"),
        ("average_run_length = 1e6\neffect = 0", "drift.effect is 0; it must be above 0 and at most 1"),
        ("average_run_length = 1e6\nverdict = 'maybe'", "drift.verdict"),
        ("average_run_length = 1e6\nstrides = { f0 = -1 }", "drift.strides of 'f0' is -1"),
        ("average_run_length = 1e6\nstrides = { g = 1 }", "drift.strides has feature 'g', which no input has"),
    ],
)
def test_rule_that_means_nothing_is_refused(written: str, words: str) -> None:
    text = policy_to_toml(policy_of(None)) + f"\n[drift]\n{written}\n"
    with pytest.raises(PolicyError, match=words):
        parse_policy(text)


def test_written_rule_reads_back_and_is_said_in_words() -> None:
    policy = policy_of(Drift(1e6, verdict="reject", strides={"f0": 7, "f1": 0}))
    assert parse_policy(policy_to_toml(policy)) == policy
    table = next(table for table in policy_tables(policy) if table.title == "Drift")
    assert [row[0] for row in table.rows] == ["alarm", "no drift", "f0", "f1"]
    assert "once in 1000000 rows" in table.rows[0][1]
    assert table.rows[0][2] == "reject"


def test_a_watch_goes_on_in_the_next_session_of_its_spool(tmp_path: Path, random: np.random.Generator) -> None:
    open_session(tmp_path, random, Drift(average_run_length=1e5)).close()
    spool = tmp_path / "spool"
    with edge_rai.load(tmp_path / "m.erai", spool=spool) as session:
        predict_rows(session, drifted(random, 400, 2, 1.5))
        before = session.watch()
        assert before is not None
        assert before.alarm is not None
        assert not before.continued
        session.flush()
    with edge_rai.load(tmp_path / "m.erai", spool=spool) as session:
        assert session.watch() == before._replace(continued=True)
        session.reset_watch()
        session.flush()
    with edge_rai.load(tmp_path / "m.erai", spool=spool) as session:
        after = session.watch()
        assert after is not None
        assert after.alarm is None


def test_a_watch_goes_on_from_its_bytes(tmp_path: Path, random: np.random.Generator) -> None:
    rows = drifted(random, 120, 1, 0.3)
    with open_session(tmp_path, random, Drift(average_run_length=1e5)) as session:
        predict_rows(session, rows, 40)
        state, before = session.watch_state(), session.watch()
        with edge_rai.load(tmp_path / "m.erai") as other:
            other.continue_watch(state)
            assert other.watch() == before._replace(continued=True)
            with pytest.raises(edge_rai.SpoolError, match="cut short or damaged"):
                other.continue_watch(state[:-1])
            with pytest.raises(TypeError, match="state"):
                other.continue_watch("state")
            assert other.watch_state() == state
    with open_session(tmp_path, random, None) as without:
        assert without.watch_state() == b""
        with pytest.raises(ValueError, match="watches nothing"):
            without.continue_watch(state)
