from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from edge_rai import SpoolError, SpoolSettings, load
from edge_rai.counts import Snapshot
from edge_rai.events import Event, EventClass, EventField, Expiry, FieldForm
from edge_rai.telemetry import otlp
from edge_rai.telemetry.flusher import Flusher
from edge_rai.telemetry.otlp_events import encode_events
from edge_rai.telemetry.spool import Spool
from edge_rai.types import ReasonCode, Verdict
from support import telemetry
from support.spools import ROW, small_session

CANARY = np.float32(8.1234567)
REJECTED = np.array([[np.nan, 1, CANARY]], np.float32)


def only_batch(path: Path) -> Snapshot:
    spool = Spool(path)
    (batch,) = spool.batches()
    return spool.read(batch)


def test_rejected_rows_are_events_and_accepted_ones_are_drawn(linear_bundle: Path, tmp_path: Path) -> None:
    with small_session(linear_bundle, tmp_path, events=1000, sample_one_in=4) as session:
        for _ in range(100):
            session.predict([ROW])
        session.predict([REJECTED])
        session.flush()
    batch = only_batch(tmp_path)
    assert batch.events[-1].verdict == Verdict.REJECT
    assert batch.events[-1].reasons == 1 << ReasonCode.NOT_FINITE
    assert batch.events[-1].event_class is EventClass.REJECT
    drawn = batch.events[:-1]
    assert {event.event_class for event in drawn} == {EventClass.SAMPLE}
    assert 10 <= len(drawn) <= 60
    assert batch.events_by_class == (len(drawn), 0, 1, 0)
    assert [event.number for event in batch.events] == list(range(len(batch.events)))


def test_flood_of_events_is_counted_and_each_class_has_its_own_room(linear_bundle: Path, tmp_path: Path) -> None:
    with small_session(linear_bundle, tmp_path, events=16, sample_one_in=1) as session:
        for _ in range(50):
            session.predict([ROW])
            session.predict([REJECTED])
        session.flush()
    batch = only_batch(tmp_path)
    kept = [sum(event.event_class is one for event in batch.events) for one in EventClass]
    assert kept == [2, 0, 8, 0]
    assert batch.events_by_class[EventClass.REJECT] == 50
    assert batch.expired[Expiry.MEMORY].events == sum(batch.events_by_class) - len(batch.events)


