"""Questionnaires: TOML that people answer, held against a dataclass and refused in one sentence where it is not so."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import date, datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edge_rai.errors import PolicyError
from edge_rai.findings import explain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Answers = TypeVar("Answers")


def answered(text: bytes, kind: type[Answers], where: str) -> Answers:
    """The answers of a questionnaire.

    Args:
        text: TOML in UTF-8.
        kind: A frozen dataclass with a field for every question, whose metadata have it in words ("question").
        where: Names it in errors.

    Raises:
        PolicyError: It is no such questionnaire; names the field, the value and what is allowed.
    """
    try:
        document = tomllib.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PolicyError(f"{where}: not UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where}: not TOML: {error}") from error
    if "format_version" not in document:
        raise PolicyError(f"{where}: says no format_version; begin it with the line format_version = 1")
    try:
        # By way of JSON: pydantic's strict mode then still takes arrays for tuples, and nothing else for anything.
        return TypeAdapter(kind).validate_json(json.dumps(document, default=_day))
    except ValidationError as error:
        raise PolicyError(f"{where}: {explain(error).removeprefix('document: ')}") from error


def questions(answers: Any) -> Mapping[str, tuple[str, Any]]:
    """By field: its question, and the answer."""
    return {
        entry.name: (entry.metadata["question"], getattr(answers, entry.name))
        for entry in fields(answers)
        if "question" in entry.metadata
    }


def _day(value: Any) -> str:
    """A date as JSON has it; of other types TOML has none that is not JSON's, but times, which nothing here takes."""
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else f"time {value}"
