"""Tells what alerts found: to a webhook, to an OpenTelemetry backend as logs, to whoever reads our output.

Each sink has its own queue in the ledger and its own maximum of messages an hour. What a sink did not take stays and is
tried again; what is beyond the maximum waits, and is told together in the last message that the hour allows. So nothing
is forgotten, and a fleet that fails as a whole is a few messages.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edge_rai.errors import DeliveryError
from edge_rai.fleet.evidence import HOUR_NS
from edge_rai.fleet.rules import Rules
from edge_rai.fleet.store import Store
from edge_rai.telemetry import otlp
from edge_rai.telemetry.otlp_events import LOGS_PATH

Message = dict[str, Any]
Sink = Callable[[Message], None]

_TIMEOUT_S: Final = 10.0
_SHOWN: Final = 5


def sinks_of(rules: Rules, write: Callable[[str], None]) -> dict[str, Sink]:
    """What the rules name, by name; `write` takes a line."""
    sinks: dict[str, Sink] = {}
    if rules.webhook:
        webhook = rules.webhook
        sinks["webhook"] = lambda message: _post(webhook, json.dumps(message).encode(), "application/json")
    if rules.otlp:
        endpoint = rules.otlp.rstrip("/") + LOGS_PATH
        sinks["otlp"] = lambda message: _post(endpoint, _logs_request(message), otlp.CONTENT_TYPE)
    if rules.stdout:
        sinks["stdout"] = lambda message: write(message["text"])
    return sinks


def tell(store: Store, sinks: Mapping[str, Sink], most_an_hour: int, now_unix_ns: int) -> list[DeliveryError]:
    """Tells every sink what waits for it, as far as its maximum allows.

    Returns:
        What went wrong; those messages wait.
    """
    failures = []
    for name, sink in sinks.items():
        for message, ids in _messages(store, name, most_an_hour, now_unix_ns):
            try:
                sink(message)
            except DeliveryError as error:
                failures.append(error)
                break
            with store.transaction() as connection:
                connection.executemany(
                    "UPDATE notice SET told_unix_ns = ?, message = ? WHERE id = ?",
                    [(now_unix_ns, ids[0], one) for one in ids],
                )
    return failures


def _messages(store: Store, sink: str, most_an_hour: int, now_unix_ns: int) -> list[tuple[Message, list[int]]]:
    """What may be told now, each with the notices that it tells."""
    with store.transaction() as connection:
        # Times to come are of a clock that was set back since; they do not count.
        query = "SELECT count(DISTINCT message) FROM notice WHERE sink = ? AND told_unix_ns BETWEEN ? AND ?"
        (told,) = connection.execute(query, (sink, now_unix_ns - HOUR_NS, now_unix_ns)).fetchone()
        query = "SELECT id, body FROM notice WHERE sink = ? AND told_unix_ns IS NULL ORDER BY id"
        waiting = [(one, json.loads(body)) for one, body in connection.execute(query, (sink,))]
    allowed = most_an_hour - told
    if allowed <= 0 or not waiting:
        return []
    single = waiting if len(waiting) <= allowed else waiting[: allowed - 1]
    messages = [({**body, "id": one, "text": _text(body)}, [one]) for one, body in single]
    rest = waiting[len(single) :]
    if rest:
        messages.append((_together(rest), [one for one, _ in rest]))
    return messages


def _together(waiting: Sequence[tuple[int, Message]]) -> Message:
    rules: dict[str, dict[str, int]] = {}
    for _, body in waiting:
        counts = rules.setdefault(body["rule"], {"raised": 0, "cleared": 0})
        for what in counts:
            counts[what] += body[what]["count"]
    said = "; ".join(
        f"{name}: {counts['raised']} raised, {counts['cleared']} cleared" for name, counts in rules.items()
    )
    text = f"{len(waiting)} notices together, for there are no more messages this hour: {said}"
    return {"id": waiting[0][0], "kind": "together", "notices": len(waiting), "rules": rules, "text": text}


def _text(body: Message) -> str:
    parts = []
    for what in ("raised", "cleared"):
        count, subjects = body[what]["count"], body[what]["subjects"]
        if count:
            shown = ", ".join(f"{subject} ({value:.4g})" for subject, value in list(subjects.items())[:_SHOWN])
            more = f" and {count - min(_SHOWN, len(subjects))} more" if count > _SHOWN else ""
            parts.append(f"{what}: {shown}{more}")
    group = f" [{body['group']}]" if body["group"] else ""
    return f"{body['rule']}{group}: {'; '.join(parts)}"


def _logs_request(message: Message) -> bytes:
    raised = message.get("raised", {"count": 1})["count"]
    severity = SeverityNumber.SEVERITY_NUMBER_WARN if raised else SeverityNumber.SEVERITY_NUMBER_INFO
    plain = {key: value if isinstance(value, str) else json.dumps(value) for key, value in message.items()}
    record = LogRecord(
        time_unix_nano=message.get("unix_ns", 0),
        severity_number=severity,
        event_name="edge.alert",
        body=AnyValue(string_value=plain.pop("text")),
        attributes=[_pair(f"edge.alert.{key}", value) for key, value in plain.items()],
    )
    scope_logs = ScopeLogs(scope=InstrumentationScope(name="edge_rai.fleet"), log_records=[record])
    resource = Resource(attributes=[_pair(otlp.SERVICE_NAME, "edge_rai.fleet")])
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource, scope_logs=[scope_logs])])
    return bytes(request.SerializeToString(deterministic=True))


def _pair(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _post(url: str, body: bytes, content_type: str) -> None:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_TIMEOUT_S)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body, {"Content-Type": content_type})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"{parts.hostname}: no answer ({error})", retryable=True) from error
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise DeliveryError(f"{parts.hostname}: answered {status}", retryable=True)
