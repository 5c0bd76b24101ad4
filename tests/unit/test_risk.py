"""risk.toml: which answers make which class, and what the class asks for."""

from __future__ import annotations

import re

import pytest

from edge_rai.documents.risk import MANDATORY, parse_risk
from edge_rai.errors import PolicyError

HARMLESS = """
format_version = 1
[use]
purpose = "Counts parts on a belt"
users = "The line's controller"
[stakes]
people = false
harm = "none"
decides_alone = true
safety = false
area = "none"
"""


def changed(*pairs: tuple[str, str]) -> bytes:
    text = HARMLESS
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


@pytest.mark.parametrize(
    ("pairs", "expected", "because"),
    [
        ([], "minimal", "no answer raises it"),
        ([("people = false", "people = true")], "limited", "its answers affect people"),
        ([('harm = "none"', 'harm = "reversible"')], "limited", "harm that can be undone"),
        ([('harm = "none"', 'harm = "lasting"')], "high", "lasting harm"),
        ([("safety = false", "safety = true")], "high", "safety component"),
        ([('area = "none"', 'area = "employment"')], "high", "the area employment"),
        (
            [("people = false", "people = true"), ('harm = "none"', 'harm = "reversible"')],
            "high",
            "without a person in between",
        ),
    ],
)
def test_answers_make_a_class_and_say_why(pairs: list[tuple[str, str]], expected: str, because: str) -> None:
    risk = parse_risk(changed(*pairs))
    assert risk.risk_class == expected
    assert because in "; ".join(risk.because)
    assert risk.mandatory == MANDATORY[risk.risk_class]


def test_a_higher_class_asks_for_all_that_a_lower_one_does() -> None:
    assert set(MANDATORY["minimal"]) < set(MANDATORY["limited"]) < set(MANDATORY["high"])


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (("format_version = 1", ""), "says no format_version"),
        (("purpose = ", "aim = "), "use.purpose: this must be there, and is not; use.aim"),
        (('"Counts parts on a belt"', '" "'), "purpose must not be empty"),
        (("people = false", "people = 0"), "stakes.people is 0"),
        (('harm = "none"', 'harm = "some"'), "'none', 'reversible' or 'lasting'"),
        (("[stakes]", "[change_plan]\nallowed = ['colour']\n[stakes]"), "change_plan.allowed[0] is 'colour'"),
        (
            ("[stakes]", "[change_plan]\nallowed = []\nlargest_loss = { accuracy = -1.0 }\n[stakes]"),
            "largest_loss.accuracy is -1; it must be a number of 0 or more",
        ),
        (("[stakes]", "[stakes"), "not TOML"),
    ],
)
def test_answers_that_do_not_fit_are_refused_in_one_sentence(pair: tuple[str, str], said: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(said)) as refused:
        parse_risk(changed(pair), "risk.toml")
    assert "\n" not in str(refused.value)


def test_text_that_is_no_text_is_refused() -> None:
    with pytest.raises(PolicyError, match="not UTF-8"):
        parse_risk(b"\xff")
