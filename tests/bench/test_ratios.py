"""Contenders beside each other: verdicts and intervals, and throughput by batch size."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rai.bench.closed_loop import closed_loop
from edge_rai.bench.ratios import ratio_of, student_t, throughput_of
from edge_rai.bench.series import Series, Subject
from support.bench_runs import NOISY, two, verdicts
from support.simulated_machine import SimulatedMachine, jittered, worker


def test_a_subject_beside_itself_cannot_be_told_on_a_noisy_machine() -> None:
    assert verdicts(30, 1.0, duration_s=10, **NOISY).count("cannot tell") >= 29


def test_five_percent_slower_is_found_on_a_noisy_machine() -> None:
    assert verdicts(10, 1.05, **NOISY).count("slower") >= 9


def test_five_percent_faster_is_found_on_a_noisy_machine() -> None:
    assert verdicts(10, 0.95, **NOISY).count("faster") >= 9


def test_the_intervals_of_ratio_and_difference_hold_what_was_planted() -> None:
    series = two(1, 1.25, duration_s=10, processes=1).series
    ratio = ratio_of(series[1], series[0])
    assert ratio.low_99 <= ratio.low_95 <= ratio.ratio <= ratio.high_95 <= ratio.high_99
    assert ratio.low_95 <= 1.25 <= ratio.high_95
    typical = 1e6 * (1 + 0.1 * 0.839)  # median of a gamma law of shape 2 and mean 1
    assert ratio.difference_low_95_ns <= 0.25 * typical <= ratio.difference_high_95_ns
    assert ratio.high_99 - ratio.low_99 < 0.03


def test_a_ratio_and_its_inverse_say_the_same() -> None:
    series = two(2, 1.1, duration_s=5, processes=1, **NOISY).series
    there, back = ratio_of(series[1], series[0]), ratio_of(series[0], series[1])
    assert (there.verdict, back.verdict) == ("slower", "faster")
    assert there.low_99 == pytest.approx(1 / back.high_99, rel=1e-3)


def test_seven_rounds_are_too_few_for_a_ratio() -> None:
    blocks, times = np.arange(8, dtype=np.int32), np.arange(8)
    eight = Series("a", 1, blocks, times, times, times + 5)
    assert ratio_of(eight, eight).verdict == "cannot tell"
    seven = Series("b", 1, blocks[1:], times[1:], times[1:], times[1:] + 5)
    assert ratio_of(eight, seven) is None


# Tables of Student's t, two-sided 95 % and 99 %.
@pytest.mark.parametrize(
    ("confidence", "freedom", "value"),
    [(0.95, 4, 2.776), (0.95, 7, 2.365), (0.95, 19, 2.093), (0.99, 9, 3.250), (0.99, 18, 2.878), (0.95, 1000, 1.962)],
)
def test_students_t_is_that_of_the_tables(confidence, freedom, value) -> None:
    assert student_t(confidence, freedom) == pytest.approx(value, rel=0.005)


def batches(machine, law: dict[int, float]) -> list[Series]:
    subjects = [Subject("model", worker(machine, jittered(ns, 0.1), rows), rows) for rows, ns in law.items()]
    return closed_loop(subjects, machine, duration_s=10).series


def test_rows_per_second_are_those_of_the_law_and_its_interval_holds_them() -> None:
    series = batches(SimulatedMachine(), {1: 1e6, 8: 2e6})
    for found, expected in zip(throughput_of(series), (1 / 1.1e-3, 8 / 2.2e-3), strict=True):
        assert found.low_95 <= expected <= found.high_95
        assert found.high_95 / found.low_95 < 1.02
        assert found.low_95 < found.rows_per_s < found.high_95


@pytest.mark.parametrize(
    ("law", "best"),
    [
        ({1: 1e6, 8: 2e6, 64: 20e6}, 8),  # beyond 8 rows the cache is too small
        ({1: 1e6, 8: 2e6, 64: 12e6}, 64),
        ({1: 1e6, 8: 2e6, 64: 16e6}, 8),  # as fast at both: the smaller, whose rows wait less
    ],
)
def test_the_best_batch_is_the_smallest_that_none_beats_beyond_doubt(law, best) -> None:
    found = throughput_of(batches(SimulatedMachine(1, **NOISY), law))
    assert [one.batch for one in found if one.best] == [best]
