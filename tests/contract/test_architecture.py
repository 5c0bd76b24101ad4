"""ARCHITECTURE.md's map names every file of the C core once, and nothing that is not there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def places(root: Path) -> list[str]:
    """What the first column of the map names, relative to the root."""
    text = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.split("## Map")[1].split("\n\n")[1]
    cells = re.findall(r"^\| `([^`|]+)` \|", table, re.MULTILINE)
    assert len(cells) > 20
    named = []
    for cell in cells:
        folder = cell.split()[0].rpartition("/")[0]
        named += [part if "/" in part else f"{folder}/{part}" for part in cell.split()]
    return named


def test_map_names_every_file_of_the_core_once(root: Path, places: list[str]) -> None:
    sources = [path.name for path in (root / "native/src").iterdir() if path.is_file()]
    patterns = [place.removeprefix("native/src/") for place in places if place.startswith("native/src/")]
    tests = [pattern for pattern in patterns if "test" in pattern]
    for name in sources:
        among = tests if "test" in name else [pattern for pattern in patterns if pattern not in tests]
        assert sum(fnmatch(name, pattern) for pattern in among) == 1, name


def test_map_names_nothing_that_is_not_there(root: Path, places: list[str]) -> None:
    for place in places:
        assert list(root.glob(place.rstrip("/"))), place


def test_map_names_every_room_of_the_package(root: Path, places: list[str]) -> None:
    rooms = [path for path in (root / "edge_rai").iterdir() if not path.name.startswith(("__", "."))]
    rooms = [path for path in rooms if path.suffix in ("", ".py") and path.name != "py.typed"]
    missing = [path.name for path in rooms if not any(place.rstrip("/") == f"edge_rai/{path.name}" for place in places)]
    assert missing == []
