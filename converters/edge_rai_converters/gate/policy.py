"""The written form of a gate's policy: gate.toml (docs/formats/gate.md)."""

from __future__ import annotations

import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edge_rai.errors import PolicyError
from edge_rai.findings import explain
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.given import check_there

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_gate_policy(path: str | Path) -> GatePolicy:
    """Reads and checks a policy file.

    Raises:
        MissingFileError: It is not there.
        PolicyError: It is no policy; names the file, the field, the value and what is allowed.
        OSError: It cannot be read.
    """
    check_there(path, "a policy of the gate in TOML")
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text: {error}") from error
    return parse_gate_policy(text, str(path))


def parse_gate_policy(text: str, where: str = "gate.toml") -> GatePolicy:
    """Checks the text of a policy.

    Args:
        text: TOML.
        where: Names it in errors.

    Raises:
        PolicyError: As ``load_gate_policy``.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where}: not TOML: {error}") from error
    if "format_version" not in document:
        raise PolicyError(f"{where}: says no format_version; begin it with the line format_version = 1")
    try:
        # By way of JSON: pydantic's strict mode then still takes arrays for tuples, and nothing else for anything.
        return TypeAdapter(GatePolicy).validate_json(json.dumps(document, default=_day))
    except ValidationError as error:
        raise PolicyError(f"{where}: {explain(error).removeprefix('document: ')}") from error


def _day(value: Any) -> str:
    """A date as JSON has it; of other types TOML has none that is not JSON's, but times, which nothing here takes."""
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else f"time {value}"
