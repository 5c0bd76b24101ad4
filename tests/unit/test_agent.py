from __future__ import annotations

import http.server
import json
import signal
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai import SpoolSettings, UploadSettings, load
from edge_rai.cli.agent import sleep_that_signals_end
from edge_rai.errors import DeliveryError, SpoolError
from edge_rai.telemetry import otlp
from edge_rai.telemetry.agent import UploadReport, next_wait_s, upload, upload_forever
from edge_rai.telemetry.receiver import LONGEST_WAIT_S
from edge_rai.telemetry.spool import CORRUPT, REFUSED, Spool
from support.telemetry import PROTOBUF, command_line

Reply = tuple[int, dict[str, str], bytes]
RECEIPT: Reply = (200, PROTOBUF, b"")


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with the replies it is given, one a request, then with receipts; keeps what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[Reply] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.spool: Path | None = None
        self.files_at_request: list[int] = []
        self.hang_up_after_reply = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up on an answer is what some tests are about."""

    @property
    def sequences(self) -> list[int]:
        scopes = (
            ExportMetricsServiceRequest.FromString(zlib.decompress(body, wbits=31)).resource_metrics[0].scope_metrics[0]
            for body in self.bodies
        )
        named = (pair for scope in scopes for pair in scope.scope.attributes if pair.key == "edge.batch")
        return [int(pair.value.string_value.split(":")[1], 16) for pair in named]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        receiver = self.server
        receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        receiver.headers.append(dict(self.headers))
        receiver.paths.append(self.path)
        if receiver.spool:
            receiver.files_at_request.append(len(Spool(receiver.spool).batches()))
        status, headers, body = receiver.replies.pop(0) if receiver.replies else RECEIPT
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if receiver.hang_up_after_reply:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def kept(spool: Path) -> list[int]:
    return [batch.sequence for batch in Spool(spool).batches()]


def set_aside(spool: Path, folder: str) -> list[int]:
    return [batch.sequence for batch in Spool(spool / folder).batches()] if (spool / folder).exists() else []


def reply(status: int, **headers: str) -> Reply:
    return (status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


def test_batches_are_sent_in_order_and_removed_only_after_their_receipts(batch_spool: Path, receiver: Receiver) -> None:
    receiver.spool = batch_spool
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept, report.error) == (3, 0, None)
    assert receiver.sequences == [0, 1, 2]
    assert receiver.files_at_request == [3, 2, 1]
    assert kept(batch_spool) == []


def test_request_is_what_otlp_over_http_asks_for(batch_spool: Path, receiver: Receiver) -> None:
    upload(batch_spool, f"{receiver.url}/otlp/")
    assert receiver.paths == ["/otlp/v1/metrics"] * 3
    assert receiver.headers[0]["Content-Type"] == "application/x-protobuf"
    assert receiver.headers[0]["Content-Encoding"] == "gzip"


def test_batch_sent_twice_is_the_same_request_twice(batch_spool: Path, receiver: Receiver) -> None:
    receiver.replies = [reply(503)]
    upload(batch_spool, receiver.url)
    upload(batch_spool, receiver.url)
    assert receiver.sequences == [0, 0, 1, 2]
    assert receiver.bodies[0] == receiver.bodies[1]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_receiver_ends_the_pass_and_keeps_every_file(batch_spool: Path, receiver: Receiver, status: int) -> None:
    receiver.replies = [RECEIPT, reply(status, Retry_After="17")]
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept, report.retry_after_s) == (1, 2, 17.0)
    assert report.error is not None
    assert report.error.retryable
    assert kept(batch_spool) == [1, 2]
    assert len(receiver.bodies) == 2


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405])
def test_wrong_address_or_rights_end_the_pass_and_keep_every_file(
    batch_spool: Path, receiver: Receiver, status: int
) -> None:
    receiver.replies = [reply(status, Location="http://127.0.0.1:1/")]
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept) == (0, 3)
    assert report.error is not None
    assert not report.error.retryable
    assert f"answered {status}" in str(report.error)
    assert len(receiver.bodies) == 1


def test_batch_that_a_receiver_chokes_on_does_not_hold_back_the_others(batch_spool: Path, receiver: Receiver) -> None:
    receiver.replies = [reply(500)]
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept) == (2, 1)
    assert kept(batch_spool) == [0]
    assert report.error is not None


@pytest.mark.parametrize("status", [400, 413])
def test_refused_batch_is_set_aside_and_the_others_are_sent(batch_spool: Path, receiver: Receiver, status: int) -> None:
    # A 400 may be meant for gzip, so that it takes two.
    receiver.replies = [(status, PROTOBUF, otlp.write_status("bad bucket"))] * (2 if status == 400 else 1)
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept, report.error) == (2, 0, None)
    assert set_aside(batch_spool, REFUSED) == [0]
    assert "bad bucket" in report.refused[0]


def test_partially_refused_batch_is_set_aside_and_never_sent_again(batch_spool: Path, receiver: Receiver) -> None:
    receiver.replies = [(200, PROTOBUF, otlp.write_answer(otlp.Answer(3, "no deltas here")))]
    report = upload(batch_spool, receiver.url)
    assert (report.sent, len(report.refused)) == (2, 1)
    assert "3 data points rejected, 'no deltas here'" in report.refused[0]
    assert set_aside(batch_spool, REFUSED) == [0]
    upload(batch_spool, receiver.url)
    assert receiver.sequences == [0, 1, 2]


def test_warning_without_rejected_points_is_a_receipt(batch_spool: Path, receiver: Receiver) -> None:
    receiver.replies = [(200, PROTOBUF, otlp.write_answer(otlp.Answer(0, "deprecated")))]
    assert upload(batch_spool, receiver.url).sent == 3


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "text/html"}, b"<html>Accept our terms</html>"),
        (200, {"Content-Type": "text/html"}, b""),
        (200, PROTOBUF, b"<html>"),
        (200, PROTOBUF, b"\0" * 100_000),
        (204, {}, b""),
    ],
    ids=["portal", "empty page", "mislabelled page", "huge", "no content"],
)
def test_success_without_a_receipt_keeps_every_file(batch_spool: Path, receiver: Receiver, answer: Reply) -> None:
    receiver.replies = [answer]
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept) == (0, 3)
    assert kept(batch_spool) == [0, 1, 2]
    assert report.error is not None


def test_corrupt_batch_is_set_aside_and_never_holds_back_the_others(batch_spool: Path, receiver: Receiver) -> None:
    first = Spool(batch_spool).batches()[0].path
    first.write_bytes(first.read_bytes()[:-1])
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept, report.error) == (2, 0, None)
    assert report.corrupt[0].startswith(first.name)
    assert set_aside(batch_spool, CORRUPT) == [0]


def test_newer_batch_is_kept_with_the_reason_and_the_others_are_sent(batch_spool: Path, receiver: Receiver) -> None:
    first = Spool(batch_spool).batches()[0].path
    whole = first.read_bytes()
    first.write_bytes(whole[:8] + (6).to_bytes(4, "little") + whole[12:])
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept, report.corrupt, report.error) == (2, 1, [], None)
    assert report.unreadable[0].startswith(f"{first.name}: ")
    assert "format version 6" in report.unreadable[0]
    assert kept(batch_spool) == [0]
    first.write_bytes(whole)
    assert upload(batch_spool, receiver.url).sent == 1


@pytest.mark.parametrize("fault", ["flipped", "gone", "a directory"])
def test_bad_guard_program_costs_no_batch(batch_spool: Path, receiver: Receiver, fault: str) -> None:
    (guard,) = batch_spool.glob("guard-*.bin")
    whole = guard.read_bytes()
    guard.unlink()
    if fault == "flipped":
        guard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif fault == "a directory":
        guard.mkdir()
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept, report.corrupt, len(report.unreadable)) == (0, 3, [], 3)
    assert guard.name in report.unreadable[0]
    if fault == "a directory":
        guard.rmdir()
    guard.write_bytes(whole)
    assert upload(batch_spool, receiver.url).sent == 3


def test_odd_entry_of_the_spool_does_not_hold_back_the_others(batch_spool: Path, receiver: Receiver) -> None:
    odd = batch_spool / f"{0:016x}-{0:016x}.batch"
    odd.mkdir()
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept, report.corrupt, report.error) == (3, 1, [], None)
    assert report.unreadable[0].startswith(odd.name)


def test_corrupt_batch_that_cannot_be_set_aside_does_not_hold_back_the_others(
    batch_spool: Path, receiver: Receiver
) -> None:
    first = Spool(batch_spool).batches()[0].path
    first.write_bytes(b"")
    (batch_spool / CORRUPT).touch()
    report = upload(batch_spool, receiver.url)
    assert (report.sent, report.kept, report.corrupt, len(report.unreadable)) == (2, 1, [], 1)


def test_receiver_that_closes_idle_connections_gets_everything_once(batch_spool: Path, receiver: Receiver) -> None:
    receiver.hang_up_after_reply = True
    assert upload(batch_spool, receiver.url).sent == 3
    assert receiver.sequences == [0, 1, 2]


def test_absent_receiver_keeps_every_file(batch_spool: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    report = upload(batch_spool, f"http://127.0.0.1:{port}")
    assert (report.sent, report.kept) == (0, 3)
    assert report.error is not None
    assert report.error.retryable


def test_silent_receiver_keeps_every_file_after_the_timeout(batch_spool: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        report = upload(batch_spool, UploadSettings(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2))
    assert (report.sent, report.kept) == (0, 3)
    assert report.error is not None
    assert "timed out" in str(report.error)


def test_receiver_that_hangs_up_before_answering_gives_no_receipt(batch_spool: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:
        thread = threading.Thread(target=lambda: rude.accept()[0].close())
        thread.start()
        report = upload(batch_spool, f"http://127.0.0.1:{rude.getsockname()[1]}")
        thread.join()
    assert (report.sent, report.kept) == (0, 3)


@contextmanager
def answering(first: bytes, then: bytes = b"") -> Iterator[str]:
    """A receiver that says so to each request, the second part again and again until its client has gone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        connection.recv(1 << 20)
                        connection.sendall(first)
                        while then:
                            connection.sendall(then)
                            time.sleep(0.02)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("rest", [b"Content-Length: 20\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_answer_whose_body_did_not_come_is_no_receipt(batch_spool: Path, rest: bytes) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n" + rest) as url:
        report = upload(batch_spool, url)
    assert (report.sent, report.kept) == (0, 3)
    assert report.error is not None
    assert report.error.retryable


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n", b"\n"),
    ],
)
def test_answer_that_drips_without_an_end_is_given_up(batch_spool: Path, first: bytes, then: bytes) -> None:
    began = time.monotonic()
    with answering(first, then) as url:
        report = upload(batch_spool, UploadSettings(url, timeout_s=0.3))
    assert (report.sent, report.kept) == (0, 3)
    assert report.error is not None
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("endpoint", ["ftp://host", "host:4318", "http://", "http://host:port", "http://u:p@host", ""])
def test_endpoint_that_is_no_url_is_named(batch_spool: Path, endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint must be like|Port could not be"):
        upload(batch_spool, endpoint)


def test_missing_spool_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpoolError):
        upload(tmp_path / "absent", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "99999999999999999999"}, LONGEST_WAIT_S),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "Thu, 01 Jan 9999999999 00:00:00 GMT"}, None),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 +99999999999999"}, None),
        # The device's clock has no say: a date counts from the receiver's own.
        ({"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT", "Date": "Thu, 01 Jan 1970 00:00:30 GMT"}, 90.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT", "Date": "Thu, 01 Jan 1970 00:00:30 GMT"}, 0.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00", "Date": "Thu, 01 Jan 1970 00:00:30 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(
    batch_spool: Path,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    seconds: float | None,
) -> None:
    if "Date" in headers:  # http.server writes its own Date first, and the first one counts
        date = headers.pop("Date")
        monkeypatch.setattr(_Handler, "date_time_string", lambda *_: date)
    receiver.replies = [(503, headers, b"")]
    assert upload(batch_spool, receiver.url).retry_after_s == seconds


