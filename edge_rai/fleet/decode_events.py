"""Reads the events that devices tell: an ExportLogsServiceRequest from anybody becomes events or refusals.

As in ``decode`` nothing is trusted. What an event says of itself beside its name is kept as it came, as a JSON object
of texts, numbers and truth values: a newer device may say more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs

from edge_rai.fleet import attributes
from edge_rai.fleet.attributes import RefusedError
from edge_rai.fleet.decode import Refusal
from edge_rai.telemetry import otlp
from edge_rai.telemetry.otlp_events import EPOCH, NUMBER

_PREFIX: Final = "edge."
_LONGEST_KEY_BYTES: Final = 1100  # edge.field. and the name of a feature


class DeviceEvent(NamedTuple):
    """One event of one device.

    Attributes:
        instance: The device's spool, 32 hex digits.
        epoch: With instance and number the identity of the event.
        number: Within the epoch.
        name: Such as "edge.decision".
        unix_ns: The device's wall clock, which may be wrong.
        severity: As OTLP has it, 1 to 24; 0: not said.
        model_digest: SHA-256, hex.
        said: Its other attributes, a JSON object.
    """

    instance: str
    epoch: int
    number: int
    name: str
    unix_ns: int
    severity: int
    model_digest: str
    said: str


def decode_events(request: ExportLogsServiceRequest) -> tuple[list[DeviceEvent], list[Refusal]]:
    """Reads a request: all records of a scope, or a refusal of them all."""
    events: list[DeviceEvent] = []
    refusals: list[Refusal] = []
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            found = _events_or_refusal(resource_logs.resource.attributes, scope_logs)
            if isinstance(found, Refusal):
                refusals.append(found)
            else:
                events += found
    return events, refusals


def _events_or_refusal(resource: Sequence[KeyValue], scope_logs: ScopeLogs) -> list[DeviceEvent] | Refusal:
    try:
        return _events(resource, scope_logs)
    except RefusedError as refusal:
        return Refusal(len(scope_logs.log_records), str(refusal))


def _events(resource: Sequence[KeyValue], scope_logs: ScopeLogs) -> list[DeviceEvent]:
    about = attributes.attributes(resource)
    scope = attributes.attributes(scope_logs.scope.attributes)
    if scope_logs.scope.name != otlp.SCOPE or otlp.BATCH not in scope:
        raise RefusedError("not events of edge_rai: this collector takes nothing else")
    promised, records = attributes.batch_name(scope)[2], scope_logs.log_records
    if len(records) != promised:
        raise RefusedError(f"{len(records)} of {promised} events arrived: a relay split them or dropped some")
    instance = attributes.instance(about, otlp.SERVICE_INSTANCE)
    model_digest = attributes.digest(about, otlp.MODEL_DIGEST)
    return [_event(record, instance, model_digest) for record in records]


def _event(record: LogRecord, instance: str, model_digest: str) -> DeviceEvent:
    name = attributes.checked_text("event_name", record.event_name)
    if not name.startswith(_PREFIX):
        raise RefusedError(f"event {name!r} is not one of edge_rai")
    found = attributes.attributes(record.attributes)
    epoch = attributes.natural(found, EPOCH)
    number = attributes.bounded(attributes.natural(found, NUMBER), otlp.LARGEST_INTEGER - 1)  # with one after it
    said = {key: _plain(key, value) for key, value in found.items() if key not in (EPOCH, NUMBER)}
    return DeviceEvent(
        instance=instance,
        epoch=epoch,
        number=number,
        name=name,
        unix_ns=attributes.bounded(record.time_unix_nano, otlp.LARGEST_INTEGER),
        severity=attributes.bounded(record.severity_number, 24),
        model_digest=model_digest,
        said=json.dumps(said, sort_keys=True),
    )


def _plain(key: str, value: AnyValue) -> str | int | float | bool:
    if len(key.encode()) > _LONGEST_KEY_BYTES or not key.isprintable():
        raise RefusedError("an attribute of an event has a key that is too long or cannot be printed")
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return attributes.checked_text(key, value.string_value) if value.string_value else ""
    if kind == "int_value":
        return int(value.int_value)
    if kind == "bool_value":
        return bool(value.bool_value)
    if kind == "double_value":
        number = float(value.double_value)
        return number if math.isfinite(number) else str(number)  # JSON has no infinity
    raise RefusedError(f"attribute {key} of an event is neither text, number nor truth value")
