"""What stays the same from batch to batch, names, bounds and references, read and checked once for all that have it.

A device counts the same features against the same reference in every batch. Counts and times are taken out of a metric;
the bytes that are left, its outline, are read when they are seen for the first time. What is remembered is a function
of these bytes alone, so nobody can have the metrics of somebody else read differently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Generic, NamedTuple, TypeVar

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA, Metric

from edge_rai.fleet import attributes
from edge_rai.fleet.attributes import RefusedError
from edge_rai.telemetry import otlp

_MOST_REMEMBERED_BYTES: Final = 8 << 20  # of outlines; what they say takes several times as much

_Read = TypeVar("_Read")


class Histogram(NamedTuple):
    """A histogram of a feature: `counts` has one more than `bounds`, or none where they were taken out."""

    feature: str
    bounds: tuple[float, ...]
    counts: tuple[int, ...]


class Reference(NamedTuple):
    """What a feature is measured against.

    Attributes:
        feature: Its name.
        bounds: Of the bins.
        counts: One more than these.
        digest: SHA-256 of all of it and the guard program, hex: a device that sends another reference under the same
            guard program spoils only its own figures.
    """

    feature: str
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    digest: str


class _Remembering(Generic[_Read]):
    """Results by key and outline, as many as a number of bytes allows; then all are forgotten."""

    def __init__(self, read: Callable[[str, Metric], _Read]) -> None:
        self._read = read
        self._known: dict[tuple[str, bytes], _Read] = {}
        self._bytes = 0

    def __call__(self, key: str, metric: Metric) -> _Read:
        outline = metric.SerializeToString()
        found = self._known.get((key, outline))
        if found is None:
            found = self._read(key, metric)
            if self._bytes + len(outline) > _MOST_REMEMBERED_BYTES:
                self._known, self._bytes = {}, 0
            self._known[key, outline] = found
            self._bytes += len(outline)
        return found


def take_numbers(metric: Metric, key: str = "") -> tuple[tuple[str, ...], list[int]]:
    """Takes the integers and the times out of a delta sum.

    Args:
        metric: It is used up.
        key: Of the attribute that tells its points apart; "": it has one point.

    Returns:
        What the attribute says, no two the same, and the integers.

    Raises:
        RefusedError: It is no such metric.
    """
    values = []
    for point in metric.sum.data_points:
        value = point.as_int
        if not value and not point.HasField("as_int"):
            raise RefusedError("a count is not an integer")
        values.append(value)
        point.as_int = point.start_time_unix_nano = point.time_unix_nano = 0
    return _labels(key, metric), values


def take_histograms(metric: Metric) -> list[Histogram]:
    """Takes the counts and the times out of a delta histogram by feature.

    Args:
        metric: It is used up.

    Raises:
        RefusedError: It is no such metric.
    """
    taken = []
    for point in metric.histogram.data_points:
        taken.append(tuple(point.bucket_counts[:]))  # a slice is a list, which is read at once
        point.ClearField("bucket_counts")
        point.count = point.start_time_unix_nano = point.time_unix_nano = 0
    outlines = _histograms(otlp.FEATURE, metric)
    found = [Histogram(one.feature, one.bounds, counts) for one, counts in zip(outlines, taken, strict=True)]
    _require_fitting(metric.name, found)
    return found


def read_references(metric: Metric, guard_digest: str) -> tuple[Reference, ...]:
    """Reads a delta histogram by feature, whose counts are the same in every batch.

    Args:
        metric: It is used up.
        guard_digest: Of the program that they are of.

    Raises:
        RefusedError: It is no such metric.
    """
    for point in metric.histogram.data_points:
        point.start_time_unix_nano = point.time_unix_nano = 0
    return _references(guard_digest, metric)


def _require_fitting(name: str, found: Sequence[Histogram]) -> None:
    for _, bounds, counts in found:
        if len(counts) != len(bounds) + 1:
            raise RefusedError(f"{name} has {len(bounds)} bounds and {len(counts)} counts")
    most = max((max(one.counts) for one in found), default=0)
    attributes.bounded(most, attributes.LARGEST_COUNT)  # they are unsigned


def require_delta(metric: Metric, kind: str) -> None:
    """Refuses a metric of another kind or temporality."""
    if metric.WhichOneof("data") != kind:
        raise RefusedError(f"{metric.name} is not a {kind}")
    if getattr(metric, kind).aggregation_temporality != AGGREGATION_TEMPORALITY_DELTA:
        raise RefusedError(f"{metric.name} is not a delta: a relay on the way converts; switch that off")


def _read_labels(key: str, metric: Metric) -> tuple[str, ...]:
    require_delta(metric, "sum")
    points = metric.sum.data_points
    return _distinct(metric.name, tuple(_label(point.attributes, key) for point in points))


def _read_histograms(key: str, metric: Metric) -> tuple[Histogram, ...]:
    require_delta(metric, "histogram")
    found = tuple(
        Histogram(
            _label(point.attributes, key),
            attributes.checked_bounds(metric.name, tuple(point.explicit_bounds)),
            tuple(point.bucket_counts[:]),
        )
        for point in metric.histogram.data_points
    )
    _distinct(metric.name, tuple(one.feature for one in found))
    return found


def _read_references(guard_digest: str, metric: Metric) -> tuple[Reference, ...]:
    found = _read_histograms(otlp.FEATURE, metric)
    _require_fitting(metric.name, found)
    return tuple(_reference(guard_digest, *one) for one in found)


@lru_cache(maxsize=4096)
def no_reference(guard_digest: str, feature: str) -> Reference:
    """What a feature has that is measured against nothing."""
    return _reference(guard_digest, feature, (), ())


def _reference(guard_digest: str, feature: str, bounds: tuple[float, ...], counts: tuple[int, ...]) -> Reference:
    named = json.dumps([guard_digest, feature, bounds, counts])
    return Reference(feature, bounds, counts, hashlib.sha256(named.encode()).hexdigest())


def _label(pairs: Sequence[KeyValue], key: str) -> str:
    return attributes.text(attributes.attributes(pairs), key) if key else ""


def _distinct(name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) < len(labels):
        raise RefusedError(f"{name} has two data points of one name in one batch")
    return labels


_labels: Final = _Remembering(_read_labels)
_histograms: Final = _Remembering(_read_histograms)
_references: Final = _Remembering(_read_references)
