"""`edge-rai fleet`: what all devices reported, what has drifted, and the facts themselves."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edge_rai.cli import fleet_alerts, fleet_drift
from edge_rai.cli.collect import lacking
from edge_rai.cli.fleet_asked import add_asked, facts, hours, print_table

if TYPE_CHECKING:
    from edge_rai.fleet.status import Device, Group

_DATASETS = ("batches", "counts", "features", "drifts", "events", "references")
_SHOWN = 20


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser("fleet", help="what all devices reported")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser(
        "status",
        help="rates, latency, silent devices and gaps",
        description="Prints rows by verdict and by who answered, latency percentiles, and the devices that are silent "
        "or have gaps in their sequence. May run beside the collector.",
    )
    add_asked(status)
    status.add_argument(
        "--silent", type=hours, default=24.0, metavar="H", help="hours until a device counts as silent (default: 24)"
    )
    status.set_defaults(run=_run_status)
    fleet_drift.add(commands)
    fleet_alerts.add(commands)
    export = commands.add_parser("export", help="facts into a file", description="Writes a data set into one file.")
    export.add_argument("--store", type=Path, required=True, metavar="DIR", help="directory of `edge-rai collect`")
    export.add_argument("--hours", type=hours, metavar="H", help="only what was received in the last H hours")
    export.add_argument("dataset", choices=_DATASETS)
    export.add_argument("to", type=Path, metavar="FILE", help="ending in .parquet, .csv or .ndjson")
    export.set_defaults(run=_run_export)


def _run_status(args: argparse.Namespace) -> int:
    if lacking("fleet"):
        return 3
    from edge_rai.fleet.status import read_devices, read_groups

    with facts(args) as (engine, part):
        groups = read_groups(engine, part, args.by)
        devices = read_devices(engine, args.store, part)
    silent_before = time.time_ns() - int(args.silent * 3600e9)
    silent = [one.instance for one in devices if one.last_received_unix_ns < silent_before]
    if args.json:
        found = {"groups": [asdict(one) for one in groups], "devices": [asdict(one) for one in devices]}
        print(json.dumps({**found, "silent": silent}))
        return 0
    missing = sum(sum(one.missing.values()) for one in devices)
    print(f"{len(devices)} devices, {len(silent)} silent, {missing} windows missing")
    for group in groups:
        _print_group(group)
    _print_devices(devices, set(silent))
    return 0


def _print_group(group: Group) -> None:
    rows = sum(group.rows.values())
    title = ", ".join(f"{name} {value or 'not said'}" for name, value in group.of.items()) or "whole fleet"
    print(f"\n{title}: {group.devices} devices, {group.batches} batches, {group.calls} calls, {rows} rows")
    print(f"verdict: {_shares(group.rows)}")
    print(f"answered by: {_shares(group.sources)}")
    for name, counts in (("reason", group.reasons), ("decision", group.decisions), ("expired", group.expired)):
        print(f"{name}: {_counts(counts)}")
    if group.latency_ns:
        within = (f"{float(share):.0%} within {ns / 1000:.0f} us" for share, ns in group.latency_ns.items())
        print(f"calls: {', '.join(within)}; {group.errors} raised")


def _print_devices(devices: Sequence[Device], silent: set[str]) -> None:
    bad = [one for one in devices if one.missing or one.instance in silent]
    listed = sorted(bad, key=lambda one: (one.instance not in silent, -sum(one.missing.values()), one.instance))
    if not listed:
        return
    print()
    head = ("silent or with gaps", "site", "firmware", "last received", "batches", "missing", "rows by verdict")
    print_table(head, [_device_cells(one, one.instance in silent) for one in listed[:_SHOWN]])
    if len(listed) > _SHOWN:
        print(f"and {len(listed) - _SHOWN} more: --json lists them all")


def _device_cells(device: Device, silent: bool) -> Sequence[str]:
    seen = datetime.fromtimestamp(device.last_received_unix_ns // 10**9, timezone.utc)
    when = f"{seen:%Y-%m-%d %H:%M:%SZ}" + (" silent" if silent else "")
    numbers = (device.batches, sum(device.missing.values()))
    return (device.instance, device.site, device.firmware, when, *map(str, numbers), _counts(device.rows))


def _run_export(args: argparse.Namespace) -> int:
    if lacking("fleet"):
        return 3
    from edge_rai.fleet.export import export

    since = None if args.hours is None else time.time_ns() - int(args.hours * 3600e9)
    rows = export(args.store, args.dataset, args.to, since_unix_ns=since)
    print(f"{rows} rows in {args.to}")
    return 0


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{name} {count} ({count / total:.2%})" for name, count in counts.items() if count) or "none"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
