"""Rules that a guard program could hold and nobody can mean are refused in one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from edge_rai import PolicyError
from edge_rai.policy import (
    CircuitBreaker,
    Distance,
    FallbackRule,
    FeatureRule,
    InputRule,
    Missing,
    OutputRule,
    Policy,
    compile_policy,
    parse_policy,
)


def column(dtype: Any, **rules: Any) -> InputRule:
    return InputRule("x", dtype, (-1, 1), (9, 1), feature_axis=1, features=(FeatureRule("a", **rules),))


def answers(*fallback: FallbackRule) -> Policy:
    output = OutputRule("y", "float32", (-1, 1), default=(1.0,))
    return Policy(1, True, (column("float32"),), (output,), fallback=fallback)


def summed(shape: tuple[int, ...], *, batched: bool) -> Policy:
    output = OutputRule("y", "float32", shape, sum=(0.9, 1.1))
    return Policy(1, batched, (column("float32"),), (output,))


MEANINGLESS: list[tuple[Callable[[], object], str]] = [
    (lambda: column("float32", low=math.inf), "limits of 'a' are inf to None; leave one out for no limit"),
    (lambda: column("float32", high=-math.inf), "limits of 'a' are None to -inf; leave one out"),
    (lambda: column("uint8", low=300.0, high=400.0), "no uint8 is from 300 to 400, the limits of 'a'"),
    (lambda: column("uint8", low=300.0), "no uint8 is from 300 to inf"),
    (lambda: column("uint8", high=-1.0), "no uint8 is from -inf to -1"),
    (lambda: column("bool", low=2.0), "no bool is from 2 to inf"),
    (lambda: column("int32", low=1.2, high=1.3), "no int32 is from 1.2 to 1.3"),
    (lambda: column("float32", low=1e39), "no float32 is from 1e\\+39 to inf"),
    (lambda: column("float16", high=-7e4), "no float16 is from -inf to -70000"),
    (lambda: column("int32", missing=Missing(becomes=1.0)), "missing of 'a' has no value; int32 has no NaN"),
    (lambda: column("uint8", missing=Missing(value=-1.0)), "missing.value of 'a' is -1, which no uint8 is"),
    (lambda: answers(FallbackRule(("reject",)), FallbackRule(("default",), ("deadline",))), "without reasons fits any"),
    (lambda: FallbackRule(("default", "reject")), r"chain is \['default', 'reject'\]; default always answers, so"),
    (lambda: FallbackRule(("reject", "abstain")), "reject always answers, so nothing after it is ever asked"),
    (
        lambda: answers(
            FallbackRule(("default",), ("deadline", "held")),
            FallbackRule(("reject",), ("step",)),
            FallbackRule(("reject",), ("held", "step")),
        ),
        r"fallback\[2\] is never asked: rules before it have all of its reasons, held, step",
    ),
    (lambda: summed((-1, 1), batched=True), "sum of output 'y' is along its last axis, which has one value; write"),
    (lambda: summed((-1,), batched=True), "sum of output 'y' is along its last axis, which has one value"),
    (lambda: summed((), batched=False), "sum of output 'y' is along its last axis, which has one value"),
    (lambda: OutputRule("y", "object", (), logits=True), "logits of output 'y' is a rule for numbers"),
    (lambda: InputRule("x", "float32", (-1, 1), (9, 1), out_of_range="flagg"), "out_of_range of input 'x' is 'flagg'"),  # type: ignore[arg-type]
    (lambda: InputRule("x", "floaty", (-1, 1), (9, 1)), "dtype of input 'x' is 'floaty'; expected one of 'float32'"),  # type: ignore[arg-type]
    (lambda: OutputRule("y", "floaty", (-1, 1)), "dtype of output 'y' is 'floaty'; expected .* 'object'"),  # type: ignore[arg-type]
    (lambda: OutputRule("y", "float32", (-1, 1), verdict="no"), "verdict of output 'y' is 'no'"),  # type: ignore[arg-type]
    (lambda: FeatureRule("a", verdict="accept"), "verdict of 'a' is 'accept'; expected one of 'reject', 'flag'"),  # type: ignore[arg-type]
    (lambda: Missing(verdict="drop"), "missing.verdict is 'drop'"),  # type: ignore[arg-type]
    (lambda: Distance(1.0, kind="round"), "distance.kind is 'round'"),  # type: ignore[arg-type]
    (lambda: Distance(1.0, verdict="accept"), "distance.verdict is 'accept'"),  # type: ignore[arg-type]
    (lambda: FallbackRule(("nobody",)), "a step of a chain is 'nobody'"),  # type: ignore[arg-type]
    (lambda: CircuitBreaker(on=("errors",)), "an item of breaker.on is 'errors'"),  # type: ignore[arg-type]
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), MEANINGLESS)
def test_rule_that_nobody_can_mean_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rule",
    [
        column("uint8", low=-3.0, high=0.0),
        column("uint8", low=255.0, high=math.inf),
        column("int8", low=-math.inf, high=-128.0),
        column("bool", low=1.0, high=1.0),
        column("float16", low=65504.0),
        column("int64", low=-(2.0**63), missing=Missing(value=-1.0)),
        column("uint64", high=2.0**64),
    ],
)
def test_rule_that_allows_a_single_value_compiles(rule: InputRule) -> None:
    assert compile_policy(Policy(1, True, (rule,), (OutputRule("y", "float32", (-1, 1)),)), None)


def test_chain_goes_on_after_steps_that_may_have_no_answer() -> None:
    policy = answers(FallbackRule(("model", "default"), ("held", "step")), FallbackRule(("reject",), ("held", "age")))
    assert compile_policy(policy, None)


def test_sum_along_several_values_or_a_free_axis_compiles() -> None:
    assert compile_policy(summed((-1, 2), batched=True), None)
    assert compile_policy(summed((-1, -1), batched=True), None)
    assert parse_policy("""
        format_version = 1
        batched = false
        inputs = [{ name = "x", dtype = "float32", shape = [1] }]
        outputs = [{ name = "y", dtype = "float32", shape = [3], sum = [0.9, 1.1] }]
    """)


def test_date_is_no_name() -> None:
    with pytest.raises(PolicyError, match=r"^rules.toml: 2020-01-01 is a date or a time, .* put it in quotes"):
        parse_policy("format_version = 1\n[[inputs]]\nname = 2020-01-01\n", where="rules.toml")
