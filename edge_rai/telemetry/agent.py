"""Uploads the spool over OTLP/HTTP and removes a batch file only after the receiver's receipt.

What each answer means (OTLP 1.x, docs/formats/otlp.md):

    200 with a valid body, nothing rejected    receipt: the file is removed
    200 with rejected data points; 400, 413    the receiver will never take it: moved into `refused/`, reported
    200 with any other body                    not a receipt (a captive portal says 200 too): the file stays
    429, 502, 503, 504, no connection          the file stays, the pass ends, the next one comes after a back-off
    another 5xx                                the file stays, the next one is tried, so that one batch that a receiver
                                               chokes on does not hold back the others
    anything else                              the file stays, the pass ends: the address or the rights are wrong
"""

from __future__ import annotations

import http.client
import logging
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from edge_rai import _native
from edge_rai.errors import DeliveryError, SpoolError
from edge_rai.telemetry import otlp
from edge_rai.telemetry.otlp_events import LOGS_PATH, encode_events
from edge_rai.telemetry.spool import CORRUPT, REFUSED, BatchFile, NotReadableYetError, Spool

LONGEST_WAIT_S: Final = 3600.0

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_UNACCEPTABLE: Final = frozenset({400, 413})  # said of this request, not of the receiver's state
_SERVER_FAULTS_ALLOWED: Final = 8  # a pass ends after so many: then it is the receiver, not the batch
_LARGEST_ANSWER_BYTES: Final = 64 << 10
_SHOWN_CHARACTERS: Final = 300

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class UploadReport:
    """What one pass over the spool did.

    Attributes:
        sent: Batch files delivered and removed.
        kept: Batch files that are still in the spool.
        refused: "name: why" of each batch file the receiver will never take; they are in `refused/`.
        corrupt: "name: why" of each batch file whose bytes are bad; they are in `corrupt/`.
        unreadable: "name: why" of each batch file that could not be handled here and now: of a newer format, without a
            sound guard program, or not to be read or moved. They are still in the spool and count as kept.
        error: Why the pass could not deliver everything; None when it could.
        retry_after_s: The wait the receiver asked for; None when it did not.
    """

    sent: int = 0
    kept: int = 0
    refused: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    error: DeliveryError | None = None
    retry_after_s: float | None = None


class _Response(NamedTuple):
    status: int
    content_type: str
    body: bytes
    retry_after_s: float | None


class _RefusedError(Exception):
    """The receiver will never take this batch."""


