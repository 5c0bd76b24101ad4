"""The written form of a policy: TOML."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edge_rai.errors import PolicyError
from edge_rai.findings import explain
from edge_rai.policy.reference import shortest_float32
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
        document = json.dumps(tomllib.loads(text), default=str)
        return TypeAdapter(Policy).validate_json(document)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where}: not TOML: {error}") from error
    except ValidationError as error:
        raise PolicyError(f"{where}: {explain(error)}") from error


def policy_to_toml(policy: Policy) -> str:
    """The written form: one line a rule, one line a feature; reads back to an equal policy."""
    return "\n".join(_toml_lines(policy)) + "\n"


def _toml_lines(policy: Policy) -> Iterator[str]:
    yield f"format_version = {policy.format_version}"
    yield f"batched = {_toml(policy.batched)}"
    for rule in policy.inputs:
        yield ""
        yield "[[inputs]]"
        for key in ("name", "dtype", "shape", "max_shape", "finite", "out_of_range", "feature_axis", "sketch_stride"):
            value = getattr(rule, key)
            if value is not None:
                yield f"{key} = {_toml(value)}"
        yield "features = ["
        for feature in rule.features:
            limits = (("name", feature.name), ("low", feature.low), ("high", feature.high))
            yield "  { " + ", ".join(f"{key} = {_toml(value)}" for key, value in limits if value is not None) + " },"
        yield "]"
    for output in policy.outputs:
        yield ""
        yield "[[outputs]]"
        for key in ("name", "dtype", "shape", "finite"):
            yield f"{key} = {_toml(getattr(output, key))}"
        if output.default:
            yield f"default = {_toml(output.default)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(shortest_float32(value))
    # TOML's basic strings and JSON's agree for printable text, and names are nothing else.
    return json.dumps(value, ensure_ascii=False)
