from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from edge_rai_converters.compare import Candidate, choose, find_decision, measure_candidate
from edge_rai_converters.errors import AccuracyDropError

FLOAT = Candidate("none", 1000, 0.95, 1.0, None, 0.0, 0.0, 0.0)
INT8 = Candidate("static_int8_qdq", 300, 0.945, 0.99, None, 0.1, 0.01, 0.1)


def logits(*classes: int) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[list(classes)]


def test_integer_output_of_one_value_a_row_is_the_class() -> None:
    answers = {"p": logits(0, 1), "label": np.array([7, 9], np.int64)}
    decision = find_decision(answers, np.array([7, 9]))
    assert decision is not None
    assert decision.of(answers).tolist() == [7, 9]


def test_greatest_value_of_the_only_vector_is_the_class() -> None:
    answers = {"map": np.zeros((2, 4, 4), np.float32), "p": logits(2, 1).reshape(2, 3, 1, 1)}
    decision = find_decision(answers, None)
    assert decision is not None
    assert (decision.output, decision.of(answers).tolist()) == ("p", [2, 1])


@pytest.mark.parametrize(("scores", "threshold"), [((0.1, 0.9), 0.5), ((-3.0, 0.4), 0.0)])
def test_single_score_decides_only_when_there_are_labels(scores: tuple[float, float], threshold: float) -> None:
    answers = {"score": np.array(scores, np.float32).reshape(2, 1)}
    assert find_decision(answers, None) is None
    decision = find_decision(answers, np.array([0, 1]))
    assert decision is not None
    assert (decision.threshold, decision.of(answers).tolist()) == (threshold, [0, 1])


def test_labels_that_no_answer_can_match_are_refused() -> None:
    with pytest.raises(ValueError, match="labels run from 1 to 3, but output 'p' has the classes 0 to 2"):
        find_decision({"p": logits(0, 1)}, np.array([1, 3]))
    with pytest.raises(ValueError, match="no output of the model is a class"):
        find_decision({"map": np.zeros((2, 4, 4), np.float32)}, np.array([0, 1]))


def test_candidate_is_measured_against_float_and_labels() -> None:
    reference = {"p": logits(0, 1, 2, 2)}
    answers = {"p": logits(0, 1, 2, 0) * np.float32(0.5)}
    labels = np.array([0, 1, 0, 2])
    found = measure_candidate("static_int8_qdq", 10, answers, reference, find_decision(reference, labels), labels)
    assert (found.accuracy, found.agreement, found.share_within) == (0.5, 0.75, None)
    assert (found.largest_difference, found.relative_difference) == (1.0, 1.0)
    assert found.mean_difference == pytest.approx((0.5 * 3 + 0.5 + 1.0) / 12)


def test_values_are_compared_within_their_range() -> None:
    reference = {"map": np.linspace(0, 10, 32, dtype=np.float32).reshape(2, 4, 4)}
    answers = {"map": reference["map"] + np.float32(0.4)}
    answers["map"][0, 0, 0] += np.float32(0.4)
    found = measure_candidate("static_int8_qdq", 10, answers, reference, None, None)
    assert found.agreement is None
    assert found.share_within == pytest.approx(31 / 32)
    assert found.relative_difference == pytest.approx(0.08)


def test_lost_nan_counts_as_the_largest_difference() -> None:
    reference = {"map": np.array([[[np.nan, 1]], [[np.nan, 2]]], np.float32)}
    same = measure_candidate("none", 10, reference, reference, None, None)
    assert same.largest_difference == 0
    erased = measure_candidate("static_int8_qdq", 10, {"map": np.nan_to_num(reference["map"])}, reference, None, None)
    assert erased.largest_difference == np.inf
    assert erased.as_json()["largest_difference"] is None


@pytest.mark.parametrize(
    ("quantized", "reason"),
    [
        (replace(INT8, size=901), "saves less than 10 %"),
        (replace(INT8, accuracy=0.93), r"loses 2\.00 points of accuracy, more than the 1 allowed"),
        (replace(INT8, agreement=0.979), r"another class in 2\.1 % of the held-back rows"),
        (replace(INT8, accuracy=None, agreement=None, relative_difference=0.051), r"up to 5\.1 % of an output's range"),
        (replace(INT8, accuracy=None, agreement=None, relative_difference=float("nan")), "of an output's range"),
        ("the model has no layers", "because the model has no layers"),
    ],
)
def test_float_is_kept_when_int8_does_not_pay(quantized: Candidate | str, reason: str) -> None:
    choice = choose("auto", FLOAT, quantized, 1.0)
    assert choice.quantization == "none"
    assert re.search(reason, choice.reason)


def test_int8_is_taken_when_it_is_smaller_and_as_good() -> None:
    choice = choose("auto", FLOAT, INT8, 1.0)
    assert choice.quantization == "static_int8_qdq"
    same_class = "gives the same class in 99.0 % of the held-back rows"
    assert choice.reason == f"int8 is 70 % smaller and {same_class}; accuracy -0.50 points"
    assert choose("none", FLOAT, INT8, 1.0).quantization == "none"


def test_insisting_on_int8_overrides_everything_but_accuracy() -> None:
    worse = replace(INT8, size=2000, agreement=0.5)
    assert choose("int8", FLOAT, worse, 1.0).quantization == "static_int8_qdq"
    with pytest.raises(AccuracyDropError, match=r"int8 loses 0\.50 points of accuracy .* more than the 0\.1 allowed"):
        choose("int8", FLOAT, INT8, 0.1)
    with pytest.raises(AccuracyDropError, match="int8 was asked for, but the model has no layers"):
        choose("int8", FLOAT, "the model has no layers", 1.0)
