"""Rules that both refuse: the library when it composes a guard program, and when it reads one."""

from __future__ import annotations

from typing import Any

import pytest

from edge_rai import BundleError, PolicyError
from edge_rai._native import GuardProgram
from support import guard_bytes as raw
from support.compose import compose


def assert_both_refuse(rules: tuple[dict[str, Any], dict[str, Any], dict[str, Any]], message: str) -> None:
    rule, feature, output = rules
    features = [feature, raw.PLAIN] if rule["feature_axis"] is not None else [feature]
    with pytest.raises(PolicyError, match=message):
        compose([(rule, features)], [output])
    with pytest.raises(BundleError, match=message):
        GuardProgram(raw.guard([raw.input_record(rule, features)], [raw.output_record(output)]))


def asking(rule: dict[str, Any], asked: dict[str, tuple[int, dict[str, Any]]], kind: str, fault: dict[str, Any]) -> Any:
    number, arguments = asked[kind]
    return {**rule, "asks": {kind: (number, {**arguments, **fault})}}
