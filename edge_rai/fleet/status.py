"""What the store knows of the fleet: who reported, what was judged, what is missing, what has drifted.

Everything is merged by adding integers. The population stability index is the native library's, the same that a device
computes for itself.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_rai.errors import StoreError
from edge_rai.fleet.store import open_read_only
from edge_rai.telemetry.drift import feature_drift

_TALLY_KINDS: Final = ("verdict", "source", "reason", "decision")


@dataclass(frozen=True, slots=True)
class Device:
    """One spool instance.

    Attributes:
        instance: 32 hex digits.
        batches: Batches received.
        missing: Batches that were made and did not arrive, by epoch: gaps in the sequence up to the greatest seen.
        first_received_unix_ns: By the collector's clock.
        last_received_unix_ns: By the collector's clock.
        first_start_unix_ns: By the device's clock, which may be wrong.
        last_end_unix_ns: By the device's clock.
        calls: Calls of predict.
        errors: Calls that raised.
        rows: Rows by verdict.
    """

    instance: str
    batches: int
    missing: dict[int, int]
    first_received_unix_ns: int
    last_received_unix_ns: int
    first_start_unix_ns: int
    last_end_unix_ns: int
    calls: int
    errors: int
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class FeatureStatus:
    """One feature of one guard program, merged over all devices.

    Attributes:
        guard_digest: SHA-256 of the guard program, hex.
        feature: Its name.
        psi: Population stability index against the reference; None for a feature without one.
        expected: What psi would be on average without any change, 0 when nothing was counted; None likewise.
        values: Finite values counted.
        reference_values: Values of the reference.
        not_finite: NaN and infinite values.
        devices: Devices that reported it.
    """

    guard_digest: str
    feature: str
    psi: float | None
    expected: float | None
    values: int
    reference_values: int
    not_finite: int
    devices: int


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The whole store, merged.

    Attributes:
        devices: By time of last receipt, latest first.
        batches: Of all devices.
        missing: Batches that did not arrive, of all devices.
        calls: Of all devices.
        errors: Of all devices.
        rows: By verdict.
        sources: Rows by who answered.
        reasons: By name.
        decisions: By name.
        features: Worst psi first, those without a reference last.
    """

    devices: tuple[Device, ...]
    batches: int
    missing: int
    calls: int
    errors: int
    rows: dict[str, int]
    sources: dict[str, int]
    reasons: dict[str, int]
    decisions: dict[str, int]
    features: tuple[FeatureStatus, ...]


def read_status(directory: Path) -> FleetStatus:
    """Merges everything in a store, as of one moment.

    Raises:
        StoreError: There is no store, or it cannot be read.
    """
    with closing(open_read_only(directory)) as connection:
        try:
            connection.execute("BEGIN")  # one view of a store that goes on growing
            devices = _devices(connection)
            tallies = _tallies(connection)
            features = _features(connection)
        except sqlite3.Error as error:
            raise StoreError(f"the store in {directory} cannot be read: {error}") from error
    return FleetStatus(
        devices=devices,
        batches=sum(device.batches for device in devices),
        missing=sum(sum(device.missing.values()) for device in devices),
        calls=sum(device.calls for device in devices),
        errors=sum(device.errors for device in devices),
        rows=tallies["verdict"],
        sources=tallies["source"],
        reasons=tallies["reason"],
        decisions=tallies["decision"],
        features=features,
    )


def _devices(connection: sqlite3.Connection) -> tuple[Device, ...]:
    # Counts are summed in Python: hostile ones make SQLite's sum() overflow, which is an error there.
    rows: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    query = "SELECT instance, name, count FROM tally JOIN batch ON id = batch WHERE kind = 'verdict' ORDER BY name"
    for instance, name, count in connection.execute(query):
        rows[instance][name] += count
    calls: dict[str, int] = defaultdict(int)
    errors: dict[str, int] = defaultdict(int)
    for instance, called, failed in connection.execute("SELECT instance, calls, errors FROM batch"):
        calls[instance] += called
        errors[instance] += failed
    missing = _missing(connection)
    query = (
        "SELECT instance, count(*), min(received_unix_ns), max(received_unix_ns), min(start_unix_ns), max(end_unix_ns) "
        "FROM batch GROUP BY instance ORDER BY max(received_unix_ns) DESC, instance"
    )
    return tuple(
        Device(
            instance=instance,
            batches=batches,
            missing=missing.get(instance, {}),
            first_received_unix_ns=first_received,
            last_received_unix_ns=last_received,
            first_start_unix_ns=first_start,
            last_end_unix_ns=last_end,
            calls=calls[instance],
            errors=errors[instance],
            rows=dict(rows[instance]),
        )
        for instance, batches, first_received, last_received, first_start, last_end in connection.execute(query)
    )


def _missing(connection: sqlite3.Connection) -> dict[str, dict[int, int]]:
    """Instance → epoch → batches that did not arrive."""
    missing: dict[str, dict[int, int]] = defaultdict(dict)
    query = "SELECT instance, epoch, max(sequence), count(*) FROM batch GROUP BY instance, epoch ORDER BY epoch"
    for instance, epoch, last, count in connection.execute(query):
        if last + 1 > count:
            missing[instance][epoch] = last + 1 - count
    return missing


def _tallies(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    merged: dict[str, dict[str, int]] = {kind: defaultdict(int) for kind in _TALLY_KINDS}
    for kind, name, count in connection.execute("SELECT kind, name, count FROM tally ORDER BY kind, name"):
        merged[kind][name] += count
    return {kind: dict(counts) for kind, counts in merged.items()}


def _features(connection: sqlite3.Connection) -> tuple[FeatureStatus, ...]:
    query = "SELECT id, guard_digest, feature, counts FROM reference ORDER BY guard_digest, feature, id"
    merged = [_feature(connection, *row) for row in connection.execute(query)]
    return tuple(sorted(merged, key=lambda feature: (feature.psi is None, -(feature.psi or 0.0))))


def _feature(
    connection: sqlite3.Connection, reference_id: int, guard_digest: str, name: str, blob: bytes
) -> FeatureStatus:
    query = (
        "SELECT feature.counts, not_finite, instance FROM feature JOIN batch ON batch.id = feature.batch "
        "WHERE reference = ?"
    )
    reference = _integers(blob)
    window = np.zeros_like(reference)
    not_finite = 0
    instances = set()
    for counts, not_finite_here, instance in connection.execute(query, (reference_id,)):
        window += _integers(counts)
        not_finite += not_finite_here
        instances.add(instance)
    drift = feature_drift(name, reference, window) if len(reference) else None
    return FeatureStatus(
        guard_digest=guard_digest,
        feature=name,
        psi=drift.psi if drift else None,
        expected=drift.expected if drift else None,
        values=int(window.sum()),
        reference_values=int(reference.sum()),
        not_finite=not_finite,
        devices=len(instances),
    )


def _integers(blob: bytes) -> npt.NDArray[np.uint64]:
    return np.frombuffer(blob, dtype="<u8").astype(np.uint64)
