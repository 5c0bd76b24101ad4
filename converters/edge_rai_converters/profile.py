"""Learns a policy from data: limits of numbers, categories and lengths of strings. numpy only; no model is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor, inf, isfinite, nextafter, prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.errors import PolicyError
from edge_rai.policy import FallbackRule, FeatureRule, InputRule, Missing, OutputRule, Policy, StateRule
from edge_rai.types import TensorSpec
from edge_rai_converters.data import Array, Rows, StoredRows, chunks
from edge_rai_converters.data.named import counted
from edge_rai_converters.errors import DataError

MAX_ROWS = 65536
# Learned limits leave half the observed span on each side: on breast-cancer data 0.4 % of clean rows fall outside.
MARGIN = 0.5
MOST_CATEGORIES = 64
_ROWS_PER_CATEGORY = 10
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MAX_FEATURES = 1024
_MAX_CHANNELS = 4
_VALUES_PER_ROW = 1024
_SHOWN = 8


@dataclass(frozen=True, eq=False, slots=True)
class Traits:
    """What is known of a model beside its inputs and outputs.

    Attributes:
        batched: It answers row by row.
        feature_names: Of a single input of rank 2.
        unbounded_outputs: Outputs in which clean rows give NaN or infinities, so that they are not checked for it.
        states: Its recurrent states.
        fallback: Who answers rejected rows; none: the outputs' defaults.
    """

    batched: bool
    feature_names: Sequence[str] | None = None
    unbounded_outputs: frozenset[str] = frozenset()
    states: tuple[StateRule, ...] = ()
    fallback: tuple[FallbackRule, ...] = ()


def learn_policy(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    rows: Rows,
    traits: Traits,
    index: npt.NDArray[np.int64] | None = None,
) -> Policy:
    """Rules that hold for the data, with a margin.

    Args:
        inputs: Of the model.
        outputs: Of the model.
        rows: Per input (N, *call), see ``data.Dataset``.
        traits: Of the model.
        index: Rows to learn from; None: all.
    """
    if index is None:
        index = np.arange(len(next(iter(rows.values()))), dtype=np.int64)
    taken: set[str] = set()
    states = {state.input for state in traits.states}
    return Policy(
        format_version=1,
        batched=traits.batched,
        inputs=tuple(
            _state_rule(spec, traits, taken) if spec.name in states
            else _input_rule(spec, rows[spec.name], index, traits, taken)
            for spec in inputs
        ),
        outputs=tuple(_output_rule(spec, spec.name not in traits.unbounded_outputs) for spec in outputs),
        fallback=traits.fallback,
        states=traits.states,
    )  # fmt: skip


def check_policy(policy: Policy, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Holds a policy that somebody wrote against the model it is for.

    Raises:
        PolicyError: It names other tensors, types or shapes.
    """
    _check_rules("inputs", policy.inputs, inputs)
    _check_rules("outputs", policy.outputs, outputs)


def paired(policy: Policy, columns: Sequence[str], states: Sequence[str]) -> Policy:
    """The policy with the features of its only input in the order of the columns, where both have the same names.

    Args:
        policy: Written for the model.
        columns: Names of the input's columns.
        states: Inputs that no data are for.
    """
    rules = [rule for rule in policy.inputs if rule.name not in states]
    known = {feature.name: feature for feature in rules[0].features} if len(rules) == 1 else {}
    if not known or known.keys() != set(columns) or len(known) != len(columns):
        return policy
    ordered = replace(rules[0], features=tuple(known[column] for column in columns))
    return replace(policy, inputs=tuple(ordered if rule is rules[0] else rule for rule in policy.inputs))


def check_columns(
    path: str | Path, columns: Sequence[str], fitted: Sequence[str], policy: Policy | None, name: str
) -> None:
    """Holds the names of an input's columns against those of the model and of the policy.

    Args:
        path: Of the data.
        columns: As the data name them.
        fitted: As the model does, if it does.
        policy: Written for the model, or None.
        name: Of the input.

    Raises:
        DataError: The data have the model's columns in another order.
        PolicyError: The policy has other names, or another order.
    """
    if sorted(columns) == sorted(fitted) and tuple(columns) != tuple(fitted):
        raise DataError(f"{path}: the model was fitted with the columns {_listed(fitted)}; give them in this order")
    rule = next((rule for rule in policy.inputs if rule.name == name), None) if policy else None
    names = () if rule is None or tuple(columns) == (name,) else written_names(rule)
    if not names or names == tuple(columns):
        return
    others = sorted(set(names) ^ set(columns)) or "their order"
    raise PolicyError(
        f"{path}: its columns are {_listed(columns)} and the policy's features {_listed(names)}, which differ in "
        f"{others if isinstance(others, str) else _listed(others)}; give both the same names in the same order"
    )


