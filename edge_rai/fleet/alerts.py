"""Looks at the fleet by rules: what is raised, what is cleared, and what is to be told of it.

What a rule remembers between two looks, and what waits to be told, is in the ledger: a restart raises nothing twice and
forgets nothing. No clock and no network here.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from edge_rai.fleet.engine import Engine
from edge_rai.fleet.evidence import HOUR_NS, drifted_devices, last_set_time, read_watching
from edge_rai.fleet.queries import Part
from edge_rai.fleet.rules import DevicesRule, DriftRule, RateRule, Rule, Rules, SilenceRule
from edge_rai.fleet.status import Device, read_devices, read_features, read_groups
from edge_rai.fleet.store import Store

_KEPT_NS: Final = 30 * 24 * HOUR_NS
_LISTED: Final = 50  # subjects in a notice


class _Finding(NamedTuple):
    """What a rule measured of one subject; between the bounds it says nothing."""

    subject: str
    value: float
    raises: bool
    clears: bool
    group: str


def look(store: Store, engine: Engine, rules: Rules, sinks: Sequence[str], now_unix_ns: int) -> int:
    """Looks once, and leaves a notice for each sink, rule and group in which something changed.

    Args:
        store: The ledger.
        engine: Over its facts.
        rules: What to look for.
        sinks: Names of those to be told.
        now_unix_ns: The collector's wall clock.

    Returns:
        How many notices there are for each sink.
    """
    devices = read_devices(engine, store.directory, Part())
    made = 0
    names = [rule.name for rule in rules.rule]
    with store.transaction() as connection:
        connection.execute(f"DELETE FROM alert WHERE rule NOT IN ({', '.join('?' * len(names))})", names)
    for rule in rules.rule:
        if isinstance(rule, DevicesRule) and not _is_due(store, rule, now_unix_ns):
            continue
        findings = list(_findings(rule, engine, devices, now_unix_ns))
        with store.transaction() as connection:
            if isinstance(rule, DevicesRule):
                period = last_set_time(now_unix_ns, rule.every_hours) // HOUR_NS
                connection.execute("INSERT OR REPLACE INTO alert VALUES (?, '', 0, ?)", (rule.name, period))
            for body in _changes(connection, rule, findings, now_unix_ns):
                made += 1
                connection.executemany(
                    "INSERT INTO notice VALUES (NULL, ?, ?, ?, NULL, NULL)",
                    [(sink, now_unix_ns, json.dumps(body)) for sink in sinks],
                )
            connection.execute("DELETE FROM notice WHERE told_unix_ns < ?", (now_unix_ns - _KEPT_NS,))
    return made


def _is_due(store: Store, rule: DevicesRule, now_unix_ns: int) -> bool:
    """Whether this is the first look after a set time: in between nothing new is to be judged."""
    period = last_set_time(now_unix_ns, rule.every_hours) // HOUR_NS
    with store.transaction() as connection:
        query = "SELECT looks FROM alert WHERE (rule, subject) = (?, '')"
        last = connection.execute(query, (rule.name,)).fetchone()
    return last is None or last[0] != period


def _findings(rule: Rule, engine: Engine, devices: Sequence[Device], now_unix_ns: int) -> Iterator[_Finding]:
    if isinstance(rule, RateRule):
        yield from _rates(rule, engine, now_unix_ns)
    elif isinstance(rule, DriftRule):
        yield from _drifts(rule, engine, now_unix_ns)
    elif isinstance(rule, DevicesRule):
        watching = read_watching(engine, Part(until_unix_ns=last_set_time(now_unix_ns, rule.every_hours)))
        named = set(drifted_devices(watching, rule.rate))
        for one in watching:
            raises = one.instance in named
            yield _Finding(
                one.instance, one.e_value, raises, not raises, getattr(one, rule.group) if rule.group else ""
            )
    else:
        for device in devices:
            if isinstance(rule, SilenceRule):
                value = (now_unix_ns - device.last_received_unix_ns) / HOUR_NS
                raises = value > rule.hours
            else:
                value = float(sum(device.missing.values()))
                raises = value > rule.more_than
            group = getattr(device, rule.group) if rule.group else ""
            yield _Finding(device.instance, value, raises, not raises, group)


def _rates(rule: RateRule, engine: Engine, now_unix_ns: int) -> Iterator[_Finding]:
    part = Part(since_unix_ns=now_unix_ns - int(rule.hours * HOUR_NS))
    for group in read_groups(engine, part, rule.by):
        rows = sum(group.rows.values())
        if rows < rule.least_rows:
            continue
        counts = {"verdict": group.rows, "source": group.sources, "reason": group.reasons, "decision": group.decisions}
        value = sum(counts[rule.of].get(name, 0) for name in set(rule.names)) / rows
        subject = _named(group.of.values()) or "the fleet"
        together = group.of.get(rule.group or "", "")
        yield _Finding(subject, value, value > rule.raise_above, value < rule.clear_below, together)


def _drifts(rule: DriftRule, engine: Engine, now_unix_ns: int) -> Iterator[_Finding]:
    part = Part(since_unix_ns=now_unix_ns - int(rule.hours * HOUR_NS))
    for feature in read_features(engine, part, rule.by):
        if feature.psi is None or feature.expected is None or feature.error is None:
            continue
        surely = max(feature.psi - feature.expected - 2 * feature.error, 0.0)
        guard = f"guard {feature.guard_digest[:12]}"
        subject = _named((feature.feature, *feature.of.values(), guard))
        clears = feature.psi - feature.expected < rule.clear_below
        yield _Finding(subject, surely, surely > rule.raise_above, clears, feature.of.get(rule.group or "", ""))


def _named(parts: Iterable[str]) -> str:
    """Of devices' own words, so that no two subjects have one name: quoted are empty ones, and those with a comma."""
    return ", ".join(json.dumps(it, ensure_ascii=False) if not it or set(it) & set(',"') else it for it in parts)


