"""``edge-rai stop``: have a bundle refuse to answer, in every process that opens it from now on, until resumed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("stop", help="Have a bundle refuse to answer until resumed.", description=__doc__)
    parser.add_argument("model", help="a bundle, or an .onnx model")
    parser.add_argument("--spool", help="the spool of sessions that cannot write beside the bundle; it exists")
    parser.add_argument("--why", required=True, help="for whoever finds it stopped")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Sessions that are open already go on until they are opened again."""
    from edge_rai import load

    check_spool(arguments.spool)
    with load(arguments.model, spool=arguments.spool) as session:
        session.stop(arguments.why)
    print(f"{arguments.model} is stopped")
    return 0


def check_spool(spool: str | None) -> None:
    """Raises FileNotFoundError where no session has a spool: one made here, of a mistyped name, would stop nobody."""
    if spool is not None and not Path(spool).exists():
        raise FileNotFoundError(f"there is no spool {spool}: no session is stopped or resumed there")
