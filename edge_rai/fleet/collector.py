"""The collector: takes batches over OTLP/HTTP and answers only when its store has them on disk.

    POST /v1/metrics    ExportMetricsServiceRequest as protobuf, plain or gzip
    GET  /healthz       "ok"

Requests may come from anybody who can reach the port: their size, the time their headers and their body take, and what
they unpack to are bounded. A connection whose next request does not begin is closed after some seconds, be it silent or
dripping. Whoever takes all places again and again still keeps others out: against that, and for authentication and TLS,
put a reverse proxy in front.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge_rai.errors import StoreError
from edge_rai.fleet.decode import MalformedRequestError, Refusal, decode
from edge_rai.fleet.store import Outcome, Store
from edge_rai.telemetry import otlp

LARGEST_REQUEST_BYTES: Final = 16 << 20  # as sent, and again unpacked; a batch of 1,000 features is 1 MB

_LARGEST_WAITING_BYTES: Final = 128 << 20  # of all requests together
_HEADERS_TIMEOUT_S: Final = 10.0
_BODY_TIMEOUT_S: Final = 30.0
_RETRY_AFTER_S: Final = 30
_LONGEST_MESSAGE: Final = 1000

_log = logging.getLogger(__name__)


class _FailedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Collector:
    """The routes' state. One event loop; decoding and storing happen in one worker thread, in order of arrival."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="edge-rai-store")
        self._waiting_bytes = 0

    async def post_metrics(self, request: Request) -> Response:
        held = bytearray()
        try:
            compressed = _check_headers(request)
            await self._receive(request, held)
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._worker, self._ingest, bytes(held), compressed)
        except _FailedError as failure:
            headers = {"Retry-After": str(_RETRY_AFTER_S)} if failure.status == 503 else None
            body = otlp.write_status(str(failure))
            return Response(body, failure.status, headers, media_type=otlp.CONTENT_TYPE)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            self._waiting_bytes -= len(held)
        return Response(otlp.write_answer(answer), media_type=otlp.CONTENT_TYPE)

    async def _receive(self, request: Request, held: bytearray) -> None:
        async def read() -> None:
            async for chunk in request.stream():
                held.extend(chunk)
                self._waiting_bytes += len(chunk)
                if len(held) > LARGEST_REQUEST_BYTES:
                    raise _FailedError(413, f"a request has at most {LARGEST_REQUEST_BYTES} bytes")
                if self._waiting_bytes > _LARGEST_WAITING_BYTES:
                    raise _FailedError(503, "too many requests at once")

        try:
            await asyncio.wait_for(read(), _BODY_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise _FailedError(408, f"the body did not arrive within {_BODY_TIMEOUT_S:g} s") from None

    def _ingest(self, body: bytes, compressed: bool) -> otlp.Answer:
        try:
            batches, refusals = decode(_unpack(body) if compressed else body)
        except MalformedRequestError as error:
            raise _FailedError(400, str(error)) from error
        try:
            outcomes = self._store.add([batch for batch, _ in batches], self._clock()) if batches else []
        except StoreError as error:
            _log.error("nothing stored: %s", error)
            raise _FailedError(503, "the store cannot be written") from error
        for (batch, points), outcome in zip(batches, outcomes, strict=True):
            if outcome is Outcome.CONFLICT:
                refusals.append(
                    Refusal(
                        points,
                        f"epoch {batch.epoch}, sequence {batch.sequence} of instance {batch.instance} is stored with "
                        "other contents: two devices share one spool instance, as copies of one disk image do",
                    )
                )
        for refusal in refusals:
            _log.warning("refused a batch of %d data points: %s", refusal.points, refusal.message)
        message = "; ".join(refusal.message for refusal in refusals[:3])
        # A refusal of an empty scope would else look like a receipt.
        rejected = sum(max(refusal.points, 1) for refusal in refusals)
        return otlp.Answer(rejected, message[:_LONGEST_MESSAGE])


async def _get_health(_request: Request) -> Response:
    return PlainTextResponse("ok")


class _TimedProtocol(H11Protocol):
    """Closes a connection whose next request has not begun, all its headers read, within _HEADERS_TIMEOUT_S.

    uvicorn has a time limit only between a response and the first byte that follows it.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_deadline()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def _start_deadline(self) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(_HEADERS_TIMEOUT_S, self._close_unless_busy)

    def _stop_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()

    def _close_unless_busy(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def make_app(store: Store, clock: Callable[[], int] = time.time_ns) -> Starlette:
    """The ASGI application.

    Args:
        store: Where batches go. The caller closes it after the application.
        clock: Nanoseconds since 1970, for the time of receipt.
    """
    collector = _Collector(store, clock)
    routes = [
        Route(otlp.METRICS_PATH, collector.post_metrics, methods=["POST"]),
        Route("/healthz", _get_health, methods=["GET"]),
    ]
    return Starlette(routes=routes)


def listen(address: str) -> socket.socket:
    """Binds "host:port" and listens; port 0 takes a free one.

    Raises:
        ValueError: The address has another form.
        OSError: It cannot be bound.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"the address must be host:port, such as 127.0.0.1:4318, not {address!r}")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family)


def serve(app: Starlette, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, then finishes the requests at hand and returns. Main thread only.

    Args:
        app: From ``make_app``.
        listener: From ``listen``.
        ready: Called once, when a signal already means a clean end.
    """
    config = uvicorn.Config(
        app,
        http=_TimedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=1000,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    # uvicorn handles both signals while it runs and raises them again afterwards: then, too, they mean a clean end.
    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ready()
        server.run(sockets=[listener])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _check_headers(request: Request) -> bool:
    """Whether the body is gzipped."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != otlp.CONTENT_TYPE:
        raise _FailedError(415, f"the content type must be {otlp.CONTENT_TYPE}")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity"):
        raise _FailedError(415, "the content encoding must be gzip or identity")
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length[:18]) > LARGEST_REQUEST_BYTES:
        raise _FailedError(413, f"a request has at most {LARGEST_REQUEST_BYTES} bytes")
    return encoding == "gzip"


def _unpack(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        message = unpacker.decompress(body, LARGEST_REQUEST_BYTES + 1)
    except zlib.error as error:
        raise _FailedError(400, "the body is not gzip") from error
    if len(message) > LARGEST_REQUEST_BYTES:
        raise _FailedError(413, f"a request has at most {LARGEST_REQUEST_BYTES} bytes unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise _FailedError(400, "the body is not one whole gzip member")
    return message
