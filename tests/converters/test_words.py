"""Words of messages."""

from __future__ import annotations

import pytest

from edge_rai_converters.words import first_line, number_of


def test_of_one_thing_there_is_no_plural() -> None:
    assert [number_of(count, "row") for count in (0, 1, 1200)] == ["0 rows", "1 row", "1,200 rows"]
    assert number_of(2, "class", "classes") == "2 classes"


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError(), "ValueError"), (ValueError(" \n"), "ValueError"), (ValueError("\nfirst\nsecond"), "first")],
)
def test_exception_without_words_is_called_by_its_type(error: ValueError, said: str) -> None:
    assert first_line(error) == said


def test_what_others_say_is_kept_short_and_without_their_numbers() -> None:
    assert first_line(RuntimeError("[ONNXRuntimeError] : 1 : FAIL : no such kernel\nstack")) == "no such kernel"
    assert first_line(RuntimeError("[ONNXRuntimeError] : 1 : FAIL : ")) == "[ONNXRuntimeError] : 1 : FAIL :"
    assert first_line(RuntimeError("x" * 5000)) == "x" * 300 + "..."
