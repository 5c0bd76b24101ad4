"""The questions asked of a fleet's facts, each written once, for whatever engine ibis can write SQL for.

Sums are of integers and orders are total, so every engine gives the same rows in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import ibis
from ibis import _
from ibis.expr.types import Table

from edge_rai.fleet.roll import BINS

DIMENSIONS: Final = ("model_digest", "model_version", "site", "firmware")

_LABELS: Final = {
    "instance": "string",
    "site": "string",
    "firmware": "string",
    "model_version": "string",
    "model_digest": "string",
    "guard_digest": "string",
    "received_unix_ns": "int64",
    "hour": "int64",
}
BATCHES: Final = ibis.table(
    {
        **_LABELS,
        "epoch": "int64",
        "sequence": "int64",
        "start_unix_ns": "int64",
        "end_unix_ns": "int64",
        "calls": "int64",
        "errors": "int64",
        "windows": "int64",
        "drift_evidence": "float64",
        "drift_rows": "int64",
        "drift_alarm": "boolean",
        "rows": "int64",
    },
    name="batches",
)
COUNTS: Final = ibis.table({**_LABELS, "kind": "string", "name": "string", "count": "int64"}, name="counts")
FEATURES: Final = ibis.table(
    {**_LABELS, "feature": "string", "reference": "string", "not_finite": "int64", **dict.fromkeys(BINS, "int64")},
    name="features",
)
DRIFTS: Final = ibis.table(
    {**_LABELS, "epoch": "int64", "sequence": "int64", "feature": "string", "evidence": "float64"}, name="drifts"
)
REFERENCES: Final = ibis.table(
    {
        "digest": "string",
        "guard_digest": "string",
        "feature": "string",
        "bounds": "array<float64>",
        "counts": "array<int64>",
    },
    name="references",
)
EVENTS: Final = ibis.table(
    {
        "received_unix_ns": "int64",
        "instance": "string",
        "epoch": "int64",
        "number": "int64",
        "name": "string",
        "unix_ns": "int64",
        "severity": "int64",
        "model_digest": "string",
        "said": "string",
    },
    name="events",
)


class Part(NamedTuple):
    """Of which facts; None: of all.

    Attributes:
        since_unix_ns: Received then or later, by the collector's clock.
        until_unix_ns: Received before.
        instance: Of this device.
        model_digest: Of this model.
        feature: With this name.
    """

    since_unix_ns: int | None = None
    until_unix_ns: int | None = None
    instance: str | None = None
    model_digest: str | None = None
    feature: str | None = None


def _of(table: Table, part: Part) -> Table:
    if part.since_unix_ns is not None:
        table = table.filter(_.received_unix_ns >= part.since_unix_ns)
    if part.until_unix_ns is not None:
        table = table.filter(_.received_unix_ns < part.until_unix_ns)
    for name in ("instance", "model_digest", "feature"):
        wanted = getattr(part, name)
        if wanted is not None and name in table.columns:
            table = table.filter(table[name] == wanted)
    return table


def totals(part: Part, by: Sequence[str] = ()) -> Table:
    """Batches, calls, errors and devices of each group."""
    grouped = _of(BATCHES, part).group_by(*by) if by else _of(BATCHES, part)
    table = grouped.aggregate(
        batches=_.count(),
        calls=_.calls.sum().fill_null(0),
        errors=_.errors.sum().fill_null(0),
        devices=_.instance.nunique(),
    )
    return table.order_by(*by) if by else table


def tallies(part: Part, by: Sequence[str] = ()) -> Table:
    """Counts of each group by kind and name: verdicts, sources, reasons, decisions, expired; and latency by slot."""
    keys = (*by, "kind", "name")
    return _of(COUNTS, part).group_by(*keys).aggregate(count=_["count"].sum()).order_by(*keys)


def histograms(part: Part, by: Sequence[str] = ()) -> Table:
    """Merged histograms of each group, feature and reference."""
    keys = (*by, "feature", "reference", "guard_digest")
    sums = {name: _[name].sum() for name in BINS}
    merged = _of(FEATURES, part).group_by(*keys)
    return merged.aggregate(not_finite=_.not_finite.sum(), devices=_.instance.nunique(), **sums).order_by(*keys)


def hourly_histograms(part: Part) -> Table:
    """Merged histograms of each hour since 1970, feature and reference."""
    keys = ("hour", "feature", "reference", "guard_digest")
    sums = {name: _[name].sum() for name in BINS}
    return _of(FEATURES, part).group_by(*keys).aggregate(**sums).order_by(*keys)


def hourly_tallies(part: Part, kind: str) -> Table:
    """Counts of one kind by hour since 1970 and name."""
    counted = _of(COUNTS, part).filter(_.kind == kind).group_by("hour", "name")
    return counted.aggregate(count=_["count"].sum()).order_by("hour", "name")


def references() -> Table:
    """What histograms are measured against."""
    return REFERENCES.order_by("guard_digest", "feature", "digest")


def devices(part: Part) -> Table:
    """What each device has sent."""
    return (
        _of(BATCHES, part)
        .group_by("instance")
        .aggregate(
            batches=_.count(),
            calls=_.calls.sum(),
            errors=_.errors.sum(),
            first_received_unix_ns=_.received_unix_ns.min(),
            last_received_unix_ns=_.received_unix_ns.max(),
            first_start_unix_ns=_.start_unix_ns.min(),
            last_end_unix_ns=_.end_unix_ns.max(),
        )
        .order_by("instance")
    )


def _newest(table: Table) -> Table:
    """The name of each device's last batch, in the order in which it counted."""
    ends = table.group_by("instance", "epoch").aggregate(sequence=_.sequence.max())
    order = ibis.window(group_by="instance", order_by=ibis.desc("epoch"))
    return ends.mutate(place=ibis.row_number().over(order)).filter(_.place == 0).drop("place")


