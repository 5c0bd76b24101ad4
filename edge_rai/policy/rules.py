"""The rules of one model, as frozen dataclasses that refuse what no guard program could say."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict

from edge_rai.policy.checks import (
    Age,
    Bounds,
    Breaks,
    Clipped,
    Distance,
    Missing,
    character_ranges,
    check_bounds,
    check_text,
    check_word,
    has_value,
    is_single,
    one_kind,
)
from edge_rai.policy.decision import Decision, FallbackRule, StateRule, check_chains
from edge_rai.policy.drift import Drift
from edge_rai.policy.events import Events, check_fields
from edge_rai.policy.observe import Observation

_MAX_RANK = 8
_MAX_EXTENT = 2**31 - 1
_OF_NUMBERS = ("low", "high", "integral", "missing", "step", "mean", "stddev", "clipped", "monotonic", "age")
_OF_STRINGS = ("length", "characters", "stand_in")
_OF_TENSORS = ("default", "logits", "range", "sum", "confidence", "margin", "entropy")

Dtype = Literal[
    "float32", "float64", "float16", "bfloat16", "bool", "string",
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
]  # fmt: skip
OutputDtype = Literal[Dtype, "object"]


@dataclass(frozen=True, slots=True)
class FeatureRule:
    """What a column, a channel or a whole input may be; None: no such rule.

    Attributes:
        name: Unique over all inputs.
        low: Inclusive lower limit. Compared in float32 where the input's type fits into it, else in float64.
        high: Inclusive upper limit.
        unit: Of its values, for people.
        categories: The only values or strings allowed.
        integral: Values have no fraction.
        missing: Missing values are allowed.
        stuck: So many rows in a row with the same contents are a breach; at least 2.
        step: The most by which a value may differ from the one before.
        mean: Bounds of the mean of a row's values.
        stddev: Bounds of their standard deviation: a blank frame has next to none.
        clipped: How many of them may be at or beyond given limits.
        length: Bounds of a string's length in characters.
        characters: Allowed in strings: "a-z0-9_ ".
        monotonic: Values never go back.
        age: How old time stamps may be.
        stand_in: What a model sees instead of a rejected row's string; absent: the first category, or "".
        verdict: Of a row that breaks one of these, other than low and high: those are the input's ``out_of_range``.
    """

    name: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    categories: Annotated[tuple[float, ...] | tuple[str, ...], BeforeValidator(one_kind)] = ()
    integral: bool = False
    missing: Missing | None = None
    stuck: int | None = None
    step: float | None = None
    mean: Bounds | None = None
    stddev: Bounds | None = None
    clipped: Clipped | None = None
    length: Bounds | None = None
    characters: str | None = None
    monotonic: bool = False
    age: Age | None = None
    stand_in: str = ""
    verdict: Breaks = "reject"

    def __post_init__(self) -> None:
        _check_name(self.name)
        check_word(f"verdict of {self.name!r}", self.verdict, Breaks)
        if not self.unit.isprintable():
            raise ValueError(f"unit of {self.name!r} is {self.unit!r}; it must be printable text")
        for text in (self.unit, self.stand_in, *(item for item in self.categories if isinstance(item, str))):
            check_text(f"a text of {self.name!r}", text)
        for side, limit in (("low", self.low), ("high", self.high)):
            if limit is not None and math.isnan(limit):
                raise ValueError(f"{side} of {self.name!r} is nan; leave it out for no limit")
        if self.low == math.inf or self.high == -math.inf:
            raise ValueError(f"limits of {self.name!r} are {self.low} to {self.high}; leave one out for no limit")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low of {self.name!r} is {self.low}, above its high, {self.high}")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"categories of {self.name!r} holds one twice")
        for item in self.categories:
            if not isinstance(item, str) and not math.isfinite(item):
                raise ValueError(f"categories of {self.name!r} holds {item}; expected finite numbers")
        for name in ("mean", "stddev", "length"):
            check_bounds(f"{name} of {self.name!r}", getattr(self, name))
        if self.stuck is not None and not 2 <= self.stuck < 2**32:
            raise ValueError(f"stuck of {self.name!r} is {self.stuck}; a window is 2 to {2**32 - 1} rows")
        if self.step is not None and not 0 <= self.step < math.inf:
            raise ValueError(f"step of {self.name!r} is {self.step}; it must be a number from 0")
        if self.characters is not None:
            character_ranges(self.characters)


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
        empty: Free axes may be 0; ONNX Runtime 1.31 ends the process when some layers get that.
        features: One rule an index of ``feature_axis``; may be empty only when that is None.
        distance: How far a row may be from the reference.
    """

    name: str
    dtype: Dtype
    shape: tuple[int, ...]
    max_shape: tuple[int, ...] = ()
    finite: bool = True
    out_of_range: Breaks = "reject"
    feature_axis: int | None = None
    sketch_stride: int = 1
    empty: bool = False
    features: tuple[FeatureRule, ...] = ()
    distance: Distance | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        check_word(f"dtype of input {self.name!r}", self.dtype, Dtype)
        check_word(f"out_of_range of input {self.name!r}", self.out_of_range, Breaks)
        _check_shape(self.shape)
        if not self.max_shape:
            object.__setattr__(self, "max_shape", self.shape)
        if not self.features and self.feature_axis is None:
            object.__setattr__(self, "features", (FeatureRule(self.name),))
        self._check_max_shape()
        self._check_kinds()
        self._check_numbers()
        self._check_features()
        if not 1 <= self.sketch_stride <= _MAX_EXTENT:
            raise ValueError(f"sketch_stride is {self.sketch_stride}; it must be 1 to {_MAX_EXTENT}")

    def has_one_value_a_feature(self, batched: bool) -> bool:
        """Whether a row is a vector of its features, as a distance needs it; free axes beside that of rows are not."""
        rows = 0 if batched else None
        return all(extent == 1 for axis, extent in enumerate(self.shape) if axis not in (rows, self.feature_axis))

    def _check_kinds(self) -> None:
        strings = self.dtype == "string"
        if self.distance is not None and (strings or self.feature_axis is None):
            raise ValueError(f"input {self.name!r} has a distance; that needs numbers and a feature_axis")
        for feature in self.features:
            for name in _OF_NUMBERS if strings else _OF_STRINGS:
                if getattr(feature, name) not in (None, False, ""):
                    kind = "numbers" if strings else "strings"
                    raise ValueError(
                        f"{name} of {feature.name!r} is a rule for {kind}, but input {self.name!r} is {self.dtype}"
                    )
            if any(isinstance(item, str) is not strings for item in feature.categories):
                raise ValueError(
                    f"categories of {feature.name!r} starts with {feature.categories[0]!r}, but input {self.name!r} "
                    f"is {self.dtype}"
                )

    def _check_numbers(self) -> None:
        """That the type has numbers for the rules to speak of."""
        for feature in self.features if self.dtype != "string" else ():
            low = -math.inf if feature.low is None else feature.low
            high = math.inf if feature.high is None else feature.high
            if not has_value(self.dtype, low, high):
                raise ValueError(f"no {self.dtype} is from {low:g} to {high:g}, the limits of {feature.name!r}")
            if feature.missing is None:
                continue
            sentinel = feature.missing.value
            if sentinel is None and "float" not in self.dtype:
                raise ValueError(
                    f"missing of {feature.name!r} has no value; {self.dtype} has no NaN, so say which number means it"
                )
            if sentinel is not None and not has_value(self.dtype, sentinel, sentinel):
                raise ValueError(f"missing.value of {feature.name!r} is {sentinel:g}, which no {self.dtype} is")

    def _check_max_shape(self) -> None:
        if len(self.max_shape) != len(self.shape):
            raise ValueError(f"max_shape {list(self.max_shape)} and shape {list(self.shape)} differ in rank")
        for axis, (extent, limit) in enumerate(zip(self.shape, self.max_shape, strict=True)):
            least = 0 if self.empty else 1
            if extent < 0 and not least <= limit <= _MAX_EXTENT:
                raise ValueError(
                    f"max_shape[{axis}] is {limit}; the axis is free, so it must be {least} to {_MAX_EXTENT}"
                )
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
        dtype: numpy name of the element type; "object": a sequence or map, which has no shape.
        shape: Extents; -1 for a free axis.
        finite: NaN and infinities reject the row.
        default: One row's answer, or one value for every element; empty: none (NaN for floats, zero for others).
        logits: Values are scores that a softmax (a sigmoid, of a single one) makes into shares.
        range: Bounds of each value.
        sum: Bounds of the sum along the last axis.
        confidence: The least that the greatest share may be.
        margin: The least by which it exceeds the second.
        entropy: The most that the shares' entropy may be, in nats.
        verdict: Of a row that breaks one of the last five.
    """

    name: str
    dtype: OutputDtype
    shape: tuple[int, ...]
    finite: bool = True
    default: tuple[float, ...] = ()
    logits: bool = False
    range: Bounds | None = None
    sum: Bounds | None = None
    confidence: float | None = None
    margin: float | None = None
    entropy: float | None = None
    verdict: Breaks = "reject"

    def __post_init__(self) -> None:
        _check_name(self.name)
        check_word(f"dtype of output {self.name!r}", self.dtype, OutputDtype)
        check_word(f"verdict of output {self.name!r}", self.verdict, Breaks)
        _check_shape(self.shape)
        check_bounds(f"range of output {self.name!r}", self.range)
        check_bounds(f"sum of output {self.name!r}", self.sum)
        for name, most in (("confidence", 1.0), ("margin", 1.0), ("entropy", 1e9)):
            limit = getattr(self, name)
            if limit is not None and not 0 <= limit <= most:
                raise ValueError(f"{name} of output {self.name!r} is {limit}; it must be 0 to {most:g}")
        if self.dtype in ("object", "string"):
            for name in _OF_TENSORS:
                value = getattr(self, name)
                if value not in (None, ()) and value is not False:
                    raise ValueError(f"{name} of output {self.name!r} is a rule for numbers, but it is {self.dtype}")
        if self.dtype == "object" and self.shape:
            raise ValueError(f"shape of output {self.name!r} is {list(self.shape)}; an object has none: write []")


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules of one model; immutable.

    Attributes:
        inputs: In the model's order. No two features have one name, of different inputs neither.
        outputs: In the model's order.
        batched: Axis 0 of every tensor counts rows that are judged one by one; otherwise a call is one row.
        format_version: Of the written form.
        decision: When the model is asked.
        fallback: Who answers rejected rows; none: the outputs' defaults.
        states: Recurrent states that the session carries.
        drift: How features are watched that have a reference; None: they are not.
        events: Which decisions are kept one by one, and what of their inputs; None: those that a session asks for,
            and nothing of their inputs.
        observe: What is counted, and watched, of each row besides its input; of outcomes one, and last.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    format_version: Literal[1]
    batched: bool
    inputs: tuple[InputRule, ...]
    outputs: tuple[OutputRule, ...]
    decision: Decision | None = None
    fallback: tuple[FallbackRule, ...] = ()
    states: tuple[StateRule, ...] = ()
    drift: Drift | None = None
    events: Events | None = None
    observe: tuple[Observation, ...] = ()

    def __post_init__(self) -> None:
        if not self.inputs or not self.outputs:
            raise ValueError("a policy needs at least one [[inputs]] and one [[outputs]]")
        _check_unique("inputs", (rule.name for rule in self.inputs))
        _check_unique("outputs", (rule.name for rule in self.outputs))
        self._check_feature_names()
        self._check_sums()
        has_default = any(output.default for output in self.outputs)
        check_chains(self.fallback, self.decision or Decision(), has_default=has_default)
        self._check_states()
        self._check_distances()
        self._check_observed()
        self._check_watched()
        self._check_fields()
        if self.batched:
            states = {name for state in self.states for name in (state.input, state.output)}
            shapes = [(rule.name, rule.shape) for rule in self.inputs] + [
                (rule.name, rule.shape) for rule in self.outputs if rule.dtype != "object"
            ]
            for name, shape in shapes:
                if name in states:
                    continue  # which say themselves which of their axes counts rows
                if not shape or shape[0] != -1:
                    raise ValueError(f"batched is true, but axis 0 of {name!r} is not -1")
            if any(rule.feature_axis == 0 for rule in self.inputs):
                raise ValueError("batched is true, so axis 0 holds rows and cannot be a feature_axis")

    def _check_sums(self) -> None:
        for output in self.outputs:
            if output.sum is not None and is_single(output.shape, self.batched):
                raise ValueError(
                    f"sum of output {output.name!r} is along its last axis, which has one value; write range instead"
                )

    def _check_states(self) -> None:
        _check_unique("states", (state.input for state in self.states))
        inputs = {rule.name: rule.dtype for rule in self.inputs}
        outputs = {rule.name: rule.dtype for rule in self.outputs}
        for state in self.states:
            if state.input not in inputs or state.output not in outputs:
                raise ValueError(
                    f"states: from output {state.output!r} to input {state.input!r}; the inputs are {list(inputs)}, "
                    f"the outputs {list(outputs)}"
                )
            if inputs[state.input] != outputs[state.output]:
                raise ValueError(
                    f"states: output {state.output!r} is {outputs[state.output]} and input {state.input!r} is "
                    f"{inputs[state.input]}; the one becomes the other"
                )

    def _check_observed(self) -> None:
        _check_unique("observe", (rule.name for rule in self.observe))
        names = {
            "inputs": [rule.name for rule in self.inputs],
            "features": [feature.name for rule in self.inputs for feature in rule.features],
            "outputs": [rule.name for rule in self.outputs],
        }
        for rule in self.observe:
            what = "features" if rule.of_feature else "inputs" if rule.of_input else "outputs"
            if rule.of and rule.of not in names[what]:
                raise ValueError(f"observe: {rule.name!r}; the {what} are {names[what]}")
        if any(rule.is_outcome for rule in self.observe[:-1]):
            raise ValueError("observe: of wrong and error there is one, and it comes last")

    def _check_watched(self) -> None:
        known = {feature.name for rule in self.inputs for feature in rule.features}
        known.update(rule.name for rule in self.observe)
        breaker = self.decision.breaker if self.decision is not None else None
        if breaker is not None and "drift" in breaker.on and self.drift is None:
            raise ValueError("breaker.on has drift, and nothing is watched for it; add [drift]")
        for name in self.drift.strides if self.drift is not None else ():
            if name not in known:
                raise ValueError(f"drift.strides has feature {name!r}, which no input has")

    def _check_fields(self) -> None:
        carried = {state.input for state in self.states}
        kinds = {
            feature.name: rule.dtype
            for rule in self.inputs
            if rule.name not in carried and rule.has_one_value_a_feature(self.batched)
            for feature in rule.features
        }
        if self.events is not None:
            check_fields(self.events, kinds, [feature.name for rule in self.inputs for feature in rule.features])

    def _check_distances(self) -> None:
        for rule in self.inputs:
            if rule.distance is not None and not rule.has_one_value_a_feature(self.batched):
                raise ValueError(
                    f"input {rule.name!r} has a distance; its shape is {list(rule.shape)}, and must have one value a "
                    "feature and row"
                )

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
