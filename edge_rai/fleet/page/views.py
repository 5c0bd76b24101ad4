"""The pages: the fleet at a glance, one device, one model, one feature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_rai.fleet import queries
from edge_rai.fleet.alerts import raised_now
from edge_rai.fleet.drift import measure
from edge_rai.fleet.engine import Engine
from edge_rai.fleet.evidence import HOUR_NS, read_watching
from edge_rai.fleet.page.charts import bins, by_hour
from edge_rai.fleet.page.document import document, facts, link, share, when
from edge_rai.fleet.page.drift import drift
from edge_rai.fleet.page.tables import (
    devices_table,
    events_table,
    features_table,
    group_facts,
    groups_of_feature,
    groups_table,
    psi_said,
)
from edge_rai.fleet.queries import Part
from edge_rai.fleet.status import (
    Device,
    FeatureStatus,
    merged_bins,
    read_devices,
    read_features,
    read_groups,
)
from edge_rai.fleet.store import Store
from edge_rai.page.markup import Markup, element

_SILENT_HOURS: Final = 24
_EVENTS: Final = 20


@dataclass(frozen=True, slots=True)
class Look:
    """What a page is made of.

    Attributes:
        store: The ledger.
        engine: Over its facts.
        now_unix_ns: The collector's clock.
        hours: The period.
    """

    store: Store
    engine: Engine
    now_unix_ns: int
    hours: int

    def part(self) -> Part:
        """Of the period."""
        return Part(since_unix_ns=self.now_unix_ns - self.hours * HOUR_NS)

    def ends(self) -> tuple[int, int]:
        """Its first and last hour since 1970."""
        return (self.now_unix_ns - self.hours * HOUR_NS) // HOUR_NS, self.now_unix_ns // HOUR_NS


class NoneSuchError(Exception):
    """The device, model or feature asked for has sent nothing."""


def show(look: Look, path: str, query: Mapping[str, str]) -> bytes:
    """The page of a path.

    Raises:
        NoneSuchError: What is asked for has sent nothing.
    """
    if path == "/device":
        return device(look, query.get("instance", ""))
    if path == "/model":
        return model(look, query.get("digest", ""))
    if path == "/feature":
        return feature(look, query.get("guard", ""), query.get("feature", ""))
    return fleet(look)


def fleet(look: Look) -> bytes:
    """The fleet at a glance."""
    devices = read_devices(look.engine, look.store.directory, Part())
    return document("Fleet", _fleet(look, devices), hours=look.hours, path="/", query={})


def _fleet(look: Look, devices: tuple[Device, ...]) -> Iterator[Markup]:
    part = look.part()
    silent_before = look.now_unix_ns - _SILENT_HOURS * HOUR_NS
    silent = {one.instance for one in devices if one.last_received_unix_ns < silent_before}
    missing = sum(sum(one.missing.values()) for one in devices)
    (group,) = read_groups(look.engine, part)
    features = read_features(look.engine, part)
    yield _lead(devices, silent, missing, group.rows)
    yield from _alerts(look)
    yield facts(group_facts(group))
    yield element("h2", "Rows rejected, by hour")
    yield _rejected_by_hour(look, part)
    yield element("h2", "Features against their references")
    yield features_table(features, look.hours)
    yield from drift(look.engine, look.now_unix_ns, look.hours)
    for dimension, title in (("model_digest", "Models"), ("site", "Sites"), ("firmware", "Firmware")):
        yield element("h2", title)
        yield groups_table(read_groups(look.engine, part, [dimension]), dimension, look.hours, title)
    bad = [one for one in devices if one.instance in silent or one.missing]
    if bad:
        bad.sort(key=lambda one: (one.instance not in silent, -sum(one.missing.values()), one.instance))
        yield element("h2", "Silent, or with gaps")
        yield devices_table(bad, silent, look.hours, "Devices that are silent, or whose windows are missing")
    yield element("h2", "Heard of last")
    yield devices_table(devices, silent, look.hours, "Devices, the last heard of first")
    yield element("h2", "Last events")
    yield events_table(look.engine.rows(queries.last_events(part, _EVENTS)), look.hours)


def _lead(devices: tuple[Device, ...], silent: set[str], missing: int, rows: dict[str, int]) -> Markup:
    total = sum(rows.values())
    first = f"{len(devices)} devices, {len(silent)} silent for {_SILENT_HOURS} hours"
    points = (
        f"{missing:,} windows are missing" if missing else "No window is missing",
        f"{share(rows.get('reject', 0), total)} of {total:,} rows were rejected",
    )
    return element("div", element("p", first), element("ul", *(element("li", one) for one in points)), class_="lead")


def _alerts(look: Look) -> Iterator[Markup]:
    with look.store.transaction() as connection:
        standing = raised_now(connection)
    if standing:
        listed = [element("li", f"{rule}: {subject}") for rule, subject in standing[:_EVENTS]]
        more = [element("li", f"and {len(standing) - _EVENTS} more")] if len(standing) > _EVENTS else []
        yield element("div", element("h2", "Alerts that stand"), element("ul", *listed, *more), class_="warnings")


def _rejected_by_hour(look: Look, part: Part) -> Markup:
    rows: dict[int, int] = defaultdict(int)
    rejected: dict[int, int] = defaultdict(int)
    for row in look.engine.rows(queries.hourly_tallies(part, "verdict")):
        rows[int(row["hour"])] += int(row["count"])
        rejected[int(row["hour"])] += int(row["count"]) if row["name"] == "reject" else 0
    shares = {hour: rejected[hour] / total for hour, total in rows.items() if total}
    return by_hour("Share of rows rejected, by hour", shares, *look.ends(), ".2%")


def device(look: Look, instance: str) -> bytes:
    """One device; the beginning of its name will do where no other begins so.

    Raises:
        NoneSuchError: There is none, or there are several.
    """
    wanted = instance.replace("-", "").lower()
    found = [one for one in read_devices(look.engine, look.store.directory, Part()) if one.instance.startswith(wanted)]
    if len(found) != 1 or not wanted:
        raise NoneSuchError(f"{len(found)} devices have names that begin so.")
    (one,) = found
    title, query = f"Device {one.instance[:12]}", {"instance": one.instance}
    return document(title, _device(look, one), hours=look.hours, path="/device", query=query)


def _device(look: Look, one: Device) -> Iterator[Markup]:
    part = look.part()._replace(instance=one.instance)
    (group,) = read_groups(look.engine, part)
    missing = ", ".join(f"{count:,} of epoch {epoch}" for epoch, count in one.missing.items())
    model = link(one.model_version or one.model_digest[:12], "/model", {"digest": one.model_digest})
    yield facts(
        (
            ("Instance", one.instance),
            ("Site", one.site or "not said"),
            ("Firmware", one.firmware or "not said"),
            ("Model", model),
            (
                "Received, UTC",
                f"{one.batches:,} batches, {when(one.first_received_unix_ns)} to {when(one.last_received_unix_ns)}",
            ),
            ("Its own clock", f"{when(one.first_start_unix_ns)} to {when(one.last_end_unix_ns)}"),
            ("Windows missing", missing or "none"),
            ("Drift", _watched(look, one.instance)),
            *group_facts(group),
        )
    )
    yield element("h2", "Rows rejected, by hour")
    yield _rejected_by_hour(look, part)
    yield element("h2", "Features against their references")
    yield features_table(read_features(look.engine, part), look.hours)
    yield element("h2", "Last events")
    yield events_table(look.engine.rows(queries.last_events(Part(instance=one.instance), _EVENTS)), look.hours)


def _watched(look: Look, instance: str) -> str:
    for one in read_watching(look.engine, Part(instance=instance)):
        alarm = f"an alarm stands, of {', '.join(sorted(one.features)) or 'no single feature'}; " if one.alarm else ""
        return f"{alarm}e-value {one.e_value:.3g} after {one.rows:,} rows"
    return "not watched"


def model(look: Look, digest: str) -> bytes:
    """One model.

    Raises:
        NoneSuchError: Nobody has used it.
    """
    everything = Part(model_digest=digest)
    versions = [one.of["model_version"] for one in read_groups(look.engine, everything, ["model_version"])]
    if not versions:
        raise NoneSuchError("Nothing was received of such a model.")
    title = f"Model {', '.join(one for one in versions if one) or digest[:12]}"
    return document(title, _model(look, digest), hours=look.hours, path="/model", query={"digest": digest})


def _model(look: Look, digest: str) -> Iterator[Markup]:
    part = look.part()._replace(model_digest=digest)
    (group,) = read_groups(look.engine, part)
    yield facts((("Digest", digest), ("Devices", f"{group.devices:,} in this period"), *group_facts(group)))
    yield element("h2", "Rows rejected, by hour")
    yield _rejected_by_hour(look, part)
    yield element("h2", "Features against their references")
    yield features_table(read_features(look.engine, part), look.hours)
    for dimension, title in (("site", "Sites"), ("firmware", "Firmware")):
        yield element("h2", title)
        yield groups_table(read_groups(look.engine, part, [dimension]), dimension, look.hours, title)


def feature(look: Look, guard: str, name: str) -> bytes:
    """One feature of one guard program: the reference against the window.

    Raises:
        NoneSuchError: Nobody has reported it in the period.
    """
    found = [one for one in read_features(look.engine, look.part()._replace(feature=name)) if one.guard_digest == guard]
    if not found:
        raise NoneSuchError("Nothing was received of such a feature in this period.")
    query = {"guard": guard, "feature": name}
    return document(name, _feature(look, found, guard), hours=look.hours, path="/feature", query=query)


def _feature(look: Look, found: list[FeatureStatus], guard: str) -> Iterator[Markup]:
    if len(found) > 1:
        yield element("p", f"Devices give {len(found)} different references under this guard program; each by itself:")
    for one in found:
        yield element("div", element("p", psi_said(one)), class_="lead")
        described = f"{one.values:,} values of {one.devices} devices, {one.not_finite:,} not finite"
        yield facts((("Guard program", guard[:12]), ("Counted", described)))
        if not one.reference:
            continue
        yield element("h2", "Reference and this period")
        yield bins(f"Shares of {one.feature} by bin", one.bounds, one.reference, one.window)
    for dimension, title in (("firmware", "Firmware"), ("site", "Sites")):
        apart = read_features(look.engine, look.part()._replace(feature=found[0].feature), [dimension])
        yield element("h2", title)
        yield groups_of_feature([one for one in apart if one.guard_digest == guard], dimension)
    measured = [one for one in found if one.reference]
    if len(measured) == 1:
        yield element("h2", "Index by hour")
        yield _psi_by_hour(look, measured[0])


def _psi_by_hour(look: Look, one: FeatureStatus) -> Markup:
    reference = np.array(one.reference, dtype=np.uint64)
    values = {}
    for row in look.engine.rows(queries.hourly_histograms(look.part()._replace(feature=one.feature))):
        psi = measure(reference, merged_bins(row, len(reference))) if row["guard_digest"] == one.guard_digest else None
        if psi:
            values[int(row["hour"])] = max(psi.value - psi.expected, 0.0)
    return by_hour("Index above what it would be unchanged, by hour", values, *look.ends(), ".3f")
