"""Where values lie along an axis, what is marked on it, and how times are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rai.page.scale import Scale, count, digits, duration, durations, fitting, short_duration

POSITIVE = st.floats(1e-3, 1e15)


@given(st.lists(POSITIVE, min_size=1, max_size=8))
def test_all_values_lie_on_a_scale_that_fits_them_in_their_order(values: list[float]) -> None:
    scale = fitting(values)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= 100


@given(POSITIVE, st.floats(1.001, 1e9), st.booleans())
def test_a_scale_has_a_few_ticks_and_they_lie_on_it(low: float, times: float, logarithmic: bool) -> None:
    scale = Scale(low, low * times, logarithmic)
    ticks = scale.ticks()
    assert len(ticks) <= 6
    assert ticks == sorted(ticks)
    assert all(low * 0.999999 <= tick <= low * times * 1.000001 for tick in ticks)
    assert ticks or times < 10


def test_a_value_beyond_a_scale_lies_at_its_end() -> None:
    assert (Scale(1, 10, True).at(0), Scale(1, 10).at(99)) == (0, 100)


@pytest.mark.parametrize(
    ("ns", "written"),
    [
        (0, "0.00 ns"),
        (91.04, "91.0 ns"),
        (999.9, "1.00 µs"),
        (6_434, "6.43 µs"),
        (12_345_678, "12.3 ms"),
        (2e9, "2.00 s"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(ns: float, written: str) -> None:
    assert duration(ns).replace("\u00a0", " ") == written


def test_an_interval_has_one_unit_and_an_unknown_end_a_question_mark() -> None:
    assert durations(950, 7_080) == "0.95 to 7.08\u00a0µs"
    assert durations(950, None) == "950 to ?\u00a0ns"
    assert durations(-20, 15.5, sign=True) == "\N{MINUS SIGN}20.0 to +15.5\u00a0ns"


def test_numbers_are_written_for_people() -> None:
    assert (digits(0.0567), digits(9.996), digits(1234.5)) == ("0.057", "10.0", "1,234")
    assert (count(1_234_567), count(12_345), count(7.25)) == ("1.23\u00a0million", "12,345", "7.25")
    assert (short_duration(20_000), short_duration(0), short_duration(-200)) == (
        "20\u00a0µs",
        "0",
        "\N{MINUS SIGN}200\u00a0ns",
    )
