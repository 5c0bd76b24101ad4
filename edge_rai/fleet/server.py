"""The collector's port: addresses, TLS, the time that headers may take, and an orderly end.

A connection whose next request does not begin is closed after some seconds, be it silent or dripping. Whoever takes all
places again and again still keeps others out: against that put a reverse proxy in front.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEADERS_TIMEOUT_S: Final = 10.0
_LARGEST_HEADERS_BYTES: Final = 64 << 10


class Tls(NamedTuple):
    """Files in PEM.

    Attributes:
        certificate: With the chain.
        key: Of it.
        client_authority: Whose certificates clients must have; None: they need none.
    """

    certificate: Path
    key: Path
    client_authority: Path | None


class _TimedServer(uvicorn.Server):
    """Gives a TLS handshake the time of headers: uvicorn cannot say it, and asyncio's minute is long for silence."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        if self.config.ssl:
            timed = partial(loop.create_server, ssl_handshake_timeout=_HEADERS_TIMEOUT_S)
            loop.create_server = timed  # type: ignore[method-assign]  # the loop is this server's own
        await super().startup(sockets)


class _TimedProtocol(HttpToolsProtocol):
    """Closes a connection whose next request has not begun, all its headers read, within a time and a number of bytes.

    Trailers count as headers do.

    uvicorn has a time limit only between a response and the first byte that follows it, and httptools none of size.
    """

    _deadline: asyncio.TimerHandle | None = None
    _headers_bytes = 0  # since a request began or the last of its body: headers, or trailers of a chunked one

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        self._headers_bytes += len(data)
        super().data_received(data)
        if self._headers_bytes > _LARGEST_HEADERS_BYTES:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        self._headers_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._headers_bytes = 0
        super().on_message_complete()

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
    return socket.create_server((host, int(port)), family=family, backlog=2048)


def serve(app: ASGIApp, listener: socket.socket, *, tls: Tls | None, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, then finishes the requests at hand and returns. Main thread only.

    Args:
        app: From ``make_app``.
        listener: From ``listen``.
        tls: None: plain HTTP.
        ready: Called once, when a signal already means a clean end.

    Raises:
        ValueError: The files of `tls` are no certificate and key.
        OSError: One of them cannot be read.
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
        proxy_headers=False,
        limit_concurrency=1000,
        timeout_graceful_shutdown=10,
    )
    config.load()
    if tls:
        config.ssl = _context(tls)
    server = _TimedServer(config)

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


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_authority:
            context.load_verify_locations(tls.client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise ValueError(
            f"{tls.certificate} and {tls.key} must be a certificate and its key in PEM, and the client authority a "
            f"certificate: {error.reason}"
        ) from error
    return context
