"""Python's enums and the documented error numbers are those of edge_rai.h."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

from edge_rai import counts, events, types
from edge_rai._native.library import raise_status

Enums = dict[str, dict[str, int]]


@pytest.mark.parametrize(
    ("python", "c", "prefix"),
    [
        (types.Verdict, "erai_verdict", "ERAI_VERDICT_"),
        (types.Source, "erai_source", "ERAI_SOURCE_"),
        (types.ReasonCode, "erai_reason_code", "ERAI_REASON_"),
        (counts.DecisionCount, "erai_decision_count", "ERAI_COUNT_"),
        (types.Breaker, "erai_breaker", "ERAI_BREAKER_"),
        (events.Expiry, "erai_expiry", "ERAI_EXPIRED_"),
        (events.EventClass, "erai_event_class", "ERAI_EVENT_"),
        (events.FieldForm, "erai_field_form", "ERAI_FIELD_"),
    ],
)
def test_python_enum_has_the_members_of_the_header(python: type[IntEnum], c: str, prefix: str, enums: Enums) -> None:
    assert {f"{prefix}{member.name}": member.value for member in python} == enums[c]


def test_error_table_lists_every_status_with_its_pinned_number(root: Path, enums: Enums) -> None:
    table = (root / "docs/errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `(ERAI_\w+)` \|", table, flags=re.MULTILINE)
    assert [(name, int(number)) for number, name in rows] == list(enums["erai_status"].items())


def test_status_numbers_stand_in_the_tens_of_their_subject(enums: Enums) -> None:
    subjects = {
        r"ERAI_OK": range(1),
        r"ERAI_E_(ARGUMENT|STRUCT|NO_MODEL|STOPPED)": range(1, 10),
        r"ERAI_E_(MEMORY|SIZE)": range(10, 20),
        r"ERAI_E_(BUNDLE|MODEL|GOLDEN)\w*": range(20, 30),
        r"ERAI_E_(POLICY|GUARD)\w*": range(30, 40),
        r"ERAI_E_(SPOOL|BATCH)\w*": range(40, 50),
        r"ERAI_E_(RUNTIME|INFERENCE|PROVIDER)\w*": range(50, 60),
        r"ERAI_E_INTERNAL": range(90, 100),
    }
    for name, number in enums["erai_status"].items():
        homes = [numbers for pattern, numbers in subjects.items() if re.fullmatch(pattern, name)]
        assert len(homes) == 1, name
        assert number in homes[0], name


def test_error_table_names_the_exception_python_raises_for_each_status(root: Path, enums: Enums) -> None:
    section = (root / "docs/errors.md").read_text(encoding="utf-8").split("## In Python")[1]
    documented = {}
    for names, numbers in re.findall(r"^\| (`[\w`, ]+`) \| (.*) \|$", section, flags=re.MULTILINE):
        for first, last in re.findall(r"\b(\d+)(?: to (\d+))?", numbers):
            for number in range(int(first), int(last or first) + 1):
                documented[number] = set(re.findall(r"`(\w+)`", names))
    for number in enums["erai_status"].values():
        if number:
            with pytest.raises(Exception, match="a sentence") as raised:
                raise_status(number, "a sentence")
            assert type(raised.value).__name__ in documented.get(number, {"NativeError"}), number
