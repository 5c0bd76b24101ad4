"""The interval of a shift against tables of the test that it inverts, and against what was planted."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rai.bench.shift import shift_interval

# Largest values of Mann and Whitney's U that reject, two-sided: tables in Conover, Practical Nonparametric Statistics.
TABLE = [(5, 5, 0.95, 2), (8, 6, 0.95, 8), (8, 8, 0.95, 13), (5, 5, 0.99, 0), (8, 8, 0.99, 7), (12, 12, 0.99, 27)]


@pytest.mark.parametrize(("m", "n", "confidence", "critical"), TABLE)
def test_as_many_differences_are_left_out_as_the_table_says(m, n, confidence, critical) -> None:
    rng = np.random.default_rng(m * n)
    first, second = rng.normal(size=m), rng.normal(size=n)
    differences = sorted(after - before for before in first for after in second)
    assert shift_interval(first, second, confidence) == (differences[critical], differences[-1 - critical])


def test_without_confidence_the_interval_is_the_middle_difference() -> None:
    assert shift_interval(np.zeros(3), np.array([1.0, 2.0, 3.0]), 0.0) == (2.0, 2.0)


def test_one_unlucky_process_hardly_moves_the_interval() -> None:
    values = np.random.default_rng(1).normal(0, 0.01, 12)
    assert shift_interval(values, np.append(values[:-1], 0.5), 0.99)[1] < 0.03


def test_the_interval_holds_the_shift_as_often_as_it_says_under_a_heavy_tailed_law() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(1000):
        low, high = shift_interval(rng.standard_t(2, 12), 3 + rng.standard_t(2, 12), 0.95)
        held += low <= 3 <= high
    assert held / 1000 == pytest.approx(0.95, abs=0.02)
