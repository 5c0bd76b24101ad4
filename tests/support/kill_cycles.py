"""A device, its agent and a collector, any of which is killed at any moment, again and again; and what was stored.

Device and agent are forked from a process that has imported what they need, so that a cycle takes a fraction of a
second. The device writes to a log what it is about to flush and what has been flushed: the first is all that may be
stored, the second all that must be.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from edge_rai.fleet.store import FILE_NAME, stored
from edge_rai.telemetry.agent import upload
from edge_rai.telemetry.spool import Spool
from support.telemetry import command_line

_MOST_S = 60.0

_PARENT = """
import os, signal, sys, time
sys.path = [path for path in sys.path if path]
import numpy
import edge_rai.telemetry.agent as agent
from edge_rai.backends.opening import open_session
from pathlib import Path

def device(bundle, spool, log):
    session = open_session(bundle, runtime=None, spool=spool, threads=1, clock=None, provider=None, provider_path=None,
                           cache_bytes=0, spool_quota_bytes=256 << 10, events=8)
    epoch, number = session.snapshot().epoch, 0
    fine, bad = numpy.ones((1, 3), numpy.float32), numpy.full((1, 3), numpy.nan, numpy.float32)
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    while True:
        rows = 1 + number % 3
        for row in range(rows):
            session.predict([bad if row == 1 else fine])
        os.write(file, f"flushing {epoch} {number} {rows}\\n".encode())
        session.flush()
        os.write(file, f"flushed {epoch} {number} {rows}\\n".encode())
        number += 1
        time.sleep(0.002)

def uploading(spool, url):
    while True:
        agent.upload(Path(spool), url)
        time.sleep(0.005)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if child == 0:
        try:
            {"device": device, "uploading": uploading}[name](*arguments)
        finally:
            os._exit(3)
    print(child, flush=True)
"""


class Outcome(NamedTuple):
    """What came of the cycles.

    Attributes:
        killed: By what was killed, how often.
        flushed: Windows of which the device said that they are stored.
        rows: Rows that the collector's ledger has, and those of all windows that it says to have.
        lost: Windows that were flushed and are not in the ledger.
        twice: Windows that are in it more than once, or that no device made.
    """

    killed: dict[str, int]
    flushed: int
    rows: tuple[int, int]
    lost: int
    twice: int


class _Machine:
    """The three of them."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        self.spool, self.log, self.store = folder / "spool", folder / "log", folder / "store"
        self._bundle, self._folder = bundle, folder
        self.log.touch()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._collector: subprocess.Popen[Any] | None = None
        self._children: dict[str, int] = {}
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def start(self, name: str) -> None:
        """Starts what does not run."""
        if name == "collector":
            self._start_collector()
            return
        last = (self._bundle, self.spool, self.log) if name == "device" else (self.spool, self.url)
        assert self._parent.stdin is not None
        print(name, *last, sep="\t", file=self._parent.stdin, flush=True)
        self._children[name] = int(self._answer())

    def kill(self, name: str) -> None:
        """kill -9, and waits for the end of it."""
        if name == "collector" and self._collector is not None:
            self._collector.kill()
            self._collector.wait()
            self._collector = None
        elif name in self._children:
            child = self._children.pop(name)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            while Path(f"/proc/{child}").exists():
                time.sleep(0.001)

    def end(self) -> None:
        for name in ("device", "uploading", "collector"):
            self.kill(name)
        self._parent.kill()
        self._parent.wait()
        for stream in (self._parent.stdin, self._parent.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def runs(self, name: str) -> bool:
        return self._collector is not None if name == "collector" else name in self._children

    def _answer(self) -> str:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().strip()

    def _start_collector(self) -> None:
        """Says so once it listens; meanwhile the device has a backend that is away."""
        command = command_line("collect", "--listen", f"127.0.0.1:{self._port}", "--store", self.store)
        with (self._folder / "collector.log").open("ab") as log:
            self._collector = subprocess.Popen(command, stdout=log, stderr=log)


@contextmanager
def _machine(bundle: Path, folder: Path) -> Iterator[_Machine]:
    machine = _Machine(bundle, folder)
    try:
        yield machine
    finally:
        machine.end()


def run_cycles(bundle: Path, folder: Path, cycles: int, seed: int) -> Outcome:
    """Kills so many times; then lets the rest arrive, and compares."""
    chance, killed = random.Random(seed), {"device": 0, "uploading": 0, "collector": 0}
    with _machine(bundle, folder) as machine:
        for _ in range(cycles):
            for name in killed:
                if not machine.runs(name):
                    machine.start(name)
            time.sleep(chance.expovariate(1 / 0.15))
            victims = chance.choices(
                [("device",), ("uploading",), ("device", "uploading"), ("collector",)], [4, 4, 1, 1]
            )
            for name in victims[0]:
                machine.kill(name)
                killed[name] += 1
        for name in ("device", "uploading"):
            machine.kill(name)
        if not machine.runs("collector"):
            machine.start("collector")
        _deliver_rest(machine)
    return _compare(machine, killed)


def _deliver_rest(machine: _Machine) -> None:
    until = time.monotonic() + _MOST_S
    while Spool(machine.spool).batches():
        report = upload(machine.spool, machine.url)
        if report.error:
            assert time.monotonic() < until, (report, (machine._folder / "collector.log").read_text()[-2000:])
            time.sleep(0.05)
        assert not report.refused, report.refused
        assert not report.corrupt, report.corrupt


def _compare(machine: _Machine, killed: dict[str, int]) -> Outcome:
    said: dict[str, dict[tuple[int, int], int]] = {"flushing": {}, "flushed": {}}
    for line in machine.log.read_text().splitlines():
        what, epoch, number, rows = line.split()
        said[what][int(epoch), int(number)] = int(rows)
    there = _windows(machine.store)
    names = set(there)
    twice = len(there) - len(names) + len(names - set(said["flushing"]))
    expected = sum(said["flushing"].get(name, 0) for name in names)
    ledger = sum(one.rows for one in stored(machine.store))
    return Outcome(killed, len(said["flushed"]), (ledger, expected), len(set(said["flushed"]) - names), twice)


def _windows(store: Path) -> list[tuple[int, int]]:
    """Every window that the ledger says to have, as often as it says so."""
    with closing(sqlite3.connect(store / FILE_NAME)) as connection:
        spans = connection.execute("SELECT epoch, first, count FROM span").fetchall()
    return [(epoch, first + i) for epoch, first, count in spans for i in range(count)]
