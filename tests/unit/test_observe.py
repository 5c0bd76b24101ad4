"""What a session observes besides its input: values by name, references of their own, outcomes that come later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edge_rai
from edge_rai.errors import PolicyError
from edge_rai.policy import (
    Drift,
    FeatureReference,
    FeatureRule,
    InputRule,
    Observation,
    OutputRule,
    Policy,
    Reference,
    parse_policy,
    policy_tables,
    policy_to_toml,
)
from support.bundles import write_bundle
from support.models import save_linear

COLUMNS = 3
WRONG = Observation("wrong", "y", limit=0.0, bound=0.1)
ALL = (
    Observation("verdict"),
    Observation("projection", "x", 1),
    Observation("class", "y"),
    Observation("value", "y"),
    Observation("latency", limit=1000.0, bound=0.01),
)


def policy_of(observe: tuple[Observation, ...], drift: Drift | None = None) -> Policy:
    features = tuple(FeatureRule(f"f{place}", low=-50.0, high=50.0) for place in range(COLUMNS))
    given = InputRule("x", "float32", (-1, COLUMNS), max_shape=(4096, COLUMNS), feature_axis=1, features=features)
    return Policy(1, True, (given,), (OutputRule("y", "float32", (-1, 1)),), drift=drift, observe=observe)


def reference_of(*observed: FeatureReference) -> Reference:
    edges, counts = np.zeros(1), np.array([500, 500], np.uint64)
    inputs = (FeatureReference("x", f"f{place}", 1000, 0.0, 2.0, edges, counts) for place in range(COLUMNS))
    return Reference((*inputs, *observed))


def open_session(tmp_path: Path, policy: Policy, reference: Reference | None = None) -> edge_rai.Session:
    model = save_linear(tmp_path / "model.onnx", COLUMNS, 1)
    golden = {"x": np.zeros((2, COLUMNS), np.float32)}
    return edge_rai.load(write_bundle(tmp_path / "m.erai", model, policy, golden, reference or reference_of()))


def test_observed_values_are_those_of_the_answer(tmp_path: Path) -> None:
    rows = np.array([[2, -4, 6], [0, 0, 99]], np.float32)  # the second is out of range
    with open_session(tmp_path, policy_of(ALL)) as session:
        answer = session.predict(rows)
        seen = session.observe(rows)
        assert list(seen) == ["verdict", "projection 1 of x", "class of y", "value of y", "latency"]
        assert seen["verdict"].tolist() == answer.row_verdicts.tolist() == [0, 2]
        assert seen["value of y"][0] == answer.outputs["y"][0, 0]
        assert np.isnan(seen["value of y"][1])
        assert seen["class of y"][0] == float(answer.outputs["y"][0, 0] > 0)
        assert 0 < seen["latency"][0] == seen["latency"][1]
        # Standard deviations of 1, -2 and 3 with some signs, over the square root of three.
        assert any(
            np.isclose(seen["projection 1 of x"][0], (a * 1 - b * 2 + c * 3) / np.sqrt(3))
            for a in (1, -1)
            for b in (1, -1)
            for c in (1, -1)
        )
        assert session.observations == len(ALL)
        assert [feature.name for feature in session.features][-len(ALL) :] == list(seen)
        assert len(answer.receipts) == 0


def test_observations_are_counted_like_features(tmp_path: Path) -> None:
    known = FeatureReference("", "value of y", 100, 0.0, 1.0, np.zeros(1), np.array([50, 50], np.uint64))
    with open_session(tmp_path, policy_of((Observation("value", "y"),)), reference_of(known)) as session:
        session.predict(np.ones((8, COLUMNS), np.float32))
        counted = session.snapshot().features[-1]
        assert int(counted.histogram.sum()) == 8
        assert [drift.name for drift in session.drift()][-1] == "value of y"


def test_outcomes_raise_an_alarm_when_more_are_wrong_than_the_bound_says(tmp_path: Path) -> None:
    alone = Drift(1e5, strides={f"f{place}": 0 for place in range(COLUMNS)})
    with open_session(tmp_path, policy_of((WRONG,), alone)) as session:
        answer = session.predict(np.ones((500, COLUMNS), np.float32))
        right = float(answer.outputs["y"][0, 0] > 0)
        assert answer.receipts.shape == (500,)
        for row, receipt in enumerate(answer.receipts):
            session.record_outcome(int(receipt), right if row % 12 else 1 - right)
        watch = session.watch()
        assert watch is not None
        assert watch.alarm is None
        assert watch.rows == 500
        for row, receipt in enumerate(answer.receipts):
            session.record_outcome(receipt, right if row % 4 else 1 - right)
        watch = session.watch()
        assert watch is not None
        assert watch.alarm is not None
        assert watch.alarm.features == ("wrong of y",)


def test_receipts_are_of_answers_by_the_model_alone(tmp_path: Path) -> None:
    rows = np.array([[0, 0, 99], [1, 1, 1]], np.float32)
    with open_session(tmp_path, policy_of((WRONG,))) as session:
        receipts = session.predict(rows).receipts
        assert receipts[0] == 0 < receipts[1]
        with pytest.raises(ValueError, match="did not answer this row"):
            session.record_outcome(receipts[0], 1)
        with pytest.raises(ValueError, match="none of an answer by this policy"):
            session.record_outcome(int(receipts[1]) ^ 1 << 40, 1)
        for forged in (0x7F800000, 0xFFC00000):  # of an infinite answer, and of NaN: the model's would have none
            with pytest.raises(ValueError, match="none of an answer by this policy"):
                session.record_outcome(int(receipts[1]) >> 32 << 32 | forged, 1)
        for label in (float("nan"), 10**400):
            with pytest.raises(ValueError, match="expected a number"):
                session.record_outcome(receipts[1], label)
        with pytest.raises(TypeError, match="label is .*; expected a number"):
            session.record_outcome(receipts[1], "1")  # type: ignore[arg-type]
        session.record_outcome(receipts[1], True)
        assert int(session.snapshot().features[-1].histogram.sum()) == 1


def test_a_batcher_hands_each_caller_his_receipts(tmp_path: Path) -> None:
    with open_session(tmp_path, policy_of((WRONG,))) as session, edge_rai.Batcher(session) as batcher:
        answer = batcher.predict(np.ones((2, COLUMNS), np.float32))
        assert answer.receipts.shape == (2,)
        session.record_outcome(answer.receipts[1], 0)


def test_written_form_reads_back() -> None:
    policy = policy_of((*ALL, WRONG), Drift(1e5, strides={"verdict": 0}))
    text = policy_to_toml(policy)
    assert "[[observe]]" in text
    assert parse_policy(text) == policy
    tables = {table.title: table for table in policy_tables(policy)}
    assert ("wrong of y", "y", "up to 10 % of answers are wrong") in tables["Observed"].rows
    assert ("latency", "", "up to 1 % of calls take more than 1000 ms") in tables["Observed"].rows


@pytest.mark.parametrize(
    ("observe", "says"),
    [
        ((Observation("value", "z"),), "'value of z'; the outputs are \\['y'\\]"),
        ((Observation("distance", "y"),), "'distance of y'; the inputs are \\['x'\\]"),
        ((WRONG, Observation("verdict")), "comes last"),
        ((Observation("verdict"), Observation("verdict")), "verdict"),
    ],
)
def test_observations_of_what_is_not_there_are_refused(observe: tuple[Observation, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        policy_of(observe)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('kind = "shape"', "observe.0..kind"),
        ('kind = "value"', "needs `of`"),
        ('kind = "verdict"\nof = "y"', "stands alone"),
        ('kind = "projection"\nof = "x"\nelement = 64', "0 to 63"),
        ('kind = "wrong"\nof = "y"', "bound of 'wrong of y' is 0"),
        ('kind = "value"\nof = "y"\nbound = 0.1', "has a bound"),
        ('kind = "latency"\nbound = 0.1', "limit of 'latency' is 0"),
        ('kind = "seasonal"\nof = "f0"', "slots of 'seasonal of f0' are 0"),
        ('kind = "value"\nof = "y"\nslots = 24', "slots of 'value of y' are 24"),
    ],
)
def test_bad_observations_are_refused_by_name(text: str, says: str) -> None:
    written = policy_to_toml(policy_of(())) + f"\n[[observe]]\n{text}\n"
    with pytest.raises(PolicyError, match=says):
        parse_policy(written)


def test_parts_of_the_input_are_observed_by_the_name_of_their_feature(tmp_path: Path) -> None:
    observe = (Observation("mean", "f1"), Observation("stddev", "f2"), Observation("element", "x", 2))
    with open_session(tmp_path, policy_of(observe)) as session:
        seen = session.observe(np.array([[1, 2, 3]], np.float32))
        assert {name: values.tolist() for name, values in seen.items()} == {
            "mean of f1": [2.0],
            "stddev of f2": [0.0],
            "element 2 of x": [3.0],
        }
    with pytest.raises(ValueError, match="the features are"):
        policy_of((Observation("category", "x"),))


def seasons_of(slot_means: tuple[float, ...], slot_scales: tuple[float, ...]) -> FeatureReference:
    known = (np.zeros(1), np.array([50, 50], np.uint64))
    return FeatureReference("", "seasonal of f1", 100, 0.0, 1.0, *known, slot_means=slot_means, slot_scales=slot_scales)


def test_a_season_holds_values_against_the_hour_that_the_clock_shows(tmp_path: Path) -> None:
    policy = policy_of((Observation("seasonal", "f1", slots=24),))
    means, scales = tuple(map(float, range(24))), (0.5,) * 23 + (0.0,)
    reference = Reference.from_json(reference_of(seasons_of(means, scales)).to_json())
    assert (reference.features[-1].slot_means, reference.features[-1].slot_scales) == (means, scales)
    assert parse_policy(policy_to_toml(policy)) == policy
    clock = edge_rai.ManualClock(unix_ns=30 * 3600 * 10**9 + 1800 * 10**9)  # the middle of the seventh hour
    model = save_linear(tmp_path / "model.onnx", COLUMNS, 1)
    bundle = write_bundle(tmp_path / "m.erai", model, policy, {"x": np.zeros((2, COLUMNS), np.float32)}, reference)
    with edge_rai.load(bundle, clock=clock) as session:
        rows = np.array([[0, 7, 0], [0, 6, 0]], np.float32)
        assert session.observe(rows)["seasonal of f1"].tolist() == [0.5, 0.0]
        clock.unix_ns -= 7 * 3600 * 10**9  # an hour of which nothing is known
        assert np.isnan(session.observe(rows)["seasonal of f1"]).all()
    with pytest.raises(PolicyError, match="has 24 slots, its reference 12; learn it again"):
        write_bundle(
            tmp_path / "other.erai",
            model,
            policy,
            {"x": np.zeros((2, COLUMNS), np.float32)},
            reference_of(seasons_of(means[:12], scales[:12])),
        )


def test_a_distance_needs_one(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="a distance needs one of an input"):
        open_session(tmp_path, policy_of((Observation("distance", "x"),)))
