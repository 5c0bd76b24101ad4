"""Guard programs composed by the library, from the same rules from which guard_bytes writes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rai._native import PolicyBuilder
from support import guard_bytes as raw

Inputs = list[tuple[dict[str, Any], list[dict[str, Any]]]]


def add_checks(builder: PolicyBuilder, rule: dict[str, Any]) -> dict[str, Any]:
    for name, (_, arguments) in rule.get("asks", {}).items():
        builder.add_check(name, **arguments)
    return rule


def add_input(builder: PolicyBuilder, rule: dict[str, Any], features: list[dict[str, Any]]) -> None:
    builder.add_input(**rule)
    for feature in features:
        given = {key: value for key, value in feature.items() if key != "asks"}
        edges, counts = np.array(feature["edges"], np.float64), np.array(feature["counts"], np.uint64)
        builder.add_feature(**{**given, "edges": edges, "counts": counts})
        add_checks(builder, feature)


def add_output(builder: PolicyBuilder, rule: dict[str, Any]) -> None:
    builder.add_output(**{key: value for key, value in rule.items() if key != "asks"})
    add_checks(builder, rule)


def set_distance(builder: PolicyBuilder, rule: dict[str, Any]) -> None:
    arrays = ("mean", "scale", "weights", "projection")
    builder.set_distance(**{**rule, **{name: np.array(rule[name], np.float64) for name in arrays}})


def compose(inputs: Inputs, outputs: list[dict[str, Any]], *, batched: bool = True) -> bytes:
    builder = PolicyBuilder(batched=batched)
    for rule, features in inputs:
        add_input(builder, rule, features)
    for output in outputs:
        add_output(builder, output)
    return builder.write()


def compose_full() -> bytes:
    builder = PolicyBuilder(batched=True)
    for rule, features, distance in raw.FULL_INPUTS:
        add_input(builder, rule, features)
        if distance:
            set_distance(builder, distance)
    for output in raw.FULL_OUTPUTS:
        add_output(builder, output)
    builder.set_decision(**raw.DECISION)
    for reasons, chain in raw.FALLBACKS:
        builder.add_fallback(reasons=reasons, chain=chain)
    builder.add_state(**raw.STATE)
    for rule in raw.OBSERVATIONS:
        edges, counts = np.array(rule["edges"], np.float64), np.array(rule["counts"], np.uint64)
        builder.add_observation(**{**rule, "edges": edges, "counts": counts})
    builder.set_drift(**raw.DRIFT)
    builder.set_events(**raw.EVENTS)
    return builder.write()
