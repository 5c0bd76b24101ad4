"""Learns a policy and a reference from data: limits, equal-mass bins, moments. numpy only; no model is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from edge_rai.errors import PolicyError
from edge_rai.policy import FeatureReference, FeatureRule, InputRule, OutputRule, Policy, Reference
from edge_rai.types import TensorSpec
from edge_rai_converters.data import Rows

BINS = 32
MAX_ROWS = 65536
# Learned limits leave half the observed span on each side: on breast-cancer data 0.4 % of clean rows fall outside.
MARGIN = 0.5
_MAX_FEATURES = 1024
_MAX_CHANNELS = 4
_VALUES_PER_ROW = 1024
_VALUES_PER_FEATURE = 1 << 20

Values = npt.NDArray[np.float32]


def learn_policy(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    rows: Rows,
    *,
    batched: bool,
    feature_names: Sequence[str] | None = None,
    unbounded_outputs: frozenset[str] = frozenset(),
) -> Policy:
    """Rules that hold for the data, with a margin.

    Args:
        inputs: Of the model.
        outputs: Of the model.
        rows: Per input (N, *call), see ``data.Dataset``.
        batched: Whether the model answers row by row.
        feature_names: Of a single input of rank 2.
        unbounded_outputs: Outputs in which clean rows give NaN or infinities, so that they are not checked for it.
    """
    taken: set[str] = set()
    return Policy(
        format_version=1,
        batched=batched,
        inputs=tuple(_input_rule(spec, rows[spec.name], batched, feature_names, taken) for spec in inputs),
        outputs=tuple(_output_rule(spec, spec.name not in unbounded_outputs) for spec in outputs),
    )


def learn_reference(policy: Policy, rows: Rows) -> Reference:
    """What drift will be measured against, sampled as the device's sketch samples: every ``sketch_stride``-th value.

    Memory is bounded: of a long data set with many values a row, every n-th row is used.
    """
    return Reference(
        tuple(
            _reference(rule, feature, values)
            for rule in policy.inputs
            for feature, values in zip(rule.features, _feature_values(rule, rows[rule.name]), strict=True)
        )
    )


def check_policy(policy: Policy, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, batched: bool) -> None:
    """Holds a policy that somebody wrote against the model it is for.

    Raises:
        PolicyError: It names other tensors, types or shapes, or says batched of a model that is not.
    """
    if policy.batched and not batched:
        raise PolicyError("the policy says batched = true, but the model does not answer one row for each input row")
    _check_rules("inputs", policy.inputs, inputs)
    _check_rules("outputs", policy.outputs, outputs)


def rows_within(policy: Policy, rows: Rows) -> npt.NDArray[np.bool_]:
    """Which rows lie within all limits, to choose golden vectors by; (N,)."""
    within = np.ones(len(next(iter(rows.values()))), dtype=np.bool_)
    for rule in policy.inputs:
        array = rows[rule.name]
        shape = [1] * array.ndim
        if rule.feature_axis is not None:
            shape[rule.feature_axis + 1] = -1
        low = np.array([-np.inf if f.low is None else f.low for f in rule.features], np.float32).reshape(shape)
        high = np.array([np.inf if f.high is None else f.high for f in rule.features], np.float32).reshape(shape)
        within &= ((array >= low) & (array <= high)).reshape(len(array), -1).all(axis=1)
    return within


def _check_rules(kind: str, rules: Sequence[InputRule | OutputRule], specs: Sequence[TensorSpec]) -> None:
    mine, theirs = [rule.name for rule in rules], [spec.name for spec in specs]
    if mine != theirs:
        raise PolicyError(f"{kind} of the policy are {mine}, of the model {theirs}")
    for rule, spec in zip(rules, specs, strict=True):
        shape = _written(spec.shape)
        if rule.dtype != spec.dtype or len(rule.shape) != len(shape) or not _narrows(rule.shape, shape):
            raise PolicyError(
                f"{kind}.{rule.name} is {rule.dtype} {list(rule.shape)} in the policy and {spec.dtype} {list(shape)} "
                "in the model; a policy may fix free axes and nothing else"
            )


def _input_rule(
    spec: TensorSpec, array: Values, batched: bool, names: Sequence[str] | None, taken: set[str]
) -> InputRule:
    observed = array.shape[1:]
    axis = _feature_axis(spec.shape)
    limits = [2 * came if extent is None else extent for extent, came in zip(spec.shape, observed, strict=True)]
    if batched:
        limits[0] = MAX_ROWS
    if axis is None:
        features: tuple[FeatureRule, ...] = (_feature_rule(_unused(spec.name, taken), array.min(), array.max()),)
    else:
        others = tuple(index for index in range(array.ndim) if index != axis + 1)
        lows, highs = array.min(axis=others), array.max(axis=others)
        known = names or [_unused(f"{spec.name}[{index}]", taken) for index in range(len(lows))]
        features = tuple(_feature_rule(name, low, high) for name, low, high in zip(known, lows, highs, strict=True))
    return InputRule(
        name=spec.name,
        dtype="float32",
        shape=_written(spec.shape),
        max_shape=tuple(limits),
        feature_axis=axis,
        sketch_stride=max(1, prod(observed) // len(features) // _VALUES_PER_ROW),
        features=features,
    )


def _output_rule(spec: TensorSpec, finite: bool) -> OutputRule:
    floating = spec.dtype.startswith("float")
    return OutputRule(
        name=spec.name,
        dtype=spec.dtype,  # type: ignore[arg-type]  # sources give only the names that Dtype lists
        shape=_written(spec.shape),
        finite=finite and floating,
        default=(float("nan"),) if floating else (-1.0,) if spec.dtype.startswith("int") else (),
    )


def _unused(name: str, taken: set[str]) -> str:
    """The name, marked when an input before has a feature of that name: 'a[0]' may be one of 'a' or an input itself."""
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _feature_axis(shape: tuple[int | None, ...]) -> int | None:
    if len(shape) == 2 and shape[1] is not None and shape[1] <= _MAX_FEATURES:
        return 1
    if len(shape) == 4:
        for axis in (1, 3):
            extent = shape[axis]
            if extent is not None and extent <= _MAX_CHANNELS:
                return axis
    return None


def _feature_rule(name: str, low: np.float32, high: np.float32) -> FeatureRule:
    if low == high:
        return FeatureRule(name)  # constant in the data: nothing is known of its span
    smallest, largest = float(low), float(high)
    margin = MARGIN * (largest - smallest)
    lower, upper = smallest - margin, largest + margin
    if smallest >= 0:
        lower = max(lower, 0.0)
    if largest <= 0:
        upper = min(upper, 0.0)
    return FeatureRule(name, lower, upper)


def _feature_values(rule: InputRule, array: Values) -> Iterator[Values]:
    """(rows used, values a row) of each feature in turn."""
    sampled_per_row = max(1, prod(array.shape[1:]) // len(rule.features) // rule.sketch_stride)
    step = -(-len(array) * sampled_per_row // _VALUES_PER_FEATURE)
    used = array[::step]
    for index in range(len(rule.features)):
        values = used if rule.feature_axis is None else np.take(used, index, axis=rule.feature_axis + 1)
        yield values.reshape(len(used), -1)[:, :: rule.sketch_stride]


def _reference(rule: InputRule, feature: FeatureRule, values: Values) -> FeatureReference:
    flat = np.sort(values, axis=None)
    edges = np.unique(np.quantile(flat, np.arange(1, BINS) / BINS, method="inverted_cdf")).astype(np.float32)
    edges = edges[edges < flat[-1]]  # an edge at the maximum would leave the last bin empty for ever
    counts = np.bincount(np.searchsorted(edges, flat, side="left"), minlength=len(edges) + 1)
    exact = flat.astype(np.float64)
    return FeatureReference(
        input=rule.name,
        name=feature.name,
        rows=len(values),
        mean=float(exact.mean()),
        stddev=0.0 if flat[0] == flat[-1] else float(exact.std()),
        edges=edges,
        counts=counts.astype(np.uint64),
    )


def _written(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(-1 if extent is None else extent for extent in shape)


def _narrows(rule: Sequence[int], model: Sequence[int]) -> bool:
    return all(mine == theirs or theirs == -1 for mine, theirs in zip(rule, model, strict=True))
