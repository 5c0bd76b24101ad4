"""The written forms read back to what was written, whatever that was."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rai.errors import BundleError
from edge_rai.policy import (
    Age,
    CircuitBreaker,
    Clipped,
    Decision,
    Distance,
    DistanceReference,
    FallbackRule,
    FeatureReference,
    FeatureRule,
    Hysteresis,
    InputRule,
    LastGood,
    Missing,
    OutputRule,
    Policy,
    RateLimit,
    Reference,
    StateRule,
    parse_policy,
    policy_to_toml,
)
from edge_rai.policy.checks import has_value
from edge_rai.types import ReasonCode

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
names = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=12).filter(
    str.isprintable
)
limits = st.floats(allow_nan=False)
finite = st.floats(allow_nan=False, allow_infinity=False)
bounds = st.tuples(finite, limits).map(lambda pair: tuple(sorted(pair)))
shares = st.floats(0, 1)
seconds = st.floats(1e-9, 1e9)
counts = st.integers(1, 65536)
breaks = st.sampled_from(["reject", "flag"])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def feature_rules(*, strings: bool) -> st.SearchStrategy[FeatureRule]:
    either = {"name": names, "unit": names | st.just(""), "stuck": maybe(st.integers(2, 99)), "verdict": breaks}
    if strings:
        return st.builds(
            FeatureRule,
            **either,
            categories=st.lists(texts, max_size=3, unique=True).map(tuple),
            length=maybe(bounds),
            characters=maybe(st.sampled_from(["a-z", "-", "a-", '\x7f"\\ -\u00e9'])),
            stand_in=texts,
        )
    span = st.tuples(limits, limits).map(sorted)
    return st.tuples(span, maybe(st.none())).flatmap(
        lambda drawn: st.builds(
            FeatureRule,
            **either,
            low=st.sampled_from([drawn[0][0], None]).filter(lambda low: low != math.inf),
            high=st.sampled_from([drawn[0][1], None]).filter(lambda high: high != -math.inf),
            categories=st.lists(finite, max_size=3, unique=True).map(tuple),
            integral=st.booleans(),
            missing=maybe(
                st.builds(Missing, maybe(finite), maybe(finite), st.sampled_from(["accept", "flag", "reject"]))
            ),
            step=maybe(st.floats(0, 1e9)),
            mean=maybe(bounds),
            stddev=maybe(bounds),
            clipped=maybe(st.tuples(bounds, shares).map(lambda drawn: Clipped(*drawn[0], drawn[1]))),
            monotonic=st.booleans(),
            age=maybe(st.builds(Age, st.floats(0, 1e12), st.floats(0, 1e12), st.floats(1e-12, 1e12))),
        )
    )


def fits(dtype: str, rule: FeatureRule) -> bool:
    low, high = -math.inf if rule.low is None else rule.low, math.inf if rule.high is None else rule.high
    sentinel = rule.missing.value if rule.missing else 0.0
    marked = "float" in dtype if sentinel is None else has_value(dtype, sentinel, sentinel)
    return marked and has_value(dtype, low, high)


@st.composite
def input_rules(draw: st.DrawFn, name: str) -> InputRule:
    strings = draw(st.booleans())
    features = draw(st.lists(feature_rules(strings=strings), min_size=1, max_size=3))
    features = [replace(feature, name=f"{name}.{i}.{feature.name}") for i, feature in enumerate(features)]
    distances = st.builds(
        Distance, st.floats(1e-9, 1e9), st.sampled_from(["full", "low_rank", "diagonal"]), shares, breaks
    )
    numbers = [dtype for dtype in ("float32", "float16", "int64", "bool") if all(fits(dtype, f) for f in features)]
    return InputRule(
        name,
        "string" if strings else draw(st.sampled_from([*numbers, "float64"])),
        (-1, len(features)),
        (draw(st.integers(1, 9)), len(features)),
        finite=draw(st.booleans()),
        out_of_range=draw(breaks),
        feature_axis=1,
        sketch_stride=draw(counts),
        empty=draw(st.booleans()),
        features=tuple(features),
        distance=None if strings else draw(maybe(distances)),
    )


decisions = st.builds(
    Decision,
    deadline_ms=maybe(st.floats(1e-3, 1e6)),
    review_rows=counts,
    provider=maybe(names),
    last_good=st.builds(LastGood, seconds, counts, st.booleans()),
    hysteresis=maybe(st.builds(Hysteresis, counts, counts)),
    breaker=maybe(
        st.builds(
            CircuitBreaker,
            st.lists(st.sampled_from(["error", "deadline", "reject"]), min_size=1, max_size=3).map(tuple),
            st.integers(8, 64),
            st.integers(1, 8),
            seconds,
            counts,
        )
    ),
    rate_limit=maybe(st.builds(RateLimit, seconds, st.integers(1, 2**32 - 1))),
)
outputs = st.builds(
    OutputRule,
    st.just("y"),
    st.just("float32"),
    st.just((-1, 3)),
    finite=st.booleans(),
    default=st.tuples(limits) | st.tuples(limits, limits, limits),
    logits=st.booleans(),
    range=maybe(bounds),
    sum=maybe(bounds),
    confidence=maybe(shares),
    margin=maybe(shares),
    entropy=maybe(st.floats(0, 9)),
    verdict=breaks,
)
REASONS = [code.name.lower() for code in ReasonCode]
CHAINS = [("model", "last_good", "abstain", end) for end in ("default", "reject")]


def reached(rules: list[FallbackRule]) -> list[FallbackRule]:
    """Those that rows come to, the last for any reason where it has none of its own."""
    kept: list[FallbackRule] = []
    for rule in rules:
        if set(rule.reasons) - {reason for before in kept for reason in before.reasons}:
            kept.append(rule)
    return kept if kept and kept[-1] is rules[-1] else [*kept, FallbackRule(rules[-1].chain)]


fallbacks = st.lists(
    st.builds(FallbackRule, st.sampled_from(CHAINS), st.lists(st.sampled_from(REASONS)).map(tuple)),
    min_size=1,
    max_size=3,
).map(reached)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    state = StateRule("h", "next h", draw(st.sampled_from([None, 0])))
    fallback = draw(st.just([]) | fallbacks)
    return Policy(
        format_version=1,
        batched=True,
        inputs=(draw(input_rules("x")), draw(input_rules("z")), InputRule("h", "float32", (-1, 4), (9, 4))),
        outputs=(draw(outputs), OutputRule("next h", "float32", (-1, 4)), OutputRule("map", "object", ())),
        decision=draw(decisions) if fallback else None,
        fallback=tuple(fallback),
        states=(state,) if draw(st.booleans()) else (),
    )


@given(policies())
def test_written_form_reads_back_to_the_same_policy(policy: Policy) -> None:
    text = policy_to_toml(policy)
    assert parse_policy(text) == policy
    assert policy_to_toml(parse_policy(text)) == text
    assert text.encode().decode() == text


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=31, unique=True).map(sorted),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_reference_round_trips_to_the_bit(edges: list[float], mean: float) -> None:
    counts = np.arange(len(edges) + 1, dtype=np.uint64) + np.uint64(2**60)
    entry = FeatureReference("x", "f", 7, mean, abs(mean), np.array(edges, np.float64), counts)
    text = Reference((entry,)).to_json()
    (read,) = Reference.from_json(text).features
    assert read.edges.tobytes() == entry.edges.tobytes()
    assert read.counts.tolist() == counts.tolist()
    assert (read.mean, read.stddev, read.rows) == (mean, abs(mean), 7)
    assert Reference((read,)).to_json() == text


def test_distance_reference_round_trips_to_the_bit() -> None:
    generator = np.random.default_rng(0)
    projection, weights = generator.normal(size=(3, 5)).astype(np.float32), generator.normal(size=3).astype(np.float32)
    entry = DistanceReference("x", generator.normal(size=5), generator.normal(size=5), projection, weights, 1 / 3)
    text = Reference((), (entry,)).to_json()
    (read,) = Reference.from_json(text).distances
    assert (read.input, read.rest) == ("x", 1 / 3)
    for name in ("mean", "scale", "projection", "weights"):
        assert getattr(read, name).tobytes() == getattr(entry, name).tobytes()
        assert getattr(read, name).shape == getattr(entry, name).shape
    diagonal = replace(entry, projection=np.empty((0, 5), np.float32), weights=np.empty(0, np.float32))
    (read,) = Reference.from_json(Reference((), (diagonal,)).to_json()).distances
    assert read.projection.shape == (0, 5)
    with pytest.raises(BundleError, match="the distance of 'x' has 3 weights"):
        Reference.from_json(text.replace(b'"projection": [[', b'"projection": [[0, 0, 0, 0, 0], ['))
    with pytest.raises(BundleError, match="the distance of 'x' has rows of other lengths than 5"):
        Reference.from_json(text.replace(b'"projection": [[', b'"projection": [[0, '))
