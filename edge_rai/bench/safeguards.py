"""A bundle's policy with one safeguard switched off, each in turn, for what that one costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_rai.bundle import SUFFIX, Bundle, write_bundle
from edge_rai.errors import IntegrityError
from edge_rai.policy import (
    Decision,
    Observation,
    Policy,
    Reference,
    check_guard,
    compile_policy,
    parse_policy,
    policy_to_toml,
)
from edge_rai.policy.decision import without_alarm

ALL = "all of them"

_POLICY, _REFERENCE, _GUARD = "policy.toml", "reference/reference.json", "guard.bin"
_SEALS = ("manifest.json", "manifest.sha256")

Rules = tuple[Policy, "Reference | None"]


def switched_off(path: Path, bundle: Bundle | None, folder: Path) -> Iterator[tuple[str, Path]]:
    """Writes the bundle without each safeguard that it has, and without all of them.

    Args:
        path: Of the bundle, for errors.
        bundle: None: a bare model.
        folder: Where the changed bundles go.

    Yields:
        The safeguard's name and the changed bundle.

    Raises:
        ValueError: There is no written policy to change.
        IntegrityError: What is written is not what the guard program does, so that its prices would be of others.
    """
    if bundle is None or _POLICY not in bundle.files:
        raise ValueError(f"{path} has no policy.toml, so that no safeguard can be switched off; expected a bundle")
    try:
        check_guard(bundle.files[_POLICY], bundle.files.get(_REFERENCE), bundle.files[_GUARD])
    except IntegrityError as error:
        raise IntegrityError(f"{path}: {error}, so it has no prices; convert the model with this version") from error
    policy = parse_policy(bundle.files[_POLICY].decode("utf-8", errors="replace"))
    reference = Reference.from_json(bundle.files[_REFERENCE]) if _REFERENCE in bundle.files else None
    for number, (name, rules) in enumerate(variants(policy, reference)):
        files = {inside: content for inside, content in bundle.files.items() if inside not in (*_SEALS, _REFERENCE)}
        files[_POLICY] = policy_to_toml(rules[0]).encode()
        files[_GUARD] = compile_policy(*rules)
        changed = folder / f"{number}{SUFFIX}"
        write_bundle(changed, files, bundle.manifest)
        yield name, changed


def variants(policy: Policy, reference: Reference | None) -> Iterator[tuple[str, Rules]]:
    """The rules without each safeguard that they have, and without all of them.

    What a policy needs to be one stays: names, types and shapes, which cannot be switched off. So do pardons such as
    for missing values: without them rows would be rejected, and the model not asked.
    """
    rules = bare = (policy, reference)
    for name, switch_off in _SAFEGUARDS.items():
        without = switch_off(rules)
        if _differ(without, rules):
            bare = switch_off(bare)
            yield name, without
    if _differ(bare, rules):
        yield ALL, bare


def _differ(one: Rules, other: Rules) -> bool:
    return one[0] != other[0] or one[1] is not other[1]


def _inputs(**off: Any) -> Callable[[Rules], Rules]:
    def switch_off(rules: Rules) -> Rules:
        return replace(rules[0], inputs=tuple(replace(rule, **off) for rule in rules[0].inputs)), rules[1]

    return switch_off


def _features(**off: Any) -> Callable[[Rules], Rules]:
    def switch_off(rules: Rules) -> Rules:
        inputs = tuple(
            replace(rule, features=tuple(replace(feature, **off) for feature in rule.features))
            for rule in rules[0].inputs
        )
        return replace(rules[0], inputs=inputs), rules[1]

    return switch_off


def _outputs(**off: Any) -> Callable[[Rules], Rules]:
    def switch_off(rules: Rules) -> Rules:
        return replace(rules[0], outputs=tuple(replace(rule, **off) for rule in rules[0].outputs)), rules[1]

    return switch_off


def _decision(name: str) -> Callable[[Rules], Rules]:
    def switch_off(rules: Rules) -> Rules:
        return replace(rules[0], decision=_kept(rules[0].decision, **{name: None})), rules[1]

    return switch_off


def _fallback(rules: Rules) -> Rules:
    decision = _kept(rules[0].decision, last_good=None, review_rows=None)
    return replace(rules[0], fallback=(), decision=decision), rules[1]


def _kept(decision: Decision | None, **off: Any) -> Decision | None:
    """A decision without some of its rules; None: none is left."""
    kept = replace(decision or Decision(), **off)
    return None if kept == Decision() else kept


def _observed(switch_off: Callable[[Rules], Rules], kind: str) -> Callable[[Rules], Rules]:
    """With what is observed of it."""
    return lambda rules: switch_off(_unobserved(rules, lambda rule: rule.kind == kind))


def _unobserved(rules: Rules, off: Callable[[Observation], bool]) -> Rules:
    """Without some of what is observed, and what else knows it by name."""
    policy, reference = rules
    names = {rule.name for rule in policy.observe if off(rule)}
    if not names:
        return rules
    observe = tuple(rule for rule in policy.observe if rule.name not in names)
    drift = policy.drift and replace(
        policy.drift, strides={name: stride for name, stride in policy.drift.strides.items() if name not in names}
    )
    if reference is not None:
        features = tuple(feature for feature in reference.features if feature.input or feature.name not in names)
        reference = replace(reference, features=features)
    return replace(policy, observe=observe, drift=drift), reference


def _drift(rules: Rules) -> Rules:
    """Without what is counted for drift, and what asks for it; the distances, which the reference holds too, stay."""
    policy, reference = _unobserved(rules, lambda _: True)
    events = policy.events and replace(
        policy.events, fields={name: form for name, form in policy.events.fields.items() if form != "bucket"}
    )
    if reference is not None and reference.features:
        reference = replace(reference, features=()) if reference.distances else None
    return replace(policy, drift=None, decision=without_alarm(policy.decision), events=events), reference


# By name in reports, in the order in which a call meets them.
_SAFEGUARDS: dict[str, Callable[[Rules], Rules]] = {
    "finite inputs": _inputs(finite=False),
    "ranges": _features(low=None, high=None),
    "categories": _observed(_features(categories=()), "category"),
    "whole numbers": _features(integral=False),
    "stuck": _features(stuck=None),
    "step": _features(step=None),
    "means": _features(mean=None, stddev=None),
    "clipped": _features(clipped=None),
    "strings": _features(length=None, characters=None),
    "time stamps": _features(monotonic=False, age=None),
    "distance": _observed(_inputs(distance=None), "distance"),
    "observations": lambda rules: _unobserved(rules, lambda _: True),
    "drift counts": _drift,
    "rate limit": _decision("rate_limit"),
    "circuit breaker": _decision("breaker"),
    "deadline": _decision("deadline_ms"),
    "finite outputs": _outputs(finite=False),
    "output range": _outputs(range=None),
    "output sum": _outputs(sum=None),
    "output confidence": _outputs(confidence=None, margin=None, entropy=None),
    "hysteresis": _decision("hysteresis"),
    "fallback": _fallback,
}
