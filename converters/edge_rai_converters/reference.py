"""Learns what drift is measured against: bins of equal mass and moments of each feature. numpy only."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import numpy.typing as npt

from edge_rai.policy import FeatureReference, FeatureRule, InputRule, Policy
from edge_rai_converters.data import Array, Rows, StoredRows, chunks, drawn, is_missing

BINS = 32
_VALUES_PER_FEATURE = 1 << 20
_VALUES_HELD = 1 << 21

Values = npt.NDArray[np.float64]


def learn_features(policy: Policy, rows: Rows, index: npt.NDArray[np.int64]) -> tuple[FeatureReference, ...]:
    """The reference of every feature of numbers, sampled as the device samples: every ``sketch_stride``-th value.

    Memory is bounded: of a long data set with many values a row, one of every n rows is used. Strings and recurrent
    states have no reference, and neither has a feature that is always missing.

    Args:
        policy: What the features are.
        rows: Per input (N, *call), see ``data.Dataset``.
        index: Rows to learn from.
    """
    states = {state.input for state in policy.states}
    return tuple(
        learned
        for rule in policy.inputs
        if rule.dtype != "string" and rule.name not in states
        for feature, values in zip(rule.features, _feature_values(rule, rows[rule.name], index), strict=True)
        if (learned := _reference(rule, feature, values)) is not None
    )


def _feature_values(rule: InputRule, array: StoredRows, index: npt.NDArray[np.int64]) -> Iterator[Array]:
    """(rows used, values a row) of each feature in turn; the rows are read once for as many features as are held."""
    count = len(rule.features)
    sampled_per_row = max(1, prod(array.shape[1:]) // count // rule.sketch_stride)
    step = -(-len(index) * sampled_per_row // _VALUES_PER_FEATURE)
    used = index[drawn(len(index), step)]
    held = max(1, _VALUES_HELD // max(1, len(used) * sampled_per_row))
    for first in range(0, count, held):
        places = range(first, min(first + held, count))
        parts = [_sampled(part, rule, places) for part in chunks(array, used)]
        yield from (np.concatenate([part[place] for part in parts]) for place in range(len(places)))


def _sampled(part: Array, rule: InputRule, places: range) -> Array:
    """(features, rows, values a row) of some rows."""
    by_feature = part[np.newaxis] if rule.feature_axis is None else np.moveaxis(part, rule.feature_axis + 1, 0)
    chosen = by_feature[places.start : places.stop]
    return np.array(chosen.reshape(len(places), len(part), -1)[:, :, :: rule.sketch_stride])


def _reference(rule: InputRule, feature: FeatureRule, values: Array) -> FeatureReference | None:
    present = values[~is_missing(feature, values)]  # the device does not count them either
    flat: Values = np.sort(present.astype(np.float64), axis=None)
    if not len(flat):
        return None
    edges = np.unique(np.quantile(flat, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    edges = edges[edges < flat[-1]]  # an edge at the maximum would leave the last bin empty for ever
    counts = np.bincount(np.searchsorted(edges, flat, side="left"), minlength=len(edges) + 1)
    low, high = (-np.inf if feature.low is None else feature.low, np.inf if feature.high is None else feature.high)
    return FeatureReference(
        input=rule.name,
        name=feature.name,
        rows=len(values),
        mean=float(flat.mean()),
        stddev=0.0 if flat[0] == flat[-1] else float(flat.std()),
        edges=edges,
        counts=counts.astype(np.uint64),
        outside=int(len(flat) - np.searchsorted(flat, high, side="right") + np.searchsorted(flat, low, side="left")),
    )
