from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ScopeMetrics

from edge_rai.errors import StoreError
from edge_rai.fleet.body import LARGEST_REQUEST_BYTES
from edge_rai.fleet.decode import Batch, Refusal, decode
from edge_rai.fleet.facts import facts_of
from edge_rai.fleet.request import read_request
from edge_rai.fleet.server import listen
from edge_rai.fleet.store import FILE_NAME, Outcome, Store
from edge_rai.telemetry import otlp
from support.telemetry import GZIP, PROTOBUF, CollectorProcess, command_line, post, promise, request, snapshot


def stored(directory: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return connection.execute("SELECT epoch, sequence FROM batch ORDER BY 1, 2").fetchall()


def dump(directory: Path) -> list[str]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return list(connection.iterdump())


def decoded(body: bytes) -> tuple[list[tuple[Batch, int]], list[Refusal]]:
    return decode(read_request(body))


def answer(reply: tuple[int, object, bytes]) -> otlp.Answer:
    assert reply[0] == 200
    return otlp.read_answer(reply[2])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CollectorProcess, Path]]:
    """One collector for the tests that use sequences of their own."""
    store = tmp_path_factory.mktemp("store")
    with CollectorProcess(store) as collector:
        yield collector, store
        assert collector.process.poll() is None, "a request ended the collector"


Shared = tuple[CollectorProcess, Path]


def test_batch_is_in_the_store_when_the_receipt_comes(shared: Shared) -> None:
    collector, store = shared
    status, headers, body = post(collector.url, otlp.compress(request(snapshot(100))), GZIP)
    assert (status, headers["Content-Type"], body) == (200, "application/x-protobuf", b"")
    assert (7, 100) in stored(store)


def test_duplicate_gets_a_receipt_and_changes_nothing(shared: Shared) -> None:
    collector, store = shared
    post(collector.url, request(snapshot(110)))
    before = dump(store)
    for body in (request(snapshot(110)), request(snapshot(110), snapshot(110))):
        assert answer(post(collector.url, body)) == (0, "")
    assert dump(store) == before


def test_other_contents_under_a_stored_identity_are_refused_and_named(shared: Shared) -> None:
    collector, store = shared
    post(collector.url, request(snapshot(120)))
    before = dump(store)
    refused = answer(post(collector.url, request(snapshot(120, calls=99))))
    assert refused.rejected > 0
    assert "two devices share one spool instance" in refused.message
    assert dump(store) == before


def test_batch_that_a_relay_split_is_refused_and_not_stored(shared: Shared) -> None:
    collector, store = shared
    message = ExportMetricsServiceRequest.FromString(request(snapshot(130)))
    metrics = message.resource_metrics[0].scope_metrics[0].metrics
    total = sum(map(otlp.count_points, metrics))
    del metrics[-1]
    left = sum(map(otlp.count_points, metrics))
    refused = answer(post(collector.url, message.SerializeToString()))
    assert refused.rejected == left
    assert f"arrived with {left} of {total} data points" in refused.message
    assert (7, 130) not in stored(store)


def test_request_of_a_relay_is_taken_batch_by_batch(shared: Shared) -> None:
    collector, store = shared
    message = ExportMetricsServiceRequest.FromString(request(snapshot(140), snapshot(141), snapshot(142)))
    del message.resource_metrics[1].scope_metrics[0].metrics[0]
    moved = message.resource_metrics[0].scope_metrics.add()
    moved.CopyFrom(message.resource_metrics[2].scope_metrics[0])
    del message.resource_metrics[2]
    assert answer(post(collector.url, message.SerializeToString())).rejected > 0
    assert {(7, 140), (7, 142)} <= set(stored(store))
    assert (7, 141) not in stored(store)


def test_metrics_of_strangers_are_refused_and_not_stored(shared: Shared) -> None:
    collector, _ = shared
    message = ExportMetricsServiceRequest.FromString(request(snapshot(150)))
    scope_metrics = message.resource_metrics[0].scope_metrics[0]
    scope_metrics.scope.name = "io.opentelemetry.jvm"
    refused = answer(post(collector.url, message.SerializeToString()))
    assert refused.rejected == sum(map(otlp.count_points, scope_metrics.metrics))
    assert "not a batch of edge_rai" in refused.message


