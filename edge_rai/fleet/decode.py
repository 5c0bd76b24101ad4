"""Reads what devices count: an ExportMetricsServiceRequest from anybody becomes batches, or refusals that say why.

The inverse of telemetry/otlp.py. Nothing here trusts its input: every text, list and number is bounded before use, and
what does not fit is refused batch by batch, so that one bad batch in a relay's request costs that batch alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, Metric

from edge_rai.events import Expired, Windows
from edge_rai.fleet import attributes
from edge_rai.fleet.attributes import RefusedError, bounded
from edge_rai.fleet.layout import TakenApart, take_apart
from edge_rai.fleet.outline import Reference, no_reference
from edge_rai.fleet.request import RequestOfBytes, ScopeOfBytes
from edge_rai.telemetry import otlp

SITE: Final = "edge.site"
FIRMWARE: Final = "edge.firmware"
MODEL_VERSION: Final = "artifact.version"

_MOST_LATENCY_SLOTS: Final = 1024
_MOST_WINDOWS: Final = 4096
_MOST_METRICS: Final = 256
_MOST_COUNTED_METRICS: Final = 1 << 14  # of a refused batch: empty ones by the million would take seconds
_MOST_LABELS: Final = 256  # of one metric; the library has a few dozen
_RANGE: Final = re.compile(r"([0-9a-f]{1,16}):([0-9a-f]{1,16})\+([0-9a-f]{1,16})")
_TALLIES: Final = {
    otlp.VERDICT: "verdict",
    otlp.SOURCE: "source",
    otlp.REASON: "reason",
    otlp.DECISION: "decision",
    **{f"{otlp.EXPIRED}.{what}": f"expired_{what}" for what in Expired._fields},
}
_TOTALS: Final = {otlp.CALLS: "calls", otlp.ERRORS: "errors"}
_FEATURE_NUMBERS: Final = (otlp.FEATURE_NOT_FINITE, otlp.FEATURE_Z_SUM, otlp.FEATURE_Z_SUM_SQUARES)


class Refusal(NamedTuple):
    """Data points or records that this collector will never take, and why."""

    points: int
    message: str


class FeatureBatch(NamedTuple):
    """One feature of a batch.

    Attributes:
        name: Of it.
        reference: What `counts` are measured against; without one it has no counts, and neither has this.
        counts: Finite values by bin.
        not_finite: NaN and infinities.
        z_sum: Of standardized values, in units of 1/256.
        z_sum_squares: Likewise, in units of 1/65536.
    """

    name: str
    reference: Reference
    counts: tuple[int, ...]
    not_finite: int
    z_sum: int
    z_sum_squares: int


@dataclass(slots=True)
class Batch:
    """One snapshot of one device as it arrived.

    Attributes:
        instance: The device's spool, 32 hex digits.
        epoch: With instance and sequence the identity of the batch.
        sequence: From 0 within an epoch.
        model_digest: First 12 hex digits of its SHA-256.
        guard_digest: Likewise of the guard program; "" where no feature has a reference.
        duration_ns: Monotonic; of several windows together.
        windows: That it accounts for, its own among them; in order, none of them twice.
        site: Said of the device by whoever installed it, not part of what was counted; "" when nothing was.
        firmware: Likewise.
        model_version: Likewise.
        start_unix_ns: The device's wall clock, which may be wrong.
        end_unix_ns: Likewise.
        calls: Calls of predict.
        errors: Calls that raised.
        tallies: (kind, name) → count; kind is "verdict", "source", "reason", "decision" or "expired_rows" and so on.
        latency: Calls by duration, slots as in types.Snapshot, cut after the last used one.
        latency_sum_ns: Sum of all durations.
        drift_evidence: Of the device's detectors, whose mean is at most drift_rows while nothing drifts.
        drift_rows: That they looked at since they began; None: nothing is watched.
        drift_alarm: Whether an alarm stands: evidence and rows stand still then.
        drift_features: Evidence of the features that it names.
        features: In the order of their names.
    """

    instance: str
    epoch: int
    sequence: int
    model_digest: str
    guard_digest: str
    windows: tuple[Windows, ...]
    site: str = ""
    firmware: str = ""
    model_version: str = ""
    start_unix_ns: int = 0
    end_unix_ns: int = 0
    duration_ns: int = 0
    calls: int = 0
    errors: int = 0
    tallies: dict[tuple[str, str], int] = field(default_factory=dict)
    latency: tuple[int, ...] = ()
    latency_sum_ns: int = 0
    drift_evidence: float | None = None
    drift_rows: int | None = None
    drift_alarm: bool = False
    drift_features: dict[str, float] = field(default_factory=dict)
    features: list[FeatureBatch] = field(default_factory=list)


def decode(request: RequestOfBytes) -> tuple[list[tuple[Batch, int]], list[Refusal]]:
    """Reads a request.

    Returns:
        Each batch with its number of data points, and what was refused.

    Raises:
        DecodeError: One of its metrics is none.
    """
    batches: list[tuple[Batch, int]] = []
    refusals: list[Refusal] = []
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            found = _batch_or_refusal(resource_metrics.resource.attributes, scope_metrics)
            if isinstance(found, Refusal):
                refusals.append(found)
            else:
                batches.append(found)
    return batches, refusals


def _batch_or_refusal(resource: Sequence[KeyValue], scope_metrics: ScopeOfBytes) -> tuple[Batch, int] | Refusal:
    try:
        return _batch(resource, scope_metrics)
    except RefusedError as refusal:
        refused = map(Metric.FromString, scope_metrics.metrics[:_MOST_COUNTED_METRICS])
        return Refusal(sum(map(otlp.count_points, refused)), str(refusal))


def _batch(resource: Sequence[KeyValue], scope_metrics: ScopeOfBytes) -> tuple[Batch, int]:
    about = attributes.attributes(resource)
    scope = attributes.attributes(scope_metrics.scope.attributes)
    if scope_metrics.scope.name != otlp.SCOPE or otlp.BATCH not in scope:
        raise RefusedError("not a batch of edge_rai: this collector takes nothing else")
    epoch, sequence, promised = attributes.batch_name(scope)
    batch = Batch(
        instance=attributes.instance(about, otlp.SERVICE_INSTANCE),
        epoch=epoch,
        sequence=sequence,
        model_digest=attributes.digest(about, otlp.MODEL_DIGEST),
        guard_digest=attributes.digest(about, otlp.GUARD_DIGEST) if otlp.GUARD_DIGEST in about else "",
        windows=_windows(scope, epoch, sequence),
        site=attributes.optional_text(about, SITE),
        firmware=attributes.optional_text(about, FIRMWARE),
        model_version=attributes.optional_text(about, MODEL_VERSION),
    )
    if len(scope_metrics.metrics) > _MOST_METRICS:
        raise RefusedError(f"{len(scope_metrics.metrics)} metrics in one batch; the most is {_MOST_METRICS}")
    metrics = [take_apart(raw, batch.guard_digest) for raw in scope_metrics.metrics]
    points = sum(outline.points for outline, _ in metrics)
    if points != promised:
        raise RefusedError(
            f"epoch {epoch}, sequence {sequence} arrived with {points} of {promised} data points: "
            "a relay on the way split or dropped some; let it pass each batch on as a whole"
        )
    _read_metrics(batch, metrics)
    length = max(batch.end_unix_ns - batch.start_unix_ns, 0)
    batch.duration_ns = attributes.natural(scope, otlp.DURATION) if otlp.DURATION in scope else length
    return batch, points


def _windows(scope: dict[str, AnyValue], epoch: int, sequence: int) -> tuple[Windows, ...]:
    if otlp.WINDOWS not in scope:
        return (Windows(epoch, sequence, 1),)
    words = scope[otlp.WINDOWS].string_value.split(" ", _MOST_WINDOWS)
    matches = [_RANGE.fullmatch(word) for word in words[:_MOST_WINDOWS]]
    ranges = tuple(Windows(*(int(digits, 16) for digits in match.groups())) for match in matches if match)
    ends = [(-1, 0)] + [(one.epoch, one.first + one.length) for one in ranges]
    if (
        len(ranges) != len(words)
        or not all(one.length and max(one.epoch, one.first + one.length) <= otlp.LARGEST_INTEGER for one in ranges)
        or not all(end <= (one.epoch, one.first) for end, one in zip(ends, ranges, strict=False))
        or not any(one.epoch == epoch and 0 <= sequence - one.first < one.length for one in ranges)
    ):
        raise RefusedError(f"attribute {otlp.WINDOWS} is not a list of ranges in order with its own window among them")
    bounded(sum(one.length for one in ranges), attributes.LARGEST_COUNT)
    return ranges


def _read_metrics(batch: Batch, metrics: Sequence[TakenApart]) -> None:
    """Adds what metrics say to the batch; what only a newer device knows is counted in its points and left."""
    by_name = {metric.outline.name: metric for metric in metrics}
    if len(by_name) < len(metrics):
        raise RefusedError("a metric twice in one batch")
    for name, metric in by_name.items():
        if name in _TOTALS:
            _read_total(batch, metric)
        elif name in _TALLIES:
            _read_tallies(batch, metric)
        elif name == otlp.PREDICT_DURATION:
            _read_latency(batch, metric)
        elif name in (otlp.DRIFT_EVIDENCE, otlp.DRIFT_ROWS, otlp.DRIFT_ALARM):
            _read_drift(batch, metric.outline.metric)
    batch.features = _features(batch.guard_digest, by_name)


def _read_total(batch: Batch, metric: TakenApart) -> None:
    """A count and, as all metrics of a batch share its window and this one is always there, the time of that."""
    name = metric.outline.name
    if len(metric.outline.labels) != 1:
        raise RefusedError(f"{name} must have one data point, has {metric.outline.points}")
    start, end, count = metric.numbers
    batch.start_unix_ns = bounded(start, otlp.LARGEST_INTEGER)
    batch.end_unix_ns = bounded(end, otlp.LARGEST_INTEGER)
    setattr(batch, _TOTALS[name], *attributes.counts_of(name, [count]))


def _read_tallies(batch: Batch, metric: TakenApart) -> None:
    """The sum over the labels is bounded as each count is: it is stored and added up, too."""
    name = metric.outline.name
    counted = metric.numbers_by_label()
    if len(counted) > _MOST_LABELS:
        raise RefusedError(f"{name} has {len(counted)} data points; the most is {_MOST_LABELS}")
    bounded(sum(attributes.counts_of(name, counted.values())), attributes.LARGEST_COUNT)
    for label, count in counted.items():
        batch.tallies[_TALLIES[name], label] = count


def _read_drift(batch: Batch, metric: Metric) -> None:
    if metric.WhichOneof("data") != "gauge":
        raise RefusedError(f"{metric.name} is not a gauge")
    for point in metric.gauge.data_points:
        if metric.name == otlp.DRIFT_EVIDENCE:
            evidence = point.as_double
            if not 0 <= evidence < math.inf:
                raise RefusedError(f"{metric.name} is {evidence}")
            if point.attributes:
                batch.drift_features[attributes.text(attributes.attributes(point.attributes), otlp.FEATURE)] = evidence
            else:
                batch.drift_evidence = evidence
            continue
        (count,) = attributes.counts_of(metric.name, [point.as_int])
        if metric.name == otlp.DRIFT_ROWS:
            batch.drift_rows = count
        else:
            batch.drift_alarm = count > 0


def _read_latency(batch: Batch, taken: TakenApart) -> None:
    taken.outline.require_delta("exponential_histogram")
    metric = taken.outline.metric
    points: Sequence[ExponentialHistogramDataPoint] = metric.exponential_histogram.data_points
    if len(points) != 1:
        raise RefusedError(f"{metric.name} must have one data point, has {len(points)}")
    (point,) = points
    offset, used = point.positive.offset, point.positive.bucket_counts[:]
    if point.scale != otlp.LATENCY_SCALE or not 0 <= offset <= _MOST_LATENCY_SLOTS - 1 - len(used):
        raise RefusedError(f"{metric.name} has scale {point.scale} and offset {offset}, which no device sends")
    slots = list(attributes.counts_of(metric.name, (point.zero_count, *[0] * offset, *used)))
    while slots and not slots[-1]:
        slots.pop()
    if not 0 <= point.sum < 2.0**63:  # NaN included
        raise RefusedError(f"{metric.name} has a sum of {point.sum}")
    batch.latency = tuple(slots)
    batch.latency_sum_ns = int(point.sum)


def _features(guard_digest: str, metrics: Mapping[str, TakenApart]) -> list[FeatureBatch]:
    """What a batch says of its features, by name: each metric has one number, or histogram, of them all."""
    value, reference = metrics.get(otlp.FEATURE_VALUE), metrics.get(otlp.FEATURE_REFERENCE)
    if (value is None) != (reference is None):
        raise RefusedError("features have histograms without references or the reverse")
    counted = value.outline.counted(reference.outline) if value and reference else ()
    counts = attributes.counts_of(otlp.FEATURE_VALUE, value.numbers) if value else ()
    columns = [metrics[name].numbers_by_label() if name in metrics else {} for name in _FEATURE_NUMBERS]
    not_finite, z_sum, z_sum_squares = (column.get for column in columns)
    attributes.counts_of(otlp.FEATURE_NOT_FINITE, columns[0].values())
    found = [
        FeatureBatch(name, of, counts[first:end], not_finite(name, 0), z_sum(name, 0), z_sum_squares(name, 0))
        for name, of, first, end in counted
    ]
    others = set().union(*columns).difference(one.name for one in found)
    for name in others:
        of = no_reference(guard_digest, name)
        found.append(FeatureBatch(name, of, (), not_finite(name, 0), z_sum(name, 0), z_sum_squares(name, 0)))
    return sorted(found) if others else found  # no two have one name
