"""What a policy decides, in words: the tables that ``edge-rai inspect`` prints and that a bundle's card holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final, NamedTuple

from edge_rai.policy.checks import Age, Clipped, Distance, Missing, is_single
from edge_rai.policy.decision import Decision
from edge_rai.policy.decision_facts import decision_tables
from edge_rai.policy.drift import Drift
from edge_rai.policy.events import Events
from edge_rai.policy.observe import Observation
from edge_rai.policy.rules import FeatureRule, InputRule, OutputRule, Policy
from edge_rai.policy.words import Row, Table, bounds, number, seconds
from edge_rai.types import TensorSpec

VERDICTS = (
    ("accept", "the model's answer stands"),
    ("flag", "the model's answer stands and is marked, with the reason"),
    ("reject", "the model's answer is not used, or the model not asked; who answers instead is said below"),
)
_LISTED = 64
_ANY = 2**31 - 1  # the greatest extent there is: as good as no limit
_FINITE = "neither NaN nor infinite"
_RULE = ("what", "allowed", "verdict")


class Measured(NamedTuple):
    """What was measured of an input's distance on rows that nothing was learned from.

    Attributes:
        above: Rows beyond the threshold.
        rows: Of so many.
    """

    above: int
    rows: int


def policy_tables(policy: Policy, measured: Mapping[str, Measured] | None = None) -> tuple[Table, ...]:
    """Everything that a policy decides; rules that are not set have no line.

    Args:
        policy: The rules.
        measured: By input, what is known of its distance.
    """
    carried = {name for state in policy.states for name in (state.input, state.output)}
    row_axis = 0 if policy.batched else None
    inputs = [rule for rule in policy.inputs if rule.name not in carried]
    outputs = [rule for rule in policy.outputs if rule.name not in carried]
    known = measured or {}
    found = [Table(f"Input {rule.name}", _RULE, tuple(_input(rule, row_axis, known.get(rule.name)))) for rule in inputs]
    found += [Table(f"Output {rule.name}", _RULE, tuple(_output(rule, row_axis, policy.batched))) for rule in outputs]
    has_default = any(output.default for output in policy.outputs)
    decision = policy.decision or Decision()
    found += decision_tables(policy.fallback, decision, policy.states, has_default=has_default)
    if policy.observe:
        found.append(Table("Observed", ("what", "of", "no drift"), tuple(map(_observed, policy.observe))))
    if policy.drift is not None:
        found.append(Table("Drift", ("rule", "what it does", "verdict"), tuple(_drift(policy.drift))))
    if policy.events is not None:
        found.append(Table("Events", ("rule", "what leaves the device", "verdict"), tuple(_events(policy.events))))
    return tuple(found)


def default_tables(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, batched: bool) -> tuple[Table, ...]:
    """The same of a bare model, whose policy nobody wrote."""
    row_axis = 0 if batched else None
    found = []
    for kind, specs in (("Input", inputs), ("Output", outputs)):
        for spec in specs:
            rows = [("type and shape", _spec(spec, row_axis), "reject")]
            if "float" in spec.dtype or spec.dtype == "object":
                rows.append(("every value", _FINITE, "reject"))
            if kind == "Input":
                rows.append((spec.name, "no limits", ""))
            found.append(Table(f"{kind} {spec.name}", _RULE, tuple(rows)))
    return (*found, *decision_tables((), Decision(), (), has_default=False))


def policy_data(policy: Policy) -> dict[str, Any]:
    """The same for programs: the policy's fields, without those that are not set; NaN and infinities as strings."""
    return {key: _data(value) for key, value in _set_fields(policy)}


def default_data(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, batched: bool) -> dict[str, Any]:
    """As ``policy_data``, of a bare model."""
    tensors = {
        kind: [{**spec._asdict(), "finite": "float" in spec.dtype or spec.dtype == "object"} for spec in specs]
        for kind, specs in (("inputs", inputs), ("outputs", outputs))
    }
    return {"batched": batched, **tensors, "fallback": []}


def _set_fields(rule: Any) -> Iterator[tuple[str, Any]]:
    for field in fields(rule):
        value = getattr(rule, field.name)
        if value is not None and value not in ((), "", {}):
            yield field.name, value


