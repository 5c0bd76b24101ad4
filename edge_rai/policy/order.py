"""Rules that go by what came before a row, or by the clock: for rows that have neither, such as those of a file."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from edge_rai.policy.rules import Policy

# What depends on other calls, the clock or the machine.
_OF_CALLS = ("deadline_ms", "hysteresis", "breaker", "rate_limit")
# Of a feature, and what it is without.
_OF_FEATURES: Mapping[str, Any] = {"age": None, "step": None, "stuck": None, "monotonic": False}

OF_CLOCK = frozenset((*_OF_CALLS, "age"))
OF_ORDER = OF_CLOCK | {"step", "stuck", "monotonic"}


def without(policy: Policy, rules: Container[str]) -> tuple[Policy, tuple[str, ...]]:
    """The policy without some of these rules, and which of them it had, in words.

    Args:
        policy: The rules.
        rules: Names, of ``OF_ORDER``.
    """
    left_out: list[str] = []
    decision = policy.decision
    if decision is not None:
        left_out = [name for name in _OF_CALLS if name in rules and getattr(decision, name) is not None]
        decision = replace(decision, **dict.fromkeys(left_out))
    absent = {name: value for name, value in _OF_FEATURES.items() if name in rules}
    inputs = []
    for rule in policy.inputs:
        for feature in rule.features:
            left_out += [f"{name} of {feature.name}" for name in absent if getattr(feature, name) != absent[name]]
        inputs.append(replace(rule, features=tuple(replace(feature, **absent) for feature in rule.features)))
    return replace(policy, decision=decision, inputs=tuple(inputs)), tuple(left_out)
