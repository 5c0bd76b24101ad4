"""What devices' own detectors say: which groups, features and devices have left their references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from edge_rai.fleet.engine import Engine
from edge_rai.fleet.evidence import (
    Judged,
    Watching,
    drifted_devices,
    features_by_guard,
    judge_features,
    judge_groups,
    last_set_time,
    read_watching,
)
from edge_rai.fleet.page.document import link, linked_table, short, when
from edge_rai.fleet.queries import Part
from edge_rai.page.markup import Markup, element

_EVERY_HOURS: Final = 24
_RATE: Final = 0.05
_SHOWN: Final = 20
_DIMENSIONS: Final = ("model_version", "site", "firmware")


def drift(engine: Engine, now_unix_ns: int, hours: int) -> Iterator[Markup]:
    """The section; nothing where no device watches for drift."""
    at = last_set_time(now_unix_ns, _EVERY_HOURS)
    watching = read_watching(engine, Part(until_unix_ns=at))
    if not watching:
        return
    named = set(drifted_devices(watching, _RATE))
    yield element("h2", "Drift, by devices' own detectors")
    alarms = sum(one.alarm for one in watching)
    counted = f"{len(watching):,} devices watch, {alarms:,} have an alarm that stands, {len(named):,} are named."
    promise = f"Of those named in a table at most {_RATE:.0%} are wrong, on average: it is judged once a day."
    yield element("p", f"As of {when(at)} UTC: {counted} {promise}".replace("%", "\u00a0%"))
    features = features_by_guard(engine)
    for dimension in _DIMENSIONS:
        title = dimension.replace("_", " ")
        yield _groups(judge_groups(watching, [dimension], _RATE), f"Devices by {title}")
        moved = [one for one in judge_features(watching, features, [dimension], _RATE) if one.alarms]
        if moved:
            yield _features(moved, f"Features that alarms name, by {title}", hours)
    if named:
        yield _devices([one for one in watching if one.instance in named], hours)


def _groups(judged: Sequence[Judged], caption: str) -> Markup:
    header = ("Of", "Devices", "Alarms", "Mean e-value", "Left its reference")
    return linked_table(header, [(_of(one), *_numbers(one)) for one in judged[:_SHOWN]], caption + _more(judged))


def _features(judged: Sequence[Judged], caption: str, hours: int) -> Markup:
    header = ("Feature", "Of", "Devices", "Alarms", "Mean e-value", "Left its reference")
    rows = [(_feature(one, hours), _of(one), *_numbers(one)) for one in judged[:_SHOWN]]
    return linked_table(header, rows, caption + _more(judged))


def _feature(one: Judged, hours: int) -> Markup:
    return link(
        short(one.feature), "/feature", {"guard": one.guard_digest, "feature": one.feature, "hours": str(hours)}
    )


def _of(one: Judged) -> str:
    return ", ".join(short(value) or "not said" for value in one.of.values())


def _numbers(one: Judged) -> tuple[str, str, str, str]:
    return f"{one.devices:,}", f"{one.alarms:,}", f"{one.e_value:.3g}", "yes" if one.moved else "not shown"


def _devices(named: Sequence[Watching], hours: int) -> Markup:
    rows = [
        (
            link(one.instance[:12], "/device", {"instance": one.instance, "hours": str(hours)}),
            short(one.site) or "\u2013",
            short(one.firmware) or "\u2013",
            f"{one.e_value:.3g}",
            f"{one.rows:,}",
            ", ".join(short(feature) for feature in sorted(one.features)) or "\u2013",
        )
        for one in sorted(named, key=lambda one: (-one.e_value, one.instance))[:_SHOWN]
    ]
    header = ("Device", "Site", "Firmware", "E-value", "Rows", "Features")
    return linked_table(header, rows, f"Devices that drift, the surest first{_more(named)}")


def _more(found: Sequence[object]) -> str:
    return f" (the first {_SHOWN} of {len(found)})" if len(found) > _SHOWN else ""
