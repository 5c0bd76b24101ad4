"""The decision threshold after quantizing: found on calibration rows, kept for what it does on others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rai_converters.passes.contract import apply
from edge_rai_converters.passes.lower import lower
from edge_rai_converters.passes.quantize import static_int8
from edge_rai_converters.threshold import refit_threshold
from support.calibrating import answers, material

LABELS = np.array([0, 0, 0, 1, 1, 1])
SCORES = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.9])


def test_scores_that_moved_to_one_side_get_a_threshold_between_the_classes() -> None:
    apart, truth = np.tile(SCORES - 0.2, 5), np.tile(LABELS, 5)
    refit = refit_threshold(SCORES, SCORES - 0.2, LABELS, apart, truth)
    assert (refit.before, refit.threshold, refit.kept) == (0.5, pytest.approx(0.3), True)
    assert (refit.right_before, refit.right_found, refit.rows) == (25, 30, 30)
    assert str(refit) == ("of 30 calibration rows that had no part in finding it, 0.3 is right for 30, and 0.5 for 25")


@pytest.mark.parametrize(("gained", "lost", "kept"), [(4, 0, False), (5, 0, True), (7, 1, True), (6, 1, False)])
def test_threshold_is_replaced_only_where_rows_kept_apart_say_so_beyond_chance(gained, lost, kept) -> None:
    # One-sided sign test at 5 %: 1/16, 1/32, 9/256, 8/128.
    apart = np.repeat([0.4, 0.4], [gained, lost])
    truth = np.repeat([1, 0], [gained, lost])
    refit = refit_threshold(SCORES, SCORES - 0.2, LABELS, apart, truth)
    assert (refit.right_found - refit.right_before, refit.kept) == (gained - lost, kept)


def test_threshold_that_is_no_better_on_rows_kept_apart_is_not_used() -> None:
    refit = refit_threshold(SCORES, SCORES - 0.2, LABELS, SCORES, LABELS)
    assert (refit.threshold, refit.found, refit.kept) == (0.5, pytest.approx(0.3), False)
    assert str(refit) == (
        "of 6 calibration rows that had no part in finding it, 0.3 is right for 5 and 0.5 for 6, which is no gain "
        "beyond chance"
    )


def test_old_threshold_stays_where_no_other_is_better_on_the_calibration_rows() -> None:
    refit = refit_threshold(SCORES, SCORES, LABELS, SCORES, LABELS)
    assert (refit.threshold, refit.found, refit.kept) == (0.5, 0.5, False)
    assert str(refit) == "no other is right for more of the calibration rows than 0.5"


def test_of_several_as_good_the_one_nearest_the_old_is_taken() -> None:
    scores, labels = np.array([0.1, 0.6, 0.7, 0.9]), np.array([0, 0, 1, 0])
    # Three right: above 0.65 with the last one wrong, or all of them zeros; nearest 0.5 is 0.65.
    assert refit_threshold(scores, scores, labels, scores, labels).found == pytest.approx(0.65)


def test_scores_beyond_one_are_logarithms_of_odds_with_the_threshold_zero() -> None:
    scores = np.array([-3.0, -1.0, 1.0, 3.0])
    refit = refit_threshold(scores, scores + 2, np.array([0, 0, 1, 1]), scores + 2, np.array([0, 0, 1, 1]))
    assert (refit.before, refit.found) == (0, 2)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_two_scores_a_row_are_decided_by_their_difference_as_by_arg_max(shift: float) -> None:
    # With both classes' scores, probabilities or not, all differences may be between 0 and 1.
    two = np.array([[0.4, 0.6], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9]]) + shift
    labels = np.array([0, 1, 1, 1])
    refit = refit_threshold(two, two, labels, two, labels)
    assert refit.before == 0
    assert refit.found == pytest.approx(0.3)
    assert refit.right_before == np.count_nonzero(two.argmax(axis=1) == labels) == 3
    assert refit.right_found == 4


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=40))
def test_no_threshold_between_scores_is_better_than_the_one_found(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 20 for score, _ in rows])
    labels = np.array([int(label) for _, label in rows])
    refit = refit_threshold(scores, scores, labels, scores, labels)
    tried = [*(np.unique(scores)[:-1] + 0.025), 0.5]
    assert refit.right_found == max(np.count_nonzero((scores > each) == labels) for each in tried)
    assert not refit.kept or refit.right_found > refit.right_before


@pytest.mark.parametrize(
    ("scores", "labels", "match"),
    [
        (np.ones((4, 3)), np.ones(4, int), r"\(4, 3\); expected"),
        (np.ones(4), np.ones(3, int), "one label a row"),
        (np.ones(0), np.ones(0, int), "one label a row"),
        (np.ones(4), np.arange(4), "labels run from 0 to 3"),
        (np.array([0, np.nan]), np.array([0, 1]), "not finite"),
    ],
)
def test_scores_and_labels_that_do_not_fit_are_refused(scores, labels, match) -> None:
    with pytest.raises(ValueError, match=match):
        refit_threshold(scores, scores, labels, scores, labels)


def test_refit_of_a_real_classifier_never_loses_on_the_rows_kept_apart(tumours) -> None:
    import onnx

    loaded = np.load(tumours / "data.npz")
    rows, labels = loaded["X"], loaded["y"]
    model = onnx.load(tumours / "mlp.onnx")
    del model.graph.output[0]  # its label, decided inside
    quantized = apply([lower(), static_int8()], model, material(rows[::2], "X"))
    plain, rounded = (answers(each, rows, "X") for each in (model, quantized))
    refit = refit_threshold(plain[::2], rounded[::2], labels[::2], rounded[1::2], labels[1::2])
    differences = rounded[1::2, 1] - rounded[1::2, 0]
    right = np.count_nonzero((differences > refit.threshold) == labels[1::2])
    assert right == max(refit.right_before, refit.right_found if refit.kept else 0)
    assert right >= np.count_nonzero(rounded[1::2].argmax(axis=1) == labels[1::2])
