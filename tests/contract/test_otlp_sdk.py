"""The OpenTelemetry Python SDK's exporters upload to our collector. Skipped where the SDK is not installed.

pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_rai.fleet.store import stored
from edge_rai.telemetry import otlp
from support.fleets import seen
from support.telemetry import INSTANCE, CollectorProcess

metrics = pytest.importorskip("opentelemetry.sdk.metrics", reason="the OpenTelemetry SDK is not installed")
export = pytest.importorskip("opentelemetry.sdk.metrics.export")
resources = pytest.importorskip("opentelemetry.sdk.resources")
http = pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the SDK's exporter is not installed")
exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.metric_exporter")


def send(url: str, scope: str) -> bool:
    """Counts a few rows by the SDK, under a scope of that name; whether its exporter takes them for delivered."""
    about = {otlp.SERVICE_INSTANCE: INSTANCE, otlp.MODEL_DIGEST: "ab" * 6}
    sender = exporter.OTLPMetricExporter(
        endpoint=url + otlp.METRICS_PATH,
        compression=http.Compression.Gzip,
        preferred_temporality={metrics.Counter: export.AggregationTemporality.DELTA},
    )
    reader = export.PeriodicExportingMetricReader(sender, export_interval_millis=3_600_000)
    provider = metrics.MeterProvider([reader], resources.Resource(about), shutdown_on_exit=False)
    meter = provider.get_meter(scope, "1", attributes={otlp.BATCH: "3:0:5"})
    meter.create_counter(otlp.CALLS).add(7)
    meter.create_counter(otlp.ERRORS).add(0)
    rows = meter.create_counter(otlp.VERDICT)
    for verdict, count in (("accept", 5), ("flag", 1), ("reject", 2)):
        rows.add(count, {otlp.VERDICT: verdict})
    delivered = bool(provider.force_flush(60_000))
    provider.shutdown()
    return delivered


def test_batch_that_the_sdk_exports_is_stored(tmp_path: Path) -> None:
    with CollectorProcess(tmp_path) as collector:
        assert send(collector.url, otlp.SCOPE)
    assert [(one.instance, one.epoch, one.calls, one.rows) for one in stored(tmp_path)] == [(INSTANCE, 3, 7, 8)]
    assert seen(tmp_path).group.rows == {"accept": 5, "flag": 1, "reject": 2}


def test_metrics_of_other_programs_are_refused_and_not_stored(tmp_path: Path) -> None:
    log = tmp_path / "collector.log"
    with CollectorProcess(tmp_path / "store", log=log) as collector:
        send(collector.url, "my.app")
    assert stored(tmp_path / "store") == []
    assert "not a batch of edge_rai" in log.read_text()
