"""`edge-rai fleet drift`: which features moved, on which models, sites and firmware, and on which devices."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edge_rai.cli.collect import lacking
from edge_rai.cli.fleet_asked import add_asked, facts, print_table

if TYPE_CHECKING:
    from edge_rai.fleet.evidence import Judged, Watching
    from edge_rai.fleet.status import FeatureStatus

_SHOWN = 20


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "drift",
        help="features against their references, and where devices drifted",
        description="Prints the population stability index (PSI) of each feature against its reference with what it "
        "would be unchanged and its standard error, surest drift first. Below it what devices' own detectors say: "
        "groups, features of groups, and devices that have left their reference, named so that in each list at most "
        "the given share of those named is wrong on average (e-BH). That is judged at set times: what was received "
        "before the last of them counts, whenever it is asked.",
    )
    add_asked(parser)
    parser.add_argument("--feature", metavar="NAME", help="only the index of this one")
    parser.add_argument("--rate", type=_share, default=0.05, metavar="R", help="false discovery rate (default: 0.05)")
    parser.add_argument(
        "--every",
        type=_whole_hours,
        default=24,
        metavar="H",
        help="hours between set times (default: 24, at 00:00 UTC)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    if lacking("fleet"):
        return 3
    from edge_rai.fleet.evidence import (
        drifted_devices,
        features_by_guard,
        judge_features,
        judge_groups,
        last_set_time,
        read_watching,
    )
    from edge_rai.fleet.queries import Part
    from edge_rai.fleet.status import read_features

    at = last_set_time(time.time_ns(), args.every)
    with facts(args, whole=True) as (engine, part):
        features = read_features(engine, part._replace(feature=args.feature), args.by)
        watching = read_watching(engine, Part(until_unix_ns=at))
        groups = judge_groups(watching, args.by, args.rate)
        moved = judge_features(watching, features_by_guard(engine), args.by, args.rate)
    named = drifted_devices(watching, args.rate)
    if args.json:
        judged = {
            "as_of_unix_ns": at,
            "rate": args.rate,
            "groups": [asdict(one) for one in groups],
            "features": [asdict(one) for one in moved],
            "devices": [asdict(one) for one in watching],
            "drifted": named,
        }
        print(json.dumps({"features": [asdict(one) for one in features], "evidence": judged}))
        return 0
    if features:
        head = ("guard", *args.by, "feature", "PSI", "+-", "if unchanged", "values", "not finite", "devices")
        print_table(head, [_feature_cells(one) for one in features])
    print(f"\n{_said(watching, named, at, args.rate)}")
    if watching:
        _print_judged(groups, [one for one in moved if one.alarms], args.by)
    for instance in named[:_SHOWN]:
        print(f"  {instance}")
    if len(named) > _SHOWN:
        print(f"  and {len(named) - _SHOWN} more: --json lists them all")
    return 0


def _said(watching: Sequence[Watching], named: Sequence[str], at: int, rate: float) -> str:
    alarms = sum(one.alarm for one in watching)
    wrong = f"; of what is named in a list at most {rate:.0%} wrongly, on average" if named else ""
    return (
        f"as of {datetime.fromtimestamp(at // 10**9, timezone.utc):%Y-%m-%d %H:%M} UTC: {len(watching)} devices watch "
        f"for drift, {alarms} have an alarm that stands; {len(named)} have left their reference{wrong}"
    )


def _print_judged(groups: Sequence[Judged], moved: Sequence[Judged], by: Sequence[str]) -> None:
    head = ("devices", "alarms", "mean e-value", "left its reference")
    if by:
        print_table((*by, *head), [_judged_cells(one) for one in groups[:_SHOWN]])
    if moved:
        print()
        rows = [(one.guard_digest[:12], one.feature, *_judged_cells(one)) for one in moved[:_SHOWN]]
        print_table(("guard", "feature that alarms name", *by, *head), rows)


def _judged_cells(one: Judged) -> Sequence[str]:
    counted = (str(one.devices), str(one.alarms), f"{one.e_value:.3g}", "yes" if one.moved else "not shown")
    return (*(value or "not said" for value in one.of.values()), *counted)


def _feature_cells(one: FeatureStatus) -> Sequence[str]:
    numbers = ("-" if value is None else f"{value:.4f}" for value in (one.psi, one.error, one.expected))
    counts = (one.values, one.not_finite, one.devices)
    return (one.guard_digest[:12], *one.of.values(), one.feature, *numbers, *map(str, counts))


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _whole_hours(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number of hours from 1 to 10000")
    return value
