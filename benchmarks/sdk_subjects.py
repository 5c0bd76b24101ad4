"""What bench_telemetry.py compares with: the same counts and events through the OpenTelemetry Python SDK."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from opentelemetry import _logs as api
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk import _logs as logs
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk.metrics import Counter, Histogram, Meter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource

from edge_rai.counts import Snapshot
from edge_rai.telemetry import otlp

Attributes = Mapping[str, Any]


def event_emitter() -> tuple[Callable[[Attributes], None], Callable[[], None]]:
    """What gives one record to the SDK's batch processor, whose exporter throws it away; and what ends that."""
    provider = logs.LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(log_export.BatchLogRecordProcessor(log_export.InMemoryLogRecordExporter()))
    logger = provider.get_logger("bench")

    def emit(attributes: Attributes) -> None:
        logger.emit(api.LogRecord(timestamp=time.time_ns(), event_name="edge.decision", attributes=attributes))

    return emit, provider.shutdown


def event_bytes(events: Sequence[tuple[int, Attributes]]) -> float:
    """Bytes, gzip, of one of these events (their times, ns, and attributes) in an export of them all."""
    exporter = log_export.InMemoryLogRecordExporter()
    provider = logs.LoggerProvider(Resource.create({otlp.SERVICE_NAME: otlp.SCOPE}), shutdown_on_exit=False)
    provider.add_log_record_processor(log_export.SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger(otlp.SCOPE)
    for unix_ns, attributes in events:
        logger.emit(
            api.LogRecord(
                timestamp=unix_ns,
                severity_number=api.SeverityNumber.WARN2,
                event_name="edge.decision",
                attributes=attributes,
            )
        )
    body = encode_logs(exporter.get_finished_logs()).SerializeToString()
    return len(otlp.compress(body)) / len(events)


def _export(about: Mapping[str, str | int], views: Sequence[View], record: Callable[[Meter], None]) -> int:
    """Bytes, gzip, of one export."""
    reader = InMemoryMetricReader(
        preferred_temporality={
            Counter: AggregationTemporality.DELTA,
            Histogram: AggregationTemporality.DELTA,
        }
    )
    provider = MeterProvider([reader], Resource.create(dict(about)), views=views, shutdown_on_exit=False)
    record(provider.get_meter(otlp.SCOPE))
    body = encode_metrics(reader.get_metrics_data()).SerializeToString()
    provider.shutdown()
    return len(otlp.compress(body))


def minute_bytes(snapshot: Snapshot) -> tuple[int, int]:
    """Bytes, gzip, of an export of seven metrics: four counters, two gauges, a histogram of as many buckets.

    Returns:
        With the SDK's usual resource, and with what tells our batches apart among its attributes.
    """

    def record(meter: Meter) -> None:
        for name, unit in (("calls", "{call}"), ("errors", "{call}"), ("rows", "{row}"), ("rejected", "{row}")):
            meter.create_counter(f"edge.{name}", unit).add(633)
        for name, unit in (("spool.bytes", "By"), ("spool.age", "s")):
            meter.create_gauge(f"edge.{name}", unit).set(4096)
        duration = meter.create_histogram("edge.duration", "ns")
        for slot, count in enumerate(snapshot.latency.tolist()):
            for _ in range(count):
                duration.record(2 ** ((slot - 0.5) / 8))

    views = [View(instrument_name="*.duration", aggregation=ExponentialBucketHistogramAggregation(max_size=33))]
    named = {pair.key: pair.value.string_value for pair in otlp.resource(snapshot, ()).attributes}
    named[otlp.BATCH] = otlp.batch_name(snapshot, 7).value.string_value
    return _export({otlp.SERVICE_NAME: otlp.SCOPE}, views, record), _export(named, views, record)


def feature_bytes(edges: Mapping[str, Sequence[float]], rows: np.ndarray) -> float:
    """Bytes, gzip, of one of these features (their names and the edges of their bins) in an export of them all."""

    def record(meter: Meter) -> None:
        for name, column in zip(edges, rows.T.tolist(), strict=True):
            histogram = meter.create_histogram(name)
            for value in column:
                histogram.record(value)

    views = [
        View(instrument_name=name, aggregation=ExplicitBucketHistogramAggregation(boundaries))
        for name, boundaries in edges.items()
    ]
    return _export({otlp.SERVICE_NAME: otlp.SCOPE}, views, record) / len(edges)
