"""What telemetry costs a device: events stored durably a second, one event, one flush, bytes, memory.

Beside it the same work through a bare SQLite queue (WAL, synchronous FULL, one commit a window) and, where it is
installed, through the OpenTelemetry Python SDK, whose queue is in memory. The table goes to
benchmarks/results/telemetry.txt. `make bench` runs this.
"""

from __future__ import annotations

import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

import edge_rai
from edge_rai import SpoolSettings
from edge_rai.counts import Snapshot
from edge_rai.events import Event
from edge_rai.telemetry import otlp
from edge_rai.telemetry.otlp_events import encode_events
from edge_rai.telemetry.spool import Spool

sys.path.insert(0, str(Path(__file__).parent))
from subjects import bundle, train

try:
    import sdk_subjects as sdk
except ImportError:  # without it there is nothing to compare with
    sdk = None

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


class Tell(Protocol):
    """Adds a line to the table, and to the figures: what it is, how much at most or at least, ours and others."""

    def __call__(self, what: str, bar: str, ours: float, **others: float | None) -> None: ...


@pytest.fixture(scope="module")
def tell(figures: dict[str, Any]) -> Iterator[Tell]:
    """Prints each line, and writes all of them at the end."""
    lines = [f"{'':60}{'bar':>12}{'ours':>12}{'SDK':>12}{'SQLite':>12}"]

    def add(what: str, bar: str, ours: float, **others: float | None) -> None:
        found = {"ours": ours, **{name: value for name, value in others.items() if value is not None}}
        figures[f"telemetry: {what}"] = {"bar": bar, **found}
        numbers = (f"{found[name]:,.4g}" if name in found else "" for name in ("ours", "sdk", "sqlite"))
        lines.append(f"{what:60}{bar:>12}" + "".join(f"{number:>12}" for number in numbers))

    yield add
    text = "\n".join(lines) + "\n"
    (Path(__file__).parent / "results" / "telemetry.txt").write_text(text, encoding="utf-8")
    print("\n" + text)


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


def sdk_event_us() -> float:
    emit, end = sdk.event_emitter()
    attributes = {"edge.class": 2, "edge.verdict": 2, "edge.source": 3, "edge.reasons": 16, "edge.row": 0}
    taken = median_us(lambda: emit(attributes), 2000)
    end()
    return taken


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


def test_durable_events_a_second(model: Path, tmp_path: Path, tell: Tell) -> None:
    tell("resident memory of a spool of 256 KiB, KiB", "<= 1024", grown_kib(model, tmp_path / "small"))
    rate = spool_rate(model, tmp_path / "spool")
    tell("durable events a second, a commit every 50 ms", ">= 20000", rate, sqlite=sqlite_rate(tmp_path))
    told = sdk_event_us() if sdk else None
    tell("one event more in a call in C; to the SDK's queue in Python, us", "<= 2", event_us(model, tmp_path), sdk=told)
    alone, flushing = waits_us(model, tmp_path)
    tell("a prediction alone, p99.9, us", "", alone)
    tell("a prediction beside a flush every 2 ms, p99.9, us", "+50", flushing)


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


def test_bytes_of_seven_metrics(model: Path, tmp_path: Path, tell: Tell) -> None:
    snapshot = busy_minute(model, tmp_path)
    message = otlp.encode(snapshot, ())
    (scope,) = ExportMetricsServiceRequest.FromString(message).resource_metrics[0].scope_metrics
    assert len(scope.metrics) == 7
    plain, named = sdk.minute_bytes(snapshot) if sdk else (None, None)
    size = len(otlp.compress(message))
    points = sum(map(otlp.count_points, scope.metrics))
    tell(f"a minute's 7 metrics, {points} points, as a named batch, bytes", "<= 460", size, sdk=named)
    tell("the SDK's 7 metrics, 7 points, without a name, bytes", "", size, sdk=plain)


def test_bytes_of_a_feature(tmp_path: Path, tell: Tell) -> None:
    """Of a batch file of 30 features: a 30th of it, gzip. On the wire its reference goes with it."""
    with edge_rai.load(bundle("MLP 64-32 int8"), spool=tmp_path / "spool") as session:
        features = session.features
        rows = np.load(train(tmp_path)[1])["features"]
        for _ in range(10):
            session.predict(rows)
        session.flush()
    spool = Spool(tmp_path / "spool")
    (batch,) = spool.batches()
    written = len(otlp.compress(batch.path.read_bytes())) / len(features)
    sent = len(otlp.compress(otlp.encode(spool.read(batch), features))) / len(features)
    edges = {f"feature{index}": feature.edges.tolist() for index, feature in enumerate(features)}
    exported = sdk.feature_bytes(edges, rows) if sdk else None
    bins = max(len(feature.counts) for feature in features)
    tell(f"a feature of {bins} bins in a batch file, bytes", "<= 100", written)
    tell("the same on the wire, reference and moments with it, bytes", "", sent, sdk=exported)
    assert written <= 100


def test_bytes_of_an_event(model: Path, tmp_path: Path, tell: Tell) -> None:
    with edge_rai.load(model, spool=SpoolSettings(tmp_path, events=4096), threads=1) as session:
        for _ in range(500):
            session.predict(ONE)
        session.flush()
    spool = Spool(tmp_path)
    (batch,) = spool.batches()
    snapshot = spool.read(batch)
    wire = len(otlp.compress(encode_events(snapshot, ()))) / len(snapshot.events)
    events = [(event.unix_ns, said_of(event)) for event in snapshot.events]
    tell("a decision in a batch of 500, bytes", "<= 21", wire, sdk=sdk.event_bytes(events) if sdk else None)
    assert wire <= 21


def said_of(event: Event) -> dict[str, int]:
    """As the agent says it."""
    return {
        "edge.class": event.event_class,
        "edge.verdict": event.verdict,
        "edge.source": event.source,
        "edge.reasons": event.reasons,
        "edge.row": event.row,
        "edge.epoch": event.epoch,
        "edge.number": event.number,
        "edge.latency_ns": event.latency_ns,
    }
