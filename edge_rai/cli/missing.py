"""Stands in for the commands of ``edge-rai-converters`` where that is not installed."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add(commands: Any, name: str, summary: str) -> None:
    """Registers a command that says what to install, whatever its arguments are."""
    parser = commands.add_parser(name, help=f"{summary} Needs edge-rai-converters.", add_help=False, prefix_chars="\0")
    parser.add_argument("ignored", nargs="*", help=argparse.SUPPRESS)
    parser.set_defaults(run=run, name=name)


def run(arguments: argparse.Namespace) -> int:
    """Exits 3."""
    print(
        f"edge-rai: '{arguments.name}' is part of another distribution: pip install 'edge-rai[convert]' "
        "(edge-rai-converters), on the machine where models are built",
        file=sys.stderr,
    )
    return 3
