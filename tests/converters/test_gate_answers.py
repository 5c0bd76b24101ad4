"""How answers become decisions: models that hand their input on, so that the data say what they answer."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import GateReport, gate, parse_gate_policy

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


def handing_on(width: int, shift: float = 0.0, name: str = "scores") -> onnx.ModelProto:
    """Answers with its input, shifted."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["X", "shift"], [name])],
        "handing on",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])],
        [onnx.numpy_helper.from_array(np.full(1, shift, np.float32), "shift")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def judged(rows: np.ndarray, labels: np.ndarray | None, policy: str, shift: float = 0.0) -> GateReport:
    original, candidate = handing_on(rows.shape[1]), handing_on(rows.shape[1], shift)
    text = parse_gate_policy(f"format_version = 1\n{policy}")
    return gate(candidate, original, rows.astype(np.float32), text, labels=labels, now=NOW)


def figures(report: GateReport) -> dict[str, tuple[float, float]]:
    return {entry.metric: (entry.original, entry.candidate) for entry in report.measured}


@pytest.fixture
def scores() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (400, 1))


def test_single_score_is_of_the_second_class(scores: np.ndarray) -> None:
    labels = (scores[:, 0] > 0.4).astype(np.int64)
    report = judged(scores, labels, "[margins]\naccuracy = 0.05")
    assert figures(report)["accuracy"][0] == pytest.approx(((scores[:, 0] > 0.5) == labels).mean())
    assert figures(report)["brier"][0] == pytest.approx(np.square(scores[:, 0] - labels).mean(), abs=1e-6)


def test_scores_beyond_0_and_1_are_logarithms_of_odds(scores: np.ndarray) -> None:
    odds = 8 * (scores - 0.5)
    labels = (scores[:, 0] > 0.5).astype(np.int64)
    report = judged(odds, labels, "[margins]\naccuracy = 0.05")
    assert figures(report)["accuracy"][0] == 1
    expected = np.square(1 / (1 + np.exp(-odds[:, 0])) - labels).mean()
    assert figures(report)["brier"][0] == pytest.approx(expected, abs=1e-6)


def test_thresholds_are_of_the_probability_and_each_model_may_have_its_own(scores: np.ndarray) -> None:
    labels = (scores[:, 0] > 0.4).astype(np.int64)
    wide = np.concatenate([1 - scores, scores], axis=1)
    for threshold, own in ((0.4, ""), (0.5, "candidate_threshold = 0.4\n")):
        policy = f"[answer]\nthreshold = {threshold}\n{own}[margins]\naccuracy = 0.05"
        found = figures(judged(wide, labels, policy))["accuracy"]
        assert found[1] == pytest.approx(1.0, abs=0.01)
        assert (found[0] < 0.95) == bool(own)


def test_positive_class_is_chosen_by_its_place_or_its_name(scores: np.ndarray) -> None:
    wide = np.concatenate([1 - scores, scores], axis=1)
    labels = np.where(scores[:, 0] > 0.3, "well", "ill")
    chosen = {
        positive: figures(judged(wide, labels, f"[answer]\npositive = {positive}\n[margins]\ntpr = 0.2"))
        for positive in ("0", "1", "'ill'", "'well'")
    }
    assert chosen["0"] == chosen["'ill'"]
    assert chosen["1"] == chosen["'well'"]
    assert chosen["0"]["selection_rate"][0] == pytest.approx((scores[:, 0] < 0.5).mean())
    with pytest.raises(DataError, match="positive is 'sick', and the classes are 'ill', 'well'"):
        judged(wide, labels, "[answer]\npositive = 'sick'\n[margins]\ntpr = 0.2")


def test_logits_of_many_classes_become_probabilities() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (300, 4))
    labels = logits.argmax(axis=1)
    found = figures(judged(logits, labels, "[margins]\naccuracy = 0.05"))
    assert found["accuracy"] == (1, 1)
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = grown / grown.sum(axis=1, keepdims=True)
    assert found["brier"][0] == pytest.approx(np.square(shares - np.eye(4)[labels]).sum(axis=1).mean(), abs=1e-5)


def test_labels_in_several_columns_make_each_score_a_decision() -> None:
    generator = np.random.default_rng(2)
    rows = generator.uniform(0, 1, (500, 3))
    labels = (rows > 0.5).astype(np.int64)
    labels[7] = -1
    policy = 'unlabelled = "flips"\n[margins]\nhamming_loss = 0.1\naccuracy = 0.1'
    report = judged(rows, np.where(labels < 0, np.nan, labels), policy)
    assert report.passed
    assert figures(report)["hamming_loss"] == (0, 0)
    assert report.slices[0].labelled == 499
    with pytest.raises(DataError, match="labels have 2 columns of int64, and the models 3 scores"):
        judged(rows, labels[:, :2], policy)
    with pytest.raises(DataError, match="labels in several columns are 0 or 1, and empty where they are not known"):
        judged(rows, labels + 3, policy)


