"""Features that follow the hour of the day or of the week: what is usual in each, and what is left of their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_rai.policy import FeatureReference, FeatureRule, InputRule, Observation, Policy
from edge_rai_converters.data import Array, Rows, chunks, is_missing
from edge_rai_converters.data.times import Times
from edge_rai_converters.observed import reference_of
from edge_rai_converters.strides import is_watchable, stride_of

Values = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_HOUR = 3600
_SLOTS = (24, 168)
# Of a slot, so that its mean errs by less than a fifth of what it is held against.
_FEWEST = 30
# Of fewer days or weeks whatever came of them once would be taken for what comes in each.
_PERIODS = 3
# What the error of an hour's mean may add to the logarithm of the evidence: all rows of that hour have it in common.
_IN_COMMON = 0.07
# Of long data the first rows say how far apart they know nothing of each other.
_MOST_ROWS = 200_000


@dataclass(frozen=True, eq=False, slots=True)
class Season:
    """What is to be watched of a feature that follows the hours.

    Attributes:
        rule: The observation.
        reference: Of what is left when the usual is taken away, on rows that it was not learned from; with the usual.
        stride: At which that is looked at; 0: it knows of itself at every distance.
    """

    rule: Observation
    reference: FeatureReference
    stride: int


@dataclass(frozen=True, eq=False, slots=True)
class Shown:
    """Rows with their times.

    Attributes:
        rows: Per input (N, *call), in the order in which they came.
        times: (N,) seconds since 1970.
        calibration: Rows that what is usual is learned from.
        held_back: Rows that the reference is learned from.
    """

    rows: Rows
    times: Times
    calibration: Index
    held_back: Index


def find_seasons(policy: Policy, shown: Shown, strides: Mapping[str, int]) -> tuple[Season, ...]:
    """Seasons of the features that are not watched as they are, or seldom, and would be watched oftener without them.

    Args:
        policy: Rules of the features.
        shown: Rows in order.
        strides: Of the features that can be watched.
    """
    days = float(np.ptp(shown.times)) / (24 * _HOUR)
    asked = [slots for slots in _SLOTS if days * 24 >= _PERIODS * slots]
    found = []
    for feature, values in _columns(policy, shown.rows, [name for name, stride in strides.items() if stride != 1]):
        own = strides[feature.name]
        for slots in asked:
            season = _season(policy, Observation("seasonal", feature.name, slots=slots), values, shown)
            if season is not None and season.stride and (own == 0 or season.stride < own):
                found.append(season)
                break
    return tuple(found)


def written_seasons(policy: Policy, shown: Shown) -> tuple[Season, ...]:
    """Those that a policy asks for; without a reference, where a feature has no value that is known of.

    Args:
        policy: With observations.
        shown: Rows in order.
    """
    rules = {rule.of: rule for rule in policy.observe if rule.kind == "seasonal"}
    columns = _columns(policy, shown.rows, list(rules))
    seasons = (_season(policy, rules[feature.name], values, shown) for feature, values in columns)
    return tuple(season for season in seasons if season is not None)


def with_seasons(policy: Policy, seasons: Sequence[Season]) -> Policy:
    """The policy with their strides, where it does not say them itself."""
    if policy.drift is None:
        return policy
    strides = {season.rule.name: season.stride for season in seasons}
    return replace(policy, drift=replace(policy.drift, strides=strides | policy.drift.strides))


def _season(policy: Policy, rule: Observation, values: Values, shown: Shown) -> Season | None:
    means, scales = _usual(values[shown.calibration], shown.times[shown.calibration], rule.slots)
    rest = (values - _between(means, scales, shown.times)) * _between(scales, scales, shown.times)
    reference = reference_of(rule, rest[shown.held_back], policy)
    if reference is None or len(reference.counts) < 2:
        return None
    usual = replace(reference, slot_means=tuple(means.tolist()), slot_scales=tuple(scales.tolist()))
    stride = stride_of(rest[:_MOST_ROWS])
    return Season(rule, usual, max(stride, _apart(shown, rule.slots)) if stride else 0)


def _apart(shown: Shown, slots: int) -> int:
    """The least stride at which so few rows of an hour are looked at that the error of its mean does not add up.

    What k rows of an hour have in common adds k / n to the logarithm of the evidence, n being the rows that the mean is
    of, and on the line between two means two thirds of that (docs/adr/0014-drift.md).
    """
    hours = np.floor(shown.times / _HOUR)
    learned = np.unique(hours[shown.calibration] % slots, return_counts=True)[1]
    together = len(hours) / len(np.unique(hours))
    return int(np.ceil(2 / 3 * together / float(learned.mean()) / _IN_COMMON))


def _between(usual: Values, scales: Values, times: Times) -> Values:
    """What is usual at a time, on the line between the middles of two hours; NaN in a slot that is not known."""
    hours = np.floor(times / _HOUR - 0.5)
    share = times / _HOUR - 0.5 - hours
    one = hours.astype(np.int64) % len(usual)
    other = (one + 1) % len(usual)
    own = np.where(share < 0.5, one, other)
    one, other = (np.where(scales[slot] > 0, slot, own) for slot in (one, other))
    return np.where(scales[own] > 0, (1 - share) * usual[one] + share * usual[other], np.nan)


def _usual(values: Values, times: Times, slots: int) -> tuple[Values, Values]:
    """(slots,) means, and one over standard deviations; 0 and 0 where there are too few values, or all are equal."""
    there = np.isfinite(values)
    values, times = values[there], times[there]
    slot = np.floor(times / _HOUR).astype(np.int64) % slots
    counts = np.bincount(slot, minlength=slots)
    means = np.bincount(slot, values, slots) / np.maximum(counts, 1)
    off = values - _between(means, counts.astype(np.float64), times)
    spread = np.sqrt(np.bincount(slot, off**2, slots) / np.maximum(counts, 1))
    known = (counts >= _FEWEST) & (spread > np.finfo(np.float64).tiny)
    return np.where(known, means, 0.0), np.where(known, 1 / np.where(known, spread, 1.0), 0.0)


def _columns(policy: Policy, rows: Rows, names: Sequence[str]) -> Iterator[tuple[FeatureRule, Values]]:
    """(N,) of each feature of these that can be watched; NaN is missing."""
    for rule in policy.inputs:
        places = [place for place, feature in enumerate(rule.features) if feature.name in names]
        if not places or not is_watchable(rule, policy.batched):
            continue
        table = _table(rule, rows, places)
        for place, column in zip(places, table, strict=True):
            feature = rule.features[place]
            yield feature, np.where(is_missing(feature, column), np.nan, column.astype(np.float64))


def _table(rule: InputRule, rows: Rows, places: Sequence[int]) -> Array:
    """(places, N) in the input's type."""
    assert rule.feature_axis is not None
    array = rows[rule.name]
    every = np.arange(len(array), dtype=np.int64)
    parts = [np.moveaxis(part, rule.feature_axis + 1, 0)[places] for part in chunks(array, every)]
    return np.concatenate([part.reshape(len(places), -1) for part in parts], axis=1)
