"""Encodes the events of one snapshot as one OTLP logs request (docs/formats/otlp.md).

As in ``otlp``, encoding is a pure function. Attributes that most events share stand first and in one order, numbers as
integers: gzip then finds in each event what was in the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber

from edge_rai.counts import Snapshot
from edge_rai.events import Event, EventClass, EventField, FieldForm
from edge_rai.telemetry import otlp

LOGS_PATH: Final = "/v1/logs"
DECISION_EVENT: Final = "edge.decision"
DRIFT_EVENT: Final = "edge.drift"
EPOCH: Final = "edge.epoch"
NUMBER: Final = "edge.number"
EVENT_CLASS: Final = "edge.class"
REASONS: Final = "edge.reasons"
LATENCY: Final = "edge.latency_ns"
ROW: Final = "edge.row"
FIELD: Final = "edge.field."  # followed by the feature's name
DRIFT_DIRECTION: Final = "edge.drift.direction"
DRIFT_CHANGED: Final = "edge.drift.changed"

_SEVERITY: Final = {
    EventClass.SAMPLE: SeverityNumber.SEVERITY_NUMBER_INFO,
    EventClass.FLAG: SeverityNumber.SEVERITY_NUMBER_WARN,
    EventClass.REJECT: SeverityNumber.SEVERITY_NUMBER_WARN2,
    EventClass.URGENT: SeverityNumber.SEVERITY_NUMBER_ERROR,
}


def encode_events(snapshot: Snapshot, names: tuple[str, ...], attributes: Iterable[tuple[str, str]] = ()) -> bytes:
    """Encodes the events of a snapshot as an ExportLogsServiceRequest, empty when it has none.

    Args:
        snapshot: Whose events they are.
        names: Of the features of its guard program, in its order.
        attributes: Of the resource, beside ours.
    """
    if not snapshot.events:
        return b""
    scope = InstrumentationScope(
        name=otlp.SCOPE,
        attributes=[otlp.batch_name(snapshot, len(snapshot.events))],
    )
    about = otlp.resource(snapshot, attributes)
    records = [_record(event, names) for event in snapshot.events]
    request = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=about, scope_logs=[ScopeLogs(scope=scope, log_records=records)])]
    )
    return request.SerializeToString(deterministic=True)


def _record(event: Event, names: tuple[str, ...]) -> LogRecord:
    said = {field.form: field for field in event.fields}
    return _alarm(event, said, names) if FieldForm.EVIDENCE in said else _decision(event, names)


def _alarm(event: Event, said: dict[FieldForm, EventField], names: tuple[str, ...]) -> LogRecord:
    feature = said[FieldForm.EVIDENCE].feature
    attributes = [
        _number(EVENT_CLASS, event.event_class),
        _number(EPOCH, event.epoch),
        _number(NUMBER, event.number),
        _real(otlp.DRIFT_EVIDENCE, said[FieldForm.EVIDENCE].value),
    ]
    if feature < len(names):
        attributes.append(_text(otlp.FEATURE, names[feature]))
    for form, key in ((FieldForm.DIRECTION, DRIFT_DIRECTION), (FieldForm.CHANGED, DRIFT_CHANGED)):
        if form in said:
            attributes.append(_number(key, int(said[form].value)))
    return LogRecord(
        time_unix_nano=max(event.unix_ns, 0),
        severity_number=_SEVERITY[event.event_class],
        event_name=DRIFT_EVENT,
        attributes=attributes,
    )


def _decision(event: Event, names: tuple[str, ...]) -> LogRecord:
    return LogRecord(
        time_unix_nano=max(event.unix_ns, 0),
        severity_number=_SEVERITY[event.event_class],
        event_name=DECISION_EVENT,
        attributes=[
            _number(EVENT_CLASS, event.event_class),
            _number(otlp.VERDICT, event.verdict),
            _number(otlp.SOURCE, event.source),
            _number(REASONS, event.reasons),
            _number(ROW, event.row),
            _number(EPOCH, event.epoch),
            _number(NUMBER, event.number),
            _number(LATENCY, event.latency_ns),
            *(_field(field, names) for field in event.fields),
        ],
    )


def _field(field: EventField, names: tuple[str, ...]) -> KeyValue:
    key = FIELD + (names[field.feature] if field.feature < len(names) else str(field.feature))
    if field.form is FieldForm.KEYED_HASH:
        return _text(key, f"{field.value:016x}")
    if field.form is FieldForm.PLAIN:
        return _real(key, field.value)
    return _number(key, int(field.value))


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _real(key: str, value: float) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(double_value=value))


def _number(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=min(value, otlp.LARGEST_INTEGER)))
