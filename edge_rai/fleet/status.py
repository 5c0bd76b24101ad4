"""What the store knows of the fleet: who reported, what was judged, what is missing, how fast, what has drifted.

Everything is merged by adding integers.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_rai.errors import StoreError
from edge_rai.fleet import queries
from edge_rai.fleet.drift import Counts, latency_percentile, measure
from edge_rai.fleet.engine import Engine, Row
from edge_rai.fleet.queries import Part
from edge_rai.fleet.roll import BINS
from edge_rai.fleet.store import open_read_only

PERCENTILES: Final = (0.5, 0.9, 0.99)

_EXPIRED: Final = "expired_"


@dataclass(frozen=True, slots=True)
class Device:
    """One spool instance.

    Attributes:
        instance: 32 hex digits.
        site: As it was said last; "" if never.
        firmware: Likewise.
        model_version: Likewise.
        model_digest: Of the model it used last.
        batches: Batches received.
        missing: Windows that were made and did not arrive, by epoch: gaps in the sequence up to the greatest seen.
        first_received_unix_ns: By the collector's clock.
        last_received_unix_ns: By the collector's clock.
        first_start_unix_ns: By the device's clock, which may be wrong.
        last_end_unix_ns: By the device's clock.
        calls: Calls of predict.
        errors: Calls that raised.
        rows: Rows by verdict.
    """

    instance: str
    site: str
    firmware: str
    model_version: str
    model_digest: str
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
class Group:
    """What devices that have something in common reported together.

    Attributes:
        of: By dimension what they have in common; empty: the whole fleet.
        devices: How many.
        batches: Received.
        calls: Calls of predict.
        errors: Calls that raised.
        rows: By verdict.
        sources: Rows by who answered.
        reasons: Given.
        decisions: Taken.
        expired: What expired on devices, by "rows quota" and so on.
        latency_ns: Percentiles by share, as "0.99".
    """

    of: dict[str, str]
    devices: int
    batches: int
    calls: int
    errors: int
    rows: dict[str, int]
    sources: dict[str, int]
    reasons: dict[str, int]
    decisions: dict[str, int]
    expired: dict[str, int]
    latency_ns: dict[str, float]


@dataclass(frozen=True, slots=True)
class FeatureStatus:
    """One feature against one reference, merged over the devices of a group.

    Attributes:
        of: By dimension what they have in common; empty: the whole fleet.
        guard_digest: SHA-256 of the guard program, hex.
        feature: Its name.
        psi: Population stability index against the reference; None for a feature without one or without values.
        expected: What psi would be on average without any change; None likewise.
        error: Standard error of psi, values being independent; None likewise.
        values: Finite values counted.
        not_finite: NaN and infinite values.
        devices: That reported it.
        bounds: Of the bins, one fewer than these.
        reference: Counts.
        window: Counts.
    """

    of: dict[str, str]
    guard_digest: str
    feature: str
    psi: float | None
    expected: float | None
    error: float | None
    values: int
    not_finite: int
    devices: int
    bounds: tuple[float, ...]
    reference: tuple[int, ...]
    window: tuple[int, ...]


def read_groups(engine: Engine, part: Part, by: Sequence[str] = ()) -> tuple[Group, ...]:
    """Each group with what it reported; without `by` one of the whole fleet."""
    by = tuple(dict.fromkeys(by))
    counted: dict[tuple[str, ...], dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in engine.rows(queries.tallies(part, by)):
        counted[_key(row, by)][row["kind"]][row["name"]] = int(row["count"])
    return tuple(_group(row, by, counted[_key(row, by)]) for row in engine.rows(queries.totals(part, by)))


def _key(row: Row, by: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[name] for name in by)


def _group(row: Row, by: Sequence[str], counted: dict[str, dict[str, int]]) -> Group:
    latency = counted.get("latency", {})
    slots = [0] * (1 + max(map(int, latency), default=0))
    for slot, count in latency.items():
        slots[int(slot)] = count
    percentiles = {f"{share:g}": latency_percentile(slots, share) for share in PERCENTILES}
    return Group(
        of={name: row[name] for name in by},
        devices=int(row["devices"]),
        batches=int(row["batches"]),
        calls=int(row["calls"]),
        errors=int(row["errors"]),
        rows=counted.get("verdict", {}),
        sources=counted.get("source", {}),
        reasons=counted.get("reason", {}),
        decisions=counted.get("decision", {}),
        expired={
            f"{kind.removeprefix(_EXPIRED)} {name}": count
            for kind, names in sorted(counted.items())
            if kind.startswith(_EXPIRED)
            for name, count in names.items()
        },
        latency_ns={share: value for share, value in percentiles.items() if value is not None},
    )


def read_features(engine: Engine, part: Part, by: Sequence[str] = ()) -> tuple[FeatureStatus, ...]:
    """Features of each group, the surest drift first, those without a reference last."""
    by = tuple(dict.fromkeys(by))
    known = {row["digest"]: row for row in engine.rows(queries.references())}
    merged = [_feature(row, known[row["reference"]], by) for row in engine.rows(queries.histograms(part, by))]
    return tuple(sorted(merged, key=lambda one: (one.psi is None, -_excess(one))))


def _excess(one: FeatureStatus) -> float:
    return 0.0 if one.psi is None or one.expected is None or not one.error else (one.psi - one.expected) / one.error


def _feature(row: Row, reference: Row, by: Sequence[str]) -> FeatureStatus:
    expected, window = _counts(reference["counts"]), merged_bins(row, len(reference["counts"]))
    psi = measure(expected, window)
    return FeatureStatus(
        of={name: row[name] for name in by},
        guard_digest=row["guard_digest"],
        feature=row["feature"],
        psi=psi.value if psi else None,
        expected=psi.expected if psi else None,
        error=psi.error if psi else None,
        values=int(window.sum()),
        not_finite=int(row["not_finite"]),
        devices=int(row["devices"]),
        bounds=tuple(reference["bounds"]),
        reference=tuple(expected.tolist()),
        window=tuple(window.tolist()),
    )


def merged_bins(row: Row, bins: int) -> Counts:
    """A row's histogram."""
    return _counts([row[name] or 0 for name in BINS[:bins]])


