"""The collector's routes: takes batches over OTLP/HTTP and answers only when its store has them on disk.

    POST /v1/metrics    ExportMetricsServiceRequest, protobuf or JSON, plain or gzip
    POST /v1/logs       ExportLogsServiceRequest, likewise
    GET  /healthz       "ok"
    GET  /              the fleet, for people (edge_rai/fleet/page)

Requests may come from anybody who can reach the port: their size, the time their body takes, and what they unpack to
are bounded here, the time of their headers in ``server``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_rai.fleet.access import is_allowed
from edge_rai.fleet.body import LARGEST_REQUEST_BYTES, Body, FailedError
from edge_rai.fleet.ingest import Ingest, Waiting
from edge_rai.telemetry import otlp
from edge_rai.telemetry.otlp_events import LOGS_PATH

_JSON: Final = "application/json"
_LARGEST_WAITING_BYTES: Final = 128 << 20  # of all requests together
_BODY_TIMEOUT_S: Final = 30.0
_RETRY_AFTER_S: Final = 30


class Tokens(NamedTuple):
    """Who may do what; none: anybody may.

    Attributes:
        devices: May send.
        readers: May look.
    """

    devices: tuple[bytes, ...] = ()
    readers: tuple[bytes, ...] = ()


_ANYBODY: Final = Tokens()


class _Collector:
    """The routes' state, of one event loop."""

    def __init__(self, ingest: Ingest, tokens: Tokens) -> None:
        self._ingest = ingest
        self._tokens = tokens
        self._waiting_bytes = 0

    async def post(self, request: Request) -> Response:
        held = bytearray()
        content_type = _content_type(request)
        try:
            compressed = self._check_headers(request, content_type)
            await self._receive(request, held)
            answer = asyncio.get_running_loop().create_future()
            body = Body(bytes(held), request.scope["path"] == LOGS_PATH, compressed, content_type == _JSON)
            self._ingest.put(Waiting(body, answer))
            said = await answer
        except FailedError as failure:
            return _failed(failure, content_type)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            self._waiting_bytes -= len(held)
        return _said(said, content_type, logs=body.logs)

    def _check_headers(self, request: Request, content_type: str) -> bool:
        """Whether the body is gzipped."""
        if self._tokens.devices and not is_allowed(self._tokens.devices, request.headers.get("authorization", "")):
            raise FailedError(401, "give a token that this collector knows, as `Authorization: Bearer TOKEN`")
        if content_type not in (otlp.CONTENT_TYPE, _JSON):
            raise FailedError(415, f"the content type must be {otlp.CONTENT_TYPE} or {_JSON}")
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("gzip", "identity"):
            raise FailedError(415, "the content encoding must be gzip or identity")
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length[:18]) > LARGEST_REQUEST_BYTES:
            raise FailedError(413, f"a request has at most {LARGEST_REQUEST_BYTES} bytes")
        return encoding == "gzip"

    async def _receive(self, request: Request, held: bytearray) -> None:
        task, late = asyncio.current_task(), False

        def give_up() -> None:
            nonlocal late
            late = True
            if task:
                task.cancel()

        deadline = asyncio.get_running_loop().call_later(_BODY_TIMEOUT_S, give_up)
        try:
            async for chunk in request.stream():
                held.extend(chunk)
                self._waiting_bytes += len(chunk)
                if len(held) > LARGEST_REQUEST_BYTES:
                    raise FailedError(413, f"a request has at most {LARGEST_REQUEST_BYTES} bytes")
                if self._waiting_bytes > _LARGEST_WAITING_BYTES:
                    raise FailedError(503, "too many requests at once")
        except asyncio.CancelledError:
            if not late:
                raise
            if task and hasattr(task, "uncancel"):  # from Python 3.11
                task.uncancel()
            raise FailedError(408, f"the body did not arrive within {_BODY_TIMEOUT_S:g} s") from None
        finally:
            deadline.cancel()


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _failed(failure: FailedError, content_type: str) -> Response:
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if failure.status == 503 else {}
    if failure.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if content_type == _JSON:
        return Response(json.dumps({"message": str(failure)}), failure.status, headers, media_type=_JSON)
    return Response(otlp.write_status(str(failure)), failure.status, headers, media_type=otlp.CONTENT_TYPE)


def _said(answer: otlp.Answer, content_type: str, *, logs: bool) -> Response:
    """A 200. In protobuf the answers of both signals have the same bytes."""
    if content_type != _JSON:
        return Response(otlp.write_answer(answer), media_type=otlp.CONTENT_TYPE)
    said: dict[str, object] = {}
    if answer.rejected or answer.message:
        rejected = "rejectedLogRecords" if logs else "rejectedDataPoints"
        said = {"partialSuccess": {rejected: str(answer.rejected), "errorMessage": answer.message}}
    return Response(json.dumps(said), media_type=_JSON)


async def _get_health(_request: Request) -> Response:
    return PlainTextResponse("ok")


def make_app(ingest: Ingest, tokens: Tokens = _ANYBODY, pages: Sequence[Route] = ()) -> ASGIApp:
    """The ASGI application.

    Args:
        ingest: Where requests go. The caller stops it after the application.
        tokens: Who may do what.
        pages: Routes beside those of OTLP.
    """
    collector = _Collector(ingest, tokens)
    others = Starlette(routes=[Route("/healthz", _get_health, methods=["GET"]), *pages])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Before Starlette, which takes as long to find a route as decoding a small batch.
        if scope["type"] == "http" and scope["path"] in (otlp.METRICS_PATH, LOGS_PATH):
            if scope["method"] == "POST":
                response = await collector.post(Request(scope, receive))
            else:
                response = PlainTextResponse("post to this", 405, {"Allow": "POST"})
            await response(scope, receive, send)
        else:
            await others(scope, receive, send)

    return app
