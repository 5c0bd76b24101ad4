"""What a guard program says of the inputs that callers give."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from edge_rai._ffi import ffi, lib
from edge_rai._native.library import text
from edge_rai.types import QuantizedSpec, TensorSpec

_TABLE = 2  # rank of an input of (rows, columns)


class Column(NamedTuple):
    """A column of a tabular input.

    Attributes:
        position: Its place.
        missing: What stands for a missing value; None: nothing does.
    """

    position: int
    missing: float | None


def read_states(guard: Any) -> dict[str, str]:
    """Names of the inputs that the session carries from call to call, each with the output that they are taken from."""
    rule = ffi.new("erai_state_rule *")
    names: dict[str, str] = {}
    while not lib.erai_guard_state(guard, len(names), rule):
        names[text(rule.input)] = text(rule.output)
    return names


def with_scales(session: Any, of_output: int, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """A session's inputs or outputs, as QuantizedSpec those that are of integers which stand for numbers."""
    scale, zero_point = ffi.new("double *"), ffi.new("int32_t *")
    found = []
    for i, spec in enumerate(specs):
        if lib.erai_session_scale(session, of_output, i, scale, zero_point):
            spec = QuantizedSpec.of(spec, scale[0], zero_point[0])
        found.append(spec)
    return tuple(found)


def read_most_rows(guard: Any, states: Collection[str]) -> int:
    """How many rows a call may have: the least of what the inputs allow."""
    rule = ffi.new("erai_input_rule *")
    most = 2**31 - 1
    for i in range(lib.erai_guard_inputs(guard)):
        lib.erai_guard_input(guard, i, rule)
        if rule.rank and text(rule.name) not in states:
            most = min(most, rule.max_shape[0])
    return most


def read_columns(guard: Any, inputs: Sequence[TensorSpec], batched: bool) -> dict[str, Column]:
    """Columns by name, of a batched model.

    Of one input of (rows, columns), whose columns have names, these; of several inputs those that are a column each, by
    the inputs' names; else none.
    """
    rule = ffi.new("erai_input_rule *")
    found: dict[str, Column] = {}
    names = {spec.name: spec for spec in inputs} if batched else {}
    feature = 0
    for index in range(lib.erai_guard_inputs(guard)):
        lib.erai_guard_input(guard, index, rule)
        first, feature = feature, feature + rule.feature_count
        spec = names.get(text(rule.name))  # none of a state
        if spec is None or rule.rank != _TABLE or rule.dtype == lib.ERAI_DTYPE_BFLOAT16:
            continue
        missing = math.nan if spec.dtype.startswith("float") else None
        if len(inputs) == 1 and rule.feature_axis == 1:
            found |= dict(_column(guard, first + i, i, missing) for i in range(rule.feature_count))
        elif len(inputs) > 1 and rule.shape[1] == 1:
            found[spec.name] = _column(guard, first, 0, missing)[1]
    return found


def _column(guard: Any, feature: int, position: int, missing: float | None) -> tuple[str, Column]:
    rule, check = ffi.new("erai_feature_rule *"), ffi.new("erai_check_rule *")
    lib.erai_guard_feature(guard, feature, rule)
    for i in range(rule.checks):
        lib.erai_guard_check(guard, 0, feature, i, check)
        if check.kind == lib.ERAI_CHECK_MISSING and check.count:
            missing = check.values[0]
    return text(rule.name), Column(position, missing)