def written_names(rule: InputRule) -> tuple[str, ...]:
    """What a policy calls the columns of an input; nothing where it numbers them, as a profile of arrays does."""
    names = tuple(feature.name for feature in rule.features)
    numbered = all(name == f"{rule.name}[{place}]" for place, name in enumerate(names))
    return () if rule.feature_axis is None or numbered or counted(names) or names == (rule.name,) else names


def rows_within(policy: Policy, rows: Rows, index: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of the chosen rows lie within all limits, nothing missing, to choose golden vectors by; (len(index),)."""
    within = np.ones(len(index), dtype=np.bool_)
    for rule in policy.inputs:
        array = rows[rule.name]
        if array.dtype.kind == "U":
            continue
        shape = [1] * array.ndim
        if rule.feature_axis is not None:
            shape[rule.feature_axis + 1] = -1
        width = np.float32 if array.dtype in (np.float32, np.float16) else np.float64
        low = np.array([-np.inf if f.low is None else f.low for f in rule.features], width).reshape(shape)
        high = np.array([np.inf if f.high is None else f.high for f in rule.features], width).reshape(shape)
        inside = [((part >= low) & (part <= high)).reshape(len(part), -1).all(axis=1) for part in chunks(array, index)]
        within &= np.concatenate(inside)
    return within


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)


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
    spec: TensorSpec, array: StoredRows, index: npt.NDArray[np.int64], traits: Traits, taken: set[str]
) -> InputRule:
    observed = array.shape[1:]
    axis = _feature_axis(spec.shape)
    limits = [2 * came if extent is None else extent for extent, came in zip(spec.shape, observed, strict=True)]
    if traits.batched:
        limits[0] = MAX_ROWS
    count = 1 if axis is None else observed[axis]
    whole = axis is None or spec.shape[1:] == (1,)
    columns: Sequence[str] = [spec.name] if whole else [f"{spec.name}[{place}]" for place in range(count)]
    names = traits.feature_names if axis is not None and traits.feature_names else [_unused(n, taken) for n in columns]
    learn = _text_rules if array.dtype.kind == "U" else _number_rules
    return InputRule(
        name=spec.name,
        dtype=spec.dtype,  # type: ignore[arg-type]  # sources give only the names that Dtype lists
        shape=_written(spec.shape),
        max_shape=tuple(limits),
        feature_axis=axis,
        sketch_stride=max(1, prod(observed) // count // _VALUES_PER_ROW),
        features=tuple(learn(names, chunks(array, index), axis)),
    )


def _state_rule(spec: TensorSpec, traits: Traits, taken: set[str]) -> InputRule:
    """Of an input that only the session gives: there is nothing to hold it to but its type and shape."""
    return InputRule(
        name=spec.name,
        dtype=spec.dtype,  # type: ignore[arg-type]
        shape=_written(spec.shape),
        max_shape=tuple((MAX_ROWS if traits.batched else 1) if extent is None else extent for extent in spec.shape),
        features=(FeatureRule(_unused(spec.name, taken)),),
    )


def _output_rule(spec: TensorSpec, finite: bool) -> OutputRule:
    if spec.dtype in ("object", "string"):
        return OutputRule(spec.name, spec.dtype, _written(spec.shape), finite=False)  # type: ignore[arg-type]
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


def _number_rules(names: Sequence[str], parts: Iterator[Array], axis: int | None) -> Iterator[FeatureRule]:
    """NaN is left in data only where it is a missing value."""
    found: list[tuple[Array, Array, Array]] = []
    for part in parts:
        others = tuple(place for place in range(part.ndim) if axis is None or place != axis + 1)
        ends = (np.fmin.reduce(part, axis=others), np.fmax.reduce(part, axis=others), (part != part).any(axis=others))
        found.append((np.atleast_1d(ends[0]), np.atleast_1d(ends[1]), np.atleast_1d(ends[2])))
    lows, highs, gaps = (np.stack(some) for some in zip(*found, strict=True))
    of_all = zip(names, np.fmin.reduce(lows), np.fmax.reduce(highs), np.any(gaps, axis=0).tolist(), strict=True)
    for name, low, high, gap in of_all:
        yield replace(_number_rule(name, low, high), missing=Missing() if gap else None)


def _number_rule(name: str, low: np.generic, high: np.generic) -> FeatureRule:
    if low != low or low == high or low.dtype.kind == "b":
        return FeatureRule(name)  # constant in the data, or always missing: nothing is known of its span
    if low.dtype.kind in "iu":
        return _integer_rule(name, int(low), int(high), np.iinfo(low.dtype))
    smallest, largest = float(low), float(high)
    margin = MARGIN * (largest - smallest)
    lower, upper = smallest - margin, largest + margin
    if smallest >= 0:
        lower = max(lower, 0.0)
    if largest <= 0:
        upper = min(upper, 0.0)
    return FeatureRule(name, _held(lower, margin, low.dtype), _held(upper, margin, low.dtype))


def _integer_rule(name: str, smallest: int, largest: int, kind: np.iinfo[Any]) -> FeatureRule:
    """Exact up to the limits themselves, which are doubles: beyond 2**53 the next one outward."""
    margin = ceil(Fraction(MARGIN) * (largest - smallest))
    lower = smallest - margin if smallest < 0 else max(smallest - margin, 0)
    upper = largest + margin if largest > 0 else min(largest + margin, 0)
    low, high = _outward(lower, -inf), _outward(upper, inf)
    return FeatureRule(name, None if low <= kind.min else low, None if high >= kind.max else high)


def _outward(value: int, end: float) -> float:
    """The double nearest to a whole number that is not on the inner side of it."""
    near = float(value)
    inside = near > value if end < 0 else near < value
    return nextafter(near, end) if inside else near


def _held(value: float, margin: float, dtype: np.dtype[Any]) -> float | None:
    """A number that people can read, next to the value: what the device compares in is float32, but for float64."""
    short = float(f"{value:.6g}")
    if abs(short - value) > 0.01 * margin:
        with np.errstate(over="ignore"):
            short = value if dtype == np.float64 else float(str(np.float32(value)))
    return short if isfinite(short) and (dtype == np.float64 or abs(short) < _FLOAT32_MAX) else None


@dataclass(slots=True)
class _Texts:
    """What was seen of one feature of strings; ``distinct`` is None once it is too many."""

    distinct: set[str] | None = field(default_factory=set)
    shortest: int = 2**31
    longest: int = 0
    rows: int = 0

    def add(self, values: Array) -> None:
        self.rows += len(values)
        lengths = np.char.str_len(values)
        self.shortest, self.longest = min(self.shortest, int(lengths.min())), max(self.longest, int(lengths.max()))
        if self.distinct is not None:
            self.distinct.update(map(str, np.unique(values)))
            if len(self.distinct) > MOST_CATEGORIES:
                self.distinct = None

    def rule(self, name: str) -> FeatureRule:
        if self.distinct is not None and self.rows >= _ROWS_PER_CATEGORY * len(self.distinct):
            return FeatureRule(name, categories=tuple(sorted(self.distinct)))
        low, high = floor((1 - MARGIN) * self.shortest), ceil((1 + MARGIN) * self.longest)
        return FeatureRule(name, length=(float(low), float(high)))


def _text_rules(names: Sequence[str], parts: Iterator[Array], axis: int | None) -> Iterator[FeatureRule]:
    seen = [_Texts() for _ in names]
    for part in parts:
        for place, feature in enumerate(seen):
            feature.add(part if axis is None else np.take(part, place, axis=axis + 1))
    for name, feature in zip(names, seen, strict=True):
        yield feature.rule(name)


def _written(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(-1 if extent is None else extent for extent in shape)


def _narrows(rule: Sequence[int], model: Sequence[int]) -> bool:
    return all(mine == theirs or theirs == -1 for mine, theirs in zip(rule, model, strict=True))
