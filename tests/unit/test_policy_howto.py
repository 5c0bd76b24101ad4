"""docs/how-to/write-a-policy.md: what it shows is a policy, and it shows every field."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rai import policy as rules
from edge_rai._native import GuardProgram
from edge_rai.policy import DistanceReference, FeatureReference, Policy, Reference, compile_policy, parse_policy

TEXT = (Path(__file__).parents[2] / "docs/how-to/write-a-policy.md").read_text(encoding="utf-8")
FULL, *RECIPES = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
INPUT = '[[inputs]]\nname = "x"\ndtype = "float32"\nshape = [-1, 1]\nmax_shape = [9, 1]\nfeature_axis = 1\n'
INPUT += 'features = [{ name = "x" }]\n'
OUTPUT = '[[outputs]]\nname = "y"\ndtype = "float32"\nshape = [-1, 1]\n'
WRITTEN = ("Policy", "InputRule", "FeatureRule", "OutputRule", "Missing", "Clipped", "Age", "Distance", "Decision",
           "LastGood", "Hysteresis", "CircuitBreaker", "RateLimit", "FallbackRule", "StateRule", "Drift",
           "Observation", "Events")  # fmt: skip


def test_every_class_of_rules_is_covered() -> None:
    learned = {"Reference", "FeatureReference", "DistanceReference"}
    classes = {name for name in rules.__all__ if is_dataclass(getattr(rules, name))}
    assert classes - learned == set(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_example_shows_every_field(name: str) -> None:
    for field in fields(getattr(rules, name)):
        assert re.search(rf"(^|[\[{{ ,.]){field.name}(\]| =)", FULL, re.MULTILINE), f"{name}.{field.name}"


def test_example_is_a_policy_with_nothing_left_at_none() -> None:
    read = parse_policy(FULL)
    count = len(read.inputs[0].features)
    ones, empty = np.ones(count), np.empty((0, count), np.float32)
    pulse = FeatureReference("vitals", "pulse", 8, 80.0, 9.0, np.array([75.0]), np.array([4, 4], np.uint64))
    reference = Reference((pulse,), (DistanceReference("vitals", ones, ones, empty, np.empty(0, np.float32), 1.0),))
    assert [spec.name for spec in GuardProgram(compile_policy(read, reference)).inputs][:2] == ["vitals", "image"]
    assert unset(read) == set()


def unset(read: Policy) -> set[str]:
    """Fields that are None or empty wherever they occur."""
    seen: dict[str, bool] = {}

    def walk(value: Any) -> None:
        for item in value if isinstance(value, tuple) else ():
            walk(item)
        if is_dataclass(value):
            for field in fields(value):
                inner = getattr(value, field.name)
                key = f"{type(value).__name__}.{field.name}"
                seen[key] = seen.get(key, False) or inner not in (None, (), "")
                walk(inner)

    walk(read)
    return {key for key, found in seen.items() if not found}


@pytest.mark.parametrize("block", RECIPES, ids=[block.split("\n")[0] + str(i) for i, block in enumerate(RECIPES)])
def test_recipe_compiles(block: str) -> None:
    head = "format_version = 1\n" + ("" if "batched" in block else "batched = true\n")
    completed = head + block + (INPUT if "[[inputs]]" not in block else "")
    completed += OUTPUT if "[[outputs]]" not in block else ""
    assert GuardProgram(compile_policy(parse_policy(completed), None)).outputs