def test_events_of_a_flush_that_failed_are_in_the_next_one_and_counted_once(
    linear_bundle: Path, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    with small_session(linear_bundle, spool, events=100) as session:
        session.predict([REJECTED])
        spool.rename(tmp_path / "aside")
        with pytest.raises(SpoolError):
            session.flush()
        (tmp_path / "aside").rename(spool)
        session.predict([REJECTED])
        session.flush()
    batch = only_batch(spool)
    assert [event.number for event in batch.events] == [0, 1]
    assert batch.events_by_class == (0, 0, 2, 0)
    assert sum(gone.events for gone in batch.expired) == 0


def test_events_expire_before_batches_do_the_cheapest_first(linear_bundle: Path, tmp_path: Path) -> None:
    with small_session(linear_bundle, tmp_path, 64 << 10, events=400, sample_one_in=1) as session:
        created = 0
        for _ in range(40):
            for _ in range(60):
                session.predict([ROW])
                session.predict([REJECTED])
            session.flush()
    spool = Spool(tmp_path)
    found = [spool.read(batch) for batch in spool.batches()]
    created = sum(sum(one.events_by_class) for one in found)
    expired = sum(gone.events for one in found for gone in one.expired)
    assert created == expired + sum(len(one.events) for one in found)
    assert sum(one.expired[Expiry.QUOTA].events for one in found) > 0
    assert sum(one.expired[Expiry.QUOTA].windows for one in found) == 0
    assert sum(one.rows for one in found) == 40 * 120
    kept = [event.event_class for one in found for event in one.events]
    assert kept.count(EventClass.REJECT) > kept.count(EventClass.SAMPLE)


def test_no_input_value_reaches_spool_or_wire(linear_bundle: Path, tmp_path: Path) -> None:
    with small_session(linear_bundle, tmp_path, events=100, sample_one_in=1) as session:
        session.predict([REJECTED])
        session.predict([np.array([[1, 2, CANARY]], np.float32)])
        session.flush()
    batch = only_batch(tmp_path)
    assert len(batch.events) == 2
    names = tuple(feature.name for feature in Spool(tmp_path).features(batch.guard_digest))
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    sent = otlp.encode(batch, Spool(tmp_path).features(batch.guard_digest)) + encode_events(batch, names)
    forms = [CANARY.tobytes(), np.float64(CANARY).tobytes(), b"8.1234567", str(float(CANARY)).encode()]
    for canary in forms:
        assert canary not in written
        assert canary not in sent


def decisions(count: int) -> tuple[Event, ...]:
    """As a device with some trouble makes them: irregular times and durations."""
    chance, unix_ns, events = np.random.default_rng(5), 1_700_000_000_000_000_000, []
    for number in range(count):
        unix_ns += int(chance.exponential(1e8))
        rejected = bool(chance.random() < 0.7)
        events.append(
            Event(
                (7 << 32) + 12345,
                number,
                unix_ns // 1_000_000 * 1_000_000,
                EventClass.REJECT if rejected else EventClass.FLAG,
                2 if rejected else 1,
                3 if rejected else 0,
                1 << int(chance.choice([4, 5, 6, 22])),
                int(chance.lognormal(11, 0.3)) // 1000 * 1000,
                0,
                (),
            )
        )
    return tuple(events)


def test_decision_of_a_batch_of_five_hundred_takes_at_most_21_bytes_on_the_wire() -> None:
    snapshot = telemetry.snapshot(events=decisions(500))
    size = len(otlp.compress(encode_events(snapshot, ("radius", "texture", "flags"))))
    assert size <= 21 * 500, size / 500


def test_events_arrive_with_what_they_are() -> None:
    fields = (
        EventField(0, FieldForm.BUCKET, 3),
        EventField(1, FieldForm.KEYED_HASH, 0xAB),
        EventField(2, FieldForm.PLAIN, 1.5),
    )
    event = decisions(1)[0]._replace(fields=fields)
    request = ExportLogsServiceRequest.FromString(
        encode_events(telemetry.snapshot(events=(event,)), ("radius", "texture", "flags"))
    )
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    values = {one.key: one.value for one in record.attributes}
    assert record.event_name == "edge.decision"
    assert record.time_unix_nano == event.unix_ns
    assert (values["edge.number"].int_value, values["edge.verdict"].int_value) == (0, event.verdict)
    assert values["edge.field.radius"].int_value == 3
    assert values["edge.field.texture"].string_value == "00000000000000ab"
    assert values["edge.field.flags"].double_value == 1.5
    assert encode_events(telemetry.snapshot(), ()) == b""


def wait_for_a_batch(spool: Path) -> None:
    deadline = time.monotonic() + 120
    while not Spool(spool).batches():
        assert time.monotonic() < deadline, "nothing was flushed"
        time.sleep(0.01)


def test_flusher_flushes_by_time_until_it_ends(linear_bundle: Path, tmp_path: Path) -> None:
    with small_session(linear_bundle, tmp_path) as session:
        flusher = Flusher(session, 0.01)
        for _ in range(20):
            session.predict([ROW])
        wait_for_a_batch(tmp_path)
        flusher.stop()
        flusher.stop()
        session.predict([ROW])
        assert session.snapshot().calls == 1
    spool = Spool(tmp_path)
    assert sum(spool.read(batch).rows for batch in spool.batches()) == 20


def test_flusher_does_not_wait_for_its_time_when_the_room_for_events_is_half_taken(
    linear_bundle: Path, tmp_path: Path
) -> None:
    with small_session(linear_bundle, tmp_path, events=8) as session:
        assert not session.flush_due(0.0)
        flusher = Flusher(session, 3600.0)
        for _ in range(4):
            session.predict([REJECTED])
        wait_for_a_batch(tmp_path)
        flusher.stop()


def test_session_flushes_by_itself_as_its_settings_say(linear_bundle: Path, tmp_path: Path) -> None:
    settings = SpoolSettings(tmp_path, quota_bytes=1 << 20, events=8, flush_s=3600.0)
    with load(linear_bundle, spool=settings) as session:
        for _ in range(4):
            session.predict(REJECTED)
        wait_for_a_batch(tmp_path)
        session.predict(ROW)
    spool = Spool(tmp_path)
    assert sum(spool.read(batch).rows for batch in spool.batches()) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SpoolSettings("s", quota_bytes=1000), "quota_bytes is 1000; expected at least 65536"),
        (SpoolSettings("s", events=-1), "events is -1; expected 0 to 1048576"),
        (SpoolSettings("s", flush_s=0.0), "flush_s is 0"),
        (SpoolSettings(""), "spool is empty"),
    ],
)
def test_setting_out_of_range_is_named(linear_bundle: Path, settings: SpoolSettings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(linear_bundle, spool=settings)
