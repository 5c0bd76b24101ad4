"""A collector in a process of its own, and the edge-rai command, as an operator runs them."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

COMMAND = Path(sysconfig.get_path("scripts"), "edge-rai")


def edge_rai_cli(*arguments: object) -> Any:
    """Runs `edge-rai ARGUMENTS --json` and returns what it printed."""
    done = subprocess.run([COMMAND, *map(str, arguments), "--json"], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


class Collector:
    """`edge-rai collect` on a free loopback port, for the length of a with block."""

    def __init__(self, store: Path) -> None:
        self._process = subprocess.Popen(
            [COMMAND, "collect", "--listen", "127.0.0.1:0", "--store", store, "--json"], stdout=subprocess.PIPE
        )
        self.url = json.loads(self._process.stdout.readline())["listening"]

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
