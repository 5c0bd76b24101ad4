"""What an agent has done, for a Prometheus that scrapes it (text exposition format 0.0.4)."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge_rai.telemetry.agent import UploadReport
from edge_rai.types import Verdict

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_HELP: Final = {
    "edge_agent_passes_total": "Passes over the spool.",
    "edge_agent_failed_passes_total": "Passes that could not deliver everything.",
    "edge_agent_batches_total": "Batch files by what became of them.",
    "edge_agent_waiting": "1 while quiet hours or the day's bytes hold back what there is.",
    "edge_agent_last_pass_timestamp_seconds": "Wall clock of the last pass.",
    "edge_spool_batches": "Batch files in the spool.",
    "edge_spool_bytes": "Bytes of all files of the spool.",
    "edge_calls_total": "Calls of predict that the delivered batches count.",
    "edge_rows_total": "Rows that they count, by verdict.",
}


class AgentCounts:
    """Counts since the agent began. Any thread."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._passes = self._failed = self._sent = self._refused = self._corrupt = self._calls = 0
        self._rows = [0, 0, 0]
        self._waiting = False
        self._last_s = 0.0

    def add(self, report: UploadReport) -> None:
        """Counts a pass."""
        with self._lock:
            self._passes += 1
            self._failed += report.error is not None
            self._sent += report.sent
            self._refused += len(report.refused)
            self._corrupt += len(report.corrupt)
            self._calls += report.calls
            self._rows = [one + more for one, more in zip(self._rows, report.rows, strict=True)]
            self._waiting = report.waiting is not None
            self._last_s = time.time()

    def text(self) -> str:
        """All of it, and what the spool holds now."""
        values = {name: dict(samples) for name, samples in self._samples()}
        lines = []
        for name, samples in values.items():
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {'counter' if _is_counter(name) else 'gauge'}"]
            lines += [f"{name}{labels} {value}" for labels, value in samples.items()]
        return "\n".join(lines) + "\n"

    def _samples(self) -> Iterator[tuple[str, list[tuple[str, float]]]]:
        sizes = _sizes(self._spool)
        with self._lock:
            fates = (("sent", self._sent), ("refused", self._refused), ("corrupt", self._corrupt))
            yield "edge_agent_passes_total", [("", self._passes)]
            yield "edge_agent_failed_passes_total", [("", self._failed)]
            yield "edge_agent_batches_total", [(f'{{fate="{fate}"}}', count) for fate, count in fates]
            yield "edge_agent_waiting", [("", int(self._waiting))]
            yield "edge_agent_last_pass_timestamp_seconds", [("", round(self._last_s, 3))]
            yield "edge_calls_total", [("", self._calls)]
            names = [verdict.name.lower() for verdict in Verdict]
            labelled = zip(names, self._rows, strict=True)
            yield "edge_rows_total", [(f'{{verdict="{name}"}}', count) for name, count in labelled]
        yield "edge_spool_batches", [("", sum(name.endswith(".batch") for name, _ in sizes))]
        yield "edge_spool_bytes", [("", sum(size for _, size in sizes))]


def _is_counter(name: str) -> bool:
    return name.endswith("_total")


def _sizes(folder: Path) -> list[tuple[str, int]]:
    """Files of the spool; those that go meanwhile are not there."""
    sizes = []
    for name in os.listdir(folder) if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            sizes.append((name, (folder / name).lstat().st_size))
    return sizes


class _Handler(http.server.BaseHTTPRequestHandler):
    server: ScrapeServer
    timeout = 10

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "metrics are at /metrics")
            return
        body = self.server.counts.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A scrape every few seconds is nothing to tell."""


class ScrapeServer(http.server.ThreadingHTTPServer):
    """Serves /metrics on a thread of its own, until it is closed."""

    daemon_threads = True

    def __init__(self, host: str, port: int, counts: AgentCounts) -> None:
        """Listens.

        Raises:
            OSError: The address cannot be listened at.
        """
        super().__init__((host, port), _Handler)
        self.counts = counts
        self._thread = threading.Thread(target=self.serve_forever, name="edge_rai metrics", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"{self.server_address[0]!s}:{self.server_address[1]}"

    def close(self) -> None:
        """Ends the thread and lets go of the address."""
        self.shutdown()
        self.server_close()
        self._thread.join()
