"""What telemetry costs a device: events stored durably a second, one event, one flush, bytes, memory.

Beside it the same work through a bare SQLite queue (WAL, synchronous FULL, one commit a window) and, where it is
installed, through the OpenTelemetry Python SDK, whose queue is in memory. `make bench` runs this.
"""

from __future__ import annotations

import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

import edge_rai
from edge_rai import SpoolSettings
from edge_rai.counts import Snapshot
from edge_rai.telemetry import otlp
from edge_rai.telemetry.otlp_events import encode_events
from edge_rai.telemetry.spool import Spool

sys.path.insert(0, str(Path(__file__).parent))
from subjects import bundle, train

WINDOW_S, SECONDS, ROWS, EVENT_BYTES = 0.05, 3.0, 64, 190
ONE = np.full((1, 4), np.nan, np.float32)
MANY = np.full((ROWS, 4), np.nan, np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that does next to nothing: y = x."""
    shape = ["N", 4]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", values[:1], values[1:])
    path = tmp_path_factory.mktemp("telemetry") / "same.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def for_seconds(work: Callable[[], int], commit: Callable[[], object]) -> float:
    """Events a second that are durable: `work` makes some, and `commit` comes every WINDOW_S and at the end."""
    events, start = 0, time.perf_counter()
    window = start
    while (now := time.perf_counter()) - start < SECONDS:
        events += work()
        if now - window >= WINDOW_S:
            commit()
            window = time.perf_counter()
    commit()
    return events / (time.perf_counter() - start)


def grown_kib(model: Path, folder: Path) -> int:
    """KiB of resident memory that 300 windows of 64 events take in a spool of 256 KiB, once a session is open."""
    with edge_rai.load(model, spool=SpoolSettings(folder, quota_bytes=256 << 10, events=1024), threads=1) as session:
        session.predict(MANY)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(300):
            session.predict(MANY)
            session.flush()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def spool_rate(model: Path, folder: Path) -> float:
    """Events a second in batch files."""
    settings = SpoolSettings(folder, quota_bytes=1 << 30, events=1 << 14)
    with edge_rai.load(model, spool=settings, threads=1) as session:

        def work() -> int:
            session.predict(MANY)
            return ROWS

        rate = for_seconds(work, session.flush)
    spool = Spool(folder)
    stored = [spool.read(batch) for batch in spool.batches()]
    made = sum(sum(one.events_by_class) for one in stored)
    kept = sum(len(one.events) for one in stored)
    return rate * kept / made


def sqlite_rate(folder: Path) -> float:
    database = sqlite3.connect(folder / "queue.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE queue (event BLOB)")
    rows = [(bytes(EVENT_BYTES),)] * ROWS
    database.execute("BEGIN")

    def work() -> int:
        database.executemany("INSERT INTO queue VALUES (?)", rows)
        return ROWS

    def commit() -> None:
        database.execute("COMMIT")
        database.execute("BEGIN")

    rate = for_seconds(work, commit)
    database.close()
    return rate


def sdk_event_us() -> float:
    """Microseconds of one record given to the SDK's batch processor, whose exporter throws it away."""
    logs = pytest.importorskip("opentelemetry.sdk._logs")
    export = pytest.importorskip("opentelemetry.sdk._logs.export")
    api = pytest.importorskip("opentelemetry._logs")
    provider = logs.LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(export.BatchLogRecordProcessor(export.InMemoryLogRecordExporter()))
    logger = provider.get_logger("bench")
    attributes = {"edge.class": 2, "edge.verdict": 2, "edge.source": 3, "edge.reasons": 16, "edge.row": 0}

    def emit() -> None:
        logger.emit(api.LogRecord(timestamp=time.time_ns(), event_name="edge.decision", attributes=attributes))

    taken = median_us(emit, 2000)
    provider.shutdown()
    return taken


def median_us(call: Callable[[], object], count: int) -> float:
    taken = []
    for _ in range(count):
        start = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - start)
    return statistics.median(taken) / 1000


