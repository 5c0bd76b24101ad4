"""The ``edge-rai`` command. Each module of this package is one subcommand; it prints, and never computes.

Exit codes: 0 fine, 1 a check said no, 2 usage, 3 a component is missing, 4 the environment.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from edge_rai import __version__
from edge_rai.cli import agent, bench, collect, fleet, inspect, missing, run, verify
from edge_rai.errors import EdgeRaiError, RuntimeMissingError

_ENTRY_POINTS = "edge_rai.commands"
# Commands of the other distribution, which registers them in the group above.
_CONVERTER_COMMANDS = {"convert": "Convert a trained model into a bundle.", "profile": "Learn a policy from data."}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; anything raised on purpose becomes one line on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except RuntimeMissingError as error:
        return _report(error, 3)
    except EdgeRaiError as error:
        return _report(error, 1)
    except (TypeError, ValueError) as error:
        return _report(error, 2)
    except (OSError, MemoryError) as error:
        return _report(error, 4)
    except KeyboardInterrupt:
        return 130


def _report(error: BaseException, code: int) -> int:
    print(f"edge-rai: {error or type(error).__name__}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-rai", description="Guarded inference for edge devices.")
    parser.add_argument("--version", action="version", version=f"edge-rai {__version__}")
    commands: Any = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (run, inspect, verify, bench, agent, collect, fleet):
        module.add(commands)
    installed = {point.name: point for point in entry_points(group=_ENTRY_POINTS)}
    for name in sorted(installed):
        installed[name].load()(commands)
    for name, summary in _CONVERTER_COMMANDS.items():
        if name not in installed:
            missing.add(commands, name, summary)
    return parser
