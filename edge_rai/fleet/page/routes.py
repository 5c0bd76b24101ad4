"""Serves the pages: one at a time, off the event loop, to those who may look."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_rai.errors import StoreError
from edge_rai.fleet.access import is_allowed
from edge_rai.fleet.page.document import PERIODS, POLICY, refused
from edge_rai.fleet.roll import roll
from edge_rai.fleet.store import Store

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PATHS: Final = ("/", "/device", "/model", "/feature")

_log = logging.getLogger(__name__)


def pages(store: Store, readers: tuple[bytes, ...], *, open_to_all: bool) -> list[Route]:
    """The routes.

    Args:
        store: Whose facts are shown.
        readers: Tokens of those who may look.
        open_to_all: Without such tokens everybody may, else nobody.
    """
    one_at_a_time = threading.Lock()

    def make(path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        from edge_rai.fleet.engine import opened_beside  # ibis takes a second to import
        from edge_rai.fleet.page.views import Look, NoneSuchError, show

        wanted = query.get("hours", "24")
        hours = int(wanted) if wanted in map(str, PERIODS) else 24
        try:
            with one_at_a_time:
                roll(store)
                with opened_beside(store) as engine:
                    return 200, show(Look(store, engine, time.time_ns(), hours), path, query)
        except NoneSuchError as error:
            return 404, refused("Not found", str(error))
        except StoreError as error:
            _log.error("no page: %s", error)
            return 503, refused("The store cannot be read", "The collector's log says why.")

    async def get(request: Request) -> Response:
        refusal = _refusal(request, readers, open_to_all)
        if refusal:
            return refusal
        status, body = await run_in_threadpool(make, request.url.path, dict(request.query_params))
        return Response(body, status, _HEADERS, media_type="text/html")

    return [Route(path, get, methods=["GET"]) for path in _PATHS]


def _refusal(request: Request, readers: tuple[bytes, ...], open_to_all: bool) -> Response | None:
    if not readers:
        if open_to_all:
            return None
        message = "The page is for readers: start the collector with --reader-tokens."
        return Response(refused("Not shown", message), 403, _HEADERS, media_type="text/html")
    if is_allowed(readers, request.headers.get("authorization", "")):
        return None
    asked = {**_HEADERS, "WWW-Authenticate": 'Basic realm="fleet", charset="UTF-8"'}
    message = "Give a token of --reader-tokens as the password; the name does not matter."
    return Response(refused("Who are you?", message), 401, asked, media_type="text/html")
