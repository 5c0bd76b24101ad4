"""``edge-rai profile``: only learns, and writes policy.toml to be read and edited."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_rai_converters.cli.options import MODEL_HELP, add_data, add_wishes, wishes_of
from edge_rai_converters.cli.report import Stages, print_distances, print_not_taken, print_watched

if TYPE_CHECKING:
    from edge_rai.policy import Policy, Reference
    from edge_rai_converters.profiled import Profile


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser("profile", help="learn limits and drift reference from data, as files to edit")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_data(parser)
    add_wishes(parser)
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="receives policy.toml and reference.json")
    parser.add_argument("--json", action="store_true", help="print the features as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learns, writes both files, and prints one line a feature."""
    from edge_rai_converters.profiled import profile_model

    with Stages("profile") as stages:
        found = profile_model(
            args.model,
            args.data,
            args.output,
            **wishes_of(args),
            false_rejection_rate=args.false_rejection_rate,
            progress=stages,
        )
    rows = _rows(found.policy, found.reference)
    if args.json:
        document = {
            "output": str(found.output),
            "batched": found.policy.batched,
            "features": rows,
            "distances": [asdict(entry) for entry in found.distances],
            "without_distance": found.without_distance,
            "not_taken": found.not_taken,
        }
        print(json.dumps(document, indent=1))
    else:
        _print(found, rows)
    return 0


def _print(found: Profile, rows: list[dict[str, Any]]) -> None:
    print(f"{'feature':32}{'low':>12}{'high':>12}{'mean':>12}{'stddev':>12}{'bins':>6}")
    for row in rows:
        numbers = "".join(f"{_number(row[key]):>12}" for key in ("low", "high", "mean", "stddev"))
        print(f"{row['name']!s:32}{numbers}{row['bins']:>6}{_strings(row)}{'  may be missing' * row['missing']}")
    print_not_taken(found.not_taken)
    print_distances(found.distances, found.without_distance)
    print_watched(found.policy.drift)
    print(f"wrote:  {found.output / 'policy.toml'}, {found.output / 'reference.json'} ({found.rows} rows)")


def _number(value: Any) -> str:
    return "none" if value is None else format(value, ".5g")


def _strings(row: dict[str, Any]) -> str:
    """Of a feature of strings what it is held to."""
    if row["categories"]:
        return f"  {len(row['categories'])} categories"
    return f"  {row['length'][0]:g} to {row['length'][1]:g} characters" if row["length"] else ""


def _rows(policy: Policy, reference: Reference) -> list[dict[str, Any]]:
    known = {(entry.input, entry.name): entry for entry in reference.features}
    rows = []
    for rule in policy.inputs:
        for feature in rule.features:
            learned = known.get((rule.name, feature.name))
            rows.append(
                {
                    "input": rule.name,
                    "name": feature.name,
                    "low": feature.low,
                    "high": feature.high,
                    "categories": feature.categories,
                    "length": feature.length,
                    "missing": feature.missing is not None,
                    "mean": learned.mean if learned else None,
                    "stddev": learned.stddev if learned else None,
                    "bins": len(learned.counts) if learned else 0,
                }
            )
    return rows
