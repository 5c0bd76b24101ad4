"""Ranges of activations: what each method finds, and in how much memory."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from edge_rai_converters.passes.quantize.ranges import Method, measure_ranges
from support.calibrating import graph_model, material, peak_of_calibration, two_convolutions

ROWS = np.random.default_rng(2).normal(size=(50_000, 4)).astype(np.float32)


def ranges(rows: np.ndarray, method: Method) -> tuple[float, float]:
    """Of a tensor that is the rows."""
    model = graph_model([helper.make_node("Identity", ["x"], ["y"])], {}, ["N", 4], ["N", 4])
    return measure_ranges(model, ["y"], material(rows), method)["y"]


def test_minmax_is_the_extremes_of_all_rows_for_inputs_and_what_is_made_of_them() -> None:
    model = graph_model([helper.make_node("Add", ["x", "x"], ["y"])], {}, ["N", 4], ["N", 4])
    found = measure_ranges(model, ["x", "y"], material(ROWS), "minmax")
    assert found == {"x": (ROWS.min(), ROWS.max()), "y": (2 * ROWS.min(), 2 * ROWS.max())}


def test_percentile_leaves_one_value_in_ten_thousand_outside() -> None:
    low, high = ranges(ROWS, "percentile")
    outside = [np.count_nonzero(low > ROWS), np.count_nonzero(high < ROWS)]
    assert outside[0] == pytest.approx(10, abs=4)
    assert outside[1] == pytest.approx(10, abs=4)


def test_percentile_does_not_count_the_zeros_of_a_relu() -> None:
    rows = np.where(np.arange(len(ROWS))[:, np.newaxis] % 100, 0, np.abs(ROWS)).astype(np.float32)
    low, high = ranges(rows, "percentile")
    assert low == 0
    assert high > 3  # a ten-thousandth of all values would have been one in a hundred of those above zero: 2.6


def test_entropy_clips_a_far_outlier_and_keeps_the_rest() -> None:
    rows = ROWS.copy()
    rows[7, 2] = 40
    low, high = ranges(rows, "entropy")
    assert 3 < high < 8
    assert -8 < low < -3


def test_entropy_keeps_a_range_that_is_evenly_filled() -> None:
    rows = np.random.default_rng(3).uniform(0, 1, size=(20_000, 4)).astype(np.float32)
    low, high = ranges(rows, "entropy")
    assert low == pytest.approx(0, abs=1e-3)
    assert high == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_tensor_that_is_always_zero_has_the_range_zero(method: Method) -> None:
    assert ranges(0 * ROWS[:100], method) == (0, 0)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_size_of_the_calls_changes_nothing(method: Method) -> None:
    rows = np.random.default_rng(4).normal(size=(300, 3, 16, 16)).astype(np.float32)
    together = measure_ranges(two_convolutions(), ["x", "a", "c"], material(rows), method)
    alone = measure_ranges(two_convolutions(), ["x", "a", "c"], material(rows, batched=False), method)
    for name, ends in together.items():
        np.testing.assert_allclose(alone[name], ends, rtol=1e-3)


def test_progress_runs_from_nothing_to_all_over_both_passes() -> None:
    said: list[float] = []
    images = np.zeros((640, 3, 16, 16), np.float32)
    measure_ranges(two_convolutions(), ["a"], material(images, progress=said.append), "percentile")
    assert said == pytest.approx(np.arange(1, 21) / 20)


@pytest.mark.parametrize("method", ["minmax", "entropy"])
def test_memory_of_calibration_does_not_grow_with_the_rows(method: Method) -> None:
    assert peak_of_calibration(300, method) < 400  # MiB; the activations are 690
