"""A simulated fleet against a real collector: .venv/bin/python benchmarks/fleet_sim.py, with --help for its size.

Devices go through outages (what they counted comes late and in bulk), reboots (a new epoch), receipts that are lost
(what was stored comes again), windows that are lost for ever (gaps), clock jumps of 20 years, and drift of one feature
on those with one firmware. The collector is killed with SIGKILL again and again. Afterwards the store must hold exactly
what was made: every count of every histogram, each window once, and no gap but those that were made.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from edge_rai.counts import DriftState, FeatureCounts, Snapshot
from edge_rai.fleet.engine import opened
from edge_rai.fleet.evidence import drifted_devices, judge_groups, read_watching
from edge_rai.fleet.queries import Part
from edge_rai.fleet.status import read_devices, read_features, read_groups
from edge_rai.fleet.store import stored
from edge_rai.telemetry import otlp
from edge_rai.types import Feature

BINS, ROWS, RELAYED, RATE = 16, 200, 50, 0.05
FEATURES = tuple(
    Feature(name, 0, 1, 0, 1, "", 8000, np.linspace(-1.5, 1.5, BINS - 1), np.full(BINS, 500, np.uint64))
    for name in ("temperature", "vibration", "<b>pressure</b>", "humidity")
)
SITES = [f"site {index:02}" for index in range(20)]
EVEN = np.full(BINS, 1 / BINS)
DRIFTED = np.linspace(1.6, 0.4, BINS) / BINS


class Fleet:
    """What devices send, and what the store must hold afterwards."""

    def __init__(self, devices: int, windows: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.windows = windows
        self.rows: dict[str, int] = defaultdict(int)
        self.bins = np.zeros((len(FEATURES), BINS), np.uint64)
        self.made: set[tuple[str, int, int]] = set()
        self.missing = 0
        self.names = [self.random.bytes(16).hex() for _ in range(devices)]
        self.drifting = set(self.names[::50])

    def batches(self) -> Iterator[bytes]:
        """All requests of single batches, in an order in which outages and bulk sending put them."""
        queues = {name: list(self._of(index, name)) for index, name in enumerate(self.names)}
        for _ in range(self.windows):
            for name in self.random.permutation(self.names).tolist():
                if self.random.random() < 0.2:
                    continue  # out of reach: what it counted comes another time
                waiting = queues[name]
                sent = int(self.random.integers(1, 4))
                yield from waiting[:sent]
                del waiting[: int(self.random.integers(0, sent + 1))]  # the receipts of the rest are lost
        for waiting in queues.values():
            yield from waiting

    def _of(self, index: int, name: str) -> Iterator[bytes]:
        epoch, sequence = int(self.random.integers(1, 2**20)) << 32, 0
        reboots = self.random.random(self.windows + 1) < 0.1
        reboots[0] = reboots[-1] = True
        for window in range(self.windows):
            if reboots[window]:
                epoch, sequence = epoch + (1 << 32), 0
            if self.random.random() < 0.005 and not reboots[window + 1]:  # else nothing shows that there was one
                self.missing += 1
            else:
                yield self._labelled(self._count(name, epoch, sequence, window), index)
            sequence += 1

    def _count(self, name: str, epoch: int, sequence: int, window: int) -> Snapshot:
        rejected = int(self.random.binomial(ROWS, 0.01))
        counted = [self.random.multinomial(ROWS, EVEN).astype(np.uint64) for _ in FEATURES]
        if name in self.drifting:
            counted[1] = self.random.multinomial(ROWS, DRIFTED).astype(np.uint64)
        self.bins += np.array(counted)
        self.rows["accept"] += ROWS - rejected
        self.rows["reject"] += rejected
        self.made.add((name, epoch, sequence))
        latency = np.zeros(400, np.uint64)
        latency[100 + self.random.integers(0, 20)] = ROWS
        jump = int(self.random.choice([0, 0, 0, 20, -20])) * 365 * 86400 * 10**9
        start = time.time_ns() + jump
        rows = ROWS * (window + 1)
        e_value = 1e6 if name in self.drifting else float(self.random.exponential())  # of mean 1, as an e-value's is
        return Snapshot(
            instance=name,
            epoch=epoch,
            sequence=sequence,
            start_unix_ns=start,
            end_unix_ns=start + 3600 * 10**9,
            duration_ns=3600 * 10**9,
            model_digest="ab" * 32,
            guard_digest="cd" * 32,
            calls=ROWS,
            errors=0,
            rows_by_verdict=np.array([ROWS - rejected, 0, rejected], np.uint64),
            rows_by_source=np.array([ROWS - rejected, 0, 0, rejected], np.uint64),
            reasons=np.array([0, 0, 0, 0, rejected], np.uint64),
            decisions=np.zeros(6, np.uint64),
            latency=latency,
            latency_sum_ns=ROWS * 10_000,
            features=tuple(FeatureCounts(one, 0, 0, 0) for one in counted),
            drift=DriftState(rows, e_value * rows, alarm=False),
        )

    def _labelled(self, snapshot: Snapshot, index: int) -> bytes:
        labels = {
            "edge.site": SITES[index % len(SITES)],
            "edge.firmware": "1.5" if snapshot.instance in self.drifting else "1.4",
            "artifact.version": "2026.11",
        }
        return otlp.encode(snapshot, FEATURES, labels.items())


class Collector:
    """`edge-rai collect` that can be killed and started again."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.start()

    def start(self) -> None:
        program = Path(sysconfig.get_path("scripts"), "edge-rai")
        command = [program, "collect", "--listen", "127.0.0.1:0", "--json", "--store", self.store]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())["listening"]
        self.connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()

    def post(self, body: bytes) -> bytes:
        headers = {"Content-Type": otlp.CONTENT_TYPE, "Content-Encoding": "gzip"}
        self.connection.request("POST", otlp.METRICS_PATH, otlp.compress(body), headers)
        response = self.connection.getresponse()
        answer = response.read()
        assert response.status == 200, (response.status, answer)
        return answer