def _data(value: Any) -> Any:
    if is_dataclass(value):
        return {key: _data(inner) for key, inner in _set_fields(value)}
    if isinstance(value, dict):
        return {key: _data(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_data(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# ---- Inputs ----


def _input(rule: InputRule, row_axis: int | None, measured: Measured | None) -> Iterator[Row]:
    least = "0" if rule.empty else "1"
    extents = [
        str(most) if extent >= 0 else f"{least} or more" if most >= _ANY else f"{least} to {most}"
        for extent, most in zip(rule.shape, rule.max_shape, strict=True)
    ]
    yield "type and shape", _shape(rule.dtype, extents, row_axis), "reject"
    if "float" in rule.dtype:
        if rule.finite:
            missing = any(feature.missing and feature.missing.value is None for feature in rule.features)
            yield "every value", _FINITE + "; NaN only where it means missing" * missing, "reject"
        else:
            yield "every value", "may be NaN, and infinite where its limits allow it", "accept"
    if rule.distance is not None:
        yield "every row", _distance(rule.distance, measured), rule.distance.verdict
    free = []
    for feature in rule.features:
        rows = list(_feature(feature, rule.out_of_range))
        yield from rows
        if not rows:
            free.append(feature.name)
    if free:
        more = f" and {len(free) - _LISTED} more" if len(free) > _LISTED else ""
        yield ", ".join(free[:_LISTED]) + more, "no limits", ""
    if rule.sketch_stride > 1:
        yield "drift", f"of every feature in a row, one of every {rule.sketch_stride} values is counted", ""


def _shape(dtype: str, extents: Sequence[str], row_axis: int | None) -> str:
    named = [f"{extent} rows" if axis == row_axis else extent for axis, extent in enumerate(extents)]
    return f"{dtype} ({', '.join(named)})"


def _spec(spec: TensorSpec, row_axis: int | None) -> str:
    if spec.dtype == "object":
        return "a sequence or a map"
    free = ["any number of" if axis == row_axis else "any" for axis in range(len(spec.shape))]
    extents = [word if extent is None else str(extent) for word, extent in zip(free, spec.shape, strict=True)]
    return _shape(spec.dtype, extents, row_axis)


def _distance(rule: Distance, measured: Measured | None) -> str:
    said = f"squared Mahalanobis distance ({rule.kind}) to the reference at most {number(rule.threshold)}"
    said += f"; stated: {number(100 * rule.false_rejection_rate)} % of good rows are beyond"
    if measured is not None and measured.rows:
        share = 100 * measured.above / measured.rows
        said += f"; measured: {measured.above} of {measured.rows} held-back rows ({share:.1f} %)"
    return said


def _feature(rule: FeatureRule, out_of_range: str) -> Iterator[Row]:
    """One line a verdict: what is allowed, and what a row gets that is not."""
    low, high = (-math.inf if rule.low is None else rule.low, math.inf if rule.high is None else rule.high)
    said: dict[str, list[str]] = {}
    if math.isfinite(low) or math.isfinite(high):
        said[out_of_range] = [bounds((low, high)) + f" {rule.unit}".rstrip()]
    checks = list(_checks(rule))
    if checks:
        said.setdefault(rule.verdict, []).extend(checks)
    lines = [(rule.name, "; ".join(words), verdict) for verdict, words in said.items()]
    if rule.missing is not None:
        lines.append((rule.name, _missing(rule.missing), rule.missing.verdict))
    if rule.stand_in:
        lines.append((rule.name, f"in place of a rejected row's text the model sees {rule.stand_in!r}", ""))
    yield from lines


def _missing(rule: Missing) -> str:
    value = "NaN" if rule.value is None else number(rule.value)
    becomes = "stays as it came" if rule.becomes is None else f"becomes {number(rule.becomes)}"
    return f"may be missing: {value} {becomes}"


def _observed(rule: Observation) -> Row:
    """What is watched against its reference says nothing of its own of what is no drift."""
    means = {
        "latency": f"up to {number(100 * rule.bound)} % of calls take more than {number(rule.limit)} ms",
        "wrong": f"up to {number(100 * rule.bound)} % of answers are wrong",
        "error": f"a mean of up to {number(rule.bound)} of errors, each a share of {number(rule.limit)} and at most 1",
    }
    return rule.name, rule.of, means.get(rule.kind, "")


def _drift(rule: Drift) -> Iterator[Row]:
    said = (
        "as long as rows are independent and like the reference, an alarm comes at most once in "
        f"{number(rule.average_run_length)} rows, on average; one that came stands"
    )
    yield "alarm", said, rule.verdict
    yield "no drift", f"a change of a mean by {number(rule.effect)} standard deviations, or as small a change", ""
    for name, stride in rule.strides.items():
        yield name, f"is looked at once in {stride} rows" if stride else "is not watched", ""


_LEAVES: Final = {
    "bucket": "its bin of the reference",
    "keyed_hash": "a hash by a key that the device changes every day",
    "plain": "its value",
}


def _events(rule: Events) -> Iterator[Row]:
    drawn = f", and one of {rule.sample_one_in} accepted rows" if rule.sample_one_in else ""
    yield "events", f"up to {rule.keep} flagged or rejected rows a flush{drawn}; of their inputs nothing else than:", ""
    for name, form in rule.fields.items():
        if form != "drop":
            yield name, _LEAVES[form], ""


def _checks(rule: FeatureRule) -> Iterator[str]:
    if rule.categories:
        shown = [repr(item) if isinstance(item, str) else number(item) for item in rule.categories[:_LISTED]]
        more = f" and {len(rule.categories) - _LISTED} more" if len(rule.categories) > _LISTED else ""
        yield f"one of {', '.join(shown)}{more}"
    if rule.integral:
        yield "whole numbers"
    if rule.stuck is not None:
        yield f"not the same for {rule.stuck} rows in a row"
    if rule.step is not None:
        yield f"at most {number(rule.step)} from the row before"
    if rule.mean is not None:
        yield f"mean of a row {bounds(rule.mean)}"
    if rule.stddev is not None:
        yield f"standard deviation of a row {bounds(rule.stddev)}"
    if rule.clipped is not None:
        yield _clipped(rule.clipped)
    if rule.length is not None:
        yield f"{bounds(rule.length)} characters long"
    if rule.characters is not None:
        yield f"only the characters {rule.characters!r}"
    if rule.monotonic:
        yield "never goes back"
    if rule.age is not None:
        yield _age(rule.age)


def _clipped(rule: Clipped) -> str:
    ends = [f"at most {number(rule.low)}"] * math.isfinite(rule.low)
    ends += [f"at least {number(rule.high)}"] * math.isfinite(rule.high)
    return f"at most {number(100 * rule.share)} % of a row's values are {' or '.join(ends)}"


def _age(rule: Age) -> str:
    return (
        f"at most {seconds(rule.max_s)} old and {seconds(rule.ahead_s)} ahead of the clock "
        f"(a unit is {seconds(rule.unit_s)}, from 1970)"
    )


# ---- Outputs ----


def _output(rule: OutputRule, row_axis: int | None, batched: bool) -> Iterator[Row]:
    shape = tuple(None if extent < 0 else extent for extent in rule.shape)
    yield "type and shape", _spec(TensorSpec(rule.name, rule.dtype, shape), row_axis), "reject"
    if rule.finite and (rule.dtype == "object" or "float" in rule.dtype):
        yield "every value", _FINITE, "reject"
    if rule.range is not None:
        yield "range", f"every value {bounds(rule.range)}", rule.verdict
    if rule.sum is not None:
        yield "sum", f"along the last axis {bounds(rule.sum)}", rule.verdict
    yield from _shares(rule, is_single(rule.shape, batched))
    if rule.default:
        shown = ", ".join(map(number, rule.default[:_LISTED])) + ", …" * (len(rule.default) > _LISTED)
        yield "default answer", shown if len(rule.default) > 1 else f"{shown} in every place", ""


def _shares(rule: OutputRule, single: bool) -> Iterator[Row]:
    """Shares are what confidence, margin and entropy are about."""
    if rule.confidence is None and rule.margin is None and rule.entropy is None:
        return
    if rule.logits:
        yield "shares", "p and 1 - p of the sigmoid p" if single else "softmax along the last axis", ""
    elif single:
        yield "shares", "the value p and 1 - p", ""
    if rule.confidence is not None:
        yield "confidence", f"the greatest share is at least {number(rule.confidence)}", rule.verdict
    if rule.margin is not None:
        yield "margin", f"the greatest share exceeds the second by at least {number(rule.margin)}", rule.verdict
    if rule.entropy is not None:
        yield "entropy", f"of the shares, at most {number(rule.entropy)} nats", rule.verdict
