"""Reads what devices say: an ExportMetricsServiceRequest from anybody becomes batches, or refusals that say why.

The inverse of telemetry/otlp.py. Nothing here trusts its input: every text, list and number is bounded before use, and
what does not fit is refused batch by batch, so that one bad batch in a relay's request costs that batch alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple
from uuid import UUID

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edge_rai.telemetry import otlp

_LONGEST_TEXT_BYTES: Final = 1024  # as a name in a guard program (docs/formats/guard.md)
_SHOWN_CHARACTERS: Final = 256
_MOST_ATTRIBUTES: Final = 64
_MOST_BINS: Final = 1024
_MOST_LATENCY_SLOTS: Final = 1024
_LARGEST_BIN: Final = 2**53  # so that adding up a thousand batches stays within 64 bits
_TALLIES: Final = {
    otlp.ROWS: ("verdict", otlp.VERDICT),
    otlp.ROWS_BY_SOURCE: ("source", otlp.SOURCE),
    otlp.REASONS: ("reason", otlp.REASON),
    otlp.DECISIONS: ("decision", otlp.DECISION),
}
_TOTALS: Final = {otlp.CALLS: "calls", otlp.ERRORS: "errors"}
_FEATURE_NUMBERS: Final = {
    otlp.FEATURE_NOT_FINITE: "not_finite",
    otlp.FEATURE_Z_SUM: "z_sum",
    otlp.FEATURE_Z_SUM_SQUARES: "z_sum_squares",
}
_FEATURE_HISTOGRAMS: Final = {otlp.FEATURE_VALUE: "counts", otlp.FEATURE_REFERENCE: "reference"}


class MalformedRequestError(ValueError):
    """The bytes are not an ExportMetricsServiceRequest."""


class Refusal(NamedTuple):
    """Data points that this collector will never take, and why."""

    points: int
    message: str


@dataclass(slots=True)
class FeatureBatch:
    """One feature of a batch; `bounds`, `reference` and `counts` are empty when it has no reference."""

    name: str
    bounds: tuple[float, ...] = ()
    reference: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    not_finite: int = 0
    z_sum: int = 0
    z_sum_squares: int = 0


@dataclass(slots=True)
class Batch:
    """One snapshot of one device as it arrived.

    Attributes:
        instance: The device's spool, 32 hex digits.
        epoch: With instance and sequence the identity of the batch.
        sequence: From 0 within an epoch.
        model_digest: SHA-256, hex.
        guard_digest: SHA-256, hex.
        start_unix_ns: The device's wall clock, which may be wrong.
        end_unix_ns: Likewise.
        duration_ns: Monotonic.
        calls: Calls of predict.
        errors: Calls that raised.
        tallies: (kind, name) → count; kind is "verdict", "source", "reason" or "decision".
        latency: Calls by duration, slots as in counts.Snapshot, cut after the last used one.
        latency_sum_ns: Sum of all durations.
        features: By name.
    """

    instance: str
    epoch: int
    sequence: int
    model_digest: str
    guard_digest: str
    duration_ns: int
    start_unix_ns: int = 0
    end_unix_ns: int = 0
    calls: int = 0
    errors: int = 0
    tallies: dict[tuple[str, str], int] = field(default_factory=dict)
    latency: tuple[int, ...] = ()
    latency_sum_ns: int = 0
    features: dict[str, FeatureBatch] = field(default_factory=dict)


class _RefusedError(Exception):
    """The batch is not one of ours, or not whole, or not possible."""


def decode(body: bytes) -> tuple[list[tuple[Batch, int]], list[Refusal]]:
    """Reads a request.

    Returns:
        Each batch with its number of data points, and what was refused.

    Raises:
        MalformedRequestError: The bytes are no such request.
    """
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedRequestError("the body is not an OTLP ExportMetricsServiceRequest") from error
    batches: list[tuple[Batch, int]] = []
    refusals: list[Refusal] = []
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            points = sum(otlp.count_points(metric) for metric in scope_metrics.metrics)
            try:
                batches.append((_batch(resource_metrics.resource, scope_metrics, points), points))
            except _RefusedError as refusal:
                refusals.append(Refusal(points, str(refusal)))
    return batches, refusals


def _batch(resource: Resource, scope_metrics: ScopeMetrics, points: int) -> Batch:
    about = _attributes(resource.attributes)
    scope = _attributes(scope_metrics.scope.attributes)
    if scope_metrics.scope.name != otlp.SCOPE or otlp.POINTS not in scope:
        raise _RefusedError("not a batch of edge_rai: this collector takes nothing else")
    batch = Batch(
        instance=_instance(about),
        epoch=_natural(scope, otlp.EPOCH),
        sequence=_natural(scope, otlp.SEQUENCE),
        model_digest=_digest(about, otlp.MODEL_DIGEST),
        guard_digest=_digest(about, otlp.GUARD_DIGEST),
        duration_ns=_natural(scope, otlp.DURATION),
    )
    promised = _natural(scope, otlp.POINTS)
    if points != promised:
        raise _RefusedError(
            f"epoch {batch.epoch}, sequence {batch.sequence} arrived with {points} of {promised} data points: "
            "a relay on the way split or dropped some; let it pass each batch on as a whole"
        )
    seen: set[str] = set()
    for metric in scope_metrics.metrics:
        if metric.name in seen:
            raise _RefusedError(f"metric {metric.name[:_SHOWN_CHARACTERS]!r} twice in one batch")
        seen.add(metric.name)
        _read_metric(batch, metric)
    for feature in batch.features.values():
        if len(feature.counts) != len(feature.reference):
            raise _RefusedError(f"feature {feature.name!r} has a histogram without a reference or the reverse")
    return batch


def _read_metric(batch: Batch, metric: Metric) -> None:
    """Adds what a metric says to the batch; one that only a newer device knows is counted in its points and left."""
    name = metric.name
    if name in _TOTALS:
        points = _numbers(metric)
        if len(points) != 1:
            raise _RefusedError(f"{name} must have one data point, has {len(points)}")
        setattr(batch, _TOTALS[name], _count(points[0]))
        # All metrics of a batch share its window, and this one is always there.
        batch.start_unix_ns = _bounded(points[0].start_time_unix_nano, otlp.LARGEST_INTEGER)
        batch.end_unix_ns = _bounded(points[0].time_unix_nano, otlp.LARGEST_INTEGER)
    elif name in _TALLIES:
        kind, key = _TALLIES[name]
        for point in _numbers(metric):
            label = (kind, _text(_attributes(point.attributes), key))
            if label in batch.tallies:
                raise _RefusedError(f"{name} of {label[1]!r} twice in one batch")
            batch.tallies[label] = _count(point)
    elif name == otlp.PREDICT_DURATION:
        _read_latency(batch, metric)
    elif name in _FEATURE_NUMBERS:
        for point in _numbers(metric):
            value = _integer(point) if name == otlp.FEATURE_Z_SUM else _count(point)
            _set_once(batch, point.attributes, _FEATURE_NUMBERS[name], value)
    elif name in _FEATURE_HISTOGRAMS:
        _read_histograms(batch, metric, _FEATURE_HISTOGRAMS[name])


def _read_latency(batch: Batch, metric: Metric) -> None:
    _require(metric, "exponential_histogram")
    points: Sequence[ExponentialHistogramDataPoint] = metric.exponential_histogram.data_points
    if len(points) != 1:
        raise _RefusedError(f"{metric.name} must have one data point, has {len(points)}")
    (point,) = points
    offset, used = point.positive.offset, point.positive.bucket_counts
    if point.scale != otlp.LATENCY_SCALE or not 0 <= offset <= _MOST_LATENCY_SLOTS - 1 - len(used):
        raise _RefusedError(f"{metric.name} has scale {point.scale} and offset {offset}, which no device sends")
    slots = [_bounded(point.zero_count, _LARGEST_BIN), *[0] * offset]
    slots += [_bounded(count, _LARGEST_BIN) for count in used]
    while slots and not slots[-1]:
        slots.pop()
    if not 0 <= point.sum < 2.0**63:  # NaN included
        raise _RefusedError(f"{metric.name} has a sum of {point.sum}")
    batch.latency = tuple(slots)
    batch.latency_sum_ns = int(point.sum)


def _read_histograms(batch: Batch, metric: Metric, attribute: str) -> None:
    _require(metric, "histogram")
    points: Sequence[HistogramDataPoint] = metric.histogram.data_points
    for point in points:
        bounds = tuple(point.explicit_bounds)
        if len(bounds) >= _MOST_BINS or len(point.bucket_counts) != len(bounds) + 1:
            raise _RefusedError(f"{metric.name} has {len(bounds)} bounds and {len(point.bucket_counts)} counts")
        if not all(map(math.isfinite, bounds)) or any(a >= b for a, b in pairwise(bounds)):
            raise _RefusedError(f"{metric.name} has bounds that are not finite and rising")
        counts = tuple(_bounded(count, _LARGEST_BIN) for count in point.bucket_counts)
        feature = _set_once(batch, point.attributes, attribute, counts)
        other = feature.reference if attribute == "counts" else feature.counts
        if other and feature.bounds != bounds:
            raise _RefusedError(f"feature {feature.name!r} has other bounds than its reference")
        feature.bounds = bounds


def _set_once(batch: Batch, attributes: Iterable[KeyValue], attribute: str, value: object) -> FeatureBatch:
    name = _text(_attributes(attributes), otlp.FEATURE)
    feature = batch.features.setdefault(name, FeatureBatch(name))
    if getattr(feature, attribute):
        raise _RefusedError(f"{attribute} of feature {name!r} twice in one batch")
    setattr(feature, attribute, value)
    return feature


def _numbers(metric: Metric) -> Sequence[NumberDataPoint]:
    _require(metric, "sum")
    points: Sequence[NumberDataPoint] = metric.sum.data_points
    return points


def _require(metric: Metric, kind: str) -> None:
    if metric.WhichOneof("data") != kind:
        raise _RefusedError(f"{metric.name} is not a {kind}")
    if getattr(metric, kind).aggregation_temporality != AGGREGATION_TEMPORALITY_DELTA:
        raise _RefusedError(f"{metric.name} is not a delta: a relay on the way converts; switch that off")


def _integer(point: NumberDataPoint) -> int:
    if point.WhichOneof("value") != "as_int":
        raise _RefusedError("a count is not an integer")
    return int(point.as_int)


def _count(point: NumberDataPoint) -> int:
    value = _integer(point)
    if value < 0:
        raise _RefusedError("a count is negative")
    return value


def _bounded(value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise _RefusedError(f"{value} is not within 0 to {most}")
    return value


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, AnyValue]:
    listed = list(pairs)
    if len(listed) > _MOST_ATTRIBUTES:
        raise _RefusedError(f"{len(listed)} attributes; the most is {_MOST_ATTRIBUTES}")
    return {pair.key: pair.value for pair in listed}


def _text(attributes: dict[str, AnyValue], key: str) -> str:
    value = attributes.get(key)
    if value is None or value.WhichOneof("value") != "string_value":
        raise _RefusedError(f"attribute {key} is missing or not a string")
    size = len(value.string_value.encode())
    if not 0 < size <= _LONGEST_TEXT_BYTES:
        raise _RefusedError(f"attribute {key} has {size} bytes; allowed are 1 to {_LONGEST_TEXT_BYTES}")
    if not value.string_value.isprintable():  # it will be printed on a terminal
        raise _RefusedError(f"attribute {key} has characters that cannot be printed")
    return str(value.string_value)


def _natural(attributes: dict[str, AnyValue], key: str) -> int:
    value = attributes.get(key)
    if value is None or value.WhichOneof("value") != "int_value" or value.int_value < 0:
        raise _RefusedError(f"attribute {key} is missing or not a natural number")
    return int(value.int_value)


def _instance(attributes: dict[str, AnyValue]) -> str:
    text = _text(attributes, otlp.SERVICE_INSTANCE)
    try:
        return UUID(text).hex
    except ValueError:
        raise _RefusedError(f"attribute {otlp.SERVICE_INSTANCE} is not a UUID") from None


def _digest(attributes: dict[str, AnyValue], key: str) -> str:
    text = _text(attributes, key)
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise _RefusedError(f"attribute {key} is not a SHA-256 in hex")
    return text
