"""Tables of devices, features and events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from edge_rai.fleet.engine import Row
from edge_rai.fleet.page.document import link, linked_table, share, short, when
from edge_rai.fleet.status import Device, FeatureStatus, Group
from edge_rai.page.markup import Markup, element
from edge_rai.page.scale import digits, duration
from edge_rai.types import ReasonCode, Source, Verdict

_SHOWN = 20
_LONGEST_SAID = 300


def devices_table(devices: Sequence[Device], silent: set[str], hours: int, caption: str) -> Markup:
    """Some devices, with links to each."""
    header = ("Device", "Site", "Firmware", "Last received, UTC", "Windows missing", "Rejected")
    rows = [
        (
            link(one.instance[:12], "/device", {"instance": one.instance, "hours": str(hours)}),
            short(one.site) or "\u2013",
            short(one.firmware) or "\u2013",
            when(one.last_received_unix_ns) + (" silent" if one.instance in silent else ""),
            str(sum(one.missing.values())),
            share(one.rows.get("reject", 0), sum(one.rows.values())),
        )
        for one in devices[:_SHOWN]
    ]
    return linked_table(header, rows, f"{caption}{_more(len(devices))}")


def features_table(features: Sequence[FeatureStatus], hours: int) -> Markup:
    """Features, the surest drift first, with links to each."""
    header = ("Feature", "PSI", "\u00b1", "If unchanged", "Values", "Not finite", "Devices")
    rows = [
        (
            link(
                short(one.feature), "/feature", {"guard": one.guard_digest, "feature": one.feature, "hours": str(hours)}
            ),
            *("\u2013" if value is None else f"{value:.4f}" for value in (one.psi, one.error, one.expected)),
            f"{one.values:,}",
            f"{one.not_finite:,}",
            str(one.devices),
        )
        for one in features[:_SHOWN]
    ]
    return linked_table(header, rows, f"Population stability index, the surest drift first{_more(len(features))}")


def groups_of_feature(features: Sequence[FeatureStatus], dimension: str) -> Markup:
    """One feature, group by group, the surest drift first."""
    header = (dimension.replace("_", " ").capitalize(), "PSI", "\u00b1", "If unchanged", "Values", "Devices")
    rows = [
        (
            short(one.of[dimension]) or "not said",
            *("\u2013" if value is None else f"{value:.4f}" for value in (one.psi, one.error, one.expected)),
            f"{one.values:,}",
            str(one.devices),
        )
        for one in features[:_SHOWN]
    ]
    return linked_table(header, rows, f"Population stability index, the surest drift first{_more(len(features))}")


def groups_table(groups: Sequence[Group], dimension: str, hours: int, caption: str) -> Markup:
    """Groups side by side; models with links to each."""
    header = (dimension.replace("_", " ").capitalize(), "Devices", "Rows", "Flagged", "Rejected", "p50", "p99")
    rows = []
    for one in sorted(groups, key=lambda group: (-group.devices, sorted(group.of.items())))[:_SHOWN]:
        (name,) = one.of.values()
        total = sum(one.rows.values())
        shown: str = short(name) or "not said"
        if dimension == "model_digest":
            shown = link(name[:12], "/model", {"digest": name, "hours": str(hours)})
        latency = (duration(one.latency_ns[at]) if at in one.latency_ns else "\u2013" for at in ("0.5", "0.99"))
        counts = (share(one.rows.get(verdict, 0), total) for verdict in ("flag", "reject"))
        rows.append((shown, str(one.devices), f"{total:,}", *counts, *latency))
    return linked_table(header, rows, f"{caption}{_more(len(groups))}")


def group_facts(group: Group) -> Iterator[tuple[str, str]]:
    """What a group reported, by name."""
    total = sum(group.rows.values())
    yield "Rows", f"{total:,} of {group.calls:,} calls, {group.errors:,} of which raised"
    yield "Verdicts", _shares(group.rows)
    yield "Answered by", _shares(group.sources)
    if group.reasons:
        yield "Reasons", ", ".join(f"{name} {count:,}" for name, count in _falling(group.reasons))
    if group.decisions:
        yield "Decisions", ", ".join(f"{name} {count:,}" for name, count in _falling(group.decisions))
    if group.expired:
        yield "Expired", ", ".join(f"{name} {count:,}" for name, count in _falling(group.expired))
    if group.latency_ns:
        yield "Calls", ", ".join(f"{float(at):.0%} within {duration(ns)}" for at, ns in group.latency_ns.items())


def events_table(events: Sequence[Row], hours: int) -> Markup:
    """The last events."""
    if not events:
        return element("p", "No events were received.")
    rows = [
        (
            when(int(one["received_unix_ns"])),
            link(str(one["instance"])[:12], "/device", {"instance": str(one["instance"]), "hours": str(hours)}),
            str(one["name"]),
            _said(str(one["said"])),
        )
        for one in events
    ]
    return element(
        "div", linked_table(("Received, UTC", "Device", "Event", "Says"), rows, "Last events"), class_="words"
    )


def _said(text: str) -> str:
    """Codes by their names, as far as they are known."""
    said = json.loads(text)
    for key, names in (("edge.verdict", Verdict), ("edge.source", Source)):
        if said.get(key) in set(names):
            said[key] = names(said[key]).name.lower()
    mask = said.get("edge.reasons")
    if isinstance(mask, int) and 0 <= mask < 1 << 64:
        known = [code.name.lower() for code in ReasonCode if mask >> code & 1]
        said["edge.reasons"] = " ".join(known) or str(mask)
    shown = ", ".join(f"{key.removeprefix('edge.')} {value}" for key, value in said.items())
    return shown if len(shown) <= _LONGEST_SAID else shown[:_LONGEST_SAID] + "\u2026"


def psi_said(one: FeatureStatus) -> str:
    """The index in words."""
    if one.psi is None or one.error is None or one.expected is None:
        return "There is no reference to compare with, or nothing was counted."
    surely = one.psi - one.expected > 2 * one.error
    judged = "has moved from its reference by more than chance" if surely else "is where its reference is, give or take"
    psi = f"PSI {digits(one.psi)} \u00b1 {digits(one.error)}, {digits(one.expected)} if unchanged"
    return f"{one.feature} {judged}: {psi}."


def _shares(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{name} {count:,} ({share(count, total)})" for name, count in counts.items() if count) or "none"


def _falling(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _more(count: int) -> str:
    return f" (the first {_SHOWN} of {count})" if count > _SHOWN else ""
