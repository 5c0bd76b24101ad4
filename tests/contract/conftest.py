"""What the contract tests read: the tree, its header, and what `make test` built from them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def header() -> str:
    """edge_rai.h without comments."""
    text = (ROOT / "native/include/edge_rai.h").read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


@pytest.fixture(scope="session")
def functions(header: str) -> list[str]:
    """Every function the header promises, sorted."""
    return sorted(re.findall(r"ERAI_API[^;(]*?\b(erai_\w+)\s*\(", header))


@pytest.fixture(scope="session")
def native_build() -> Path:
    """The build tree of the C library and its tests."""
    return _built("EDGE_RAI_NATIVE_BUILD", ROOT / "build/native")


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The directory with the wheels of both distributions."""
    return _built("EDGE_RAI_WHEELS", ROOT / "build/wheels")


def _built(variable: str, default: Path) -> Path:
    path = Path(os.environ.get(variable, default))
    assert path.is_dir(), f"{path} is not there: run `make test`, which builds it"
    return path


def enumerators(header: str, name: str) -> dict[str, int]:
    """The enumerators of one of the header's enums, without the checks of a C parser."""
    found = re.search(rf"typedef enum {name} \{{(.*?)\}} {name};", header, flags=re.DOTALL)
    assert found is not None, f"edge_rai.h has no enum {name}"
    return {key: int(value) for key, value in re.findall(r"(ERAI_\w+) = (\d+)", found[1])}


@pytest.fixture(scope="session")
def enums(header: str) -> dict[str, dict[str, int]]:
    """Enumerators by enum, prefix included."""
    return {name: enumerators(header, name) for name in re.findall(r"typedef enum (erai_\w+)", header)}
