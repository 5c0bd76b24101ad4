"""Snapshots made by hand, a real collector process, and one HTTP request."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics

from edge_rai.counts import FeatureCounts, Snapshot
from edge_rai.telemetry import otlp
from edge_rai.types import Feature

INSTANCE = "00112233445566778899aabbccddeeff"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
GZIP = {**PROTOBUF, "Content-Encoding": "gzip"}
# Without the current directory: the tree is there, and what is installed is tested.
_INSTALLED = "import sys; sys.path = [p for p in sys.path if p]; "  # and never the tree
_MAIN = "from edge_rai.cli import main; sys.exit(main())"


def counts(values: Sequence[int]) -> Any:
    return np.array(values, dtype=np.uint64)


FEATURES = (
    Feature("radius", 0.0, 9.0, 4.0, 2.0, "mm", 100, np.array([1.5, 3.0, 4.5], np.float64), counts([25, 25, 26, 24])),
    Feature("texture", -1.0, 1.0, 0.0, 1.0, "", 100, np.array([0.1], np.float64), counts([50, 50])),
    Feature("flags", -1.0, 1.0, 0.0, 0.0, "", 0, np.array([], np.float64), counts([])),
)


def snapshot(sequence: int = 0, **changes: Any) -> Snapshot:
    """A plausible snapshot for FEATURES, with fields replaced by `changes`."""
    latency = np.zeros(400, np.uint64)
    latency[[0, 120, 123]] = 1, 9, 3
    fields: dict[str, Any] = {
        "instance": INSTANCE,
        "epoch": 7,
        "sequence": sequence,
        "start_unix_ns": 1_700_000_000_000_000_000,
        "end_unix_ns": 1_700_000_060_000_000_000,
        "duration_ns": 60_000_000_000,
        "model_digest": "ab" * 32,
        "guard_digest": "cd" * 32,
        "calls": 13,
        "errors": 1,
        "rows_by_verdict": counts([20, 0, 4]),
        "rows_by_source": counts([20, 0, 0, 4, 0, 0]),
        "reasons": counts([0, 0, 0, 0, 3, 0, 1, 0, 0]),
        "decisions": counts([0, 0, 0, 0, 0, 2]),
        "latency": latency,
        "latency_sum_ns": 456_789,
        "features": (
            FeatureCounts(counts([5, 6, 7, 3]), 3, -1234, 99_999),
            FeatureCounts(counts([20, 4]), 0, 777, 88_888),
            FeatureCounts(counts([]), 2, 0, 0),
        ),
    }
    return Snapshot(**{**fields, **changes})


def promise(scope: ScopeMetrics, more: int) -> None:
    """Has a batch say that it was sent with so many data points more."""
    (name,) = (pair.value for pair in scope.scope.attributes if pair.key == otlp.BATCH)
    epoch, sequence, points = name.string_value.split(":")
    name.string_value = f"{epoch}:{sequence}:{int(points, 16) + more:x}"


def request(*snapshots: Snapshot) -> bytes:
    """One request, not compressed, as a relay would merge those of several batch files."""
    return b"".join(otlp.encode(one, FEATURES) for one in snapshots)  # protobuf merges by concatenation


def post(
    url: str, body: bytes, headers: Mapping[str, str] = PROTOBUF, path: str = "/v1/metrics"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def command_line(*arguments: str | Path) -> list[str]:
    """`edge-rai` with these arguments, run by this interpreter."""
    return [sys.executable, "-c", _INSTALLED + _MAIN, *map(str, arguments)]


class CollectorProcess:
    """`edge-rai collect` in a child process, which runs `prelude` (Python) first."""

    def __init__(self, store: Path, *options: str | Path, log: Path | None = None, prelude: str = "") -> None:
        command = command_line("collect", "--listen", "127.0.0.1:0", "--store", store, "--json", *options)
        command[2] = _INSTALLED + prelude + _MAIN
        with ExitStack() as stack:
            errors = stack.enter_context(log.open("w")) if log else None
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        if not self.first_line:
            raise AssertionError(f"the collector ended with {self.process.wait()}")
        self.url: str = json.loads(self.first_line)["listening"]

    def __enter__(self) -> CollectorProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """kill -9; also after `stop`."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it in the orderly way; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=20)
