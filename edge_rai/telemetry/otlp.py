"""Encodes one snapshot as one OTLP metrics request, and reads the answer to it (docs/formats/otlp.md).

The names of metrics and attributes live here and nowhere else. Encoding is a pure function: the same snapshot and
features give the same bytes, so a batch file that is sent twice is the same request twice. Names and identities are
chosen so that a minute's metrics with their identity are at most 460 bytes after gzip: a metric is named like its
attribute, what names a batch is one text in hex, and what is zero is left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

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
    Gauge,
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
MODEL_DIGEST: Final = "edge.model"
GUARD_DIGEST: Final = "edge.guard"
BATCH: Final = "edge.batch"
DURATION: Final = "edge.duration_ns"
WINDOWS: Final = "edge.windows"

CALLS: Final = "edge.calls"
ERRORS: Final = "edge.errors"
VERDICT: Final = "edge.verdict"  # a metric, and the attribute of its points
SOURCE: Final = "edge.source"  # likewise
REASON: Final = "edge.reason"  # likewise
DECISION: Final = "edge.decision"  # likewise
PREDICT_DURATION: Final = "edge.duration"
DRIFT_EVIDENCE: Final = "edge.drift.evidence"
DRIFT_ROWS: Final = "edge.drift.rows"
DRIFT_ALARM: Final = "edge.drift.alarm"
FEATURE_VALUE: Final = "edge.feature.value"
FEATURE_REFERENCE: Final = "edge.feature.reference"
FEATURE_NOT_FINITE: Final = "edge.feature.not_finite"
FEATURE_Z_SUM: Final = "edge.feature.z_sum"
FEATURE_Z_SUM_SQUARES: Final = "edge.feature.z_sum_squares"
EXPIRED: Final = "edge.expired"
EXPIRY: Final = "edge.expiry"
FEATURE: Final = "edge.feature"

DIGEST_DIGITS: Final = 12  # of a SHA-256 in hex: 48 bits tell a fleet's models apart
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


def encode(snapshot: Snapshot, features: Sequence[Feature], attributes: Iterable[tuple[str, str]] = ()) -> bytes:
    """Encodes a snapshot as an ExportMetricsServiceRequest.

    Args:
        snapshot: What was counted.
        features: The features of the guard program whose digest the snapshot carries, in its order.
        attributes: Of the resource, beside ours.

    Raises:
        SpoolError: The snapshot does not fit its guard program, or a count does not fit OTLP's int64.
    """
    if len(features) != len(snapshot.features):
        raise SpoolError(
            f"the snapshot counts {len(snapshot.features)} features, its guard program has {len(features)}; "
            "the batch file or the guard program beside it is not the one that was written"
        )
    window = _window(snapshot)
    metrics = [*_call_metrics(snapshot, window), *_drift_metrics(snapshot, features, window)]
    metrics += [*_expired_metrics(snapshot, window), *_feature_metrics(snapshot, features, window)]
    metrics = [metric for metric in metrics if count_points(metric)]
    scope = InstrumentationScope(
        name=SCOPE,
        attributes=[batch_name(snapshot, sum(map(count_points, metrics))), *_several_windows(snapshot, window)],
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
        SERVICE_INSTANCE: snapshot.instance,
        MODEL_DIGEST: snapshot.model_digest[:DIGEST_DIGITS],
    }
    if any(len(counts.histogram) for counts in snapshot.features):  # whose references they are counted in
        ours[GUARD_DIGEST] = snapshot.guard_digest[:DIGEST_DIGITS]
    return Resource(attributes=[_text(key, value) for key, value in (*ours.items(), *attributes)])


def batch_name(snapshot: Snapshot, parts: int) -> KeyValue:
    """What names a batch within its spool, and its data points or records: fewer arrive where a relay splits it."""
    epoch, sequence = _fitting(snapshot.epoch), _fitting(snapshot.sequence)
    return _text(BATCH, f"{epoch:x}:{sequence:x}:{parts:x}")


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


def _window(snapshot: Snapshot) -> _Window:
    """One window began its length before its end, whatever was done to the wall clock meanwhile."""
    end = max(snapshot.end_unix_ns, 0)
    one = sum(windows.length for windows in snapshot.windows) <= 1
    start = end - snapshot.duration_ns if one else snapshot.start_unix_ns
    return _Window(min(max(start, 0), end), end)


def _call_metrics(snapshot: Snapshot, window: _Window) -> list[Metric]:
    return [
        _sum(CALLS, [_number(snapshot.calls, window)]),
        _sum(ERRORS, [_number(snapshot.errors, window)]),
        _tally(VERDICT, Verdict, snapshot.rows_by_verdict, window),
        _tally(SOURCE, Source, snapshot.rows_by_source, window),
        _tally(REASON, ReasonCode, snapshot.reasons, window),
        _tally(DECISION, DecisionCount, snapshot.decisions, window),
        Metric(
            name=PREDICT_DURATION,
            unit="ns",
            exponential_histogram=ExponentialHistogram(
                aggregation_temporality=_DELTA, data_points=[_latency(snapshot, window)]
            ),
        ),
    ]


def _tally(name: str, codes: type[IntEnum], counts: npt.NDArray[np.uint64], window: _Window) -> Metric:
    """Counts by code, under an attribute of the metric's name."""
    counted = [(code, count) for code, count in enumerate(counts.tolist()) if count]
    return _sum(name, [_number(count, window, _text(name, _name(codes, code))) for code, count in counted])


