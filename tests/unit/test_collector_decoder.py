"""The process that decodes for the collector: what becomes of requests and of it when either is killed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_rai.fleet import ingest
from edge_rai.fleet.body import Body, Decoded, FailedError
from edge_rai.fleet.decoder import Decoder
from edge_rai.fleet.ingest import Ingest, Waiting
from edge_rai.fleet.store import Store, stored
from edge_rai.telemetry import otlp
from support.telemetry import CollectorProcess, post, request, snapshot


def decoder_of(collector: CollectorProcess) -> int:
    """The process that its collector has started."""
    pid = collector.process.pid
    (child,) = (
        int(child)
        for tasks in Path(f"/proc/{pid}/task").iterdir()
        for child in (tasks / "children").read_text().split()
    )
    return child


def is_alive(pid: int) -> bool:
    """And no zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < until, "the process that decodes lives on"
        time.sleep(0.01)


@contextmanager
def posted(collector: CollectorProcess, sequences: range) -> Iterator[list[Future[Any]]]:
    """Requests that wait for the process that decodes, which stands still."""
    decoder = decoder_of(collector)
    os.kill(decoder, signal.SIGSTOP)
    with ThreadPoolExecutor(len(sequences)) as threads:
        replies = [threads.submit(post, collector.url, request(snapshot(sequence))) for sequence in sequences]
        time.sleep(0.5)
        assert not any(reply.done() for reply in replies)
        try:
            yield replies
        finally:
            if is_alive(decoder):
                os.kill(decoder, signal.SIGCONT)


def test_requests_that_wait_are_answered_as_retryable_when_the_decoder_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with CollectorProcess(tmp_path / "store", log=log) as collector:
        assert post(collector.url, request(snapshot(0)))[0] == 200
        killed = decoder_of(collector)
        with posted(collector, range(1, 9)) as replies:
            os.kill(killed, signal.SIGKILL)
        for status, headers, body in (reply.result() for reply in replies):
            assert (status, otlp.read_status(body)) == (
                503,
                "the request could not be decoded; send it again",
            )
            assert int(headers["Retry-After"]) > 0
        assert [one.sequence for one in stored(tmp_path / "store")] == [0]
        assert "the process that decodes ended with -9; 8 requests get a 503" in log.read_text()
        assert post(collector.url, request(snapshot(1)))[0] == 200  # which another one decodes
        assert decoder_of(collector) != killed
        assert collector.stop() == 0
    assert [one.sequence for one in stored(tmp_path / "store")] == [0, 1]


def test_decoder_ends_with_its_collector_however_that_ended(tmp_path: Path) -> None:
    with CollectorProcess(tmp_path) as collector:
        decoder = decoder_of(collector)
        collector.kill()
        wait_until_gone(decoder)
    with CollectorProcess(tmp_path) as collector:
        assert post(collector.url, request(snapshot()))[0] == 200
        decoder = decoder_of(collector)
        assert collector.stop() == 0
        assert not is_alive(decoder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_all_processes_lets_those_that_wait_have_their_receipt(tmp_path: Path, number: int) -> None:
    with CollectorProcess(tmp_path) as collector:
        decoder = decoder_of(collector)
        with posted(collector, range(4)) as replies:
            os.kill(decoder, number)
            collector.process.send_signal(number)
            time.sleep(0.2)
        assert [reply.result()[0] for reply in replies] == [200] * 4
        assert collector.process.wait(timeout=20) == 0
    assert [one.sequence for one in stored(tmp_path)] == [0, 1, 2, 3]


def test_collector_whose_decoder_cannot_run_answers_as_retryable_and_ends_when_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with CollectorProcess(tmp_path / "store", log=log, prelude="sys.executable = '/bin/false'; ") as collector:
        assert post(collector.url, request(snapshot()))[0] == 503
        assert collector.stop() == 0
    assert "the process that decodes ended with 1" in log.read_text()


def test_another_process_is_tried_until_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ingest, "_PAUSE_S", 0.1)

    async def ask() -> object:
        waiting = Waiting(Body(request(snapshot()), False, False, False), asyncio.get_running_loop().create_future())
        taker.put(waiting)
        return (await asyncio.gather(waiting.answer, return_exceptions=True))[0]

    with closing(Store(tmp_path)) as store, caplog.at_level(logging.ERROR):
        taker = Ingest(store)
        try:
            assert asyncio.run(ask()) == otlp.Answer(0, "")
            program = sys.executable
            monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
            os.kill(taker._decoder.pid, signal.SIGKILL)
            while "no process to decode" not in caplog.text:
                time.sleep(0.01)
            answer = asyncio.run(ask())
            assert isinstance(answer, FailedError)
            assert answer.status == 503
            monkeypatch.setattr(sys, "executable", program)
            until = time.monotonic() + 20
            while asyncio.run(ask()) != otlp.Answer(0, ""):
                assert time.monotonic() < until
        finally:
            taker.stop()


def test_decoder_imports_nothing_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pickle", "edge_rai"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    decoder = Decoder()
    decoder.give(Body(request(snapshot()), False, False, False))
    decoder.flush()
    (found,) = decoder.take()
    assert isinstance(found, Decoded)
    decoder.give_no_more()
    assert decoder.take() == []
    assert decoder.wait() == 0
    decoder.close()
