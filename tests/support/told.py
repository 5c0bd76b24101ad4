"""What a proof finds out: printed, and kept in a file of results that several proofs have a section of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Told:
    """Prints lines and keeps them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str = "") -> None:
        sys.stdout.write(f"\n{line}")
        self.lines.append(line)


@contextmanager
def telling(results: str, section: str) -> Iterator[Told]:
    """What is told becomes the section of a file of results; the others stay.

    Args:
        results: Under benchmarks/results.
        section: Its heading, after "# ".
    """
    told = Told()
    yield told
    file = ROOT / "benchmarks/results" / results
    parts = dict(_sections(file.read_text() if file.exists() else ""))
    parts[section] = "\n".join(told.lines).strip() + "\n"
    file.write_text("\n".join(f"# {name}\n\n{parts[name]}" for name in sorted(parts)))


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split("# ")[1:]:
        name, _, lines = part.partition("\n")
        yield name, lines.strip() + "\n"