def _drift_metrics(snapshot: Snapshot, features: Sequence[Feature], window: _Window) -> list[Metric]:
    """The state of the watch for drift; of single features only what the alarm that stands is about."""
    if snapshot.drift is None:
        return []
    evidence = [NumberDataPoint(time_unix_nano=window.end, as_double=snapshot.drift.evidence)]
    for feature, counts in zip(features, snapshot.features, strict=True):
        if counts.drift_evidence:
            attributes = [_text(FEATURE, feature.name)]
            evidence.append(
                NumberDataPoint(time_unix_nano=window.end, as_double=counts.drift_evidence, attributes=attributes)
            )
    rows = NumberDataPoint(time_unix_nano=window.end, as_int=_fitting(snapshot.drift.rows))
    alarm = NumberDataPoint(time_unix_nano=window.end, as_int=int(snapshot.drift.alarm))
    return [
        Metric(name=DRIFT_EVIDENCE, gauge=Gauge(data_points=evidence)),
        Metric(name=DRIFT_ROWS, gauge=Gauge(data_points=[rows])),
        Metric(name=DRIFT_ALARM, gauge=Gauge(data_points=[alarm])),
    ]


def _expired_metrics(snapshot: Snapshot, window: _Window) -> list[Metric]:
    metrics = []
    for what in Expired._fields:
        gone = [(code, getattr(one, what)) for code, one in enumerate(snapshot.expired)]
        points = [_number(n, window, _text(EXPIRY, _name(Expiry, code))) for code, n in gone if n]
        metrics.append(_sum(f"{EXPIRED}.{what}", points))
    return metrics


def _several_windows(snapshot: Snapshot, window: _Window) -> list[KeyValue]:
    """Which windows a batch accounts for, where they are not just its own; their length, where no time says it."""
    said = []
    if sum(one.length for one in snapshot.windows) > 1:
        ranges = (f"{one.epoch:x}:{one.first:x}+{one.length:x}" for one in snapshot.windows)
        said.append(_text(WINDOWS, " ".join(ranges)))
    if window.end - window.start != snapshot.duration_ns:
        said.append(_integer(DURATION, snapshot.duration_ns))
    return said


def _feature_metrics(snapshot: Snapshot, features: Sequence[Feature], window: _Window) -> list[Metric]:
    values: list[HistogramDataPoint] = []
    references: list[HistogramDataPoint] = []
    not_finite: list[NumberDataPoint] = []
    sums: list[NumberDataPoint] = []
    squares: list[NumberDataPoint] = []
    for feature, counts in zip(features, snapshot.features, strict=True):
        name = _text(FEATURE, feature.name)
        if counts.not_finite:
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
    return [
        Metric(name=FEATURE_VALUE, histogram=Histogram(aggregation_temporality=_DELTA, data_points=values)),
        Metric(name=FEATURE_REFERENCE, histogram=Histogram(aggregation_temporality=_DELTA, data_points=references)),
        _sum(FEATURE_NOT_FINITE, not_finite),
        _sum(FEATURE_Z_SUM, sums, unit="{z/256}", monotonic=False),
        _sum(FEATURE_Z_SUM_SQUARES, squares, unit="{z^2/65536}"),
    ]


def _latency(snapshot: Snapshot, window: _Window) -> ExponentialHistogramDataPoint:
    slots = snapshot.latency.tolist()
    used = [index for index, count in enumerate(slots) if count and index]
    first, last = (used[0], used[-1]) if used else (1, 0)
    at_once = slots[0] if slots else 0
    return ExponentialHistogramDataPoint(
        start_time_unix_nano=window.start,
        time_unix_nano=window.end,
        count=_fitting(sum(slots)),
        sum=float(snapshot.latency_sum_ns),
        scale=LATENCY_SCALE,
        zero_count=at_once,
        zero_threshold=1.0 if at_once else 0.0,  # slot 0 holds everything up to 1 ns
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


def _sum(name: str, points: Iterable[NumberDataPoint], *, unit: str = "", monotonic: bool = True) -> Metric:
    data = Sum(aggregation_temporality=_DELTA, is_monotonic=monotonic, data_points=points)
    return Metric(name=name, unit=unit, sum=data)


def _number(value: int, window: _Window, *attributes: KeyValue) -> NumberDataPoint:
    return NumberDataPoint(
        start_time_unix_nano=window.start,
        time_unix_nano=window.end,
        as_int=_fitting(value),
        attributes=attributes,
    )


def _name(codes: type[IntEnum], code: int) -> str:
    try:
        return codes(code).name.lower()
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