def _counts(values: Sequence[int]) -> Counts:
    return np.array([int(value) for value in values], dtype=np.uint64)


def read_devices(engine: Engine, directory: Path, part: Part) -> tuple[Device, ...]:
    """Each device, the last heard of first.

    Raises:
        StoreError: The ledger cannot be read.
    """
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for row in engine.rows(queries.device_tallies(part, ("verdict",))):
        rows[row["instance"]][row["name"]] = int(row["count"])
    latest = {row["instance"]: row for row in engine.rows(queries.latest(part))}
    gaps = missing_windows(directory)
    found = [
        _device(row, latest[row["instance"]], rows[row["instance"]], gaps.get(row["instance"], {}))
        for row in engine.rows(queries.devices(part))
    ]
    return tuple(sorted(found, key=lambda one: (-one.last_received_unix_ns, one.instance)))


def _device(row: Row, latest: Row, rows: dict[str, int], missing: dict[int, int]) -> Device:
    return Device(
        instance=row["instance"],
        **{name: latest[name] for name in queries.DIMENSIONS},
        batches=int(row["batches"]),
        missing=missing,
        first_received_unix_ns=int(row["first_received_unix_ns"]),
        last_received_unix_ns=int(row["last_received_unix_ns"]),
        first_start_unix_ns=int(row["first_start_unix_ns"]),
        last_end_unix_ns=int(row["last_end_unix_ns"]),
        calls=int(row["calls"]),
        errors=int(row["errors"]),
        rows=rows,
    )


def missing_windows(directory: Path) -> dict[str, dict[int, int]]:
    """Instance → epoch → windows that did not arrive.

    Raises:
        StoreError: The ledger cannot be read.
    """
    missing: dict[str, dict[int, int]] = defaultdict(dict)
    query = "SELECT instance, epoch, max(first + count), sum(count) FROM span GROUP BY instance, epoch ORDER BY 1, 2"
    with closing(open_read_only(directory)) as connection:
        try:
            for instance, epoch, end, count in connection.execute(query):
                if end > count:
                    missing[instance][epoch] = end - count
        except sqlite3.Error as error:
            raise StoreError(f"the store in {directory} cannot be read: {error}") from error
    return dict(missing)
