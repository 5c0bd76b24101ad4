"""What a session observes besides its input: which of it is usual, and the reference of each, by running the bundle."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_rai.bundle import Manifest
from edge_rai.policy import FeatureReference, InputRule, Observation, OutputRule, Policy, Reference
from edge_rai.policy.observe import Kind
from edge_rai_converters.compare import Output
from edge_rai_converters.data import Rows
from edge_rai_converters.reference import BINS
from edge_rai_converters.rehearsal import observations, unwatched
from edge_rai_converters.strides import is_watchable, stride_of

Values = npt.NDArray[np.float64]

# Two directions see what a distance does not, and cost two passes over a row.
_PROJECTIONS = 2
# Of an output of many numbers the first are watched.
_MOST_VALUES = 4
# Rows in order from which strides are told.
_MOST_ROWS = 20_000
# Of an image or a signal; so many channels, and so many of its values.
_MOST_CHANNELS, _ELEMENTS = 8, 8
_MOMENTS: tuple[Kind, ...] = ("mean", "stddev")
_VERDICTS = 3
_ROUNDING = 1e-3


def with_usual(policy: Policy, outputs: Mapping[str, Output]) -> Policy:
    """The policy with what is worth watching where nothing else is said; categories as such, and not as numbers.

    Args:
        policy: With a drift rule, and the seasons of its features.
        outputs: What is known of what the model answers.
    """
    assert policy.drift is not None
    observe = (Observation("verdict"), *_of_inputs(policy), *policy.observe, *_of_outputs(policy, outputs))
    strides = policy.drift.strides | {rule.of: 0 for rule in observe if rule.kind == "category"}
    return replace(policy, observe=observe, drift=replace(policy.drift, strides=strides))


def with_observed(
    policy: Policy,
    reference: Reference,
    files: Mapping[str, bytes],
    manifest: Manifest,
    rows: Rows,
    held_back: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64] | None = None,
) -> tuple[Policy, Reference]:
    """Policy and reference with what the bundle observed of held-back rows, and the strides that all rows ask for.

    Seasons are not of them: rows are shown here at the time of now.

    Args:
        policy: What is observed.
        reference: Of the inputs.
        files: Of a bundle of that policy.
        manifest: Of the bundle.
        rows: Per input (N, *call), in their order.
        held_back: Rows that nothing was learned from.
        labels: Their classes, when known.

    Raises:
        EdgeRaiError: The bundle would not load on a device.
    """
    learned = [rule for rule in policy.observe if not rule.bound and rule.kind != "seasonal"]
    if not learned:
        return policy, reference
    calm = unwatched(policy)  # an alarm would be observed too, as a verdict
    seen = observations(files, manifest, calm, rows, held_back)
    entries = [reference_of(rule, seen[rule.name], policy) for rule in learned]
    known = tuple(entry for entry in entries if entry is not None)
    if labels is not None:
        known = tuple(_with_right(entry, policy, seen, labels) for entry in known)
    found = replace(reference, features=(*reference.features, *known))
    if policy.drift is None:
        return policy, found
    count = len(next(iter(rows.values())))
    series = observations(files, manifest, calm, rows, np.arange(min(count, _MOST_ROWS)))
    strides = dict(policy.drift.strides)
    of_inputs = max(strides.values(), default=1)
    for entry in known:
        # Rows that rules were learned from are seldom rejected: when verdicts come says nothing.
        stride = max(of_inputs, 1) if entry.name == "verdict" else stride_of(series[entry.name])
        if entry.name not in strides and stride != 1:
            strides[entry.name] = stride
    return replace(policy, drift=replace(policy.drift, strides=strides)), found


def _of_inputs(policy: Policy) -> Iterator[Observation]:
    carried = {state.input for state in policy.states}
    for rule in policy.inputs:
        if rule.distance is not None:
            yield Observation("distance", rule.name)
        if rule.name in carried:
            continue
        if rule.has_one_value_a_feature(policy.batched):
            yield from (Observation("category", feature.name) for feature in rule.features if feature.categories)
        if is_watchable(rule, policy.batched) and len(rule.features) > _PROJECTIONS:
            yield from (Observation("projection", rule.name, place) for place in range(_PROJECTIONS))
        elif rule.dtype != "string" and not rule.has_one_value_a_feature(policy.batched):
            yield from _of_signals(rule, policy.batched)


def _of_signals(rule: InputRule, batched: bool) -> Iterator[Observation]:
    """Of an image or a signal: level and spread of each channel, and some of its values as they lie."""
    for feature in rule.features[:_MOST_CHANNELS]:
        yield from (Observation(kind, feature.name) for kind in _MOMENTS)
    shape = rule.shape[1:] if batched else rule.shape
    size = math.prod(shape) if all(extent > 0 for extent in shape) else 0
    places = range(size // (2 * _ELEMENTS), size, max(size // _ELEMENTS, 1))
    yield from (Observation("element", rule.name, place) for place in places[:_ELEMENTS])


def _of_outputs(policy: Policy, outputs: Mapping[str, Output]) -> Iterator[Observation]:
    carried = {state.output for state in policy.states}
    rules = [rule for rule in policy.outputs if rule.name not in carried and rule.dtype not in ("object", "string")]
    shares = [rule for rule in rules if rule.logits or _has_shares(rule, outputs.get(rule.name), policy.batched)]
    for rule in rules:
        if rule in shares:
            yield from (Observation(kind, rule.name) for kind in ("class", "confidence"))
        elif "float" in rule.dtype:
            yield from (Observation("value", rule.name, place) for place in range(_values(rule, policy.batched)))
        elif not shares:  # else it is the label that the shares are of
            yield Observation("class", rule.name)


def _has_shares(rule: OutputRule, output: Output | None, batched: bool) -> bool:
    """Whether a row of it is one distribution over classes, as far as answers show."""
    extents = [extent for extent in (rule.shape[1:] if batched else rule.shape) if extent != 1]
    if output is None or len(extents) != 1 or "float" not in rule.dtype:
        return False
    return -_ROUNDING <= output.low <= output.high <= 1 + _ROUNDING


def _values(rule: OutputRule, batched: bool) -> int:
    """How many numbers of a row are watched; of an output with free axes the first alone."""
    shape = rule.shape[1:] if batched else rule.shape
    return 1 if any(extent < 0 for extent in shape) else min(int(np.prod(shape, dtype=np.int64)), _MOST_VALUES)


def reference_of(rule: Observation, values: Values, policy: Policy) -> FeatureReference | None:
    """What held-back rows say of an observation; None: it has no value.

    Args:
        rule: The observation.
        values: (N,) of the rows; NaN is missing.
        policy: Whose observation it is.
    """
    present = np.sort(values[np.isfinite(values)])
    if not len(present):
        return None
    classes, edges = _classes(rule, policy), present[:0]
    if classes and classes <= BINS:
        edges = np.arange(classes - 1, dtype=np.float64) + 0.5
    else:
        edges = np.unique(np.quantile(present, np.arange(1, BINS) / BINS, method="inverted_cdf")).astype(np.float64)
        edges = edges[edges < present[-1]]
    counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    return FeatureReference(
        input="",
        name=rule.name,
        rows=len(values),
        mean=float(present.mean()),
        stddev=0.0 if present[0] == present[-1] else float(present.std()),
        edges=edges,
        counts=counts.astype(np.uint64),
    )


def _with_right(
    entry: FeatureReference, policy: Policy, seen: Mapping[str, Values], labels: npt.NDArray[np.int64]
) -> FeatureReference:
    """Of a confidence: how often the class was right, by bin; anything else as it is."""
    rule = next(rule for rule in policy.observe if rule.name == entry.name)
    classes = seen.get(Observation("class", rule.of, limit=rule.limit).name) if rule.kind == "confidence" else None
    if classes is None:
        return entry
    right = seen[entry.name][classes == labels]
    counts = np.bincount(np.searchsorted(entry.edges, right, side="left"), minlength=len(entry.counts))
    return replace(entry, right=counts.astype(np.uint64))


def _classes(rule: Observation, policy: Policy) -> int:
    """How many there are; 0: that is not known."""
    if rule.kind == "verdict":
        return _VERDICTS
    if rule.kind == "category":
        features = (feature for given in policy.inputs for feature in given.features)
        return 1 + next(len(feature.categories) for feature in features if feature.name == rule.of)
    if rule.kind != "class":
        return 0
    output = next(entry for entry in policy.outputs if entry.name == rule.of)
    shape = output.shape[1:] if policy.batched else output.shape
    if "float" in output.dtype and not any(extent < 0 for extent in shape):
        return max(2, shape[-1] if shape else 1)
    return 0