def send(fleet: Fleet, collector: Collector, kills: int) -> int:
    """Sends everything as a relay would, RELAYED batches a request; what has no receipt after a kill, again."""
    requests = list(fleet.batches())
    groups = [b"".join(requests[at : at + RELAYED]) for at in range(0, len(requests), RELAYED)]
    deaths = set(fleet.random.choice(len(groups), min(kills, len(groups)), replace=False).tolist())
    for index, body in enumerate(groups):
        if index in deaths:
            collector.connection.request("POST", otlp.METRICS_PATH, body, {"Content-Type": otlp.CONTENT_TYPE})
            time.sleep(float(fleet.random.random()) * 0.1)
            collector.kill()
            collector.start()
        answer = collector.post(body)
        assert answer == b"", otlp.read_answer(answer)
    return len(requests)


def check(fleet: Fleet, store: Path) -> dict[str, Any]:
    """What is in the store against what was made."""
    ledger = stored(store)
    with opened(store) as engine:
        started = time.perf_counter()
        (group,) = read_groups(engine, Part())
        features = {one.feature: one for one in read_features(engine, Part())}
        devices = read_devices(engine, store, Part())
        watching = read_watching(engine, Part())
        took = time.perf_counter() - started
        by_firmware = {
            one.of["firmware"]: one for one in read_features(engine, Part(feature="vibration"), ["firmware"])
        }
    named = set(drifted_devices(watching, RATE))
    moved = [one.of["firmware"] for one in judge_groups(watching, ["firmware"], RATE) if one.moved]
    bins = np.array([features[one.name].window for one in FEATURES], np.uint64)
    surest = max(by_firmware.values(), key=lambda one: (one.psi or 0.0) / (one.error or 1.0))
    return {
        "each batch is stored once": {one[:3] for one in ledger} == fleet.made and len(ledger) == len(fleet.made),
        "rows by verdict are those made": {k: v for k, v in group.rows.items() if v} == dict(fleet.rows),
        "every bin of every histogram is as made": bool((bins == fleet.bins).all()),
        "no window is missing but those lost": sum(sum(one.missing.values()) for one in devices) == fleet.missing,
        "all devices are there": len(devices) == len(fleet.names),
        "the drifting firmware is the surest": surest.of["firmware"] == "1.5",
        "the firmware that its detectors name is the drifting one": moved == ["1.5"],
        "drifting devices named": f"{len(named & fleet.drifting)} of {len(fleet.drifting)}",
        "named wrongly": f"{len(named - fleet.drifting)} of {len(named)} (rate {RATE})",
        "status and drift of all took": f"{took:.2f} s",
    }


def main() -> int:
    """Runs the simulation; exit code 1 when something is not as it was made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--kills", type=int, default=5, help="of the collector")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a directory that is kept, with the store in it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = args.keep or Path(folder)
        fleet = Fleet(args.devices, args.windows, args.seed)
        collector = Collector(store)
        started = time.perf_counter()
        try:
            sent = send(fleet, collector, args.kills)
        finally:
            collector.kill()
        took = time.perf_counter() - started
        print(f"{args.devices} devices, {len(fleet.made)} batches made, {sent} sent with those that came again,")
        print(f"the collector killed {args.kills} times: {took:.0f} s, making them included")
        found = check(fleet, store)
    for what, value in found.items():
        print(f"{what}: {value}")
    return 0 if all(value is not False for value in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
