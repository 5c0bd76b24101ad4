"""As much of JSON Schema 2020-12 as our published schemas use, so that a report can be held against them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
_KNOWN = frozenset(
    {"$schema", "title", "type", "required", "additionalProperties", "properties", "items", "enum", "const", "anyOf"}
    | {"pattern", "minimum", "maxProperties", "format"}
)


def faults(value: Any, schema: Mapping[str, Any], where: str = "$") -> Iterator[str]:
    """What is wrong with a document; a schema that says more than this can tell is an error."""
    assert schema.keys() <= _KNOWN, schema.keys() - _KNOWN
    if "const" in schema and value != schema["const"]:
        yield f"{where} is {value!r}, not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}, none of {schema['enum']}"
    if "anyOf" in schema and all(any(faults(value, each, where)) for each in schema["anyOf"]):
        first = [next(iter(faults(value, each, where))) for each in schema["anyOf"]]
        yield f"{where} is like none of anyOf: {first}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where} is {value!r}, no {' or '.join(kinds)}"
    elif isinstance(value, dict):
        yield from _in_object(value, schema, where)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), f"{where}[{place}]")
    elif isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{where} is {value!r}, not like {schema['pattern']}"
    elif isinstance(value, int | float) and value < schema.get("minimum", value):
        yield f"{where} is {value}, less than {schema['minimum']}"


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and not (isinstance(value, bool) and kind != "boolean")


def _in_object(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{where} has no {name}" for name in schema.get("required", ()) if name not in value)
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{where} has {len(value)} members"
    for name, entry in value.items():
        if name in properties:
            yield from faults(entry, properties[name], f"{where}.{name}")
        elif isinstance(more, Mapping):
            yield from faults(entry, more, f"{where}.{name}")
        elif not more:
            yield f"{where} has {name}, which is not declared"