def test_empty_request_is_a_success(shared: Shared) -> None:
    assert answer(post(shared[0].url, b"")) == (0, "")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content-Type": "text/html"}, 415),
        (b"", {}, 415),
        (b"", {**PROTOBUF, "Content-Encoding": "br"}, 415),
        (b"junk", PROTOBUF, 400),
        (b"junk", GZIP, 400),
        (otlp.compress(b"")[:-1], GZIP, 400),
        (otlp.compress(b"") + otlp.compress(b""), GZIP, 400),
        (otlp.compress(bytes(LARGEST_REQUEST_BYTES + 1)), GZIP, 413),
        (bytes(LARGEST_REQUEST_BYTES + 1), PROTOBUF, 413),
    ],
    ids=["html", "untyped", "brotli", "junk", "junk gzip", "cut gzip", "two members", "bomb", "long"],
)
def test_unfit_request_gets_its_status_with_a_reason(
    shared: Shared, body: bytes, headers: dict[str, str], status: int
) -> None:
    got, answered, reason = post(shared[0].url, body, headers)
    assert (got, answered["Content-Type"]) == (status, "application/x-protobuf")
    assert otlp.read_status(reason)


def test_long_body_without_a_length_is_cut_off(shared: Shared) -> None:
    host, port = shared[0].url.removeprefix("http://").split(":")
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
        connection.sendall(b"Content-Type: application/x-protobuf\r\n\r\n")
        try:
            for _ in range(LARGEST_REQUEST_BYTES // 0x100000 + 1):
                connection.sendall(chunk)
            first_line = connection.recv(100)
        except ConnectionError:
            return  # hung up on while sending: also cut off
    assert first_line.startswith(b"HTTP/1.1 413")


def test_health_is_told(shared: Shared) -> None:
    with urllib.request.urlopen(f"{shared[0].url}/healthz", timeout=20) as response:
        assert (response.status, response.read()) == (200, b"ok")


def changed(change: str) -> bytes:
    """A request with one thing that no device sends."""
    message = ExportMetricsServiceRequest.FromString(request(snapshot()))
    resource_metrics = message.resource_metrics[0]
    scope_metrics: ScopeMetrics = resource_metrics.scope_metrics[0]
    metrics: dict[str, Metric] = {metric.name: metric for metric in scope_metrics.metrics}
    scope = {pair.key: pair.value for pair in scope_metrics.scope.attributes}
    about = {pair.key: pair.value for pair in resource_metrics.resource.attributes}
    value = metrics["edge.feature.value"].histogram.data_points[0]
    latency = metrics["edge.duration"].exponential_histogram.data_points[0]
    calls = metrics["edge.calls"].sum
    if change == "negative sequence":
        scope["edge.batch"].string_value = "7:-1:1f"
    elif change == "name as a number":
        scope["edge.batch"].int_value = 7
    elif change == "epoch above 63 bits":
        scope["edge.batch"].string_value = f"{2**63:x}:0:1f"
    elif change == "sequence without one after it":
        scope["edge.batch"].string_value = f"7:{2**63 - 1:x}:1f"
    elif change == "no instance":
        del resource_metrics.resource.attributes[1]
    elif change == "instance is a path":
        about["service.instance.id"].string_value = "../../etc/passwd"
    elif change == "short digest":
        about["edge.guard"].string_value = "cd"
    elif change == "long feature name":
        value.attributes[0].value.string_value = "x" * 100_000
    elif change == "feature name moves the cursor":
        value.attributes[0].value.string_value = "\x1b[2J"
    elif change == "feature name is nested":
        value.attributes[0].value.kvlist_value.values.append(KeyValue(key="a", value=AnyValue(int_value=1)))
    elif change == "many attributes":
        resource_metrics.resource.attributes.extend(KeyValue(key=str(i)) for i in range(100))
    elif change == "bins without bounds":
        value.bucket_counts.append(1)
    elif change == "bounds not rising":
        value.explicit_bounds[0] = value.explicit_bounds[1]
    elif change == "bound is not a number":
        value.explicit_bounds[1] = float("nan")
    elif change == "other bounds than the reference":
        value.explicit_bounds[0] = -1000.0
    elif change == "huge bin":
        value.bucket_counts[0] = 2**64 - 1
    elif change == "time after 2262":
        calls.data_points[0].time_unix_nano = 2**64 - 1
    elif change == "cumulative":
        calls.aggregation_temporality = 2
    elif change == "count as a fraction":
        calls.data_points[0].as_double = 0.5
    elif change == "negative count":
        calls.data_points[0].as_int = -1
    elif change == "no value":
        calls.data_points[0].ClearField("as_int")
    elif change == "wrong kind":
        metrics["edge.calls"].gauge.data_points.add(as_int=1)
    elif change == "same metric twice":
        metrics["edge.errors"].name = "edge.calls"
    elif change == "same verdict twice":
        points = metrics["edge.verdict"].sum.data_points
        points[1].attributes[0].value.string_value = points[0].attributes[0].value.string_value
    elif change == "same feature twice":
        points = metrics["edge.feature.value"].histogram.data_points
        points[1].CopyFrom(points[0])
    elif change == "latency of another scale":
        latency.scale = 20
    elif change == "latency far out":
        latency.positive.offset = 2**31 - 1
    elif change == "latency below a nanosecond":
        latency.positive.offset = -5
    elif change == "latency sum is infinite":
        latency.sum = float("inf")
    else:
        raise AssertionError(change)
    return message.SerializeToString()


@pytest.mark.parametrize(
    "change",
    [
        "negative sequence",
        "name as a number",
        "epoch above 63 bits",
        "sequence without one after it",
        "no instance",
        "instance is a path",
        "short digest",
        "long feature name",
        "feature name moves the cursor",
        "feature name is nested",
        "many attributes",
        "bins without bounds",
        "bounds not rising",
        "bound is not a number",
        "other bounds than the reference",
        "huge bin",
        "time after 2262",
        "cumulative",
        "count as a fraction",
        "negative count",
        "no value",
        "wrong kind",
        "same metric twice",
        "same verdict twice",
        "same feature twice",
        "latency of another scale",
        "latency far out",
        "latency below a nanosecond",
        "latency sum is infinite",
    ],
)
def test_batch_that_no_device_sends_is_refused_with_a_short_reason(change: str) -> None:
    batches, refusals = decoded(changed(change))
    assert batches == []
    assert len(refusals) == 1
    assert 0 < len(refusals[0].message) < 1000


@settings(deadline=None, max_examples=400)
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_corrupt_request_is_malformed_or_refused_or_storable(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    body = bytearray(request(snapshot()))
    for place, byte in flips:
        body[place % len(body)] = byte
    try:
        batches, _ = decoded(bytes(body))
    except DecodeError:
        return
    with closing(Store(tmp_path_factory.getbasetemp() / "fuzzed")) as store:
        store.add([facts_of(*batch) for batch in batches], 0)


def test_metric_of_a_newer_device_is_counted_and_left() -> None:
    message = ExportMetricsServiceRequest.FromString(request(snapshot()))
    scope_metrics = message.resource_metrics[0].scope_metrics[0]
    newer = scope_metrics.metrics.add(name="edge.battery")
    newer.gauge.data_points.add(as_int=3)
    promise(scope_metrics, 1)
    batches, refusals = decoded(message.SerializeToString())
    assert (len(batches), refusals) == (1, [])


def test_batches_of_one_call_are_stored_together_or_not_at_all(tmp_path: Path) -> None:
    batches = [facts_of(*batch) for batch in decoded(request(snapshot(0), snapshot(1)))[0]]
    batches[1] = batches[1]._replace(calls="many")  # type: ignore[arg-type]  # STRICT tables refuse it
    with closing(Store(tmp_path)) as store:
        with pytest.raises(StoreError, match="cannot be written"):
            store.add(batches, 0)
        batches[1] = batches[1]._replace(calls=2**64)
        with pytest.raises(OverflowError):
            store.add(batches, 0)
        assert stored(tmp_path) == []
        batches[1] = batches[1]._replace(calls=4)
        assert store.add([*batches, batches[0]], 0) == [Outcome.STORED, Outcome.STORED, Outcome.DUPLICATE]
    assert stored(tmp_path) == [(7, 0), (7, 1)]


def test_batch_whose_parts_a_relay_reordered_is_the_same_batch(tmp_path: Path) -> None:
    message = ExportMetricsServiceRequest.FromString(request(snapshot()))
    metrics = message.resource_metrics[0].scope_metrics[0].metrics
    reordered = list(reversed([Metric.FromString(metric.SerializeToString()) for metric in metrics]))
    del metrics[:]
    metrics.extend(reordered)
    first, second = (facts_of(*decoded(body)[0][0]) for body in (request(snapshot()), message.SerializeToString()))
    with closing(Store(tmp_path)) as store:
        assert store.add([first, second], 0) == [Outcome.STORED, Outcome.DUPLICATE]


def test_newer_store_and_strange_file_are_refused(tmp_path: Path) -> None:
    Store(tmp_path / "newer").close()
    with closing(sqlite3.connect(tmp_path / "newer" / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreError, match="schema version 999, this build understands 3"):
        Store(tmp_path / "newer")
    (tmp_path / "other").mkdir()
    with closing(sqlite3.connect(tmp_path / "other" / FILE_NAME)) as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")
    with pytest.raises(StoreError, match="something else"):
        Store(tmp_path / "other")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / FILE_NAME).write_bytes(b"junk" * 1000)
    with pytest.raises(StoreError, match="not a usable store"):
        Store(tmp_path / "junk")


def test_store_syncs_every_commit(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        connection = store._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_nothing_answered_is_lost_when_the_collector_is_killed(tmp_path: Path) -> None:
    answered: list[int] = []
    for round_number in range(4):
        with CollectorProcess(tmp_path) as collector:
            sequence = 1000 * round_number
            assert post(collector.url, request(snapshot(sequence)))[0] == 200  # it decodes
            answered.append(sequence)
            sequence += 1
            thread = threading.Timer(0.15, collector.kill)
            thread.start()
            while True:
                try:
                    status, _, body = post(collector.url, request(snapshot(sequence)))
                except (OSError, http.client.HTTPException):
                    break
                assert (status, body) == (200, b"")
                answered.append(sequence)
                sequence += 1
            thread.join()
    assert len(answered) > 8
    present = {sequence for _, sequence in stored(tmp_path)}
    assert set(answered) <= present
    assert len(present) <= len(answered) + 4  # each kill may hit one that was stored and not answered


def test_full_disk_is_told_as_retryable_and_nothing_is_lost_or_half_stored(tmp_path: Path) -> None:
    limit_file_size = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)); "
    )
    answered = []
    with CollectorProcess(tmp_path, prelude=limit_file_size) as collector:
        for sequence in range(200):
            status, headers, body = post(collector.url, request(snapshot(sequence)))
            if status != 200:
                break
            assert body == b""
            answered.append(sequence)
        assert (status, otlp.read_status(body)) == (503, "the store cannot be written")
        assert int(headers["Retry-After"]) > 0
    assert answered
    with CollectorProcess(tmp_path) as collector:
        assert [sequence for _, sequence in stored(tmp_path)] == answered
        assert answer(post(collector.url, request(snapshot(len(answered))))) == (0, "")
        assert len(stored(tmp_path)) == len(answered) + 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_collector_cleanly(tmp_path: Path, number: int) -> None:
    with CollectorProcess(tmp_path) as collector:
        assert list(json.loads(collector.first_line)) == ["listening"]
        post(collector.url, request(snapshot()))
        assert collector.stop(number) == 0
    assert stored(tmp_path) == [(7, 0)]
    assert not list(tmp_path.glob("*-wal"))


