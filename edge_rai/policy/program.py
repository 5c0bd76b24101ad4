"""From written rules to the guard program, which the native library alone writes (docs/formats/guard.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_rai import _native
from edge_rai.errors import IntegrityError, PolicyError
from edge_rai.policy.checks import VERDICTS, Distance, feature_checks, output_checks
from edge_rai.policy.decision import STEPS
from edge_rai.policy.events import FORMS
from edge_rai.policy.observe import KINDS, Observation
from edge_rai.policy.reference import FeatureReference, Reference
from edge_rai.policy.rules import FeatureRule, InputRule, OutputRule, Policy
from edge_rai.policy.text import parse_policy
from edge_rai.types import ReasonCode


def compile_policy(policy: Policy, reference: Reference | None) -> bytes:
    """The guard program of these rules; the same rules give the same bytes.

    Args:
        policy: The rules.
        reference: Matched by input and feature name; None: no drift sketches. A feature it does not know has none.

    Raises:
        PolicyError: The native library refuses a rule, or the reference has a feature that the policy has not.
    """
    known = {(entry.input, entry.name): entry for entry in reference.features} if reference else {}
    builder = _native.PolicyBuilder(batched=policy.batched)
    for rule in policy.inputs:
        _add_input(builder, rule)
        for feature in rule.features:
            _add_feature(builder, feature, known.pop((rule.name, feature.name), None))
        if rule.distance is not None:
            _set_distance(builder, rule.name, rule.distance, reference)
    for output in policy.outputs:
        _add_output(builder, output)
    for observation in policy.observe:
        _add_observation(builder, policy, observation, known.pop(("", observation.name), None))
    if known:
        raise PolicyError(
            f"the reference has feature {next(iter(known))[1]!r}, which the policy has not; name features as the "
            "reference does, or learn it again"
        )
    if policy.decision is not None:
        builder.set_decision(
            provider=policy.decision.provider or "", flags=policy.decision.flags, **policy.decision.numbers()
        )
    for fallback in policy.fallback:
        builder.add_fallback(
            reasons=[ReasonCode[name.upper()] for name in fallback.reasons],
            chain=[STEPS[step] for step in fallback.chain],
        )
    if policy.drift is not None:
        _set_drift(builder, policy, reference)
    if policy.events is not None:
        names = [feature.name for rule in policy.inputs for feature in rule.features]
        names += [observation.name for observation in policy.observe]
        builder.set_events(
            keep=policy.events.keep,
            sample_one_in=policy.events.sample_one_in,
            forms=[FORMS.index(policy.events.fields.get(name, "drop")) for name in names],
        )
    for state in policy.states:
        builder.add_state(input=state.input, output=state.output, row_axis=state.row_axis)
    return builder.write()


def check_guard(policy_toml: bytes, reference_json: bytes | None, guard: bytes) -> None:
    """Compiles the written policy again and compares.

    Raises:
        IntegrityError: The guard program is not what the policy and the reference compile to.
        PolicyError: The policy is not valid.
        BundleError: The reference is not valid.
    """
    policy = parse_policy(policy_toml.decode("utf-8", errors="replace"))
    reference = None if reference_json is None else Reference.from_json(reference_json)
    if compile_policy(policy, reference) != guard:
        raise IntegrityError("guard.bin is not what policy.toml and reference/reference.json compile to")


def _add_input(builder: _native.PolicyBuilder, rule: InputRule) -> None:
    builder.add_input(
        name=rule.name,
        dtype=rule.dtype,
        shape=_free(rule.shape),
        max_shape=rule.max_shape,
        finite=rule.finite,
        flag_range=rule.out_of_range == "flag",
        empty=rule.empty,
        feature_axis=rule.feature_axis,
        sketch_stride=rule.sketch_stride,
    )


def _add_output(builder: _native.PolicyBuilder, rule: OutputRule) -> None:
    builder.add_output(
        name=rule.name,
        dtype=rule.dtype,
        shape=_free(rule.shape),
        finite=rule.finite,
        default=rule.default or None,
        logits=rule.logits,
    )
    for kind, arguments in output_checks(rule):
        builder.add_check(kind, **arguments)


def _free(shape: tuple[int, ...]) -> list[int | None]:
    return [None if extent < 0 else extent for extent in shape]


def _add_feature(builder: _native.PolicyBuilder, rule: FeatureRule, reference: FeatureReference | None) -> None:
    low = -math.inf if rule.low is None else rule.low
    high = math.inf if rule.high is None else rule.high
    # Without a reference a rejected row's stand-in is the allowed value nearest to zero, if that is finite.
    nearest = min(max(0.0, low), high)
    builder.add_feature(
        name=rule.name,
        unit=rule.unit,
        stand_in=rule.stand_in or next((item for item in rule.categories if isinstance(item, str)), ""),
        low=low,
        high=high,
        mean=reference.mean if reference else nearest if math.isfinite(nearest) else 0.0,
        stddev=reference.stddev if reference else 0.0,
        reference_rows=reference.rows if reference else 0,
        edges=reference.edges if reference else np.empty(0, np.float64),
        counts=reference.counts if reference else np.empty(0, np.uint64),
    )
    for kind, arguments in feature_checks(rule):
        builder.add_check(kind, **arguments)


def _add_observation(
    builder: _native.PolicyBuilder, policy: Policy, rule: Observation, reference: FeatureReference | None
) -> None:
    index, element = _subject(policy, rule)
    edges = np.array(rule.own_edges() if reference is None else reference.edges, np.float64)
    slot_means, slot_scales = _slots(rule, reference)
    builder.add_observation(
        kind=1 + KINDS.index(rule.kind),
        index=index,
        element=element,
        limit=rule.native_limit,
        bound=rule.bound,
        name=rule.name,
        mean=reference.mean if reference else 0.0,
        stddev=reference.stddev if reference else 0.0,
        reference_rows=reference.rows if reference else 0,
        edges=edges,
        counts=reference.counts if reference else np.zeros(len(edges) + 1 if len(edges) else 0, np.uint64),
        slot_means=slot_means,
        slot_scales=slot_scales,
    )


def _slots(rule: Observation, reference: FeatureReference | None) -> tuple[Sequence[float], Sequence[float]]:
    """Means and scales; without a reference nothing is known of any slot."""
    if reference is None:
        return (0.0,) * rule.slots, (0.0,) * rule.slots
    if len(reference.slot_means) != rule.slots:
        raise PolicyError(
            f"observe: {rule.name!r} has {rule.slots} slots, its reference {len(reference.slot_means)}; learn it again"
        )
    return reference.slot_means, reference.slot_scales


def _subject(policy: Policy, rule: Observation) -> tuple[int, int]:
    """Index of the input or output that it is of, and the element."""
    if rule.of_feature:
        names = [[feature.name for feature in given.features] for given in policy.inputs]
        index = next(place for place, known in enumerate(names) if rule.of in known)
        return index, names[index].index(rule.of)
    tensors = [given.name for given in (policy.inputs if rule.of_input else policy.outputs)]
    return (tensors.index(rule.of) if rule.of else 0), rule.element


def strides_of(policy: Policy, reference: Reference | None) -> list[int]:
    """Of each feature, and of what is observed: at which stride a policy with [drift] watches it; 0: not at all.

    What can be watched has a reference and is of an input of one value a feature and row, or is observed.
    """
    assert policy.drift is not None
    known = _watchable(reference)
    carried = {state.input for state in policy.states}
    usual: list[tuple[str, int]] = []
    for rule in policy.inputs:
        table = rule.feature_axis is not None and rule.has_one_value_a_feature(policy.batched)
        watchable = table and rule.dtype != "string" and rule.name not in carried
        usual += [(feature.name, int(watchable and feature.name in known)) for feature in rule.features]
    usual += [(rule.name, int(rule.bound > 0 or rule.name in known)) for rule in policy.observe]
    return [policy.drift.strides.get(name, stride) for name, stride in usual]


def _watchable(reference: Reference | None) -> dict[str, FeatureReference]:
    return {entry.name: entry for entry in reference.features if len(entry.counts) > 1} if reference else {}


def _set_drift(builder: _native.PolicyBuilder, policy: Policy, reference: Reference | None) -> None:
    assert policy.drift is not None
    known = _watchable(reference)
    names = [feature.name for rule in policy.inputs for feature in rule.features]
    outside = [known[name].outside if name in known else 0 for name in names] + [0] * len(policy.observe)
    builder.set_drift(
        average_run_length=policy.drift.average_run_length,
        effect=policy.drift.effect,
        verdict=("accept", "flag", "reject").index(policy.drift.verdict),
        strides=strides_of(policy, reference),
        outside=outside,
    )


def _set_distance(builder: _native.PolicyBuilder, name: str, rule: Distance, reference: Reference | None) -> None:
    known = {entry.input: entry for entry in reference.distances} if reference else {}
    if name not in known:
        raise PolicyError(f"input {name!r} has a distance and the reference has none for it; learn it again")
    entry = known[name]
    builder.set_distance(
        mean=entry.mean,
        scale=entry.scale,
        projection=entry.projection,
        weights=entry.weights,
        rest=entry.rest,
        threshold=rule.threshold,
        false_rejection_rate=rule.false_rejection_rate,
        verdict=VERDICTS[rule.verdict],
    )