def test_waits_double_after_failures_up_to_the_longest_and_start_again_after_a_success() -> None:
    failed = UploadReport(error=DeliveryError("away", retryable=True))
    reports = iter([failed] * 8 + [UploadReport(), failed])
    waits: list[float] = []

    def one_pass() -> UploadReport:
        try:
            return next(reports)
        except StopIteration:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        upload_forever(one_pass, interval_s=60.0, sleep=waits.append, uniform=lambda _, high: high)
    assert waits == pytest.approx([120, 240, 480, 960, 1920, 3600, 3600, 3600, 66, 120])


def test_wait_is_spread_and_never_shorter_than_the_receiver_asks() -> None:
    assert next_wait_s(60.0, 1, None, lambda low, _: low) == 60.0
    assert next_wait_s(60.0, 0, None, lambda low, _: low) == pytest.approx(54.0)
    assert next_wait_s(60.0, 1, 500.0, lambda low, _: low) == 500.0
    assert next_wait_s(60.0, 1, 1e9, lambda low, _: low) == LONGEST_WAIT_S
    assert next_wait_s(7200.0, 5000, None, lambda _, high: high) == 7200.0


def test_command_exits_1_and_says_how_many_files_are_kept(batch_spool: Path) -> None:
    command = command_line("agent", "--spool", batch_spool, "--endpoint", "http://127.0.0.1:1", "--once")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == "sent 0, kept 3, refused 0, corrupt 0\n"
    assert "3 batch files are kept in the spool" in done.stderr
    assert kept(batch_spool) == [0, 1, 2]


