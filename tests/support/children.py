"""Children that run this interpreter with what is installed, and never the tree."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PRELUDE = "import sys; sys.path = [p for p in sys.path if p]\n"


def run_python(
    code: str,
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: int = 120,
) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a child, which is ended after so many seconds; `environment` is added to ours."""
    return subprocess.run(
        [sys.executable, "-c", _PRELUDE + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    )
