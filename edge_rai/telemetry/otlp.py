"""Encodes one snapshot as one OTLP metrics request, and reads the answer to it (docs/formats/otlp.md).

The names of metrics and attributes live here and nowhere else. Encoding is a pure function: the same snapshot, features
and version give the same bytes, so a batch file that is sent twice is the same request twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edge_rai.counts import DecisionCount, Snapshot
from edge_rai.errors import SpoolError
from edge_rai.events import Expired, Expiry
from edge_rai.types import Feature, ReasonCode, Source, Verdict

if TYPE_CHECKING:
    import numpy.typing as npt

METRICS_PATH: Final = "/v1/metrics"
CONTENT_TYPE: Final = "application/x-protobuf"

SCOPE: Final = "edge_rai"
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE: Final = "service.instance.id"
MODEL_DIGEST: Final = "artifact.hash"
GUARD_DIGEST: Final = "edge.guard.digest"
EPOCH: Final = "edge.epoch"
SEQUENCE: Final = "edge.sequence"
POINTS: Final = "edge.points"
DURATION: Final = "edge.duration_ns"
WINDOWS: Final = "edge.windows"

CALLS: Final = "edge.calls"
ERRORS: Final = "edge.errors"
ROWS: Final = "edge.rows"
ROWS_BY_SOURCE: Final = "edge.rows.by_source"
REASONS: Final = "edge.reasons"
DECISIONS: Final = "edge.decisions"
PREDICT_DURATION: Final = "edge.predict.duration"
FEATURE_VALUE: Final = "edge.feature.value"
FEATURE_REFERENCE: Final = "edge.feature.reference"
FEATURE_NOT_FINITE: Final = "edge.feature.not_finite"
FEATURE_Z_SUM: Final = "edge.feature.z_sum"
FEATURE_Z_SUM_SQUARES: Final = "edge.feature.z_sum_squares"

VERDICT: Final = "edge.verdict"
SOURCE: Final = "edge.source"
REASON: Final = "edge.reason"
DECISION: Final = "edge.decision"
EXPIRED: Final = "edge.expired"
EXPIRY: Final = "edge.expiry"
FEATURE: Final = "edge.feature"

LATENCY_SCALE: Final = 3  # base 2^(2^-3) = 2^(1/8): the width of a latency slot
LARGEST_INTEGER: Final = 2**63 - 1  # OTLP attributes and sums are int64

_DELTA: Final = AGGREGATION_TEMPORALITY_DELTA


class Answer(NamedTuple):
    """What a receiver said of a request it answered with 200.

    Attributes:
        rejected: Data points it will not take; 0 when it took all.
        message: Why, or a warning, for people.
    """

    rejected: int
    message: str


class _Window(NamedTuple):
    """Start and end of the snapshot's time, nanoseconds since 1970 as OTLP wants them: not negative, in order."""

    start: int
    end: int


def encode(
    snapshot: Snapshot, features: Sequence[Feature], version: str, attributes: Iterable[tuple[str, str]] = ()
) -> bytes:
    """Encodes a snapshot as an ExportMetricsServiceRequest.

    Args:
        snapshot: What was counted.
        features: The features of the guard program whose digest the snapshot carries, in its order.
        version: Version of edge_rai that encodes, for the instrumentation scope.
        attributes: Of the resource, beside ours.

    Raises:
        SpoolError: The snapshot does not fit its guard program, or a count does not fit OTLP's int64.
    """
    if len(features) != len(snapshot.features):
        raise SpoolError(
            f"the snapshot counts {len(snapshot.features)} features, its guard program has {len(features)}; "
            "the batch file or the guard program beside it is not the one that was written"
        )
    end = max(snapshot.end_unix_ns, 0)
    window = _Window(min(max(snapshot.start_unix_ns, 0), end), end)  # a clock that was set back is not an error
    metrics = _call_metrics(snapshot, window) + _expired_metrics(snapshot, window)
    metrics += _feature_metrics(snapshot, features, window)
    scope = InstrumentationScope(
        name=SCOPE,
        version=version,
        attributes=[
            _integer(EPOCH, snapshot.epoch),
            _integer(SEQUENCE, snapshot.sequence),
            _integer(POINTS, sum(count_points(metric) for metric in metrics)),
            _integer(DURATION, snapshot.duration_ns),
            *_several_windows(snapshot),
        ],
    )
    about = resource(snapshot, attributes)
    request = ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(resource=about, scope_metrics=[ScopeMetrics(scope=scope, metrics=metrics)])]
    )
    return request.SerializeToString(deterministic=True)