def test_command_exits_0_with_json_when_all_is_delivered(batch_spool: Path, receiver: Receiver) -> None:
    command = command_line("agent", "--spool", batch_spool, "--endpoint", receiver.url, "--once", "--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "sent": 3,
        "kept": 0,
        "refused": [],
        "corrupt": [],
        "unreadable": [],
        "error": None,
        "retryable": None,
        "retry_after_s": None,
        "waiting": None,
    }


def test_command_exits_2_for_an_endpoint_that_is_no_url(batch_spool: Path) -> None:
    command = command_line("agent", "--spool", batch_spool, "--endpoint", "collector:4318", "--once")
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 2


def test_command_exits_1_and_says_which_batch_it_cannot_upload(batch_spool: Path, receiver: Receiver) -> None:
    (guard,) = batch_spool.glob("guard-*.bin")
    guard.unlink()
    command = command_line("agent", "--spool", batch_spool, "--endpoint", receiver.url, "--once")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "sent 0, kept 3, refused 0, corrupt 0\n")
    assert f"kept, cannot be uploaded now: {Spool(batch_spool).batches()[0].path.name}: " in done.stderr
    assert f"{guard.name} is missing" in done.stderr


def test_command_exits_4_with_a_sentence_when_there_is_no_spool(tmp_path: Path) -> None:
    command = command_line("agent", "--spool", tmp_path / "none", "--endpoint", "http://127.0.0.1:1", "--once")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"edge-rai: no spool directory at {tmp_path / 'none'}; give the one")


