"""Metrics taken apart into numbers and an outline, without reading what has been read before.

A device counts the same features against the same reference in every batch, and OTLP writes the times and integers of
sums and histograms as eight bytes each. Where they stand is learned from the first metric of its kind; where the other
bytes of the next one are the same, its numbers are taken from there. What is remembered is a function of these other
bytes alone, so nobody can have the metrics of somebody else read differently.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import Final, NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from edge_rai.fleet.outline import Outline
from edge_rai.telemetry import otlp

_MOST_REMEMBERED_BYTES: Final = 8 << 20  # of metrics; what they say takes several times as much
_EACH_BYTES: Final = 1 << 10  # that one counts as besides its own: the smallest take memory, too
_LARGEST_REMEMBERED_BYTES: Final = 1 << 20
_MOST_ALIKE: Final = 4  # metrics of one name and length that are remembered, the latest

# Numbers of a metric are replaced by these. What differs between two ways of doing so is where they stand.
_PLAIN, _LEFT, _SIGNED, _UNSIGNED = (int.from_bytes(bytes([byte]) * 8, "big") for byte in (0x01, 0x11, 0x21, 0x41))
_RUNS: Final = re.compile(rb"(\x00+)|(\x10+)|(\x20+)|(\x40+)")  # of the differences


class TakenApart(NamedTuple):
    """A metric.

    Attributes:
        outline: What it says beside its numbers.
        numbers: Of a sum start, time and value of each point; of a histogram the counts of each, one after the other,
            unless they are those of a reference; of others none.
    """

    outline: Outline
    numbers: tuple[int, ...]

    def numbers_by_label(self) -> dict[str, int]:
        """Of a delta sum of integers, by what its attribute says.

        Raises:
            RefusedError: It is no such metric.
        """
        return dict(zip(self.outline.labels, self.numbers[2::3], strict=True))


class _Known(NamedTuple):
    texts: Struct
    numbers: Struct
    text: tuple[bytes, ...]
    outline: Outline


class _Memory:
    """Of metrics that came, as many as a number of bytes allows; then all are forgotten."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, bytes], list[_Known]] = {}
        self._bytes = 0

    def take_apart(self, raw: bytes, guard_digest: str) -> TakenApart:
        key = (guard_digest, len(raw), raw[: 2 + raw[1]] if len(raw) > 1 else raw)  # which begins with its name
        for known in self._known.get(key, ()):
            if known.texts.unpack(raw) == known.text:
                return TakenApart(known.outline, known.numbers.unpack(raw))
        metric = Metric.FromString(raw)
        learned = _learned(raw, metric, guard_digest) if len(raw) <= _LARGEST_REMEMBERED_BYTES else None
        if learned is None:
            return TakenApart(Outline(metric, guard_digest), _numbers(metric))
        size = len(raw) + _EACH_BYTES
        if self._bytes + size > _MOST_REMEMBERED_BYTES:
            self._known, self._bytes = {}, 0
        self._known[key] = [learned, *self._known.get(key, ())][:_MOST_ALIKE]
        self._bytes += size
        return TakenApart(learned.outline, learned.numbers.unpack(raw))


def _learned(raw: bytes, metric: Metric, guard_digest: str) -> _Known | None:
    """Where numbers are; None: it has none of eight bytes, or is not written as protobuf's own writers do."""
    if metric.WhichOneof("data") not in ("sum", "histogram"):
        return None
    plain = _replaced(metric, _PLAIN, _PLAIN, _PLAIN)
    one, other = (it.SerializeToString() for it in (plain, _replaced(metric, _LEFT, _SIGNED, _UNSIGNED)))
    if len(one) != len(raw) or len(other) != len(raw):
        return None
    differences = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    texts, numbers = ["<"], ["<"]
    for run in _RUNS.finditer(differences.to_bytes(len(raw), "big")):
        length, kind = run.end() - run.start(), run.lastindex
        texts.append(f"{length}{'s' if kind == 1 else 'x'}")
        numbers.append(f"{length // 8}{'q' if kind == 3 else 'Q'}" if kind in (3, 4) else f"{length}x")
    known = _Known(Struct("".join(texts)), Struct("".join(numbers)), (), Outline(plain, guard_digest))
    text = known.texts.unpack(raw)
    return known._replace(text=text) if text == known.texts.unpack(one) else None


def _replaced(metric: Metric, left: int, signed: int, unsigned: int) -> Metric:
    """With all numbers of one meaning the same. One that is 0 may be left out, and is then not put in."""
    replaced = Metric()
    replaced.CopyFrom(metric)
    for point in replaced.sum.data_points:
        point.start_time_unix_nano = point.time_unix_nano = unsigned
        point.as_int = signed
    for counted in replaced.histogram.data_points:
        counted.start_time_unix_nano = counted.time_unix_nano = left
        if counted.count:
            counted.count = left
        if _are_counts_taken(metric):
            counted.bucket_counts[:] = [unsigned] * len(counted.bucket_counts)
    return replaced


def _numbers(metric: Metric) -> tuple[int, ...]:
    """The same as where they are taken from bytes."""
    if metric.WhichOneof("data") == "sum":
        points = metric.sum.data_points
        return tuple(n for point in points for n in (point.start_time_unix_nano, point.time_unix_nano, point.as_int))
    if not _are_counts_taken(metric):
        return ()
    return tuple(n for point in metric.histogram.data_points for n in point.bucket_counts)


def _are_counts_taken(metric: Metric) -> bool:
    return metric.name != otlp.FEATURE_REFERENCE


take_apart: Final = _Memory().take_apart
