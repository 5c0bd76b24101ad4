"""``edge-rai profile``: only learns, and writes policy.toml to be read and edited."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_rai_converters.cli.convert import DATA_HELP

if TYPE_CHECKING:
    from edge_rai.policy import Policy, Reference


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser("profile", help="learn limits and drift reference from data, as files to edit")
    parser.add_argument("model", metavar="MODEL", help="an .onnx file; it is only read")
    parser.add_argument("--data", required=True, metavar="FILE", help=DATA_HELP)
    parser.add_argument("--labels", metavar="KEY", help="a key of the .npz to leave out, or a file to ignore")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="receives policy.toml and reference.json")
    parser.add_argument("--json", action="store_true", help="print the features as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learns, writes both files, and prints one line a feature."""
    from edge_rai.policy import policy_to_toml
    from edge_rai_converters.pipeline import learn

    learned = learn(
        args.model, args.data, labels=args.labels, progress=lambda step: print(f"profile: {step}", file=sys.stderr)
    )
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.toml").write_text(policy_to_toml(learned.policy), encoding="utf-8")
    (folder / "reference.json").write_bytes(learned.reference.to_json())
    rows = _rows(learned.policy, learned.reference)
    if args.json:
        print(json.dumps({"output": str(folder), "batched": learned.policy.batched, "features": rows}, indent=1))
        return 0
    print(f"{'feature':32}{'low':>12}{'high':>12}{'mean':>12}{'stddev':>12}{'bins':>6}")
    for row in rows:
        limits = "".join(f"{'none' if row[side] is None else format(row[side], '.5g'):>12}" for side in ("low", "high"))
        print(f"{row['name']!s:32}{limits}{row['mean']:>12.5g}{row['stddev']:>12.5g}{row['bins']:>6}")
    print(f"wrote:  {folder / 'policy.toml'}, {folder / 'reference.json'} ({len(learned.calibration)} rows)")
    return 0


def _rows(policy: Policy, reference: Reference) -> list[dict[str, str | float | int | None]]:
    rules = [(rule.name, feature) for rule in policy.inputs for feature in rule.features]
    return [
        {
            "input": name,
            "name": feature.name,
            "low": feature.low,
            "high": feature.high,
            "mean": learned.mean,
            "stddev": learned.stddev,
            "bins": len(learned.counts),
        }
        for (name, feature), learned in zip(rules, reference.features, strict=True)
    ]
