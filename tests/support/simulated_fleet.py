"""Runs benchmarks/fleet_sim.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_TREE = Path(__file__).parents[2]
HOLDS = (
    "each batch is stored once: True",
    "rows by verdict are those made: True",
    "every bin of every histogram is as made: True",
    "no window is missing but those lost: True",
    "all devices are there: True",
)


def simulated(*options: str) -> list[str]:
    """What the simulation prints."""
    program = [sys.executable, str(_TREE / "benchmarks/fleet_sim.py"), *options]
    done = subprocess.run(program, cwd=_TREE / "tests", capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
