"""The ``edge-rai`` command. Each module of this package is one subcommand; it prints, and never computes.

Exit codes: 0 fine, 1 a check said no or a file is not sound, 2 usage, 3 a component is missing, 4 the environment: a
file that was named is not there or cannot be read or written, a disk is full.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from edge_rai import __version__
from edge_rai.cli import agent, bench, card, collect, diff, drift, fleet, inspect, missing, resume, run, stop, verify
from edge_rai.errors import (
    EdgeRaiError,
    PolicyError,
    RuntimeMissingError,
    SpoolError,
    StoreError,
    UnreadableError,
)

_ENTRY_POINTS = "edge_rai.commands"
# Commands of the other distribution, which registers them in the group above.
_CONVERTER_COMMANDS = {
    "audit": "Look for what is wrong with data.",
    "convert": "Convert a trained model into a bundle.",
    "gate": "Judge a compressed model against its original.",
    "profile": "Learn a policy from data.",
}


_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (RuntimeMissingError, 3),
    (ImportError, 3),
    (UnreadableError, 4),
    (SpoolError, 4),
    (StoreError, 4),
    (FileNotFoundError, 4),
    (PolicyError, 2),
    (EdgeRaiError, 1),
    (TypeError, 2),
    (ValueError, 2),
    (OSError, 4),
    (MemoryError, 4),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; anything raised on purpose becomes one line on stderr."""
    try:
        parser = _parser()  # which imports what other distributions add
        if getattr(signal.getsignal(signal.SIGINT), "__module__", "") == "edge_rai":  # of the imports; see there
            signal.signal(signal.SIGINT, signal.default_int_handler)
        arguments = parser.parse_args(argv)
        code = int(arguments.run(arguments))
        if sys.stdout is not None:  # None: it was closed before we began
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return _interrupted()
    except tuple(kind for kind, _ in _EXIT_CODES) as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # extension modules say so that their import was interrupted
            return _interrupted()
        print(f"edge-rai: {_said(error)}", file=sys.stderr)
        return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))


def _interrupted() -> int:
    print("edge-rai: interrupted", file=sys.stderr)
    return 128 + signal.SIGINT


def _said(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = "a disk" if error.filename is None else error.filename
        return (
            f"{where}: {error.strerror}; free some, or write elsewhere (temporary files: to another folder as TMPDIR)"
        )
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-rai", description="Guarded inference for edge devices.")
    parser.add_argument("--version", action="version", version=f"edge-rai {__version__}")
    commands: Any = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (run, stop, resume, inspect, card, diff, verify, bench, drift, agent, collect, fleet):
        module.add(commands)
    installed = {point.name: point for point in entry_points(group=_ENTRY_POINTS)}
    for name in sorted(installed):
        _add_installed(commands, installed[name])
    for name, summary in _CONVERTER_COMMANDS.items():
        if name not in installed:
            missing.add(commands, name, f"{summary} Needs edge-rai-converters.", missing.CONVERTERS)
    return parser


def _add_installed(commands: Any, point: EntryPoint) -> None:
    try:
        point.load()(commands)
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise
        distribution = point.value.split(".")[0]
        reason = f"{distribution} cannot be loaded: {error}; install it again."
        missing.add(commands, point.name, reason, reason)
