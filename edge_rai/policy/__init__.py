"""The written policy: TOML and reference JSON in, guard program bytes out.

What people write is checked by pydantic here and turned at once into frozen dataclasses; what a device executes is
the guard program.
"""

from edge_rai.policy.checks import Age, Clipped, Distance, Missing, is_single
from edge_rai.policy.decision import (
    CircuitBreaker,
    Decision,
    FallbackRule,
    Hysteresis,
    LastGood,
    RateLimit,
    StateRule,
)
from edge_rai.policy.drift import Drift
from edge_rai.policy.events import Events
from edge_rai.policy.facts import VERDICTS, Measured, default_data, default_tables, policy_data, policy_tables
from edge_rai.policy.observe import Observation
from edge_rai.policy.program import check_guard, compile_policy
from edge_rai.policy.reference import DistanceReference, FeatureReference, Reference
from edge_rai.policy.rules import FeatureRule, InputRule, OutputRule, Policy
from edge_rai.policy.text import load_policy, parse_policy, policy_to_toml
from edge_rai.policy.words import Table, number

__all__ = [
    "VERDICTS",
    "Age",
    "CircuitBreaker",
    "Clipped",
    "Decision",
    "Distance",
    "DistanceReference",
    "Drift",
    "Events",
    "FallbackRule",
    "FeatureReference",
    "FeatureRule",
    "Hysteresis",
    "InputRule",
    "LastGood",
    "Measured",
    "Missing",
    "Observation",
    "OutputRule",
    "Policy",
    "RateLimit",
    "Reference",
    "StateRule",
    "Table",
    "check_guard",
    "compile_policy",
    "default_data",
    "default_tables",
    "is_single",
    "load_policy",
    "number",
    "parse_policy",
    "policy_data",
    "policy_tables",
    "policy_to_toml",
]