def resource(snapshot: Snapshot, attributes: Iterable[tuple[str, str]]) -> Resource:
    """What a snapshot is of: device, model and guard program, and what else the operator says of them."""
    ours = {
        SERVICE_NAME: SCOPE,
        SERVICE_INSTANCE: str(UUID(hex=snapshot.instance)),
        MODEL_DIGEST: snapshot.model_digest,
        GUARD_DIGEST: snapshot.guard_digest,
    }
    return Resource(attributes=[_text(key, value) for key, value in (*ours.items(), *attributes)])


def compress(message: bytes) -> bytes:
    """Gzips without a time stamp: the same message gives the same bytes on every Python version."""
    packer = zlib.compressobj(level=6, wbits=31)
    return packer.compress(message) + packer.flush()


def count_points(metric: Metric) -> int:
    """Number of data points of a metric of any type, 0 for a type this build does not know."""
    kind = metric.WhichOneof("data")
    return 0 if kind is None else len(getattr(metric, kind).data_points)


def read_answer(body: bytes) -> Answer:
    """Reads the body of a 200.

    Raises:
        ValueError: It is not an ExportMetricsServiceResponse, hence no receipt.
    """
    try:
        partial = ExportMetricsServiceResponse.FromString(body).partial_success
    except DecodeError as error:
        raise ValueError("the body is not an OTLP ExportMetricsServiceResponse") from error
    return Answer(max(partial.rejected_data_points, 0), partial.error_message)


def write_answer(answer: Answer) -> bytes:
    """The body of a 200."""
    if not answer.rejected and not answer.message:
        return ExportMetricsServiceResponse().SerializeToString()
    partial = ExportMetricsPartialSuccess(rejected_data_points=answer.rejected, error_message=answer.message)
    return ExportMetricsServiceResponse(partial_success=partial).SerializeToString()


# OTLP asks for a google.rpc.Status as the body of every error. Its first two fields, an integer and a string, have the
# numbers and wire types of ExportMetricsPartialSuccess; one message type more would be one dependency more.


def write_status(message: str) -> bytes:
    """The body of a 4xx or 5xx: a google.rpc.Status with this message."""
    return ExportMetricsPartialSuccess(error_message=message).SerializeToString()


def read_status(body: bytes) -> str:
    """The message of a google.rpc.Status, empty when the body is something else."""
    try:
        return ExportMetricsPartialSuccess.FromString(body).error_message
    except DecodeError:
        return ""


def _call_metrics(snapshot: Snapshot, window: _Window) -> list[Metric]:
    verdicts = list(enumerate(snapshot.rows_by_verdict.tolist()))
    # All verdicts are sent, so that "none rejected" can be told from "not reported"; elsewhere zero is absence.
    sources = [(code, count) for code, count in enumerate(snapshot.rows_by_source.tolist()) if count]
    reasons = [(code, count) for code, count in enumerate(snapshot.reasons.tolist()) if count]
    decisions = [(code, count) for code, count in enumerate(snapshot.decisions.tolist()) if count]
    metrics = [
        _sum(CALLS, "{call}", [_number(snapshot.calls, window)]),
        _sum(ERRORS, "{call}", [_number(snapshot.errors, window)]),
        _sum(ROWS, "{row}", [_number(n, window, _text(VERDICT, _name(Verdict, code))) for code, n in verdicts]),
        _sum(ROWS_BY_SOURCE, "{row}", [_number(n, window, _text(SOURCE, _name(Source, code))) for code, n in sources]),
        _sum(REASONS, "{reason}", [_number(n, window, _text(REASON, _name(ReasonCode, code))) for code, n in reasons]),
        _sum(
            DECISIONS,
            "{decision}",
            [_number(n, window, _text(DECISION, _name(DecisionCount, code))) for code, n in decisions],
        ),
        Metric(
            name=PREDICT_DURATION,
            unit="ns",
            exponential_histogram=ExponentialHistogram(
                aggregation_temporality=_DELTA, data_points=[_latency(snapshot, window)]
            ),
        ),
    ]
    return [metric for metric in metrics if count_points(metric)]


def _expired_metrics(snapshot: Snapshot, window: _Window) -> list[Metric]:
    metrics = []
    units = ("{window}", "{window}", "{call}", "{row}", "{event}")
    for what, unit in zip(Expired._fields, units, strict=True):
        gone = [(code, getattr(one, what)) for code, one in enumerate(snapshot.expired)]
        points = [_number(n, window, _text(EXPIRY, _name(Expiry, code))) for code, n in gone if n]
        metrics.append(_sum(f"{EXPIRED}.{what}", unit, points))
    return [metric for metric in metrics if count_points(metric)]


