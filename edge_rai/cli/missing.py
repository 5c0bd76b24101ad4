"""Stands in for commands of another distribution that is not installed, or cannot be loaded."""

from __future__ import annotations

import argparse
import sys
from typing import Any

CONVERTERS = (
    "It is part of edge-rai-converters, for the machine where models are built: install that package from where this "
    "one came from (in the source tree: pip install ./converters)."
)


def add(commands: Any, name: str, summary: str, reason: str) -> None:
    """Registers a command that says why it is not there, whatever its arguments are."""
    parser = commands.add_parser(name, help=summary, add_help=False, prefix_chars="\0")
    parser.add_argument("ignored", nargs="*", help=argparse.SUPPRESS)
    parser.set_defaults(run=run, name=name, reason=reason)


def run(arguments: argparse.Namespace) -> int:
    """Exits 3."""
    print(f"edge-rai: '{arguments.name}' is not available. {arguments.reason}", file=sys.stderr)
    return 3
