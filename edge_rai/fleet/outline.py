"""What a metric says beside its numbers, names and bounds and references, checked once for all that say the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA, Metric

from edge_rai.events import Expired
from edge_rai.fleet import attributes
from edge_rai.fleet.attributes import RefusedError
from edge_rai.telemetry import otlp

_LABEL: Final = {  # the attribute that tells the points of a metric apart
    otlp.VERDICT: otlp.VERDICT,
    otlp.SOURCE: otlp.SOURCE,
    otlp.REASON: otlp.REASON,
    otlp.DECISION: otlp.DECISION,
    **{f"{otlp.EXPIRED}.{what}": otlp.EXPIRY for what in Expired._fields},
    otlp.FEATURE_NOT_FINITE: otlp.FEATURE,
    otlp.FEATURE_Z_SUM: otlp.FEATURE,
    otlp.FEATURE_Z_SUM_SQUARES: otlp.FEATURE,
}


class _Histogram(NamedTuple):
    bounds: tuple[float, ...]
    first: int  # of its counts, one more than the bounds, among those of the metric
    end: int


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


class Counted(NamedTuple):
    """A feature, and where its counts begin and end among the numbers of its metric."""

    feature: str
    reference: Reference
    first: int
    end: int


class Outline:
    """What a metric says beside its numbers; read when it is asked for.

    Attributes:
        metric: Whose numbers mean nothing where they were taken.
        name: Of it.
        points: How many it has.
    """

    def __init__(self, metric: Metric, guard_digest: str) -> None:
        self.metric = metric
        self.name = metric.name
        self.points = otlp.count_points(metric)
        self._guard_digest = guard_digest
        self._counted: tuple[Outline, tuple[Counted, ...]] | None = None

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Of a delta sum of integers: what tells its points apart, no two the same; "" where nothing needs to.

        Raises:
            RefusedError: It is no such metric.
        """
        self.require_delta("sum")
        points = self.metric.sum.data_points
        if not all(point.HasField("as_int") for point in points):
            raise RefusedError("a count is not an integer")
        key = _LABEL.get(self.name)
        return self._distinct([_text(point.attributes, key) if key else "" for point in points])

    def counted(self, reference: Outline) -> tuple[Counted, ...]:
        """The features of a delta histogram, in the order of their names.

        Args:
            reference: What they are measured against, whose counts are the same in every batch.

        Raises:
            RefusedError: They are no such metrics, or not of the same features.
        """
        if self._counted is None or self._counted[0] is not reference:
            self._counted = reference, self._matched(reference._references)
        return self._counted[1]

    def _matched(self, references: Mapping[str, Reference]) -> tuple[Counted, ...]:
        histograms = self._histograms
        if references.keys() != histograms.keys():
            raise RefusedError("a feature has a histogram without a reference or the reverse")
        for name, one in histograms.items():
            if references[name].bounds != one.bounds:
                raise RefusedError(f"feature {name!r} has other bounds than its reference")
        return tuple(Counted(name, references[name], one.first, one.end) for name, one in sorted(histograms.items()))

    @cached_property
    def _histograms(self) -> dict[str, _Histogram]:
        self.require_delta("histogram")
        points = self.metric.histogram.data_points
        names = self._distinct([_text(point.attributes, otlp.FEATURE) for point in points])
        found, first = {}, 0
        for name, point in zip(names, points, strict=True):
            bounds = attributes.checked_bounds(self.name, tuple(point.explicit_bounds))
            end = first + len(point.bucket_counts)
            if end - first != len(bounds) + 1:
                raise RefusedError(f"{self.name} has {len(bounds)} bounds and {end - first} counts")
            found[name] = _Histogram(bounds, first, end)
            first = end
        return found

    @cached_property
    def _references(self) -> dict[str, Reference]:
        points = self.metric.histogram.data_points
        counts = attributes.counts_of(self.name, (count for point in points for count in point.bucket_counts))
        return {
            name: _reference(self._guard_digest, name, one.bounds, counts[one.first : one.end])
            for name, one in self._histograms.items()
        }

    def require_delta(self, kind: str) -> None:
        """Refuses a metric of another kind or temporality."""
        if self.metric.WhichOneof("data") != kind:
            raise RefusedError(f"{self.name} is not a {kind}")
        if getattr(self.metric, kind).aggregation_temporality != AGGREGATION_TEMPORALITY_DELTA:
            raise RefusedError(f"{self.name} is not a delta: a relay on the way converts; switch that off")

    def _distinct(self, labels: Sequence[str]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels):
            raise RefusedError(f"{self.name} has two data points of one name in one batch")
        return tuple(labels)


@lru_cache(maxsize=4096)
def no_reference(guard_digest: str, feature: str) -> Reference:
    """What a feature has that is measured against nothing."""
    return _reference(guard_digest, feature, (), ())


def _reference(guard_digest: str, feature: str, bounds: tuple[float, ...], counts: tuple[int, ...]) -> Reference:
    named = json.dumps([guard_digest, feature, bounds, counts])
    return Reference(feature, bounds, counts, hashlib.sha256(named.encode()).hexdigest())


def _text(pairs: Sequence[KeyValue], key: str) -> str:
    return attributes.text(attributes.attributes(pairs), key)