def test_labels_with_fractions_are_quantities(scores: np.ndarray) -> None:
    policy = "[answer]\nlargest_error = 5.0\n[margins]\nmae = 0.2\nsigned_error = 0.2"
    report = judged(scores, scores[:, 0] + 0.25, policy, shift=0.1)
    assert figures(report)["mae"] == pytest.approx((0.25, 0.15), abs=1e-6)
    assert figures(report)["signed_error"] == pytest.approx((-0.25, -0.15), abs=1e-6)
    with pytest.raises(DataError, match="'accuracy' is declared, but the models answer a quantity"):
        judged(scores, scores[:, 0] + 0.25, "[margins]\naccuracy = 0.2")


def test_kind_that_is_declared_is_not_guessed(scores: np.ndarray) -> None:
    policy = "[answer]\nkind = 'quantity'\nlargest_error = 5.0\n[margins]\nmae = 0.2"
    report = judged(scores, np.ones(400, np.int64), policy)
    assert figures(report)["mae"][0] == pytest.approx(1 - scores.mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "policy", "said"),
    [
        (
            np.full(400, 7),
            "[margins]\naccuracy = 0.1",
            "labels run from 7 to 7, and the models have the classes 0 to 1",
        ),
        (np.full(400, np.nan), "[margins]\naccuracy = 0.1", "not one of the rows has a label"),
        (np.zeros(399, np.int64), "[margins]\naccuracy = 0.1", "the labels are of 399 rows, the original's of 400"),
        (
            np.zeros(400, np.int64),
            "[answer]\noutput = 'y'\n[margins]\naccuracy = 0.1",
            "there is no output 'y'; the models",
        ),
        (
            np.zeros(400, np.int64),
            "[margins]\nhamming_loss = 0.1",
            "'hamming_loss' is of answers with any number of labels",
        ),
        (np.full(400, "a"), "[answer]\nkind = 'quantity'\n[margins]\nflips = 0.1", "numbers are needed for a quantity"),
    ],
)
def test_labels_and_outputs_that_do_not_fit_are_refused(
    scores: np.ndarray, labels: np.ndarray, policy: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        judged(scores, labels, policy)


def test_one_hot_labels_are_not_taken_for_several_labels_unless_the_policy_says_so() -> None:
    rows = np.random.default_rng(1).dirichlet(np.ones(3), 400)
    labels = np.eye(3)[rows.argmax(axis=1)]
    with pytest.raises(
        DataError, match=r"as one-hot labels do; give one class a row \(numpy.argmax\(labels, axis=1\)\)"
    ):
        judged(rows, labels, "[margins]\naccuracy = 0.05")
    report = judged(rows, labels, "[margins]\nhamming_loss = 0.05\n[answer]\nkind = 'labels'")
    assert figures(report)["hamming_loss"][0] == pytest.approx(((rows > 0.5) != labels).mean())


def test_answers_that_are_not_finite_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(DataError, match="the candidate's answer is not finite in 400 of 400 rows, first row 0"):
        judged(scores, np.zeros(400, np.int64), "[margins]\naccuracy = 0.1", shift=np.nan)


def test_candidate_without_an_output_of_the_original_is_refused(scores: np.ndarray) -> None:
    policy = parse_gate_policy("format_version = 1\n[margins]\nselection_rate = 0.1")
    with pytest.raises(DataError, match="the candidate has no output 'scores', which the original has"):
        gate(handing_on(1, name="other"), handing_on(1), scores.astype(np.float32), policy, labels=None, now=NOW)


def test_numbers_that_a_model_gives_its_classes_are_their_names() -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(3)
    rows = generator.normal(size=(400, 3)).astype(np.float32)
    labels = np.array([3, 5, 9])[np.digitize(rows[:, 0], [-0.5, 0.5])]
    model = LogisticRegression().fit(rows, labels)
    exported = skl2onnx.to_onnx(model, rows[:1], options={"zipmap": False})
    text = "format_version = 1\n[margins]\naccuracy = 0.1\n'tpr[5]' = 0.2\nbrier = 0.1"
    report = gate(exported, exported, rows, parse_gate_policy(text), labels=labels, now=NOW)
    assert report.passed
    found = figures(report)
    assert found["accuracy"][0] == pytest.approx(model.score(rows, labels))
    assert found["tpr[5]"][0] == pytest.approx((model.predict(rows[labels == 5]) == 5).mean())
    one_hot = labels[:, np.newaxis] == model.classes_
    assert found["brier"][0] == pytest.approx(
        np.square(model.predict_proba(rows) - one_hot).sum(axis=1).mean(), abs=1e-5
    )
