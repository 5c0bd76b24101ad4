"""A request's body, protobuf or JSON, plain or gzip, and what is in it, or which answer it gets instead."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from edge_rai.fleet.decode import Refusal, decode
from edge_rai.fleet.decode_events import DeviceEvent, decode_events
from edge_rai.fleet.facts import Facts, facts_of
from edge_rai.fleet.request import read_request

LARGEST_REQUEST_BYTES: Final = 16 << 20  # as sent, and again unpacked; a batch of 1,000 features is 1 MB

_MOST_SCOPES: Final = 64  # a device sends one, a relay puts some together
_MOST_JSON_PARTS: Final = 400_000  # messages and numbers of lists; 1,000 features have a quarter, and reading takes 3 s

_log = logging.getLogger(__name__)


class FailedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[FailedError], tuple[int, str]]:
        return FailedError, (self.status, str(self))


class Body(NamedTuple):
    """A request's body as it came.

    Attributes:
        content: Its bytes.
        logs: It is of /v1/logs, else of /v1/metrics.
        compressed: With gzip.
        json: Else protobuf.
    """

    content: bytes
    logs: bool
    compressed: bool
    json: bool


class Decoded(NamedTuple):
    """What is in a request; `unpacked_bytes` is its size."""

    unpacked_bytes: int
    batches: list[Facts]
    events: list[DeviceEvent]
    refusals: list[Refusal]


def decode_or_failure(body: Body) -> Decoded | FailedError:
    """What is in a body."""
    try:
        return _decode(body)
    except FailedError as failure:
        return failure
    except Exception:  # noqa: BLE001  a fault of ours must not end the thread, nor look like a receipt
        _log.exception("a request could not be handled")
        return FailedError(500, "the collector failed on this request")


def _decode(body: Body) -> Decoded:
    content = _unpack(body.content) if body.compressed else body.content
    if body.logs:
        logs = _parse(ExportLogsServiceRequest(), content, body.json)
        _require_few(logs.resource_logs, "scope_logs")
        events, refusals = decode_events(logs)
        return Decoded(len(content), [], events, refusals)
    if body.json:
        content = _parse(ExportMetricsServiceRequest(), content, json=True).SerializeToString()
    try:
        metrics = read_request(content)
        _require_few(metrics.resource_metrics, "scope_metrics")
        batches, refusals = decode(metrics)
    except DecodeError as error:
        raise _no_request(ExportMetricsServiceRequest.DESCRIPTOR.name) from error
    return Decoded(len(content), [facts_of(batch, points) for batch, points in batches], [], refusals)


def _require_few(resources: Sequence[Any], scopes: str) -> None:
    """Scopes may be empty: millions of them are a few hundred bytes of gzip."""
    if len(resources) > _MOST_SCOPES or sum(len(getattr(one, scopes)) for one in resources) > _MOST_SCOPES:
        raise FailedError(413, f"a request has at most {_MOST_SCOPES} batches; let the relay put fewer together")


def _parse(request: Any, body: bytes, json: bool) -> Any:
    message: Message = request
    if json and body.count(b"{") + body.count(b",") > _MOST_JSON_PARTS:
        raise FailedError(413, f"a request in JSON has at most {_MOST_JSON_PARTS:,} messages and numbers; use protobuf")
    try:
        if json:
            json_format.Parse(body, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise _no_request(message.DESCRIPTOR.name) from error
    return message


def _no_request(expected: str) -> FailedError:
    return FailedError(400, f"the body is not an OTLP {expected}")


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
