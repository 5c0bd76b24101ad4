"""The connection to an OTLP receiver: one kept-alive, with gzip where the receiver takes it."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from edge_rai import _native
from edge_rai.telemetry import otlp
from edge_rai.telemetry.budget import Budget
from edge_rai.telemetry.settings import UploadSettings

LONGEST_WAIT_S: Final = 3600.0
REFUSES_GZIP: Final = frozenset({400, 415})  # or the request itself: who does not take gzip says it like this

_LARGEST_ANSWER_BYTES: Final = 64 << 10
_ANSWER_TIMEOUTS: Final = 3  # that an answer as a whole may take: one that drips keeps within each of its own
_MOST_HEAD_BYTES: Final = 512  # of a request, without its token


class Response(NamedTuple):
    """What a receiver answered."""

    status: int
    content_type: str
    body: bytes
    retry_after_s: float | None


class UndeliveredError(Exception):
    """The batch file stays."""

    def __init__(self, message: str, *, retryable: bool, ends_pass: bool = True, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.ends_pass = ends_pass
        self.wait_s = wait_s


class BudgetSpentError(Exception):
    """The day's bytes do not last for a request; ``never``: those of no day would."""

    def __init__(self, message: str, *, never: bool) -> None:
        super().__init__(message)
        self.never = never


def check_endpoint(endpoint: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path of an endpoint.

    Raises:
        ValueError: It is not like http://host:4318 or https://host/prefix.
    """
    url = urlsplit(endpoint)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or url.username:
        raise ValueError(f"the endpoint must be like http://host:4318 or https://host/prefix, not {endpoint!r}")
    return url.scheme, url.hostname, url.port, url.path


class Receiver:
    """An OTLP receiver for one pass over a spool. Honours no proxy; one thread at a time."""

    def __init__(self, settings: UploadSettings, budget: Budget | None) -> None:
        """Reads token and certificates, which may have been renewed since the pass before; connects to nobody yet.

        Raises:
            ValueError: The endpoint is not an http or https URL; a token would go over a network unencrypted, or its
                file holds none; certificates are not what they should be, or given for http.
            OSError: A file cannot be read.
        """
        scheme, host, port, path = check_endpoint(settings.endpoint)
        self._prefix = path.rstrip("/")
        self._budget = budget
        self._answer_timeout_s = _ANSWER_TIMEOUTS * settings.timeout_s
        self._token = _read_token(settings.token_file)
        self._gzip_taken: bool | None = None  # not known yet
        if self._token and scheme == "http" and not _is_loopback(host):
            raise ValueError(f"a token is sent over https only, and the endpoint is {settings.endpoint}")
        self._connection: http.client.HTTPConnection
        if scheme == "https":
            context = _context(settings)
            self._connection = http.client.HTTPSConnection(host, port, timeout=settings.timeout_s, context=context)
        elif settings.ca or settings.certificate:
            raise ValueError(f"certificates are for https, and the endpoint is {settings.endpoint}")
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=settings.timeout_s)

    def post(self, message: bytes, path: str) -> Response:
        """Sends a message, compressed; to a receiver that refuses the first compressed one, once more as it is.

        Raises:
            UndeliveredError: There was no answer.
            BudgetSpentError: The day's bytes do not last; nothing was sent.
        """
        if self._gzip_taken is False:
            return self._send(message, path, {})
        response = self._send(otlp.compress(message), path, {"Content-Encoding": "gzip"})
        if self._gzip_taken is None and response.status in REFUSES_GZIP:
            plain = self._send(message, path, {})
            if plain.status in REFUSES_GZIP:
                return plain
            self._gzip_taken = False
            return plain
        if response.status == 200:
            self._gzip_taken = True
        return response

    def close(self) -> None:
        """Ends the connection; the next ``post`` makes another."""
        self._connection.close()

    def _send(self, body: bytes, path: str, encoding: dict[str, str]) -> Response:
        headers = {"Content-Type": otlp.CONTENT_TYPE, "User-Agent": f"edge_rai/{_native.version()}", **encoding}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        reused = self._connection.sock is not None
        try:
            try:
                return self._exchange(body, path, headers)
            except (ConnectionError, http.client.RemoteDisconnected):
                if not reused:
                    raise
                self.close()  # receivers close idle connections; that says nothing about the next one
                return self._exchange(body, path, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # A certificate that does not verify today will not in a minute either.
            retryable = not isinstance(error, ssl.SSLCertVerificationError)
            reason = str(error) or type(error).__name__
            raise UndeliveredError(f"no answer ({reason})", retryable=retryable) from error

    def _exchange(self, body: bytes, path: str, headers: dict[str, str]) -> Response:
        if self._budget:
            self._charge(self._budget, len(body) + _MOST_HEAD_BYTES + len(self._token))
        self._connection.request("POST", self._prefix + path, body, headers)
        with _hung_up_after(self._answer_timeout_s, self._connection.sock), self._connection.getresponse() as response:
            answer = response.read(_LARGEST_ANSWER_BYTES + 1)
            is_done = response.isclosed()
        if response.length and len(answer) <= _LARGEST_ANSWER_BYTES:
            raise http.client.IncompleteRead(answer, response.length)  # else the nothing that came would be a receipt
        if len(answer) > _LARGEST_ANSWER_BYTES or not is_done:
            self.close()  # the rest of an answer nobody asked for is not read
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Response(response.status, content_type, answer, _retry_after_s(response))

    def _charge(self, budget: Budget, size: int) -> None:
        if not budget.take(size):
            never = size > budget.bytes_a_day
            left = "that is more than a whole day's" if never else f"{budget.left()} are left of the last 24 hours'"
            raise BudgetSpentError(
                f"a request of {size} bytes waits: {left} {budget.bytes_a_day} bytes"
                + ("; allow more" if never else ""),
                never=never,
            )


@contextmanager
def _hung_up_after(seconds: float, connected: socket.socket) -> Iterator[None]:
    """Ends a connection that the block is not done with by then.

    Raises:
        TimeoutError: It was not.
    """
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # not as TLS does, which another thread reads from

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError(f"not whole after {seconds:g} s")


def _read_token(path: Path | None) -> str:
    if path is None:
        return ""
    token = path.read_text(encoding="ascii", errors="replace").strip()
    if not token or not token.isprintable() or not token.isascii() or " " in token:
        raise ValueError(f"{path} must hold one token of printable ASCII characters and nothing else")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context(settings: UploadSettings) -> ssl.SSLContext:
    """Trusts the system's authorities, or those of ``ca`` alone; shows the device's certificate."""
    for file in (settings.ca, settings.certificate, settings.key):
        if file is not None:
            file.open("rb").close()  # what ssl raises names no file
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except ssl.SSLError as error:
        raise ValueError(f"{settings.ca} holds no certificates in PEM form ({error})") from error
    if settings.certificate:
        try:
            context.load_cert_chain(settings.certificate, settings.key)
        except ssl.SSLError as error:
            named = f"{settings.certificate} and {settings.key}" if settings.key else f"{settings.certificate}"
            raise ValueError(f"{named} are no certificate with its key in PEM form ({error})") from error
    return context


def _retry_after_s(response: http.client.HTTPResponse) -> float | None:
    """Seconds of a Retry-After header. A date is measured against the receiver's own Date: devices lack a clock."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), int(LONGEST_WAIT_S)))
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(response.headers.get("Date", ""))
        seconds = (until - now).total_seconds()
    except (TypeError, ValueError, OverflowError):  # not a date; or only one of them has a time zone
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)
