from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_rai_converters.compare import Answers, Comparison, compare, find_decision, summarize


def compared(answers: Answers, reference: Answers, labels: np.ndarray | None = None) -> Comparison:
    outputs = summarize([reference])
    return compare([(answers, reference)], outputs, find_decision(outputs, labels), labels)


def logits(*classes: int) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[list(classes)]


def test_integer_output_of_one_value_a_row_is_the_class() -> None:
    answers = {"p": logits(0, 1), "label": np.array([7, 9], np.int64)}
    decision = find_decision(summarize([answers]), np.array([7, 9]))
    assert decision is not None
    assert decision.of(answers).tolist() == [7, 9]


def test_greatest_value_of_the_only_vector_is_the_class() -> None:
    answers = {"map": np.zeros((2, 4, 4), np.float32), "p": logits(2, 1).reshape(2, 3, 1, 1)}
    decision = find_decision(summarize([answers]), None)
    assert decision is not None
    assert (decision.output, decision.of(answers).tolist()) == ("p", [2, 1])


@pytest.mark.parametrize(("scores", "threshold"), [((0.1, 0.9), 0.5), ((-3.0, 0.4), 0.0)])
def test_single_score_decides_only_when_there_are_labels(scores: tuple[float, float], threshold: float) -> None:
    answers = {"score": np.array(scores, np.float32).reshape(2, 1)}
    assert find_decision(summarize([answers]), None) is None
    decision = find_decision(summarize([answers]), np.array([0, 1]))
    assert decision is not None
    assert (decision.threshold, decision.of(answers).tolist()) == (threshold, [0, 1])


def test_labels_that_no_answer_can_match_are_refused() -> None:
    with pytest.raises(
        ValueError, match="the classes 0 to 2: subtract 1 from each; of a model that answers no class leave labels"
    ):
        find_decision(summarize([{"p": logits(0, 1)}]), np.array([1, 3]))
    with pytest.raises(ValueError, match="no output of the model is a class"):
        find_decision(summarize([{"map": np.zeros((2, 4, 4), np.float32)}]), np.array([0, 1]))


def test_form_is_measured_against_float_and_labels() -> None:
    reference = {"p": logits(0, 1, 2, 2)}
    answers = {"p": logits(0, 1, 2, 0) * np.float32(0.5)}
    labels = np.array([0, 1, 0, 2])
    found = compared(answers, reference, labels)
    assert (found.accuracy, found.agreement, found.share_within) == (0.5, 0.75, None)
    assert (found.largest_difference, found.relative_difference) == (1.0, 1.0)
    assert found.mean_difference == pytest.approx((0.5 * 3 + 0.5 + 1.0) / 12)


def test_values_are_compared_within_their_range() -> None:
    reference = {"map": np.linspace(0, 10, 32, dtype=np.float32).reshape(2, 4, 4)}
    answers = {"map": reference["map"] + np.float32(0.4)}
    answers["map"][0, 0, 0] += np.float32(0.4)
    found = compared(answers, reference)
    assert found.agreement is None
    assert found.share_within == pytest.approx(31 / 32)
    assert found.relative_difference == pytest.approx(0.08)


def test_lost_nan_counts_as_the_largest_difference() -> None:
    reference = {"map": np.array([[[np.nan, 1]], [[np.nan, 2]]], np.float32)}
    same = compared(reference, reference)
    assert same.largest_difference == 0
    erased = compared({"map": np.nan_to_num(reference["map"])}, reference)
    assert erased.largest_difference == np.inf
    assert erased.as_json()["largest_difference"] is None


def test_answers_compared_part_by_part_are_compared_as_in_one() -> None:
    generator = np.random.default_rng(0)
    reference = {"p": generator.normal(size=(90, 3)), "map": generator.normal(size=(90, 4, 4)).astype(np.float32)}
    answers = {
        name: array + generator.normal(0, 0.3, array.shape).astype(array.dtype) for name, array in reference.items()
    }
    labels = generator.integers(0, 3, 90)
    pieces = [[{name: array[at : at + 7] for name, array in form.items()} for at in range(0, 90, 7)]
              for form in (answers, reference)]  # fmt: skip
    outputs = summarize(pieces[1])
    assert outputs == summarize([reference])
    apart = compare(zip(*pieces, strict=True), outputs, find_decision(outputs, labels), labels)
    whole = compared(answers, reference, labels)
    assert apart.mean_difference == pytest.approx(whole.mean_difference, rel=1e-12)
    assert replace(apart, mean_difference=0) == replace(whole, mean_difference=0)
    assert 0 < apart.accuracy < 1
    assert 0 < apart.agreement < 1


def test_same_class_in_all_rows_says_nothing_of_the_answers() -> None:
    reference = {"p": np.array([[9, 0, 1], [9, 1, 0], [9, 0.5, 0.5]], np.float32)}
    answers = {"p": reference["p"] + np.array([0, 0, 0.5], np.float32)}
    found = compared(answers, reference)
    assert (found.agreement, found.quantity_difference) == (1.0, 0.5)


def test_outputs_beside_the_class_are_quantities_but_those_whose_greatest_value_goes_with_it() -> None:
    labels = np.array([0, 1, 2, 2])
    reference = {"label": labels, "p": logits(0, 1, 2, 2), "box": np.arange(8, dtype=np.float32).reshape(4, 2)}
    answers = {**reference, "p": reference["p"] * np.float32(0.5)}
    assert compared(answers, reference).quantity_difference == 0
    moved = compared({**reference, "box": reference["box"] + np.float32(3)}, reference, labels)
    assert (moved.accuracy, moved.agreement, moved.quantity_difference) == (1.0, 1.0, 0.5)
    assert moved.share_within == 0


def test_places_of_a_vector_have_ranges_of_their_own_but_shares_of_a_whole_have_one() -> None:
    reference = {"y": np.array([[1000, 0], [1010, 2], [1020, 4]], np.float32)}
    assert compared({"y": reference["y"] + np.float32(1)}, reference).relative_difference == 0.25
    shares = {"y": np.array([[0.98, 0.02], [0.99, 0.01], [0.97, 0.03]], np.float64)}
    assert compared({"y": shares["y"] + 0.01}, shares).relative_difference == pytest.approx(0.01 / 0.98)


@pytest.mark.parametrize("kind", [np.int64, np.bool_])
def test_of_whole_numbers_and_truth_values_the_share_that_differ_counts(kind: type[np.generic]) -> None:
    reference = {"map": np.arange(8).reshape(2, 2, 2) % 2}
    answers = {"map": reference["map"].copy()}
    answers["map"][1, 1, 1] = 0
    found = compared({"map": answers["map"].astype(kind)}, {"map": reference["map"].astype(kind)})
    assert (found.agreement, found.share_within, found.quantity_difference) == (None, 7 / 8, 1 / 8)
    assert (found.largest_difference, found.mean_difference) == (0.0, 0.0)
