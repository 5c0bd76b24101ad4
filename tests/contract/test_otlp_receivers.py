"""Uploads to OTLP receivers that nobody here wrote.

EDGE_RAI_RECEIVERS names a virtual environment with ddapm-test-agent and rotel, as `make test` makes it; without it
these tests are skipped, and those with rotel also where Python came without its shared library, which rotel loads.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai import SpoolSettings, Verdict, load
from edge_rai.fleet.store import FILE_NAME
from edge_rai.telemetry import otlp
from edge_rai.telemetry.agent import upload
from edge_rai.telemetry.spool import Spool
from support.telemetry import PROTOBUF, CollectorProcess, post

START_TIMEOUT_S = 60.0
# A Python outside the system's directories has its shared library where the loader does not look by itself.
ENVIRONMENT = os.environ | {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}
EXIT_NOT_LOADED = 127


def installed(pattern: str) -> Path:
    """A program of the receivers' virtual environment, or the reason to skip."""
    environment = os.environ.get("EDGE_RAI_RECEIVERS")
    if not environment:
        pytest.skip("EDGE_RAI_RECEIVERS is not set: no virtual environment with foreign OTLP receivers")
    found = sorted(Path(environment).glob(pattern))
    if not found:
        pytest.skip(f"{environment} has no {pattern}: no wheel for this machine")
    return found[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running(command: list[str | Path], port: int, log: Path) -> Iterator[None]:
    """A child process, from the moment it accepts connections on its port."""
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent, env=ENVIRONMENT) as process,
    ):
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(log.read_text(errors="replace")) from None
                    time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def ddapm(tmp_path: Path) -> Iterator[str]:
    program = installed("bin/ddapm-test-agent")
    port = free_port()
    ports = ["--port", free_port(), "--otlp-http-port", port, "--otlp-grpc-port", free_port()]
    with running([program, *map(str, ports)], port, tmp_path / "ddapm.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def rotel(tmp_path: Path, backend: str, *options: str) -> Iterator[str]:
    program = installed("lib/python*/site-packages/rotel/rotel-agent")
    attempt = subprocess.run([program, "--version"], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if attempt.returncode == EXIT_NOT_LOADED:
        pytest.skip(attempt.stderr.strip())
    port = free_port()
    listen = ["--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
    export = ["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--otlp-exporter-endpoint", backend]
    files = ["--pid-file", str(tmp_path / "rotel.pid"), "--log-file", str(tmp_path / "rotel-own.log")]
    with running([program, "start", *listen, *export, *files, *options], port, tmp_path / "rotel.log"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def oteltap(tmp_path: Path) -> Iterator[str]:
    program = installed("bin/oteltap")
    port = free_port()
    with running([program, "--port", str(port)], port, tmp_path / "oteltap.log"):
        yield f"http://127.0.0.1:{port}"


def identities(spool: Path) -> set[tuple[str, int, int]]:
    reader = Spool(spool)
    snapshots = [reader.read(batch) for batch in reader.batches()]
    return {(snapshot.instance, snapshot.epoch, snapshot.sequence) for snapshot in snapshots}


def stored_events(directory: Path) -> list[int]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM event ORDER BY number")]


def stored(directory: Path) -> set[tuple[str, int, int]]:
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return set(connection.execute("SELECT instance, epoch, sequence FROM batch"))


def test_ddapm_takes_every_batch_and_reads_the_counts_that_were_made(batch_spool: Path, ddapm: str) -> None:
    reader = Spool(batch_spool)
    accepted = {batch.sequence: reader.read(batch).rows_by_verdict.tolist()[0] for batch in reader.batches()}
    report = upload(batch_spool, ddapm)
    assert (report.sent, report.kept, report.error) == (3, 0, None)
    connection = http.client.HTTPConnection(ddapm.removeprefix("http://"), timeout=20)
    connection.request("GET", "/test/session/metrics", headers={"Content-Type": "application/json"})
    requests = json.loads(connection.getresponse().read())
    connection.close()
    seen = {}
    for request in requests:
        (scope_metrics,) = request["resource_metrics"][0]["scope_metrics"]
        about = {pair["key"]: pair["value"] for pair in scope_metrics["scope"]["attributes"]}
        metrics = {metric["name"]: metric for metric in scope_metrics["metrics"]}
        rows = {
            point["attributes"][0]["value"]["string_value"]: int(point.get("as_int", 0))
            for point in metrics["edge.verdict"]["sum"]["data_points"]
        }
        seen[int(about["edge.batch"]["string_value"].split(":")[1], 16)] = rows["accept"]
        assert metrics["edge.duration"]["exponential_histogram"]["data_points"][0]["scale"] == 3
    assert seen == accepted


@pytest.fixture
def event_spool(linear_bundle: Path, tmp_path: Path) -> Path:
    """One batch with five events."""
    settings = SpoolSettings(tmp_path / "events", events=100)
    with load(linear_bundle, spool=settings) as session:
        for _ in range(5):
            session.predict(np.full((1, 3), np.nan, np.float32))
        session.flush()
    return tmp_path / "events"


def test_ddapm_reads_the_events_that_there_were(event_spool: Path, ddapm: str) -> None:
    assert upload(event_spool, ddapm).sent == 1
    connection = http.client.HTTPConnection(ddapm.removeprefix("http://"), timeout=20)
    connection.request("GET", "/test/session/logs", headers={"Content-Type": "application/json"})
    (request,) = json.loads(connection.getresponse().read())
    connection.close()
    (scope_logs,) = request["resource_logs"][0]["scope_logs"]
    records = [
        {pair["key"]: int(pair["value"].get("int_value", 0)) for pair in record["attributes"]}
        for record in scope_logs["log_records"]
    ]
    assert [record["edge.number"] for record in records] == [0, 1, 2, 3, 4]
    assert {record["edge.verdict"] for record in records} == {Verdict.REJECT}
    assert {record["event_name"] for record in scope_logs["log_records"]} == {"edge.decision"}


def test_relay_passes_events_on_to_our_collector(event_spool: Path, tmp_path: Path) -> None:
    with CollectorProcess(tmp_path / "store") as collector, rotel(tmp_path, collector.url) as url:
        assert upload(event_spool, url).sent == 1
        deadline = time.monotonic() + 20
        while not (numbers := stored_events(tmp_path / "store")) and time.monotonic() < deadline:
            time.sleep(0.1)
    assert numbers == [0, 1, 2, 3, 4]


def test_receiver_that_rejects_gzip_gets_everything_as_it_is(batch_spool: Path, oteltap: str, tmp_path: Path) -> None:
    report = upload(batch_spool, oteltap)
    assert (report.sent, report.kept, report.refused, report.error) == (3, 0, [], None)
    assert (tmp_path / "oteltap.log").read_text().count("edge.duration") == 3


def test_relay_passes_whole_batches_on_to_our_collector(batch_spool: Path, tmp_path: Path) -> None:
    expected = identities(batch_spool)
    with CollectorProcess(tmp_path / "store") as collector, rotel(tmp_path, collector.url) as url:
        report = upload(batch_spool, url)
        assert (report.sent, report.kept, report.error) == (3, 0, None)
        deadline = time.monotonic() + 20
        while stored(tmp_path / "store") != expected and time.monotonic() < deadline:
            time.sleep(0.1)
        assert stored(tmp_path / "store") == expected


def test_batch_that_a_real_relay_splits_is_refused_and_never_half_stored(batch_spool: Path, tmp_path: Path) -> None:
    reader = Spool(batch_spool)
    first, *others = reader.batches()
    for batch in others:
        reader.remove(batch)
    snapshot = reader.read(first)
    request = ExportMetricsServiceRequest.FromString(otlp.encode(snapshot, reader.features(snapshot.guard_digest)))
    # rotel counts metrics, splits a batch in two at most, and forgets the resource of one half.
    limit = str(len(request.resource_metrics[0].scope_metrics[0].metrics) - 1)
    log = tmp_path / "collector.log"
    with ExitStack() as stack:
        collector = stack.enter_context(CollectorProcess(tmp_path / "store", log=log))
        url = stack.enter_context(rotel(tmp_path, collector.url, "--batch-max-size", limit))
        assert upload(batch_spool, url).sent == 1  # a relay's receipt says nothing of the collector
        deadline = time.monotonic() + 20
        while log.read_text().count("WARNING refused") < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
    assert log.read_text().count("WARNING refused") == 2
    assert stored(tmp_path / "store") == set()


def test_relay_answers_junk_with_the_status_the_agent_sets_files_aside_for(tmp_path: Path) -> None:
    with rotel(tmp_path, "http://127.0.0.1:1") as url:
        assert post(url, b"junk", PROTOBUF)[0] == 400