class _UndeliveredError(Exception):
    """The batch file stays."""

    def __init__(self, message: str, *, retryable: bool, ends_pass: bool = True, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.ends_pass = ends_pass
        self.wait_s = wait_s


def upload(spool_path: Path, endpoint: str, *, timeout_s: float = 10.0) -> UploadReport:
    """Makes one pass: every batch file in the order of (epoch, sequence), one request each, two with events.

    Killing it at any moment loses nothing; at worst a batch is sent again, and the collector knows it by its instance,
    epoch and sequence.

    Args:
        spool_path: The spool directory.
        endpoint: "http://host:port" or "https://host/prefix", to which "/v1/metrics" and "/v1/logs" are added.
        timeout_s: For each connecting, sending and receiving.

    Returns:
        What was sent and what was not. A receiver that is away is told there, not raised.

    Raises:
        ValueError: The endpoint is not an http or https URL.
        OSError: The spool cannot be listed.
        SpoolError: There is none; or a delivered batch file cannot be removed, and going on would send all of them
            again every pass.
    """
    receiver = _Receiver(endpoint, timeout_s)
    spool = Spool(spool_path)
    report = UploadReport()
    faults = 0
    try:
        for batch in spool.batches():
            failure = _deliver(spool, batch, receiver, report)
            if failure is None:
                continue
            faults += 1
            report.error = DeliveryError(f"{endpoint}: {failure}", retryable=failure.retryable)
            report.retry_after_s = failure.wait_s
            if failure.ends_pass or faults == _SERVER_FAULTS_ALLOWED:
                break
    finally:
        receiver.close()
    report.kept = len(spool.batches())
    return report


def upload_forever(
    one_pass: Callable[[], UploadReport],
    *,
    interval_s: float,
    sleep: Callable[[float], object] = time.sleep,
    uniform: Callable[[float, float], float] = random.uniform,
) -> None:
    """Repeats a pass until an exception ends it; the command line turns signals into one.

    After a pass that could not deliver, the wait doubles from `interval_s` up to LONGEST_WAIT_S; it is never shorter
    than what the receiver asked for. Every wait is spread at random, so that a fleet switched on together does not call
    together.
    """
    failures = 0
    while True:
        report = one_pass()
        failures = failures + 1 if report.error else 0
        sleep(next_wait_s(interval_s, failures, report.retry_after_s, uniform))


def next_wait_s(
    interval_s: float, failures: int, retry_after_s: float | None, uniform: Callable[[float, float], float]
) -> float:
    """Seconds until the next pass, after so many passes in a row that could not deliver."""
    if not failures:
        return uniform(0.9, 1.1) * interval_s
    longest = max(LONGEST_WAIT_S, interval_s)
    ceiling = min(interval_s * 2.0 ** min(failures, 32), longest)
    return max(uniform(ceiling / 2, ceiling), min(retry_after_s or 0.0, longest))


def _deliver(spool: Spool, batch: BatchFile, receiver: _Receiver, report: UploadReport) -> _UndeliveredError | None:
    """Sends one batch file; what it returns says why the receiver has not got it."""
    name = batch.path.name
    try:
        if not _send(spool, batch, receiver, report):
            return None
    except FileNotFoundError:
        return None  # another agent was quicker
    except (SpoolError, OSError) as error:
        report.unreadable.append(f"{name}: {error}")
        return None
    except _UndeliveredError as failure:
        return failure
    spool.remove(batch)
    report.sent += 1
    return None


def _send(spool: Spool, batch: BatchFile, receiver: _Receiver, report: UploadReport) -> bool:
    """Whether there is a receipt; without one the batch file has been set aside."""
    name = batch.path.name
    if not spool.offer(batch):
        raise FileNotFoundError(name)
    try:
        snapshot = spool.read(batch)
        features = spool.features(snapshot.guard_digest)
        request = otlp.encode(snapshot, features, _native.version())
        if snapshot.events:  # first: a receiver that takes no logs is to refuse the batch before it has its counts
            events = encode_events(snapshot, tuple(feature.name for feature in features), _native.version())
            _judge(receiver.post(otlp.compress(events), LOGS_PATH))
        _judge(receiver.post(otlp.compress(request), otlp.METRICS_PATH))
    except NotReadableYetError:
        raise
    except SpoolError as error:
        _log.warning("batch file %s is set aside as corrupt: %s", name, error)
        spool.set_aside(batch, CORRUPT)
        report.corrupt.append(f"{name}: {error}")
        return False
    except _RefusedError as refusal:
        _log.warning("batch file %s is set aside, the receiver refuses it: %s", name, refusal)
        spool.set_aside(batch, REFUSED)
        report.refused.append(f"{name}: {refusal}")
        return False
    return True


def _judge(response: _Response) -> None:
    """Returns on a receipt; raises _RefusedError or _UndeliveredError otherwise."""
    status = response.status
    if status == 200:
        _judge_receipt(response)
        return
    said = otlp.read_status(response.body)[:_SHOWN_CHARACTERS]
    message = f"answered {status}" + (f", {said!r}" if said else "")
    if status in _UNACCEPTABLE:
        raise _RefusedError(message)
    retryable = status in _RETRYABLE
    ends_pass = retryable or status < 500
    raise _UndeliveredError(message, retryable=retryable, ends_pass=ends_pass, wait_s=response.retry_after_s)


def _judge_receipt(response: _Response) -> None:
    try:
        if response.content_type != otlp.CONTENT_TYPE:
            raise ValueError(f"the content type is {response.content_type!r}, expected {otlp.CONTENT_TYPE!r}")
        answer = otlp.read_answer(response.body)
    except ValueError as error:
        message = f"answered 200, but that is no OTLP receipt: {error}; is the endpoint right, is a portal in between?"
        raise _UndeliveredError(message, retryable=True) from error
    if answer.rejected:
        raise _RefusedError(f"{answer.rejected} data points rejected, {answer.message[:_SHOWN_CHARACTERS]!r}")
    if answer.message:
        _log.warning("the receiver took a batch with a warning: %r", answer.message[:_SHOWN_CHARACTERS])


def check_endpoint(endpoint: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path of an endpoint.

    Raises:
        ValueError: It is not like http://host:4318 or https://host/prefix.
    """
    url = urlsplit(endpoint)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or url.username:
        raise ValueError(f"the endpoint must be like http://host:4318 or https://host/prefix, not {endpoint!r}")
    return url.scheme, url.hostname, url.port, url.path


class _Receiver:
    """One kept-alive connection to the endpoint. Honours no proxy; verifies certificates as the system does."""

    def __init__(self, endpoint: str, timeout_s: float) -> None:
        scheme, host, port, path = check_endpoint(endpoint)
        self._prefix = path.rstrip("/")
        self._connection: http.client.HTTPConnection
        if scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def post(self, body: bytes, path: str) -> _Response:
        reused = self._connection.sock is not None
        try:
            try:
                return self._exchange(body, path)
            except (ConnectionError, http.client.RemoteDisconnected):
                if not reused:
                    raise
                self.close()  # receivers close idle connections; that says nothing about the next one
                return self._exchange(body, path)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # A certificate that does not verify today will not in a minute either.
            retryable = not isinstance(error, ssl.SSLCertVerificationError)
            reason = str(error) or type(error).__name__
            raise _UndeliveredError(f"no answer ({reason})", retryable=retryable) from error

    def _exchange(self, body: bytes, path: str) -> _Response:
        headers = {
            "Content-Type": otlp.CONTENT_TYPE,
            "Content-Encoding": "gzip",
            "User-Agent": f"edge_rai/{_native.version()}",
        }
        self._connection.request("POST", self._prefix + path, body, headers)
        response = self._connection.getresponse()
        answer = response.read(_LARGEST_ANSWER_BYTES + 1)
        if len(answer) > _LARGEST_ANSWER_BYTES or not response.isclosed():
            self.close()  # the rest of an answer nobody asked for is not read
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return _Response(response.status, content_type, answer, _retry_after_s(response))

    def close(self) -> None:
        self._connection.close()


def _retry_after_s(response: http.client.HTTPResponse) -> float | None:
    """Seconds of a Retry-After header. A date is measured against the receiver's own Date: devices lack a clock."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), int(LONGEST_WAIT_S)))
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(response.headers.get("Date", ""))
        seconds = (until - now).total_seconds()
    except (TypeError, ValueError):  # not a date; or only one of them has a time zone
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)