def test_signal_right_after_the_first_line_ends_the_collector_too(tmp_path: Path) -> None:
    with CollectorProcess(tmp_path) as collector:
        assert collector.stop() == 0


def test_taken_port_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = command_line("collect", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--store", tmp_path)
        assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 4


@pytest.mark.parametrize("address", ["4318", "localhost", "127.0.0.1:http", "127.0.0.1:70000", ":4318"])
def test_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        listen(address)


def test_missing_package_is_named_with_exit_code_3(tmp_path: Path) -> None:
    command = command_line("collect", "--store", tmp_path)
    command[2] = f"import sys; sys.modules['uvicorn'] = None; {command[2]}"
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "edge-rai collect needs uvicorn: install edge-rai" in done.stderr


def test_feature_name_as_long_as_a_guard_program_may_hold_is_taken() -> None:
    for name, taken in (("\u00e4" * 512, True), ("\u00e4" * 512 + "a", False)):
        body = request(snapshot())
        message = ExportMetricsServiceRequest.FromString(body)
        for metric in message.resource_metrics[0].scope_metrics[0].metrics:
            kind = getattr(metric, str(metric.WhichOneof("data")))
            for pair in (pair for point in kind.data_points for pair in getattr(point, "attributes", ())):
                if pair.value.string_value == "radius":
                    pair.value.string_value = name
        batches, refusals = decoded(message.SerializeToString())
        assert (len(batches), len(refusals)) == ((1, 0) if taken else (0, 1))
        assert taken or "has 1025 bytes; allowed are 1 to 1024" in refusals[0].message


@pytest.mark.parametrize("sent", [b"", b"POST /v1/metrics HTTP/1.1\r\nHost:"], ids=["silent", "half a header"])
@pytest.mark.parametrize("requests", [0, 1])
def test_connection_without_a_request_is_closed_after_a_while(tmp_path: Path, requests: int, sent: bytes) -> None:
    prelude = "import edge_rai.fleet.server as c; c._HEADERS_TIMEOUT_S = 0.3; "
    with CollectorProcess(tmp_path, prelude=prelude) as collector:
        host, port = collector.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=4) as connection:
            for _ in range(requests):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            connection.sendall(sent)
            while connection.recv(4096):
                pass  # a timeout of this side would raise


def test_request_that_takes_longer_than_headers_may_is_finished(tmp_path: Path) -> None:
    prelude = "import edge_rai.fleet.server as c; c._HEADERS_TIMEOUT_S = 0.2; "
    with CollectorProcess(tmp_path, prelude=prelude) as collector:
        host, port = collector.url.removeprefix("http://").split(":")
        body = request(snapshot(900))
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n")
            connection.sendall(f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
            time.sleep(0.6)
            connection.sendall(body[10:])
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
