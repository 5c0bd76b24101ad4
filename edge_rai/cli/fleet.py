"""`edge-rai fleet status`: what the store knows of all devices."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_rai.fleet.status import Device, FeatureStatus, FleetStatus


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser("fleet", help="what all devices reported")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser(
        "status",
        help="devices, verdicts, gaps and drift",
        description="Prints the devices with their rows by verdict and missing batches, and the population stability "
        "index (PSI) of each feature against its reference, worst first. May run beside the collector.",
    )
    status.add_argument(
        "--store", type=Path, required=True, metavar="DIR", help="directory given to `edge-rai collect`"
    )
    status.add_argument("--json", action="store_true", help="everything, for programs")
    status.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    from edge_rai.fleet.status import read_status

    status = read_status(args.store)
    if args.json:
        print(json.dumps(asdict(status)))
    else:
        _print_text(status)
    return 0


def _print_text(status: FleetStatus) -> None:
    rows = sum(status.rows.values())
    print(f"{len(status.devices)} devices, {status.batches} batches, {status.missing} missing, {rows} rows")
    tallies = (
        ("verdict", status.rows),
        ("answered by", status.sources),
        ("reason", status.reasons),
        ("decision", status.decisions),
    )
    for title, counts in tallies:
        print(f"{title}: {_counts(counts)}")
    if status.devices:
        print()
        _print_table(
            ("device", "last received", "batches", "missing", "errors", "rows by verdict"),
            [_device_cells(device) for device in status.devices],
        )
    if status.features:
        print()
        _print_table(
            ("guard", "feature", "PSI", "if unchanged", "values", "not finite", "devices"),
            [_feature_cells(feature) for feature in status.features],
        )


def _device_cells(device: Device) -> Sequence[str]:
    seen = datetime.fromtimestamp(device.last_received_unix_ns // 10**9, timezone.utc)
    missing = sum(device.missing.values())
    numbers = (device.batches, missing, device.errors)
    return (device.instance, f"{seen:%Y-%m-%d %H:%M:%SZ}", *map(str, numbers), _counts(device.rows))


def _feature_cells(feature: FeatureStatus) -> Sequence[str]:
    psi, expected = (("-" if value is None else f"{value:.4f}") for value in (feature.psi, feature.expected))
    numbers = (feature.values, feature.not_finite, feature.devices)
    return (feature.guard_digest[:12], feature.feature, psi, expected, *map(str, numbers))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