def event_us(model: Path, folder: Path) -> float:
    """Microseconds that a call of ROWS rejected rows takes longer when they become events, a row."""
    with (
        edge_rai.load(model, spool=SpoolSettings(folder / "events", events=1 << 14), threads=1) as kept,
        edge_rai.load(model, spool=folder / "none", threads=1) as counted,
    ):
        differences = []
        for _ in range(20):
            with_events = median_us(lambda: kept.predict(MANY), 50)
            differences.append((with_events - median_us(lambda: counted.predict(MANY), 50)) / ROWS)
    return statistics.median(differences)


def waits_us(model: Path, folder: Path) -> tuple[float, float]:
    """The 99.9th percentile of a prediction's time alone, and while another thread flushes every 2 ms."""
    row = np.zeros((1, 4), np.float32)
    found = []
    for flush_s in (None, 0.002):
        with edge_rai.load(model, spool=SpoolSettings(folder / str(flush_s), flush_s=flush_s), threads=1) as session:
            taken = []
            for _ in range(30_000):
                start = time.perf_counter_ns()
                session.predict(row)
                taken.append(time.perf_counter_ns() - start)
        found.append(float(np.percentile(taken, 99.9)) / 1000)
    return found[0], found[1]


def test_durable_events_a_second(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grown = grown_kib(model, tmp_path / "small")
    rate = spool_rate(model, tmp_path / "spool")
    sqlite = sqlite_rate(tmp_path)
    taken = event_us(model, tmp_path)
    alone, flushing = waits_us(model, tmp_path)
    with capsys.disabled():
        print(
            f"\ndurable events a second, a commit every {WINDOW_S * 1000:.0f} ms: spool {rate:.0f}, "
            f"SQLite WAL FULL {sqlite:.0f}\none event in C: {taken:.2f} us\n"
            f"resident memory of a spool of 256 KiB: {grown} KiB\n"
            f"a prediction, p99.9: {alone:.0f} us alone, {flushing:.0f} us beside a thread that flushes every 2 ms"
        )


def test_event_through_the_opentelemetry_sdk(capsys: pytest.CaptureFixture[str]) -> None:
    taken = sdk_event_us()
    with capsys.disabled():
        print(f"\none event through the OpenTelemetry SDK, into memory: {taken:.1f} us")


def busy_minute(model: Path, folder: Path) -> Snapshot:
    """A window of seven metrics without features: some rows rejected, the breaker opened, 33 buckets of durations."""
    with edge_rai.load(model, spool=folder, threads=1) as session:
        session.predict(MANY)
        session.flush()
    spool = Spool(folder)
    (batch,) = spool.batches()
    chance, latency = np.random.default_rng(1), np.zeros(321, np.uint64)
    slots = np.clip(np.round(chance.normal(16, 5, 600)), 0, 32).astype(int)
    np.add.at(latency, 100 + np.concatenate([slots, np.arange(33)]), 1)
    counts = {
        "rows_by_verdict": (631, 0, 2),
        "rows_by_source": (631, 0, 0, 2),
        "reasons": (0, 0, 0, 0, 2),
        "decisions": (1,),
    }
    arrays = {name: np.array(values, np.uint64) for name, values in counts.items()}
    return spool.read(batch)._replace(
        calls=633,
        errors=0,
        latency=latency,
        latency_sum_ns=123_456_789,
        features=(),
        duration_ns=60_000_530_865,
        **arrays,
    )


def sdk_minute_bytes(snapshot: Snapshot) -> tuple[int, int]:
    """Bytes, gzip, of the SDK's export of seven metrics (four counters, two gauges, an exponential histogram of as many
    buckets), with its usual resource; and with what tells our batches apart as attributes of that."""
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    view = pytest.importorskip("opentelemetry.sdk.metrics.view")
    resources = pytest.importorskip("opentelemetry.sdk.resources")
    encoder = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.metrics_encoder")
    ours = otlp.resource(snapshot, ()).attributes
    named = {pair.key: pair.value.string_value for pair in ours}
    identity = {
        **named,
        "edge.epoch": snapshot.epoch,
        "edge.sequence": snapshot.sequence,
        "edge.duration_ns": 60_000_530_865,
    }
    sizes = []
    for attributes in ({"service.name": "edge_rai"}, identity):
        reader = export.InMemoryMetricReader(
            preferred_temporality={
                sdk.Counter: export.AggregationTemporality.DELTA,
                sdk.Histogram: export.AggregationTemporality.DELTA,
            }
        )
        histogram = view.View(
            instrument_name="*.duration", aggregation=view.ExponentialBucketHistogramAggregation(max_size=33)
        )
        provider = sdk.MeterProvider(
            [reader], resources.Resource.create(attributes), views=[histogram], shutdown_on_exit=False
        )
        meter = provider.get_meter("edge_rai")
        for name, unit in (("calls", "{call}"), ("errors", "{call}"), ("rows", "{row}"), ("rejected", "{row}")):
            meter.create_counter(f"edge.{name}", unit).add(633)
        for name, unit in (("spool.bytes", "By"), ("spool.age", "s")):
            meter.create_gauge(f"edge.{name}", unit).set(4096)
        duration = meter.create_histogram("edge.predict.duration", "ns")
        for slot, count in enumerate(snapshot.latency.tolist()):
            for _ in range(count):
                duration.record(2 ** ((slot - 0.5) / 8))
        sizes.append(len(otlp.compress(encoder.encode_metrics(reader.get_metrics_data()).SerializeToString())))
        provider.shutdown()
    return sizes[0], sizes[1]


def test_bytes_of_seven_metrics(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = busy_minute(model, tmp_path)
    message = otlp.encode(snapshot, (), "0.1.0")
    scope = ExportMetricsServiceRequest.FromString(message).resource_metrics[0].scope_metrics[0]
    assert len(scope.metrics) == 7
    nameless = ExportMetricsServiceRequest.FromString(message)
    del nameless.resource_metrics[0].resource.attributes[1:]
    del nameless.resource_metrics[0].scope_metrics[0].scope.attributes[:]
    sizes = [len(otlp.compress(one)) for one in (message, nameless.SerializeToString())]
    with capsys.disabled():
        points = sum(map(otlp.count_points, scope.metrics))
        print(
            f"\na minute's metrics, 7 of {points} points with 33 buckets: {sizes[0]} bytes gzip, {sizes[1]} without "
            "what tells batches apart (instance, digests, epoch, sequence)"
        )


def test_bytes_of_seven_metrics_through_the_opentelemetry_sdk(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, named = sdk_minute_bytes(busy_minute(model, tmp_path))
    with capsys.disabled():
        print(f"\nthe OpenTelemetry SDK, 7 metrics of 7 points: {plain} bytes gzip, {named} with what tells ours apart")


def test_bytes_of_a_feature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a batch file: what 30 features of 32 bins add to the same counts without features, a 30th of it."""
    with edge_rai.load(bundle("MLP 64-32 int8"), spool=tmp_path / "spool") as session:
        bins = {len(feature.counts) for feature in session.features}
        rows = np.load(train(tmp_path)[1])["features"]
        for _ in range(10):
            session.predict(rows)
        session.flush()
    (batch,) = (tmp_path / "spool").glob("*.batch")
    written = len(otlp.compress(batch.read_bytes()))
    with capsys.disabled():
        print(
            f"\na feature of {max(bins)} bins, {10 * len(rows)} rows: {written / 30:.1f} bytes of the batch file, gzip"
        )
    assert written / 30 <= 100


def test_bytes_of_an_event(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with edge_rai.load(model, spool=SpoolSettings(tmp_path, events=4096), threads=1) as session:
        for _ in range(500):
            session.predict(ONE)
        session.flush()
    spool = Spool(tmp_path)
    (batch,) = spool.batches()
    snapshot = spool.read(batch)
    wire = len(otlp.compress(encode_events(snapshot, (), "0.1.0"))) / len(snapshot.events)
    metrics = len(otlp.compress(otlp.encode(snapshot, spool.features(snapshot.guard_digest), "0.1.0")))
    with capsys.disabled():
        print(f"\n{len(snapshot.events)} events of calls back to back: {wire:.1f} bytes each on the wire, gzip; ")
        print(f"the metrics of the same window: {metrics} bytes")
    assert wire <= 21
