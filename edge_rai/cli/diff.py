"""``edge-rai diff``: what differs between two bundles, and whether the older one's change plan had thought of it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_rai.documents.difference import Difference
    from edge_rai.policy import Table

_MOST_CHANGES, _MOST_FIGURES = 40, 20
_PLAN = {
    "same": "nothing changed",
    "inside": "inside the change plan of the older bundle",
    "outside": "outside the change plan of the older bundle",
    "no plan": "the older bundle has no change plan (risk.toml), so that nobody can tell whether this was meant",
}


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "diff",
        help="Show what differs between two bundles.",
        description="Exits 0 when nothing changed, when all changes are inside the change plan that OLD has in its "
        "risk.toml, and when it has none; 1 when one is outside, or a bundle is not sound; 4 when one is not there.",
    )
    parser.add_argument("old", metavar="OLD", help="the older bundle")
    parser.add_argument("new", metavar="NEW", help="the newer one")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, see docs/formats/documents.md")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads both bundles, which verifies their digests, and compares them."""
    from edge_rai import bundle
    from edge_rai.cli.layout import printable
    from edge_rai.documents.difference import difference

    found = difference(bundle.read(arguments.old), bundle.read(arguments.new))
    if arguments.json:
        print(json.dumps(found.as_json(), sort_keys=True, indent=1, allow_nan=False))
    else:
        for line in _lines(found):
            print(printable(line))
    return int(found.plan == "outside")


def _lines(found: Difference) -> Iterator[str]:
    from edge_rai.cli.layout import lines_of, screen_width

    for table in _tables(found):
        yield from lines_of(table, screen_width())
        yield ""
    for note in found.notes:
        yield f"note: {note}."
    for reason in found.reasons:
        yield f"outside: {reason}."
    yield f"{_PLAN[found.plan]}."


def _tables(found: Difference) -> Iterator[Table]:
    from edge_rai.policy import Table

    if found.changes:
        rows = [(change.what, change.name, change.old or "-", change.new or "-") for change in found.changes]
        title = f"What changed ({len(rows)}{_shown(len(rows), _MOST_CHANGES)})"
        yield Table(title, ("", "what", "was", "is"), tuple(rows[:_MOST_CHANGES]))
    moved = [figure for figure in found.figures if figure.old != figure.new]
    if moved:
        figures = tuple(
            (f"{figure.metric} of {figure.slice}", f"{figure.old:.4f}", f"{figure.new:.4f}", f"{figure.worse:+.4f}")
            for figure in moved[:_MOST_FIGURES]
        )
        count = f"{len(moved)} of {len(found.figures)}{_shown(len(moved), _MOST_FIGURES)}"
        yield Table(f"What was measured otherwise ({count})", ("", "was", "is", "worse by"), figures)


def _shown(count: int, most: int) -> str:
    return f", {most} shown; --json has all" if count > most else ""
