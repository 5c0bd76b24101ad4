"""From the bytes of requests to receipts: one thread that decodes and stores whatever waits, in one commit."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai.errors import StoreError
from edge_rai.fleet.decode import Batch, Refusal, decode
from edge_rai.fleet.decode_events import DeviceEvent, decode_events
from edge_rai.fleet.store import Outcome, Store
from edge_rai.telemetry import otlp

LARGEST_REQUEST_BYTES: Final = 16 << 20  # as sent, and again unpacked; a batch of 1,000 features is 1 MB

_MOST_IN_A_COMMIT: Final = 256
_ENOUGH_UNPACKED_BYTES: Final = 16 << 20  # for a commit: with the request that reaches it, at most 32 MiB
_MOST_SCOPES: Final = 64  # a device sends one, a relay puts some together
_LONGEST_MESSAGE: Final = 1000

_log = logging.getLogger(__name__)


class FailedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Waiting(NamedTuple):
    """A request as it came.

    Attributes:
        body: Of the request.
        logs: It is of /v1/logs, else of /v1/metrics.
        compressed: With gzip.
        json: Else protobuf.
        answer: Of the event loop that waits for it; gets an otlp.Answer once all is on disk, or a FailedError.
    """

    body: bytes
    logs: bool
    compressed: bool
    json: bool
    answer: asyncio.Future[otlp.Answer]


class _Decoded(NamedTuple):
    waiting: Waiting
    unpacked_bytes: int
    batches: list[tuple[Batch, int]]
    events: list[DeviceEvent]
    refusals: list[Refusal]


class Ingest:
    """The thread. `put` is for any thread; whoever made it stops it."""

    def __init__(self, store: Store, clock: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._clock = clock
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="edge-rai-ingest", daemon=True)
        self._thread.start()

    def put(self, waiting: Waiting) -> None:
        """Has a request decoded and stored."""
        self._waiting.put(waiting)

    def stop(self) -> None:
        """Ends the thread, once it has answered what it was given."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            together, ends = [first], False
            while len(together) < _MOST_IN_A_COMMIT and not self._waiting.empty():
                another = self._waiting.get()
                if another is None:
                    ends = True
                    break
                together.append(another)
            self._store_all(together)
            if ends:
                return

    def _store_all(self, together: list[Waiting]) -> None:
        decoded: list[_Decoded] = []
        unpacked_bytes = 0
        said: list[tuple[Waiting, otlp.Answer | FailedError]] = []
        for waiting in together:
            found = _decode_or_failure(waiting)
            if isinstance(found, FailedError):
                said.append((waiting, found))
                continue
            decoded.append(found)
            unpacked_bytes += found.unpacked_bytes
            if unpacked_bytes >= _ENOUGH_UNPACKED_BYTES:  # what is decoded takes many times as much
                said += self._answers(decoded)
                decoded, unpacked_bytes = [], 0
        said += self._answers(decoded)
        loop = together[0].answer.get_loop()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, said)  # once for all: it is as dear as decoding a small batch

    def _answers(self, decoded: list[_Decoded]) -> list[tuple[Waiting, otlp.Answer | FailedError]]:
        """Stores requests in one commit."""
        batches = [batch for one in decoded for batch, _ in one.batches]
        events = [event for one in decoded for event in one.events]
        try:
            outcomes = iter(self._store.add(batches, self._clock(), events) if batches or events else [])
        except StoreError as error:
            _log.error("nothing stored: %s", error)
            return [(one.waiting, FailedError(503, "the store cannot be written")) for one in decoded]
        except Exception:  # noqa: BLE001  as in _decode_or_failure
            if len(decoded) > 1:  # it is one's fault: the others shall not pay for it
                return [answer for one in decoded for answer in self._answers([one])]
            _log.exception("nothing stored")
            return [(one.waiting, FailedError(500, "the collector failed on this request")) for one in decoded]
        answers: list[tuple[Waiting, otlp.Answer | FailedError]] = []
        for one in decoded:
            conflicts = [
                Refusal(points, _conflict(batch)) for batch, points in one.batches if next(outcomes) is Outcome.CONFLICT
            ]
            answers.append((one.waiting, _answer(one.refusals + conflicts)))
        return answers


def _settle(said: list[tuple[Waiting, otlp.Answer | FailedError]]) -> None:
    for waiting, answer in said:
        if waiting.answer.done():  # whoever asked has hung up
            continue
        if isinstance(answer, FailedError):
            waiting.answer.set_exception(answer)
        else:
            waiting.answer.set_result(answer)


def _conflict(batch: Batch) -> str:
    return (
        f"epoch {batch.epoch}, sequence {batch.sequence} of instance {batch.instance} is stored with other contents: "
        "two devices share one spool instance, as copies of one disk image do"
    )


def _answer(refusals: list[Refusal]) -> otlp.Answer:
    message = "; ".join(refusal.message for refusal in refusals[:3])
    # A refusal of an empty scope would else look like a receipt.
    rejected = sum(max(refusal.points, 1) for refusal in refusals)
    if refusals:
        _log.warning("refused %d batches with %d data points or events: %s", len(refusals), rejected, message)
    return otlp.Answer(rejected, message[:_LONGEST_MESSAGE])


def _decode_or_failure(waiting: Waiting) -> _Decoded | FailedError:
    try:
        return _decode(waiting)
    except FailedError as failure:
        return failure
    except Exception:  # noqa: BLE001  a fault of ours must not end the thread, nor look like a receipt
        _log.exception("a request could not be handled")
        return FailedError(500, "the collector failed on this request")


def _decode(waiting: Waiting) -> _Decoded:
    body = _unpack(waiting.body) if waiting.compressed else waiting.body
    if waiting.logs:
        logs = _parse(ExportLogsServiceRequest(), body, waiting.json)
        _require_few(logs.resource_logs, "scope_logs")
        events, refusals = decode_events(logs)
        return _Decoded(waiting, len(body), [], events, refusals)
    metrics = _parse(ExportMetricsServiceRequest(), body, waiting.json)
    _require_few(metrics.resource_metrics, "scope_metrics")
    batches, refusals = decode(metrics)
    return _Decoded(waiting, len(body), batches, [], refusals)


def _require_few(resources: Sequence[Any], scopes: str) -> None:
    """Scopes may be empty: millions of them are a few hundred bytes of gzip."""
    if len(resources) > _MOST_SCOPES or sum(len(getattr(one, scopes)) for one in resources) > _MOST_SCOPES:
        raise FailedError(413, f"a request has at most {_MOST_SCOPES} batches; let the relay put fewer together")


def _parse(request: Any, body: bytes, json: bool) -> Any:
    message: Message = request
    try:
        if json:
            json_format.Parse(body, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise FailedError(400, f"the body is not an OTLP {message.DESCRIPTOR.name}") from error
    return message


def _unpack(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        message = unpacker.decompress(body, LARGEST_REQUEST_BYTES + 1)
    except zlib.error as error:
        raise FailedError(400, "the body is not gzip") from error
    if len(message) > LARGEST_REQUEST_BYTES:
        raise FailedError(413, f"a request has at most {LARGEST_REQUEST_BYTES} bytes unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise FailedError(400, "the body is not one whole gzip member")
    return message
