"""The rules of one model, as frozen dataclasses that refuse what no guard program could say."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import ConfigDict

_MAX_RANK = 8
_MAX_EXTENT = 2**31 - 1

Dtype = Literal["float32", "float64", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool"]


@dataclass(frozen=True, slots=True)
class FeatureRule:
    """Limits of one feature, inclusive; None: no limit on that side. Held as float32, as a device compares them."""

    name: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        for side, limit in (("low", self.low), ("high", self.high)):
            if limit is None:
                continue
            if math.isnan(limit):
                raise ValueError(f"{side} of {self.name!r} is nan; leave it out for no limit")
            with np.errstate(over="ignore"):
                object.__setattr__(self, side, float(np.float32(limit)))
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low of {self.name!r} is {self.low}, above its high, {self.high}")


@dataclass(frozen=True, slots=True)
class InputRule:
    """What one model input may be.

    Attributes:
        name: As in the model.
        dtype: numpy name of the element type.
        shape: Extents; -1 for a free axis.
        max_shape: Greatest extents; equal to ``shape`` where that is fixed. Empty means ``shape``.
        finite: NaN and infinities are refused.
        out_of_range: What a value outside its feature's limits does to its row.
        feature_axis: Axis whose indices are the features; None: the whole input is one feature.
        sketch_stride: Every n-th value of a feature within a row enters the drift sketch.
        features: One rule an index of ``feature_axis``; may be empty only when that is None.
    """

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    max_shape: tuple[int, ...] = ()
    finite: bool = True
    out_of_range: Literal["reject", "flag"] = "reject"
    feature_axis: int | None = None
    sketch_stride: int = 1
    features: tuple[FeatureRule, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_shape(self.shape)
        if not self.max_shape:
            object.__setattr__(self, "max_shape", self.shape)
        if not self.features and self.feature_axis is None:
            object.__setattr__(self, "features", (FeatureRule(self.name),))
        self._check_max_shape()
        self._check_features()
        if not 1 <= self.sketch_stride <= _MAX_EXTENT:
            raise ValueError(f"sketch_stride is {self.sketch_stride}; it must be 1 to {_MAX_EXTENT}")

    def _check_max_shape(self) -> None:
        if len(self.max_shape) != len(self.shape):
            raise ValueError(f"max_shape {list(self.max_shape)} and shape {list(self.shape)} differ in rank")
        for axis, (extent, limit) in enumerate(zip(self.shape, self.max_shape, strict=True)):
            if extent < 0 and not 1 <= limit <= _MAX_EXTENT:
                raise ValueError(f"max_shape[{axis}] is {limit}; the axis is free, so it must be 1 to {_MAX_EXTENT}")
            if extent >= 0 and limit != extent:
                raise ValueError(f"max_shape[{axis}] is {limit}, but the axis is fixed at {extent}")

    def _check_features(self) -> None:
        expected = 1
        if self.feature_axis is not None:
            if not 0 <= self.feature_axis < len(self.shape):
                raise ValueError(f"feature_axis is {self.feature_axis}; shape {list(self.shape)} has no such axis")
            expected = self.shape[self.feature_axis]
            if expected < 0:
                raise ValueError(f"feature_axis is {self.feature_axis}, a free axis; it must be a fixed one")
        if len(self.features) != expected:
            raise ValueError(f"input {self.name!r} has {len(self.features)} features; expected {expected}")


@dataclass(frozen=True, slots=True)
class OutputRule:
    """What one model output may be, and what answers a rejected row.

    Attributes:
        name: As in the model.
        dtype: numpy name of the element type.
        shape: Extents; -1 for a free axis.
        finite: NaN and infinities reject the row.
        default: One row's answer, or one value for every element; empty: none (NaN for floats, zero for others).
    """

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    finite: bool = True
    default: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_shape(self.shape)


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules of one model; immutable.

    Attributes:
        inputs: In the model's order. No two features have one name, of different inputs neither.
        outputs: In the model's order.
        batched: Axis 0 of every tensor counts rows that are judged one by one; otherwise a call is one row.
        format_version: Of the written form.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    format_version: Literal[1]
    batched: bool
    inputs: tuple[InputRule, ...]
    outputs: tuple[OutputRule, ...]

    def __post_init__(self) -> None:
        if not self.inputs or not self.outputs:
            raise ValueError("a policy needs at least one [[inputs]] and one [[outputs]]")
        _check_unique("inputs", (rule.name for rule in self.inputs))
        _check_unique("outputs", (rule.name for rule in self.outputs))
        self._check_feature_names()
        if self.batched:
            shapes = [(rule.name, rule.shape) for rule in self.inputs] + [
                (rule.name, rule.shape) for rule in self.outputs
            ]
            for name, shape in shapes:
                if not shape or shape[0] != -1:
                    raise ValueError(f"batched is true, but axis 0 of {name!r} is not -1")
            if any(rule.feature_axis == 0 for rule in self.inputs):
                raise ValueError("batched is true, so axis 0 holds rows and cannot be a feature_axis")

    def _check_feature_names(self) -> None:
        # Unique over all inputs: telemetry and drift know a feature by its name alone.
        owners: dict[str, str] = {}
        for rule in self.inputs:
            _check_unique(f"features of input {rule.name!r}", (feature.name for feature in rule.features))
            for feature in rule.features:
                owner = owners.setdefault(feature.name, rule.name)
                if owner != rule.name:
                    raise ValueError(
                        f"inputs {owner!r} and {rule.name!r} both have a feature called {feature.name!r}; its name is "
                        "all that telemetry knows of a feature, so name it differently in one of them"
                    )


def _check_name(name: str) -> None:
    if not name or not name.isprintable():
        raise ValueError(f"name is {name!r}; it must be printable text of at least one character")


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) > _MAX_RANK:
        raise ValueError(f"shape has rank {len(shape)}; at most {_MAX_RANK} is supported")
    for axis, extent in enumerate(shape):
        if extent != -1 and not 1 <= extent <= _MAX_EXTENT:
            raise ValueError(f"shape[{axis}] is {extent}; it must be -1 (free) or 1 to {_MAX_EXTENT}")


def _check_unique(kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {kind} are called {name!r}")
        seen.add(name)
