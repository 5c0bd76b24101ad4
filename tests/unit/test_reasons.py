"""What reasons say in words."""

from __future__ import annotations

import pytest

from edge_rai.types import Reason, ReasonCode

NAN = float("nan")


@pytest.mark.parametrize(
    ("code", "value", "limit", "words"),
    [
        (ReasonCode.NOT_MONOTONIC, 1577836800.25, 1577836801.5, "t goes back: 1577836800.25 after 1577836801.5"),
        (ReasonCode.NOT_MONOTONIC, 0.1234567, 0.12345671, "t goes back: 0.1234567 after 0.12345671"),
        (ReasonCode.BELOW_RANGE, 0.10000000149011612, 0.25, "t below range: 0.1 (limit 0.25)"),
        (ReasonCode.ABOVE_RANGE, 3.4028234663852886e38, 2.0, "t above range: 3.40282e+38 (limit 2)"),
        (ReasonCode.ABOVE_RANGE, 2.0**53, 1e6, "t above range: 9007199254740992 (limit 1000000)"),
        (ReasonCode.DEADLINE, 20123456.0, 2e7, "t took 20123456 ns (deadline 20000000 ns)"),
        (ReasonCode.CATEGORY, 7.0, NAN, "t is none of its categories: 7"),
        (ReasonCode.NOT_FINITE, NAN, NAN, "t not finite: nan"),
        (ReasonCode.SHAPE, 3.0, 4.0, "t has 3 on axis 2, expected 4 (of a free axis: at most)"),
    ],
)
def test_numbers_have_the_digits_it_takes_to_tell_them_apart(
    code: ReasonCode, value: float, limit: float, words: str
) -> None:
    assert str(Reason(code, "t", value, limit, row=-1, element=2)) == words
    assert str(Reason(code, "t", value, limit, row=5, element=2)) == f"row 5: {words}"
