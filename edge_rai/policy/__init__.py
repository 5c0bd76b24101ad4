"""The written policy: TOML and reference JSON in, guard program bytes out.

What people write is checked by pydantic here and turned at once into frozen dataclasses; what a device executes is
the guard program.
"""

from edge_rai.policy.checks import Age, Clipped, Distance, Missing
from edge_rai.policy.decision import (
    CircuitBreaker,
    Decision,
    FallbackRule,
    Hysteresis,
    LastGood,
    RateLimit,
    StateRule,
)
from edge_rai.policy.program import check_guard, compile_policy
from edge_rai.policy.reference import DistanceReference, FeatureReference, Reference
from edge_rai.policy.rules import FeatureRule, InputRule, OutputRule, Policy
from edge_rai.policy.text import load_policy, parse_policy, policy_to_toml

__all__ = [
    "Age",
    "CircuitBreaker",
    "Clipped",
    "Decision",
    "Distance",
    "DistanceReference",
    "FallbackRule",
    "FeatureReference",
    "FeatureRule",
    "Hysteresis",
    "InputRule",
    "LastGood",
    "Missing",
    "OutputRule",
    "Policy",
    "RateLimit",
    "Reference",
    "StateRule",
    "check_guard",
    "compile_policy",
    "load_policy",
    "parse_policy",
    "policy_to_toml",
]
