"""What is forgotten, and that what comes again afterwards is still known."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from edge_rai.events import Windows
from edge_rai.fleet.decode_events import DeviceEvent
from edge_rai.fleet.retention import forget
from edge_rai.fleet.roll import roll
from edge_rai.fleet.store import Outcome, Store, stored
from support.fleets import HOUR_NS, batch_of, seen, store_all
from support.telemetry import INSTANCE, snapshot

DAY_NS = 24 * HOUR_NS
NOW = 20_000 * DAY_NS + 5 * HOUR_NS


def event(number: int) -> DeviceEvent:
    return DeviceEvent(INSTANCE, 7, number, "edge.decision", 0, 0, "ab" * 32, "{}")


def test_facts_and_ledger_of_older_days_are_gone_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    for sequence, days in enumerate((40, 31, 30, 1, 0)):
        store_all(tmp_path, snapshot(sequence), at=NOW - days * DAY_NS)
    with closing(Store(tmp_path)) as store:
        roll(store)
        before = seen(tmp_path).group.calls
        assert forget(store, 30, NOW) == 2
        assert forget(store, 30, NOW) == 0
    assert [one.sequence for one in stored(tmp_path)] == [2, 3, 4]
    found = seen(tmp_path)
    assert (found.group.batches, found.group.calls) == (3, before // 5 * 3)
    assert found.feature("radius").psi is not None  # what it is measured against came with a batch that is forgotten
    assert [one.missing for one in found.devices] == [{}]
    assert sorted({path.parent.name for path in tmp_path.glob("facts/batches/*/*.parquet")}) == [
        "day=2024-09-04",
        "day=2024-10-03",
        "day=2024-10-04",
        "day=none",
    ]


def test_day_is_forgotten_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    midnight = 20_000 * DAY_NS
    for sequence, at in enumerate((midnight - 1, midnight, midnight + 23 * HOUR_NS)):
        store_all(tmp_path, snapshot(sequence), at=at)
    with closing(Store(tmp_path)) as store:
        forget(store, 2, midnight + 2 * DAY_NS + 22 * HOUR_NS)
    assert [one.sequence for one in stored(tmp_path)] == [1, 2]


def test_forgotten_batch_that_comes_again_gets_its_receipt_and_is_not_counted_twice(tmp_path: Path) -> None:
    merged = snapshot(3, windows=(Windows(5, 0, 9), Windows(7, 2, 2)))
    with closing(Store(tmp_path)) as store:
        store.add([batch_of(snapshot(0)), batch_of(snapshot(1)), batch_of(merged)], 0)
        assert forget(store, 1, NOW) == 3
        again = [snapshot(1), merged, snapshot(2), snapshot(4)]
        found = [store.add([batch_of(one)], NOW)[0] for one in again]
        assert found == [Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.STORED]
        half = snapshot(5, windows=(Windows(7, 3, 1), Windows(7, 5, 1)))
        assert store.add([batch_of(half)], NOW) == [Outcome.CONFLICT]
        assert store.add([batch_of(snapshot(6, windows=(Windows(7, 4, 1), Windows(7, 6, 1))))], NOW) == [
            Outcome.CONFLICT
        ]
    assert seen(tmp_path).group.batches == 1


def test_gap_in_what_is_forgotten_stays_open_for_a_batch_that_comes_late(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.add([batch_of(snapshot(0)), batch_of(snapshot(2))], 0)
        forget(store, 1, NOW)
        assert store.add([batch_of(snapshot(3))], NOW) == [Outcome.STORED]
        assert [one.missing for one in seen(tmp_path).devices] == [{7: 1}]
        assert store.add([batch_of(snapshot(1))], NOW) == [Outcome.STORED]
    assert [one.missing for one in seen(tmp_path).devices] == [{}]


def test_forgotten_event_that_comes_again_is_not_stored_and_a_late_one_is(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.add([], 0, [event(1), event(2), event(4)])
        forget(store, 1, NOW)
        store.add([], NOW, [event(number) for number in range(6)])
        roll(store)
        with store.transaction() as connection:
            kept = [number for (number,) in connection.execute("SELECT number FROM event ORDER BY number")]
            ranges = connection.execute("SELECT first, count FROM forgotten_event ORDER BY first").fetchall()
    assert kept == [0, 3, 5]
    assert ranges == [(1, 2), (4, 1)]


def test_ledger_of_a_device_that_lost_nothing_is_one_row_an_epoch(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.add([batch_of(snapshot(sequence)) for sequence in range(300)], 0)
        forget(store, 1, NOW)
        with store.transaction() as connection:
            counted = [
                connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("batch", "span", "forgotten_span")
            ]
    assert counted == [0, 1, 1]
