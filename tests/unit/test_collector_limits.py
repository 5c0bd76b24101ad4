"""What a request may cost the others: a bad batch, an endless trailer, millions of nothings, a silent connection."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import subprocess
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai.counts import FeatureCounts
from edge_rai.fleet.body import Body, FailedError
from edge_rai.fleet.decode import Batch, FeatureBatch, Refusal, decode
from edge_rai.fleet.facts import facts_of
from edge_rai.fleet.ingest import Ingest, Waiting
from edge_rai.fleet.outline import Reference
from edge_rai.fleet.request import read_request
from edge_rai.fleet.store import Store, stored
from edge_rai.telemetry import otlp
from edge_rai.types import Feature
from support.telemetry import CollectorProcess, promise, request, snapshot


def answers(
    store: Store, bodies: Sequence[bytes], *, logs: bool = False, compressed: bool = False, json: bool = False
) -> list[object]:
    """What requests that wait together, and have room in a pipe, are answered."""

    async def ask() -> list[object]:
        loop = asyncio.get_running_loop()
        waiting = [Waiting(Body(body, logs, compressed, json), loop.create_future()) for body in bodies]
        os.kill(taker._decoder.pid, signal.SIGSTOP)  # so that it finds them all at once
        for one in waiting:
            taker.put(one)
        while len(taker._given) < len(waiting):
            await asyncio.sleep(0.001)
        with taker._lock:  # after the last one was flushed
            os.kill(taker._decoder.pid, signal.SIGCONT)
        return list(await asyncio.gather(*(one.answer for one in waiting), return_exceptions=True))

    taker = Ingest(store)
    try:
        return asyncio.run(ask())
    finally:
        taker.stop()


def refusals_of(message: ExportMetricsServiceRequest) -> list[Refusal]:
    return decode(read_request(message.SerializeToString()))[1]


def with_verdicts(*given: int) -> ExportMetricsServiceRequest:
    """A request with so many verdicts of these counts, and with as many data points as it says."""
    message = ExportMetricsServiceRequest.FromString(request(snapshot()))
    scope = message.resource_metrics[0].scope_metrics[0]
    (rows,) = (metric.sum.data_points for metric in scope.metrics if metric.name == otlp.VERDICT)
    promise(scope, len(given) - len(rows))
    del rows[:]
    for index, count in enumerate(given):
        rows.add(as_int=count).attributes.add(key=otlp.VERDICT).value.string_value = f"code_{index}"
    return message


def test_sum_of_counts_is_bounded_as_each_count_is() -> None:
    assert refusals_of(with_verdicts(2**53 - 1, 1)) == []
    (refusal,) = refusals_of(with_verdicts(2**53, 1))
    assert "is not within 0 to" in refusal.message


def test_more_labels_than_any_library_has_are_refused() -> None:
    assert refusals_of(with_verdicts(*[1] * 256)) == []
    (refusal,) = refusals_of(with_verdicts(*[1] * 257))
    assert "257 data points; the most is 256" in refusal.message


def test_sum_of_windows_is_bounded() -> None:
    message = ExportMetricsServiceRequest.FromString(request(snapshot(0, epoch=1)))
    windows = message.resource_metrics[0].scope_metrics[0].scope.attributes.add(key=otlp.WINDOWS)
    windows.value.string_value = "0:0+7fffffffffffffff 1:0+7fffffffffffffff"
    (refusal,) = refusals_of(message)
    assert "is not within 0 to" in refusal.message


def test_batch_of_very_many_metrics_is_refused() -> None:
    message = ExportMetricsServiceRequest.FromString(request(snapshot()))
    metrics = message.resource_metrics[0].scope_metrics[0].metrics
    sent = sum(map(otlp.count_points, metrics))
    for index in range(300):
        metrics.add(name=str(index)).gauge.data_points.add(as_int=1)
    (refusal,) = refusals_of(message)
    assert "metrics in one batch; the most is 256" in refusal.message
    assert refusal.points == sent + 300


def test_references_that_are_remembered_are_bounded_in_bytes() -> None:
    references = [tuple(Reference(f"{'x' * 1000} {i}", (), (), f"{i} {j}") for j in range(1000)) for i in range(40)]
    tracemalloc.start()
    try:
        for some in references:
            facts_of(Batch("", 0, 0, "", "", (), features=[FeatureBatch("", one, (), 0, 0, 0) for one in some]), 0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20 << 20  # was a megabyte for each of them


class FailsOnOne(Store):
    """A store with a fault of ours that shows on one batch."""

    def _add_batch(self, connection: object, batch: object, received_unix_ns: int) -> object:
        if batch.sequence == 3:  # type: ignore[attr-defined]
            raise OverflowError("an integer too large for SQLite")
        return super()._add_batch(connection, batch, received_unix_ns)  # type: ignore[arg-type]


def test_request_that_cannot_be_stored_costs_that_request_alone(tmp_path: Path) -> None:
    with closing(FailsOnOne(tmp_path)) as store:
        found = answers(store, [request(snapshot(sequence)) for sequence in range(6)])
    assert [getattr(one, "status", 200) for one in found] == [200, 200, 200, 500, 200, 200]
    assert [one.sequence for one in stored(tmp_path)] == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("logs", [False, True])
@pytest.mark.parametrize("kind", ["resources", "scopes"])
def test_millions_of_empty_parts_are_refused_at_once(tmp_path: Path, logs: bool, kind: str) -> None:
    message = ExportLogsServiceRequest() if logs else ExportMetricsServiceRequest()
    empty = b"\x0a\x00" * 500_000
    if kind == "scopes":
        resource = (message.resource_logs if logs else message.resource_metrics).add()
        resource.MergeFromString(b"\x12\x00" * 500_000)
        empty = message.SerializeToString()
    started = os.times()
    with closing(Store(tmp_path)) as store:
        (found,) = answers(store, [otlp.compress(empty)], logs=logs, compressed=True)
    assert isinstance(found, FailedError)
    assert found.status == 413
    ended = os.times()
    assert ended.user + ended.children_user - started.user - started.children_user < 5  # was a minute


def test_millions_of_messages_in_json_are_refused_at_once(tmp_path: Path) -> None:
    body = b'{"resourceMetrics": [' + b"{}," * 5_000_000 + b"{}]}"
    started = os.times()
    with closing(Store(tmp_path)) as store:
        (found,) = answers(store, [otlp.compress(body)], json=True, compressed=True)
    assert isinstance(found, FailedError)
    assert found.status == 413
    assert "use protobuf" in str(found)
    ended = os.times()
    assert ended.user + ended.children_user - started.user - started.children_user < 5  # was 40 s


def test_request_is_one_line_of_the_log_however_many_batches_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    message = ExportMetricsServiceRequest()
    for _ in range(64):
        message.resource_metrics.add().scope_metrics.add()
    with closing(Store(tmp_path)) as store, caplog.at_level(logging.WARNING):
        (found,) = answers(store, [message.SerializeToString()])
    assert isinstance(found, otlp.Answer)
    assert found.rejected == 64
    assert len(caplog.records) == 1


def large(sequence: int) -> bytes:
    """A batch of which the ledger takes more than a pipe holds."""
    bounds = np.linspace(-2, 2, 31)
    features = tuple(Feature(f"feature {i}", 0, 9, 4, 2, "mm", 32, bounds, np.ones(32, np.uint64)) for i in range(2500))
    counted = tuple(FeatureCounts(np.full(32, 10**7 + i, np.uint64), 0, 0, 0) for i in range(len(features)))
    return otlp.compress(otlp.encode(snapshot(sequence, features=counted), features))


def test_commit_ends_when_it_has_what_a_pipe_holds(tmp_path: Path) -> None:
    commits: list[str] = []
    with closing(Store(tmp_path)) as store:
        store._connection.set_trace_callback(lambda line: commits.append(line) if line == "COMMIT" else None)
        assert answers(store, [request(snapshot(sequence)) for sequence in range(5)]) == [otlp.Answer(0, "")] * 5
        assert len(commits) == 1
        assert (
            answers(store, [large(sequence) for sequence in range(5, 10)], compressed=True) == [otlp.Answer(0, "")] * 5
        )
        assert len(commits) > 3


def connected(collector: CollectorProcess) -> socket.socket:
    host, port = collector.url.partition("://")[2].split(":")
    return socket.create_connection((host, int(port)), timeout=40)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One for the tests of trailers."""
    with CollectorProcess(tmp_path_factory.mktemp("store")) as found:
        yield found


