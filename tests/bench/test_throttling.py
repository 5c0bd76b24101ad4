"""Throttling: found where it was planted, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rai.bench.series import Series
from edge_rai.bench.throttling import find_throttling
from support.bench_runs import NOISY, throttled


@pytest.mark.parametrize("mood", [{}, {"stalls_per_s": 3.0, "stall_s": 0.01}, NOISY], ids=["quiet", "stalls", "noisy"])
def test_twenty_percent_slower_from_halfway_is_reported_and_a_steady_subject_is_not(mood) -> None:
    assert throttled(8, 1.0, **mood) == [None] * 8
    for step in throttled(8, 1.2, **mood):
        assert step is not None
        assert step.ratio == pytest.approx(1.2, abs=0.03)
        assert step.at_s == pytest.approx(10, abs=0.5)


def series(medians: np.ndarray) -> Series:
    """One call a block, 100 ms apart."""
    began = np.arange(len(medians)) * 100_000_000
    return Series("a", 1, np.arange(len(medians), dtype=np.int32), began, began, began + medians.astype(np.int64))


NOISE = 1 + 0.02 * np.random.default_rng(7).random(200)


def test_a_slope_is_reported() -> None:
    step = find_throttling(series(1e6 * NOISE * np.linspace(1, 1.3, 200)))
    assert step is not None
    assert 1.1 < step.ratio < 1.2


@pytest.mark.parametrize("share", [0.15, 0.85])
def test_a_step_near_an_end_is_reported(share) -> None:
    slower = np.where(np.arange(200) >= 200 * share, 1.5, 1.0)
    step = find_throttling(series(1e6 * NOISE * slower))
    assert step is not None
    assert step.at_s == pytest.approx(20 * share, abs=0.3)
    assert step.ratio == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize(
    "shape",
    [
        np.where(np.arange(200) >= 100, 1.04, 1.0),  # less than 5 %
        np.where(np.arange(200) >= 100, 0.8, 1.0),  # faster
        np.where((np.arange(200) >= 80) & (np.arange(200) < 120), 1.5, 1.0),  # for a while only
        np.where(np.arange(200) % 40 < 20, 1.5, 1.0),  # to and fro
        np.where(np.arange(200) == 150, 50.0, 1.0),  # one stalled block
    ],
    ids=["a little", "faster", "for a while", "to and fro", "one stall"],
)
def test_what_is_no_lasting_slowing_down_is_not_reported(shape) -> None:
    assert find_throttling(series(1e6 * NOISE * shape)) is None


def test_a_process_that_is_slow_by_itself_is_no_throttling_and_four_that_follow_one_another_are() -> None:
    twelve = tuple(range(0, 240, 20))
    noise = np.tile(NOISE, 2)[:240]
    for first, expected in ((220, None), (200, None), (160, 16.0)):
        slow = np.where(np.arange(240) >= first, 1.5, 1.0)
        step = find_throttling(series(1e6 * noise * slow), None, twelve)
        assert (step and step.at_s) == (expected and pytest.approx(expected, abs=0.4))
    alone = np.where(np.arange(240) >= 200, 1.5, 1.0)
    assert find_throttling(series(1e6 * noise * alone)) is not None


def test_too_few_blocks_say_nothing() -> None:
    assert find_throttling(series(np.where(np.arange(19) >= 10, 2e6, 1e6))) is None
    assert find_throttling(series(np.zeros(0))) is None


def test_a_clock_that_sees_no_time_pass_is_no_reason_to_fail() -> None:
    assert find_throttling(series(np.zeros(100))) is None
