"""Metrics taken apart by what is remembered are what they are when they are read for the first time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from edge_rai.fleet import layout
from edge_rai.fleet.attributes import RefusedError
from edge_rai.fleet.layout import TakenApart
from edge_rai.fleet.request import read_request
from support.telemetry import counts, request, snapshot

GUARD = "cd" * 6


def metrics(sequence: int = 0, **changes: object) -> list[bytes]:
    return list(read_request(request(snapshot(sequence, **changes))).resource_metrics[0].scope_metrics[0].metrics)


def read(raw: bytes) -> list[object]:
    """What a reader says that remembers nothing."""
    return said(layout._Memory().take_apart(raw, GUARD))


def said(taken: TakenApart) -> list[object]:
    """All that is read of a metric."""
    outline, numbers = taken
    labels, counted = said_or_refused(lambda: outline.labels), said_or_refused(lambda: outline.counted(outline))
    return [outline.name, outline.points, numbers, labels, counted]


def said_or_refused(say: Callable[[], object]) -> object:
    try:
        return say()
    except RefusedError as refusal:
        return str(refusal)


def numbers_of(raw: bytes) -> list[int]:
    metric = Metric.FromString(raw)
    of_sums = [
        number
        for point in metric.sum.data_points
        for number in (point.start_time_unix_nano, point.time_unix_nano, point.as_int)
    ]
    if metric.name == "edge.feature.reference":
        return []
    return of_sums + [count for point in metric.histogram.data_points for count in point.bucket_counts]


def test_numbers_are_those_that_protobuf_reads() -> None:
    memory = layout._Memory()
    for batch in range(30):
        rows = counts([batch * 7**20, 1, 2**62 + batch])
        for raw in metrics(batch, rows_by_verdict=rows, end_unix_ns=1_700_000_060_000_000_000 + batch):
            outline, numbers = memory.take_apart(raw, GUARD)
            assert list(numbers) == numbers_of(raw), outline.name


def test_what_is_read_once_is_not_read_again() -> None:
    memory = layout._Memory()
    first = [memory.take_apart(raw, GUARD) for raw in metrics(0)]
    again = [memory.take_apart(raw, GUARD) for raw in metrics(1, calls=99, rows_by_verdict=counts([1, 0, 2]))]
    remembered = [one.outline.name for one, other in zip(first, again, strict=True) if one.outline is other.outline]
    read_anew = {"edge.duration"}  # its integers are as long as they are large
    assert set(remembered) == {one.outline.name for one in first} - read_anew


def test_damaged_metric_is_what_it_is_to_a_reader_that_remembers_nothing() -> None:
    memory = layout._Memory()
    random = np.random.default_rng(8)
    whole = metrics()
    for raw in whole:
        memory.take_apart(raw, GUARD)
    for _ in range(3000):
        raw = bytearray(whole[random.integers(len(whole))])
        for place in random.integers(0, len(raw), random.integers(1, 4)):
            raw[place] = random.integers(256)
        try:
            expected = read(bytes(raw))
        except DecodeError:
            with pytest.raises(DecodeError):
                memory.take_apart(bytes(raw), GUARD)
            continue
        # repr: a bound that is not a number is unlike itself.
        assert repr(said(memory.take_apart(bytes(raw), GUARD))) == repr(expected)


def test_metrics_of_one_length_are_told_apart() -> None:
    memory = layout._Memory()
    (accepted,) = (raw for raw in metrics(rows_by_verdict=counts([4, 0, 0])) if b"edge.verdict" in raw)
    (rejected,) = (raw for raw in metrics(rows_by_verdict=counts([0, 0, 4])) if b"edge.verdict" in raw)
    assert len(accepted) == len(rejected)
    for _ in range(2):
        assert memory.take_apart(accepted, GUARD).outline.labels == ("accept",)
        assert memory.take_apart(rejected, GUARD).outline.labels == ("reject",)


def test_references_of_two_guard_programs_are_two() -> None:
    (raw,) = (raw for raw in metrics() if b"edge.feature.reference" in raw)
    one, other = (layout.take_apart(raw, guard).outline for guard in (GUARD, "ef" * 6))
    assert one.counted(one)[0].reference.digest != other.counted(other)[0].reference.digest


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_MOST_REMEMBERED_BYTES", 20_000)
    memory = layout._Memory()
    (raw,) = (raw for raw in metrics() if b"edge.calls" in raw)
    for index in range(1000):
        memory.take_apart(raw, f"{index:012x}")
        assert sum((1024 + length) * len(alike) for (_, length, _), alike in memory._known.items()) <= 20_000
    for index in range(1, 128):
        memory.take_apart(raw[:-3] + bytes([index]) + raw[-2:], GUARD)
    assert max(map(len, memory._known.values())) <= layout._MOST_ALIKE