def latest(part: Part) -> Table:
    """What each device said of itself last."""
    batches = _of(BATCHES, part)
    wanted = ("instance", *DIMENSIONS, "guard_digest", "epoch", "sequence")
    drift = ("drift_evidence", "drift_rows", "drift_alarm")
    last = batches.semi_join(_newest(batches), ["instance", "epoch", "sequence"])
    return last.select(*wanted, *drift).order_by("instance")


def rows_since_alarm(part: Part) -> Table:
    """Rows of each device whose alarm stands, in the batches since that in which it was raised, this one included."""
    batches = _of(BATCHES, part)
    calm = _newest(batches.filter(~_.drift_alarm)).rename(calm_epoch="epoch", calm_sequence="sequence")
    alarmed = batches.filter(_.drift_alarm).left_join(calm, "instance")
    is_later = (_.epoch > _.calm_epoch) | ((_.epoch == _.calm_epoch) & (_.sequence > _.calm_sequence))
    standing = alarmed.filter(_.calm_epoch.isnull() | is_later)
    return standing.group_by("instance").aggregate(rows=_.rows.sum()).order_by("instance")


def alarmed_features(part: Part) -> Table:
    """Evidence of the features that alarms of devices named."""
    wanted = ("instance", "epoch", "sequence", "feature", "evidence")
    return _of(DRIFTS, part).select(*wanted).order_by(*wanted[:-1])


def device_tallies(part: Part, kinds: Sequence[str]) -> Table:
    """Counts of some kinds by device."""
    keys = ("instance", "kind", "name")
    counted = _of(COUNTS, part).filter(_.kind.isin(kinds))
    return counted.group_by(*keys).aggregate(count=_["count"].sum()).order_by(*keys)


def last_events(part: Part, most: int) -> Table:
    """Events, newest receipt first."""
    newest = [ibis.desc("received_unix_ns"), ibis.desc("instance"), ibis.desc("epoch"), ibis.desc("number")]
    return _of(EVENTS, part).order_by(newest).limit(most)
