"""``edge-rai card``: what people should know of a bundle, from the bundle itself."""

from __future__ import annotations

import argparse
import sys
from typing import Any

_CARD, _DATA = "card.md", "card.json"


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("card", help="Show a bundle's card.", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle (NAME.erai or a directory)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--html", action="store_true", help="as a page that needs nothing but itself")
    form.add_argument("--json", action="store_true", help="for programs, see docs/formats/documents.md")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the card; the bundle is read and verified as for a session."""
    from edge_rai import BundleError, bundle
    from edge_rai.cli.layout import printable

    found = bundle.read(arguments.bundle)
    name = _DATA if arguments.json else _CARD
    written = found.files.get(name)
    if written is None:
        raise BundleError(f"{found.path} has no {name}; edge-rai convert writes one")
    text = printable(written.decode("utf-8", errors="replace"))
    if arguments.html:
        from edge_rai.documents.page import card_page

        text = card_page(text, found.manifest.name).decode()
    sys.stdout.write(text)
    return 0
