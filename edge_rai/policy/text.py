"""The written form of a policy: TOML."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edge_rai.errors import PolicyError
from edge_rai.findings import explain
from edge_rai.policy.rules import Policy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_policy(path: str | Path) -> Policy:
    """Reads and checks a policy file.

    Raises:
        PolicyError: The file is not a policy; names the file, the field, the value and what is allowed.
        OSError: It cannot be read.
    """
    raw = Path(path).read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text: {error}") from error
    return parse_policy(text, where=str(path))


def parse_policy(text: str, where: str = "policy.toml") -> Policy:
    """Checks the text of a policy; ``where`` names it in errors.

    Raises:
        PolicyError: As ``load_policy``.
    """
    try:
        # By way of JSON: pydantic's strict mode then still takes arrays for tuples, and nothing else for anything.
        document = json.dumps(tomllib.loads(text), default=_refuse)
        return TypeAdapter(Policy).validate_json(document)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where}: not TOML: {error}") from error
    except ValidationError as error:
        raise PolicyError(f"{where}: {explain(error)}") from error
    except _DateError as error:
        raise PolicyError(f"{where}: {error}") from error


class _DateError(ValueError):
    """TOML has dates and times, JSON has not, and neither has a policy."""


def _refuse(value: Any) -> str:
    raise _DateError(f"{value} is a date or a time, which no field is; put it in quotes if it is meant as text")


def policy_to_toml(policy: Policy) -> str:
    """The written form: one line a rule, one line a feature; reads back to an equal policy."""
    return "\n".join(_toml_lines(policy)) + "\n"


_INPUT_KEYS = ("name", "dtype", "shape", "max_shape", "finite", "out_of_range", "feature_axis", "sketch_stride")
_OUTPUT_KEYS = ("name", "dtype", "shape", "finite")


def _toml_lines(policy: Policy) -> Iterator[str]:
    yield f"format_version = {policy.format_version}"
    yield f"batched = {_toml(policy.batched)}"
    for rule in policy.inputs:
        yield from ("", "[[inputs]]")
        yield from _entries(rule, always=_INPUT_KEYS, never=("features",))
        yield "features = ["
        yield from (f"  {_toml(feature)}," for feature in rule.features)
        yield "]"
    for output in policy.outputs:
        yield from ("", "[[outputs]]")
        yield from _entries(output, always=_OUTPUT_KEYS)
    if policy.decision is not None:
        yield from ("", "[decision]", *_entries(policy.decision))
    for fallback in policy.fallback:
        yield from ("", "[[fallback]]", *_entries(fallback))
    for state in policy.states:
        yield from ("", "[[states]]", *_entries(state))
    if policy.drift is not None:
        yield from ("", "[drift]", *_entries(policy.drift))
    for observation in policy.observe:
        yield from ("", "[[observe]]", *_entries(observation))
    if policy.events is not None:
        yield from ("", "[events]", *_entries(policy.events))


def _entries(rule: Any, always: tuple[str, ...] = (), never: tuple[str, ...] = ()) -> Iterator[str]:
    """`key = value` of each field that is not None, and of others than `always` only what is not its default."""
    for field in fields(rule):
        value = getattr(rule, field.name)
        if value is not None and field.name not in never and (field.name in always or value not in (field.default, {})):
            yield f"{field.name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if is_dataclass(value):
        return "{ " + ", ".join(_entries(value)) + " }"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value)
    # TOML's basic strings are JSON's, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
