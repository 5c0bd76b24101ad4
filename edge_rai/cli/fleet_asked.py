"""What commands that ask a store have in common: which facts, by which engine, in which form."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_rai.fleet.engine import Engine
    from edge_rai.fleet.queries import Part

DIMENSIONS = ("site", "firmware", "model_version", "model_digest")


def add_asked(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="directory of `edge-rai collect`")
    parser.add_argument("--by", action="append", default=[], choices=DIMENSIONS, help="a group each; may be repeated")
    parser.add_argument("--hours", type=hours, metavar="H", help="only what was received in the last H hours")
    parser.add_argument("--engine", choices=("duckdb", "spark"), default="duckdb", help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="everything, for programs")


@contextmanager
def facts(args: argparse.Namespace, *, whole: bool = False) -> Iterator[tuple[Engine, Part]]:
    """An engine over the facts of the store, and which of them are asked for; `whole`: also over the others."""
    from edge_rai.fleet.engine import opened
    from edge_rai.fleet.queries import Part

    since = None if args.hours is None else time.time_ns() - int(args.hours * 3600e9)
    with opened(args.store, args.engine, since_unix_ns=None if whole else since) as engine:
        yield engine, Part(since_unix_ns=since)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def hours(text: str) -> float:
    """A number of hours that somebody typed."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of hours")
    return value
