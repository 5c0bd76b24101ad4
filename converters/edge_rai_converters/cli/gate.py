"""``edge-rai gate``: a model against the one that it came from, slice by slice."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge_rai.errors import EdgeRaiError, RuntimeMissingError, UnreadableError
from edge_rai_converters.cli.options import add_data, images

if TYPE_CHECKING:
    from edge_rai_converters.gate import Cell, GateReport

_MODEL = "an .onnx or .tflite file, a bundle, or another file that convert takes"
# Their exit statuses are about the machine; all others would be taken for a verdict.
_ELSEWHERE = (RuntimeMissingError, ModuleNotFoundError, UnreadableError)
_MOST_SHOWN = 40


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "gate",
        help="judge a compressed model against its original, slice by slice",
        description="Exits 0 when every declared metric of every declared slice is shown to be no worse by its margin, "
        "or somebody answers for it; 1 when not, which not enough rows are too; 2 when nothing could be judged.",
    )
    parser.add_argument("candidate", metavar="CANDIDATE", help=_MODEL)
    parser.add_argument("--against", required=True, metavar="ORIGINAL", help=f"what it came from: {_MODEL}")
    add_data(parser)
    parser.add_argument("--policy", required=True, metavar="gate.toml", help="slices, metrics, margins, waivers")
    parser.add_argument(
        "--groups",
        metavar="PATH",
        help=".csv, .parquet or .npz with the columns that the policy names (default: the data)",
    )
    parser.add_argument("--junit", metavar="FILE", help="receives the cells as JUnit's XML")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, as it is in evidence/gate.json")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judges and prints the cells, the worst first."""
    from edge_rai_converters.cli.report import Stages
    from edge_rai_converters.gate import gate, junit

    try:
        with Stages("gate") as stages:
            report = gate(
                args.candidate,
                args.against,
                args.data,
                args.policy,
                labels=args.labels,
                columns=args.groups,
                images=images(args),
                feature_names=args.columns,
                progress=stages,
            )
    except _ELSEWHERE:
        raise
    except EdgeRaiError as error:
        raise ValueError(str(error)) from error
    if args.junit:
        Path(args.junit).write_bytes(junit(report))
    if args.json:
        print(json.dumps(report.as_json(), sort_keys=True, indent=1, allow_nan=False))
    else:
        _print(report)
    return int(not report.passed)


def _print(report: GateReport) -> None:
    shown = [cell for cell in report.cells if cell.verdict != "pass" or cell.waiver is not None][:_MOST_SHOWN]
    for cell in shown:
        print(f"{_mark(cell):13}{cell.name}: {cell.reason}.{_waiver(cell)}")
    rest = sum(cell.verdict == "pass" for cell in report.cells)
    hidden = len(report.cells) - len(shown) - rest
    if hidden:
        print(f"and {hidden} more that do not pass; --json has all of them")
    for note in report.notes:
        print(f"note: {note}.")
    whole = report.alpha >= 1 - report.confidence - 1e-12
    spent = "" if whole else f", and {1 - report.alpha:.4g} in this look at sealed data"
    standing = sum(1 for _ in report.standing())
    print(
        f"{report.verdict}: {rest} of {len(report.cells)} cells pass, each with {report.confidence:.4g} "
        f"confidence{spent}; {standing} stop the release"
    )


def _mark(cell: Cell) -> str:
    return "waived" if cell.waiver is not None else cell.verdict


def _waiver(cell: Cell) -> str:
    if cell.waiver is None:
        return ""
    return f" {cell.waiver.person} answers for it until {cell.waiver.expires.isoformat()}: {cell.waiver.reason}"