def errors_after(process: subprocess.Popen[str], number: int) -> str:
    """What a process that ends on this signal has printed on stderr; kills one that does not."""
    process.send_signal(number)
    try:
        return process.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def test_repeating_command_waits_for_a_spool_that_is_not_there_yet(batch_spool: Path, receiver: Receiver) -> None:
    later = batch_spool.with_name("later")
    command = command_line("agent", "--spool", later, "--endpoint", receiver.url, "--interval", "0.05")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == f"no spool directory at {later} yet: waiting for it\n"
        batch_spool.rename(later)
        assert process.stdout.readline() == "sent 3, kept 0, refused 0, corrupt 0\n"
        errors = errors_after(process, signal.SIGTERM)
    assert (process.returncode, errors) == (0, "")


def test_signal_that_came_just_before_a_wait_ends_it() -> None:
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with sleep_that_signals_end() as sleep:
            signal.raise_signal(signal.SIGTERM)
            began = time.monotonic()
            sleep(60.0)
            assert time.monotonic() - began < 30.0
    finally:
        signal.signal(signal.SIGTERM, previous)


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_repeating_command_ends_cleanly_on_a_signal(batch_spool: Path, receiver: Receiver, signal_name: str) -> None:
    command = command_line("agent", "--spool", batch_spool, "--endpoint", receiver.url, "--interval", "600")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sent 3, kept 0, refused 0, corrupt 0\n"
        errors = errors_after(process, getattr(signal, signal_name))
    assert (process.returncode, errors) == (0, "")


@pytest.fixture
def event_spool(linear_bundle: Path, tmp_path: Path) -> Path:
    """A spool with one batch, in which there are two events."""
    with load(linear_bundle, spool=SpoolSettings(tmp_path / "spool", events=8)) as session:
        session.predict(np.full((2, 3), np.nan, np.float32))
        session.flush()
    return tmp_path / "spool"


def test_events_are_sent_before_the_counts_and_both_need_a_receipt(event_spool: Path, receiver: Receiver) -> None:
    receiver.replies = [RECEIPT, (503, PROTOBUF, b"")]
    assert upload(event_spool, receiver.url).kept == 1
    report = upload(event_spool, receiver.url)
    assert (report.sent, report.kept, report.error) == (1, 0, None)
    assert receiver.paths == ["/v1/logs", "/v1/metrics"] * 2
    (resource_logs,) = ExportLogsServiceRequest.FromString(zlib.decompress(receiver.bodies[0], 31)).resource_logs
    assert [record.event_name for record in resource_logs.scope_logs[0].log_records] == ["edge.decision"] * 2


def test_receiver_that_takes_no_logs_loses_no_event(event_spool: Path, receiver: Receiver) -> None:
    receiver.replies = [(404, {}, b"")]
    report = upload(event_spool, receiver.url)
    assert (report.sent, report.kept, receiver.paths) == (0, 1, ["/v1/logs"])


def test_batch_is_offered_before_it_is_sent_and_the_mark_goes_with_it(batch_spool: Path, receiver: Receiver) -> None:
    receiver.replies = [(503, PROTOBUF, b"")]
    upload(batch_spool, receiver.url)
    first = Spool(batch_spool).batches()[0].path
    assert list(batch_spool.glob("*.offered")) == [first.with_suffix(".offered")]
    assert upload(batch_spool, receiver.url).sent == 3
    assert list(batch_spool.glob("*.offered")) == []
