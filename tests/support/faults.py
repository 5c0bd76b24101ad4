"""Children in which the n-th call that changes the file system ends the process, or fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

POWER_CUT = 99  # exit code of a child whose power was cut
_SOURCE = Path(__file__).with_name("faults.c")
PRELUDE = """
import ctypes, sys
arm, disarm = ctypes.CDLL(None).faults_arm, ctypes.CDLL(None).faults_disarm
arm.argtypes, disarm.restype = [ctypes.c_long, ctypes.c_int], ctypes.c_long
"""


def build_faults(folder: Path) -> dict[str, str]:
    """The environment of such a child; its code begins with PRELUDE and calls ``arm(n, errno or 0)``."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = folder / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", str(_SOURCE), "-o", str(library), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}
