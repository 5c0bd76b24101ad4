"""Batches a second through a real collector, all answered after their commit; and a day of a fleet asked by DuckDB.

Beside the collector stands what it is made of, on the same machine: decoding alone, and commits alone. Last the
simulated fleet of fleet_sim.py at a tenth of its size. The table goes to benchmarks/results/fleet.txt.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pytest

from edge_rai.counts import FeatureCounts, Snapshot
from edge_rai.fleet import queries
from edge_rai.fleet.decode import decode
from edge_rai.fleet.engine import opened
from edge_rai.fleet.facts import facts_of
from edge_rai.fleet.queries import Part
from edge_rai.fleet.request import read_request
from edge_rai.fleet.roll import BINS, roll
from edge_rai.fleet.store import Store, stored
from edge_rai.telemetry import otlp
from edge_rai.types import Feature

BATCHES, CONNECTIONS, DEVICES = 6000, 64, 500
HOUR_NS = 3_600_000_000_000


Write = Callable[[str], None]


@pytest.fixture(scope="module")
def write() -> Iterator[Write]:
    """Prints lines, and saves them at the end."""
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(line)
        sys.stdout.write(f"\n{line}")

    yield take
    folder = Path(__file__).parent / "results"
    (folder / "fleet.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def batches(features: int) -> list[bytes]:
    """Exports of one window each: seven metrics, and those of so many features of 16 bins."""
    rng = np.random.default_rng(0)
    named = tuple(
        Feature(f"feature {i}", 0, 9, 4, 2, "mm", 800, np.linspace(-2, 2, 15), np.full(16, 50, np.uint64))
        for i in range(features)
    )
    counted = tuple(FeatureCounts(rng.integers(0, 300, 16, np.uint64), 3, -1234, 99_999) for _ in named)
    latency = np.zeros(400, np.uint64)
    latency[100:133] = 3
    rows = np.array([90, 3, 6], np.uint64)
    return [
        otlp.encode(
            Snapshot(
                instance=f"{index % DEVICES:032x}",
                epoch=1,
                sequence=index // DEVICES,
                start_unix_ns=10**18,
                end_unix_ns=10**18 + 60 * 10**9,
                duration_ns=60 * 10**9,
                model_digest="ab" * 32,
                guard_digest="cd" * 32,
                calls=99,
                errors=0,
                rows_by_verdict=rows,
                rows_by_source=rows,
                reasons=rows,
                decisions=rows,
                latency=latency,
                latency_sum_ns=10**6,
                features=counted,
            ),
            named,
        )
        for index in range(BATCHES)
    ]


def through_a_collector(bodies: list[bytes], store: Path) -> tuple[float, float]:
    """Batches a second, and a second of the collector's processor time, from connections that are kept."""
    head = "POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: gzip\r\n"
    packed = [otlp.compress(body) for body in bodies]
    waiting = iter([f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in packed])
    program = Path(sysconfig.get_path("scripts"), "edge-rai")
    command = [program, "collect", "--listen", "127.0.0.1:0", "--json", "--store", store]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, selectors.DefaultSelector() as selector:
        assert process.stdout is not None
        host, port = json.loads(process.stdout.readline())["listening"].removeprefix("http://").split(":")
        connections = [socket.create_connection((host, int(port)), timeout=60) for _ in range(CONNECTIONS)]
        start, answered = time.perf_counter(), 0
        for connection in connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(next(waiting))
        while answered < len(bodies):
            for key, _ in selector.select(60):
                connection = key.fileobj  # type: ignore[assignment]
                answer = connection.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200"), answer
                answered += 1
                following = next(waiting, None)
                if following:
                    connection.sendall(following)
        took = time.perf_counter() - start
        for connection in connections:
            connection.close()
        process.terminate()
        process.wait(60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert len(stored(store)) == len(bodies)
    return len(bodies) / took, len(bodies) / busy


@pytest.mark.parametrize("features", [0, 4, 30])
def test_batches_a_second(features: int, tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    bodies = batches(features)
    start = time.process_time()
    decoded = [facts_of(*decode(read_request(body))[0][0]) for body in bodies]
    decoding = (time.process_time() - start) / len(bodies)
    with closing(Store(tmp_path / "alone")) as store:
        start = time.perf_counter()
        for at in range(0, len(decoded), CONNECTIONS):
            store.add(decoded[at : at + CONNECTIONS], 10**18)
        storing = len(decoded) / (time.perf_counter() - start)
    rate, rate_busy = through_a_collector(bodies, tmp_path / "store")
    with capsys.disabled():
        write(
            f"{features:2} features, {len(otlp.compress(bodies[0]))} bytes gzip: {rate:.0f} batches/s answered after "
            f"commit ({rate_busy:.0f} a second of the collector's processor time, starting and rolling included); "
            f"decoding alone {decoding * 1e6:.0f} us, commits of {CONNECTIONS} alone {storing:.0f}/s"
        )


def fill(directory: Path) -> None:
    """Facts of 10,000 devices, 30 features, 24 hours: 7.2 million rows of 16 bins, as rolls leave them."""
    with closing(Store(directory)) as store, duckdb.connect() as engine:
        roll(store)
        bins = ", ".join(
            f"(100 + hash(device * 31 + feature * 7 + {index}) % 100)::BIGINT AS {name}"
            if index < 16
            else f"NULL::BIGINT AS {name}"
            for index, name in enumerate(BINS)
        )
        folder = directory / "facts/features/day=2026-11-22"
        folder.mkdir(parents=True)
        for hour in range(24):
            path = folder / f"{hour:012}-{hour:012}-1.parquet"
            engine.execute(
                f"COPY (SELECT md5(device::VARCHAR) AS instance, 'site ' || device % 20 AS site, "
                f"'1.' || device % 3 AS firmware, '7' AS model_version, repeat('ab', 32) AS model_digest, "
                f"repeat('cd', 32) AS guard_digest, ({hour * HOUR_NS} + device)::BIGINT AS received_unix_ns, "
                f"{hour}::BIGINT AS hour, 'feature ' || feature AS feature, md5(feature::VARCHAR) AS reference, "
                f"(device % 3)::BIGINT AS not_finite, 0::BIGINT AS z_sum, 0::BIGINT AS z_sum_squares, {bins} "
                f"FROM range(30) t(feature), range(10000) u(device)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
            )
            with store.transaction() as connection:
                row = (str(path.relative_to(directory)), "features", "2026-11-22", 1)
                connection.execute("INSERT INTO part VALUES (?, ?, ?, ?)", row)


def test_a_day_of_ten_thousand_devices_is_asked(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    asked = {
        "merged by feature": queries.histograms(Part()),
        "by feature and hour": queries.hourly_histograms(Part()),
        "by feature and site": queries.histograms(Part(), ["site"]),
        "one feature by hour": queries.hourly_histograms(Part(feature="feature 3")),
        "one device": queries.histograms(Part(instance="c4ca4238a0b923820dcc509a6f75849b")),
    }
    with opened(tmp_path) as engine, capsys.disabled():
        for name, query in asked.items():
            taken, busy = [], []
            for _ in range(3):
                start, start_busy = time.perf_counter(), time.process_time()
                rows = engine.rows(query)
                taken.append(time.perf_counter() - start)
                busy.append(time.process_time() - start_busy)
            write(
                f"10,000 devices x 30 features x 24 hours, {name}: {min(taken):.2f} s ({min(busy):.2f} s of processor "
                f"time), {len(rows)} rows"
            )


def test_a_thousand_devices_are_simulated(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    program = [sys.executable, str(Path(__file__).with_name("fleet_sim.py")), "--devices", "1000"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600, check=False)
    with capsys.disabled():
        for line in done.stdout.splitlines():
            write(line)
    assert done.returncode == 0, done.stderr