def _several_windows(snapshot: Snapshot) -> list[KeyValue]:
    """Which windows a batch accounts for, where they are not just its own."""
    if sum(one.length for one in snapshot.windows) <= 1:
        return []
    return [_text(WINDOWS, " ".join(f"{one.epoch:x}:{one.first:x}+{one.length:x}" for one in snapshot.windows))]


def _feature_metrics(snapshot: Snapshot, features: Sequence[Feature], window: _Window) -> list[Metric]:
    values: list[HistogramDataPoint] = []
    references: list[HistogramDataPoint] = []
    not_finite: list[NumberDataPoint] = []
    sums: list[NumberDataPoint] = []
    squares: list[NumberDataPoint] = []
    for feature, counts in zip(features, snapshot.features, strict=True):
        name = _text(FEATURE, feature.name)
        not_finite.append(_number(counts.not_finite, window, name))
        if not len(feature.counts):
            continue
        if len(feature.counts) != len(counts.histogram):
            raise SpoolError(
                f"feature {feature.name!r} has {len(counts.histogram)} bins in the snapshot and {len(feature.counts)} "
                "in its guard program"
            )
        values.append(_histogram(feature, counts.histogram, window, name))
        references.append(_histogram(feature, feature.counts, window, name))
        sums.append(_number(counts.sum, window, name))
        squares.append(_number(counts.sum_squares, window, name))
    metrics = [
        Metric(name=FEATURE_VALUE, histogram=Histogram(aggregation_temporality=_DELTA, data_points=values)),
        Metric(name=FEATURE_REFERENCE, histogram=Histogram(aggregation_temporality=_DELTA, data_points=references)),
        _sum(FEATURE_NOT_FINITE, "{value}", not_finite),
        _sum(FEATURE_Z_SUM, "{z/256}", sums, monotonic=False),
        _sum(FEATURE_Z_SUM_SQUARES, "{z^2/65536}", squares),
    ]
    return [metric for metric in metrics if count_points(metric)]


def _latency(snapshot: Snapshot, window: _Window) -> ExponentialHistogramDataPoint:
    slots = snapshot.latency.tolist()
    used = [index for index, count in enumerate(slots) if count and index]
    first, last = (used[0], used[-1]) if used else (1, 0)
    return ExponentialHistogramDataPoint(
        start_time_unix_nano=window.start,
        time_unix_nano=window.end,
        count=_fitting(sum(slots)),
        sum=float(snapshot.latency_sum_ns),
        scale=LATENCY_SCALE,
        zero_count=slots[0] if slots else 0,
        zero_threshold=1.0,  # slot 0 holds everything up to 1 ns
        positive=ExponentialHistogramDataPoint.Buckets(offset=first - 1, bucket_counts=slots[first : last + 1]),
    )


def _histogram(feature: Feature, counts: npt.NDArray[np.uint64], window: _Window, name: KeyValue) -> HistogramDataPoint:
    buckets = counts.tolist()
    return HistogramDataPoint(
        start_time_unix_nano=window.start,
        time_unix_nano=window.end,
        count=_fitting(sum(buckets)),
        explicit_bounds=feature.edges.astype(np.float64).tolist(),
        bucket_counts=buckets,
        attributes=[name],
    )


def _sum(name: str, unit: str, points: Iterable[NumberDataPoint], *, monotonic: bool = True) -> Metric:
    data = Sum(aggregation_temporality=_DELTA, is_monotonic=monotonic, data_points=points)
    return Metric(name=name, unit=unit, sum=data)


def _number(value: int, window: _Window, *attributes: KeyValue) -> NumberDataPoint:
    return NumberDataPoint(
        start_time_unix_nano=window.start,
        time_unix_nano=window.end,
        as_int=_fitting(value),
        attributes=attributes,
    )


def _name(names: type[Verdict | Source | ReasonCode | DecisionCount | Expiry], code: int) -> str:
    try:
        return names(code).name.lower()
    except ValueError:  # counted by a newer library than this one
        return f"code_{code}"


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _integer(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=_fitting(value)))


def _fitting(value: int) -> int:
    if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        raise SpoolError(f"a count of {value} does not fit OTLP's 64-bit signed integers; the batch file is corrupt")
    return value
