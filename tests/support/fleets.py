"""Stores filled without a network, and what is read from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from edge_rai.counts import FeatureCounts, Snapshot
from edge_rai.fleet.decode import decode
from edge_rai.fleet.engine import Engine, opened, opened_beside
from edge_rai.fleet.facts import Facts, facts_of
from edge_rai.fleet.queries import Part
from edge_rai.fleet.request import read_request
from edge_rai.fleet.roll import roll
from edge_rai.fleet.status import Device, FeatureStatus, Group, read_devices, read_features, read_groups
from edge_rai.fleet.store import Store
from edge_rai.telemetry import otlp
from edge_rai.types import Feature
from support.telemetry import FEATURES, counts, snapshot

OTHER = "ff" * 16
EVERYTHING = Part()
HOUR_NS = 3_600_000_000_000


class Seen(NamedTuple):
    """All there is to read of a store."""

    groups: tuple[Group, ...]
    devices: tuple[Device, ...]
    features: tuple[FeatureStatus, ...]

    @property
    def group(self) -> Group:
        """The whole fleet."""
        (found,) = self.groups
        return found

    def feature(self, name: str) -> FeatureStatus:
        (found,) = (one for one in self.features if one.feature == name)
        return found


def batch_of(one: Snapshot, features: tuple[Feature, ...] = FEATURES, **labels: object) -> Facts:
    """A snapshot as the ledger takes it, with what is said of its device."""
    [(batch, points)], refusals = decode(read_request(otlp.encode(one, features)))
    assert refusals == []
    for name, value in labels.items():
        setattr(batch, name, value)
    return facts_of(batch, points)


def store_all(
    directory: Path, *snapshots: Snapshot, at: int = 0, features: tuple[Feature, ...] = FEATURES, **labels: object
) -> None:
    """Stores snapshots as received at a time."""
    with closing(Store(directory)) as store:
        store.add([batch_of(one, features, **labels) for one in snapshots], at)


def with_radius(bins: Sequence[int], sequence: int = 0, **changes: object) -> Snapshot:
    """A snapshot whose first feature has these counts."""
    features = (FeatureCounts(counts(bins), 0, 0, 0), *snapshot().features[1:])
    return snapshot(sequence, features=features, **changes)


def seen(directory: Path, part: Part = EVERYTHING, *, by: Sequence[str] = (), engine: str = "duckdb") -> Seen:
    """What an engine reads of a store."""
    with opened(directory, engine) as facts:
        groups, features = read_groups(facts, part, by), read_features(facts, part, by)
        return Seen(groups, read_devices(facts, directory, part), features)


@contextmanager
def open_store(directory: Path) -> Iterator[tuple[Store, Engine]]:
    """A store and an engine over what has been rolled of it."""
    with closing(Store(directory)) as store:
        roll(store)
        with opened_beside(store) as engine:
            yield store, engine
