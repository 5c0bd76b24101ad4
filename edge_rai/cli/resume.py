"""``edge-rai resume``: end what ``edge-rai stop`` began."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("resume", help="Have a stopped bundle answer again.", description=__doc__)
    parser.add_argument("model", help="a bundle, or an .onnx model")
    parser.add_argument("--spool", help="the spool that it was stopped in")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Sessions that were opened while it was stopped stay so until they are opened again."""
    from edge_rai import load

    with load(arguments.model, spool=arguments.spool) as session:
        session.resume()
    print(f"{arguments.model} answers")
    return 0
