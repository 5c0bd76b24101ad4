"""``edge-rai gate``: a model against the one that it came from, slice by slice."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_rai.errors import EdgeRaiError, RuntimeMissingError, UnreadableError
from edge_rai_converters.cli.options import add_data, images
from edge_rai_converters.given import check_parent

if TYPE_CHECKING:
    from edge_rai_converters.gate import Cell, GateReport

_MODEL = "an .onnx or .tflite file, a bundle, or another file that convert takes"
# Their exit statuses are about the machine; all others would be taken for a verdict.
_ELSEWHERE = (RuntimeMissingError, ModuleNotFoundError, UnreadableError, FileNotFoundError)
_MOST_SHOWN, _MOST_PASSING = 40, 12
# What is said of keys beside the cells, and what comes before it.
_FURTHER = {
    "certificate": "certificate: ", "robustness": "robustness: ", "shift": "shift: ", "audit_queue": "audit: ",
    "leads": "",
}  # fmt: skip


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "gate",
        help="judge a compressed model against its original, slice by slice",
        description="Exits 0 when every declared metric of every declared slice is shown to be no worse by its margin, "
        "or somebody answers for it; 1 when not, which not enough rows are too; 2 when nothing could be judged; 3 when "
        "a component is missing; 4 when a file is not there, or cannot be read or written.",
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
    parser.add_argument("--html", metavar="FILE", help="receives the report as a page")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, as it is in evidence/gate.json")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judges and prints the cells, the worst first."""
    from edge_rai_converters.cli.report import Stages
    from edge_rai_converters.gate import gate, junit
    from edge_rai_converters.gate_page.document import gate_page

    # Before anything is looked at: a look at sealed data is spent, whatever becomes of its report.
    for file, what in ((args.junit, "JUnit's XML"), (args.html, "the page")):
        if file:
            _check_writable(Path(file), what)
    try:
        with Stages("gate") as stages:
            report = gate(
                args.candidate,
                args.against,
                args.data,
                args.policy,
                labels=args.labels,
                groups=args.groups,
                images=images(args),
                columns=args.columns,
                progress=stages,
            )
    except _ELSEWHERE:
        raise
    except EdgeRaiError as error:
        raise ValueError(str(error)) from error
    if args.json:
        print(json.dumps(report.as_json(), sort_keys=True, indent=1, allow_nan=False))
    else:
        _print(report)
    if args.junit:
        Path(args.junit).write_bytes(junit(report))
    if args.html:
        Path(args.html).write_bytes(gate_page(report.as_json()))
    return int(not report.passed)


def _check_writable(path: Path, what: str) -> None:
    if not path.exists():
        check_parent(path)
    elif path.is_dir() or not os.access(path, os.W_OK):
        raise PermissionError(f"{path} cannot be written: expected the name of a file for {what}")


def _print(report: GateReport) -> None:
    shown = [cell for cell in report.cells if cell.verdict != "pass" or cell.waiver is not None][:_MOST_SHOWN]
    for cell in shown:
        print(f"{_mark(cell):13}{cell.name}: {cell.reason}.{_waiver(cell)}")
    passing = [cell for cell in report.cells if cell.verdict == "pass" and cell.waiver is None]
    hidden = len(report.cells) - len(shown) - len(passing)
    if hidden:
        print(f"and {hidden:,} more that do not pass; --json has all of them")
    if report.passed:
        _print_passing(passing)
    for name, lead in _FURTHER.items():
        for said in (report.further.get(name) or {}).get("sentences", ()):
            print(f"{lead}{said}.")
    for note in report.notes:
        print(f"note: {note}.")
    attempt = report.facts["attempt"]
    look = "" if attempt is None else f" (look {attempt['number']} of {attempt['of']} at sealed data)"
    standing = sum(1 for _ in report.standing())
    count = sum(cell.verdict == "pass" for cell in report.cells)
    print(
        f"{report.verdict}: {count:,} of {len(report.cells):,} cells pass, each with {1 - report.alpha:.4g} "
        f"confidence{look}; {standing:,} stop the release"
    )


def _print_passing(cells: Sequence[Cell]) -> None:
    """A table of those that came closest to their margins."""
    from edge_rai_converters.gate.sentences import amount

    closest = sorted(cells, key=lambda cell: (-cell.loss_high / cell.margin, cell.name))[:_MOST_PASSING]
    table = [("passes, closest to its margin first", "original", "candidate", "worse by at most", "margin")]
    for cell in closest:
        metric = cell.measured.metric
        both = (f"{cell.measured.original:.4g}", f"{cell.measured.candidate:.4g}")
        within = "" if cell.merged_into is None else f" (within {cell.merged_into})"
        table.append((cell.name + within, *both, amount(metric, cell.loss_high), amount(metric, cell.margin)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *rest in table:
        figures = tuple(text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))
        print("  ".join([name.ljust(widths[0]), *figures]))
    more = f"and {len(cells) - len(closest):,} more that pass; " if len(cells) > len(closest) else ""
    print(f"{more}--json has every figure")


def _mark(cell: Cell) -> str:
    return "waived" if cell.waiver is not None else cell.verdict


def _waiver(cell: Cell) -> str:
    if cell.waiver is None:
        return ""
    return f" {cell.waiver.person} answers for it until {cell.waiver.expires.isoformat()}: {cell.waiver.reason}"
