"""What devices' own detectors say of drift, averaged over groups and judged at times that were set beforehand.

Evidence of a Shiryaev-Roberts e-detector (ADR 14) is at most T on average after T rows without a change, however it
was stopped: evidence that stands still at an alarm, divided by all rows until a set time, those after the alarm among
them, is an e-value. A mean of e-values is one, whatever devices have to do with each other, and e-BH holds the share
of wrong names among those named. What is judged are batches received before the last set time, so that nobody can
look until something shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_rai.fleet import queries
from edge_rai.fleet.drift import drifted
from edge_rai.fleet.engine import Engine, Row
from edge_rai.fleet.queries import Part

HOUR_NS: Final = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Watching:
    """A device that watches for drift, as it was last.

    Attributes:
        instance: 32 hex digits.
        site: As it was said last; "" if never.
        firmware: Likewise.
        model_version: Likewise.
        model_digest: Of its model.
        guard_digest: Of its guard program.
        e_value: That it has left its reference.
        rows: That its detectors have looked at since they began, and those after an alarm that stands.
        alarm: Whether one stands.
        features: E-values of the features that it names.
    """

    instance: str
    site: str
    firmware: str
    model_version: str
    model_digest: str
    guard_digest: str
    e_value: float
    rows: int
    alarm: bool
    features: dict[str, float]


@dataclass(frozen=True, slots=True)
class Judged:
    """Devices that have something in common, and perhaps one of their features.

    Attributes:
        of: By dimension what they have in common.
        guard_digest: Of the feature; "" for whole devices.
        feature: Its name; "" for whole devices.
        devices: That watch for drift.
        alarms: Of these with an alarm that stands and, where this is of a feature, names it.
        e_value: Mean over the devices.
        moved: Whether e-BH names it among all that are judged with it.
    """

    of: dict[str, str]
    guard_digest: str
    feature: str
    devices: int
    alarms: int
    e_value: float
    moved: bool


def last_set_time(now_unix_ns: int, every_hours: int) -> int:
    """When it was judged last: whole periods since 1970, such as the last midnight, in UTC, for 24 hours."""
    period = every_hours * HOUR_NS
    return now_unix_ns // period * period


def read_watching(engine: Engine, part: Part) -> tuple[Watching, ...]:
    """Devices that watch for drift, by name.

    Args:
        engine: Over the facts.
        part: Of them, from their beginning: rows since an alarm are counted.
    """
    since = {row["instance"]: int(row["rows"]) for row in engine.rows(queries.rows_since_alarm(part))}
    named: dict[tuple[str, int, int], dict[str, float]] = defaultdict(dict)
    for row in engine.rows(queries.alarmed_features(part)):
        named[row["instance"], row["epoch"], row["sequence"]][row["feature"]] = float(row["evidence"])
    return tuple(
        _watching(row, since.get(row["instance"], 0), named[row["instance"], row["epoch"], row["sequence"]])
        for row in engine.rows(queries.latest(part))
        if row["drift_rows"] and row["drift_evidence"] is not None
    )


def _watching(latest: Row, since_alarm: int, evidence: Mapping[str, float]) -> Watching:
    rows = int(latest["drift_rows"]) + since_alarm
    return Watching(
        instance=latest["instance"],
        **{name: latest[name] for name in queries.DIMENSIONS},
        guard_digest=latest["guard_digest"],
        e_value=latest["drift_evidence"] / rows,
        rows=rows,
        alarm=bool(latest["drift_alarm"]),
        features={feature: found / rows for feature, found in evidence.items()},
    )


def drifted_devices(devices: Iterable[Watching], rate: float) -> tuple[str, ...]:
    """Instances that e-BH names, the surest first.

    Args:
        devices: Read at a set time.
        rate: False discovery rate among the devices.
    """
    return drifted({one.instance: one.e_value for one in devices}, rate)


def judge_groups(devices: Iterable[Watching], by: Sequence[str], rate: float) -> tuple[Judged, ...]:
    """Each group of devices that watch for drift, the surest first.

    Args:
        devices: Read at a set time.
        by: Dimensions that they are grouped by.
        rate: False discovery rate among the groups.
    """
    sums: dict[_Key, _Sum] = defaultdict(_Sum)
    for one in devices:
        sums[_group(one, by), "", ""].add(one.alarm, one.e_value)
    return _judge(sums, by, rate)


def judge_features(
    devices: Iterable[Watching], features: Mapping[str, Sequence[str]], by: Sequence[str], rate: float
) -> tuple[Judged, ...]:
    """Each feature of each group, the surest first. A feature that no alarm names counts as 0, which is no more.

    Args:
        devices: Read at a set time.
        features: By guard program those that have a reference.
        by: Dimensions that devices are grouped by.
        rate: False discovery rate among the features of all groups.
    """
    sums: dict[_Key, _Sum] = defaultdict(_Sum)
    for one in devices:
        for feature in features.get(one.guard_digest, ()):
            key = (_group(one, by), one.guard_digest, feature)
            sums[key].add(feature in one.features, one.features.get(feature, 0.0))
    return _judge(sums, by, rate)


def features_by_guard(engine: Engine) -> dict[str, list[str]]:
    """By guard program the features that have a reference."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in engine.rows(queries.references()):
        if len(row["counts"]):
            found[row["guard_digest"]].add(row["feature"])
    return {guard: sorted(names) for guard, names in found.items()}


_Key = tuple[tuple[str, ...], str, str]  # group, guard program, feature


@dataclass(slots=True)
class _Sum:
    devices: int = 0
    alarms: int = 0
    e_values: float = 0.0

    def add(self, alarm: bool, e_value: float) -> None:
        self.devices += 1
        self.alarms += alarm
        self.e_values += e_value


def _group(one: Watching, by: Sequence[str]) -> tuple[str, ...]:
    return tuple(getattr(one, name) for name in by)


def _judge(sums: Mapping[_Key, _Sum], by: Sequence[str], rate: float) -> tuple[Judged, ...]:
    means = {key: one.e_values / one.devices for key, one in sums.items()}
    moved = set(drifted(means, rate))
    return tuple(
        Judged(
            of=dict(zip(by, key[0], strict=True)),
            guard_digest=key[1],
            feature=key[2],
            devices=sums[key].devices,
            alarms=sums[key].alarms,
            e_value=means[key],
            moved=key in moved,
        )
        for key in sorted(means, key=lambda key: (-means[key], key))
    )
