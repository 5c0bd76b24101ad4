"""One safeguard switched off at a time, and the others as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_rai import bundle, load
from edge_rai.bench.safeguards import ALL, switched_off, variants
from edge_rai.bundle import read
from edge_rai.errors import IntegrityError
from edge_rai.policy import (
    CircuitBreaker,
    Decision,
    Distance,
    DistanceReference,
    Drift,
    Events,
    FallbackRule,
    FeatureReference,
    LastGood,
    Observation,
    Policy,
    Reference,
    compile_policy,
    parse_policy,
    policy_to_toml,
)
from support.bundles import write_bundle

GOOD = np.array([[1, 2, 3]], np.float32)


@pytest.fixture
def written(tmp_path: Path, linear_model: Path, linear_policy: Policy, linear_reference: Reference) -> Path:
    """A bundle with its policy and reference in words."""
    path = write_bundle(tmp_path / "plain.erai", linear_model, linear_policy, {"x": GOOD}, linear_reference)
    found = read(path)
    files = {name: data for name, data in found.files.items() if not name.startswith("manifest.")}
    files["policy.toml"] = policy_to_toml(linear_policy).encode()
    files["reference/reference.json"] = linear_reference.to_json()
    bundle.write_bundle(tmp_path / "written.erai", files, found.manifest)
    return tmp_path / "written.erai"


def test_each_safeguard_that_a_policy_has_is_switched_off_alone(
    linear_policy: Policy, linear_reference: Reference
) -> None:
    found = dict(variants(linear_policy, linear_reference))
    assert list(found) == ["finite inputs", "ranges", "drift counts", "finite outputs", ALL]
    policy, reference = found["ranges"]
    assert [feature.low for feature in policy.inputs[0].features] == [None] * 3
    assert policy.inputs[0].finite
    assert reference is linear_reference
    assert found["drift counts"] == (linear_policy, None)
    assert not found["finite outputs"][0].outputs[0].finite


def test_what_decides_is_switched_off_with_what_only_it_needs(linear_policy: Policy) -> None:
    decision = Decision(deadline_ms=5.0, breaker=CircuitBreaker(), last_good=LastGood(60.0))
    policy = replace(linear_policy, decision=decision, fallback=(FallbackRule(("last_good", "default")),))
    found = dict(variants(policy, None))
    assert found["deadline"][0].decision == replace(decision, deadline_ms=None)
    assert found["circuit breaker"][0].decision == replace(decision, breaker=None)
    assert found["fallback"][0].fallback == ()
    assert found["fallback"][0].decision == replace(decision, last_good=None)
    assert found[ALL][0].decision is None


def test_without_a_watch_no_breaker_waits_for_its_alarm(linear_policy: Policy, linear_reference: Reference) -> None:
    breaker = CircuitBreaker(on=("drift",), window=1, failures=1, probes=1)
    policy = replace(linear_policy, decision=Decision(deadline_ms=5.0, breaker=breaker), drift=Drift(1e5))
    found = dict(variants(policy, linear_reference))
    assert found["drift counts"][0].decision == Decision(deadline_ms=5.0)
    mixed = replace(policy, decision=Decision(breaker=replace(breaker, on=("drift", "error"))))
    found = dict(variants(mixed, linear_reference))
    assert found["drift counts"][0].decision == Decision(breaker=replace(breaker, on=("error",)))


def test_every_variant_is_a_policy_that_compiles(linear_policy: Policy, linear_reference: Reference) -> None:
    rule = linear_policy.inputs[0]
    features = tuple(
        replace(feature, integral=True, stuck=5, step=3.0, mean=(-9, 9), clipped=None) for feature in rule.features
    )
    policy = replace(
        linear_policy,
        inputs=(replace(rule, features=features),),
        outputs=(replace(linear_policy.outputs[0], range=(0, 1), sum=(0, 2), confidence=0.5, margin=0.1),),
    )
    names = []
    for name, rules in variants(policy, linear_reference):
        assert compile_policy(*rules) != compile_policy(policy, linear_reference), name
        assert parse_policy(policy_to_toml(rules[0])) == rules[0]
        names.append(name)
    assert {"whole numbers", "stuck", "step", "means", "output range", "output sum", "output confidence"} < set(names)


def test_what_asks_for_drift_counts_goes_with_them(linear_policy: Policy, linear_reference: Reference) -> None:
    names = [feature.name for feature in linear_reference.features]
    events = Events(fields={names[0]: "bucket", names[1]: "plain"})
    policy = replace(linear_policy, drift=Drift(average_run_length=10_000), events=events)
    found = dict(variants(policy, linear_reference))
    for name in ("drift counts", ALL):
        assert found[name][0].drift is None
        assert found[name][0].events == replace(events, fields={names[1]: "plain"})
        assert compile_policy(*found[name])
    assert found["ranges"][0].drift == policy.drift


def test_an_observation_goes_with_the_rule_that_it_is_of_and_the_others_stay(
    linear_policy: Policy, linear_reference: Reference
) -> None:
    rule = linear_policy.inputs[0]
    first, *others = rule.features
    known = replace(first, low=None, high=None, categories=(0.0, 1.0))
    kinds = {"verdict": "", "distance": "x", "category": first.name, "confidence": "y"}
    observe = tuple(Observation(kind, of) for kind, of in kinds.items())
    verdict, distance, category, confidence = observe
    edges, counts = np.array([0.5, 1.5], np.float32), np.array([70, 20, 10], np.uint64)
    observed = [FeatureReference("", one.name, 100, 0.4, 0.7, edges, counts) for one in observe]
    plane = np.eye(3, dtype=np.float32)
    place = DistanceReference("x", np.zeros(3), np.ones(3), plane, np.ones(3, np.float32), 0.0)
    reference = Reference((*linear_reference.features, *observed), (place,))
    drift = Drift(average_run_length=10_000, strides={one.name: 3 for one in observe})
    policy = replace(
        linear_policy,
        inputs=(replace(rule, features=(known, *others), distance=Distance(9.0)),),
        drift=drift,
        observe=observe,
    )
    found = dict(variants(policy, reference))
    assert found["distance"][0].observe == (verdict, category, confidence)
    assert found["distance"][0].drift.strides == {one.name: 3 for one in (verdict, category, confidence)}
    assert found["categories"][0].observe == (verdict, distance, confidence)
    assert found["observations"][0] == replace(policy, observe=(), drift=replace(drift, strides={}))
    assert found["observations"][1].features == linear_reference.features
    assert found["drift counts"][0].observe == ()
    for rules in found.values():
        assert compile_policy(*rules) != compile_policy(policy, reference)


def test_a_distance_goes_and_leaves_the_drift_counts(linear_policy: Policy, linear_reference: Reference) -> None:
    rule = replace(linear_policy.inputs[0], distance=Distance(9.0))
    found = dict(variants(replace(linear_policy, inputs=(rule,)), linear_reference))
    assert found["distance"][0] == linear_policy
    assert found["distance"][1] is linear_reference


def test_changed_bundles_open_and_lack_that_safeguard_alone(written: Path, tmp_path: Path) -> None:
    (tmp_path / "changed").mkdir()
    far, missing = GOOD * 100, GOOD * np.float32(np.nan)
    rejected = {}
    for name, path in switched_off(written, read(written), tmp_path / "changed"):
        with load(path) as session:
            rejected[name] = [int(session.predict(rows).verdict) == 2 for rows in (GOOD, far, missing)]
    assert rejected["finite outputs"] == [False, True, True]
    assert rejected["ranges"] == [False, False, True]
    assert rejected[ALL] == [False, False, False]


def test_a_policy_that_the_guard_does_not_follow_has_no_prices(written: Path, tmp_path: Path) -> None:
    files = dict(read(written).files)
    files["policy.toml"] = files["policy.toml"].replace(b"10.0", b"11.0")
    with pytest.raises(IntegrityError, match="not what policy.toml .* convert the model with this version"):
        next(switched_off(written, replace(read(written), files=files), tmp_path))


def test_without_a_written_policy_nothing_can_be_switched_off(written: Path, tmp_path: Path) -> None:
    tree = {name: data for name, data in read(written).files.items() if name != "policy.toml"}
    assert "policy.toml" not in tree
    with pytest.raises(ValueError, match="has no policy.toml"):
        next(switched_off(written, None, tmp_path))
    with pytest.raises(ValueError, match="has no policy.toml"):
        next(switched_off(written, replace(read(written), files=tree), tmp_path))
