"""``edge-rai audit``: what is wrong with data, before a model is judged by it."""

from __future__ import annotations

import argparse
import json

_DATA_HELP = ".csv, .parquet, .npz, .npy, or a folder of images; it is only read"
_LABELS_HELP = (
    "class of each row: a column, a key of the .npz, or .npy files; several are the labels of several annotators "
    "(images: the names of sub-folders, unless this says none)"
)


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser(
        "audit", help="look for duplicates, leakage, idle columns and doubtful labels in data"
    )
    parser.add_argument("data", metavar="DATA", help=_DATA_HELP)
    parser.add_argument("--labels", nargs="+", default=[], action="extend", metavar="KEY_OR_FILE", help=_LABELS_HELP)
    parser.add_argument(
        "--slice",
        nargs="+",
        default=[],
        action="extend",
        dest="slices",
        metavar="COLUMN",
        help="a column or key whose values divide the rows, each of which should be large enough to be judged",
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 when there is a finding of severity error")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Audits and prints one line a finding, the gravest first."""
    from edge_rai_converters.audit import audit
    from edge_rai_converters.cli.report import Stages

    with Stages("audit") as stages:
        report = audit(args.data, args.labels, args.slices, progress=stages)
    if args.json:
        print(json.dumps(report.as_json(), sort_keys=True, indent=1, allow_nan=False))
    else:
        print("\n".join(report.sentences()))
    return int(args.strict and report.has_errors())
