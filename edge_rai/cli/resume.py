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
    from edge_rai.cli.stop import check_spool

    check_spool(arguments.spool)
    with load(arguments.model, spool=arguments.spool) as session:
        removed = session.resume()
    where = "beside it" if arguments.spool is None else f"beside it or in {arguments.spool}"
    print(f"{arguments.model} answers: {f'removed {removed}' if removed else f'there was no stop {where}'}")
    return 0