@pytest.mark.parametrize("line", [b"X: " + b"v" * 1000 + b"\r\n", b"v" * 1000], ids=["many", "one without an end"])
def test_trailers_without_an_end_close_the_connection(collector: CollectorProcess, line: bytes) -> None:
    with connected(collector) as connection:
        connection.sendall(b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n")
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ")
        with pytest.raises(ConnectionError):
            connection.sendall(line * 40_000)


def test_short_trailer_is_read_and_the_connection_lives_on(collector: CollectorProcess) -> None:
    with connected(collector) as connection:
        body = request(snapshot())
        for _ in range(3):
            connection.sendall(b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n")
            connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(body), body))
            connection.sendall(b"X: " + b"v" * 30_000 + b"\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_tls_connection_that_says_nothing_is_closed_after_a_while(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    try:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no program openssl to make certificates with")
    prelude = "import edge_rai.fleet.server as c; c._HEADERS_TIMEOUT_S = 1.0; "
    options = ("--tls-certificate", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    with CollectorProcess(tmp_path / "store", *options, prelude=prelude) as collector:
        with connected(collector) as connection:
            assert connection.recv(1) == b""  # asyncio's own minute would be a timeout of this side
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        with (
            connected(collector) as connection,
            context.wrap_socket(connection, server_hostname="127.0.0.1") as wrapped,
        ):
            wrapped.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert wrapped.recv(4096).startswith(b"HTTP/1.1 200")