def _changes(
    connection: sqlite3.Connection, rule: Rule, findings: Sequence[_Finding], now_unix_ns: int
) -> Iterator[dict[str, object]]:
    """One notice a group in which something was raised or cleared; what the rule remembers is brought up to date.

    What nothing is measured of any more speaks for no alert: a model that was replaced, a site with too few rows.
    """
    query = "SELECT subject, raised, looks FROM alert WHERE rule = ? AND subject != ''"
    known = {subject: (bool(raised), looks) for subject, raised, looks in connection.execute(query, (rule.name,))}
    measured = {finding.subject for finding in findings}
    gone = [_Finding(subject, 0.0, False, True, "") for subject in known if subject not in measured]
    changed: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: {"raised": {}, "cleared": {}})
    for finding in (*findings, *gone):
        raised, looks = known.get(finding.subject, (False, 0))
        looks = looks + 1 if (finding.clears if raised else finding.raises) else 0
        if looks >= rule.looks:
            raised, looks = not raised, 0
            changed[finding.group]["raised" if raised else "cleared"][finding.subject] = finding.value
        if (raised, looks) == (False, 0):
            connection.execute("DELETE FROM alert WHERE (rule, subject) = (?, ?)", (rule.name, finding.subject))
        elif (raised, looks) != known.get(finding.subject):
            connection.execute(
                "INSERT OR REPLACE INTO alert VALUES (?, ?, ?, ?)", (rule.name, finding.subject, raised, looks)
            )
    for group, change in sorted(changed.items()):
        yield {
            "rule": rule.name,
            "kind": rule.kind,
            "group": group,
            "unix_ns": now_unix_ns,
            **{
                what: {
                    "count": len(subjects),
                    "subjects": dict(sorted(subjects.items(), key=lambda one: (-one[1], one[0]))[:_LISTED]),
                }
                for what, subjects in change.items()
            },
        }


def raised_now(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Rule and subject of all alerts that stand."""
    return list(connection.execute("SELECT rule, subject FROM alert WHERE raised ORDER BY rule, subject"))
