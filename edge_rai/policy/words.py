"""How numbers of a policy are said, and the tables that they are said in."""

from __future__ import annotations

import math
from typing import NamedTuple

Row = tuple[str, ...]


class Table(NamedTuple):
    """Facts of one kind.

    Attributes:
        title: What they are about.
        columns: Their headings.
        rows: One a fact, as many cells as columns; a cell may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def number(value: float) -> str:
    """Six digits; whole numbers whole."""
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def bounds(given: tuple[float, float]) -> str:
    """[low, high], of which one is finite."""
    low, high = given
    if not math.isfinite(low):
        return f"at most {number(high)}"
    return f"{number(low)} to {number(high)}" if math.isfinite(high) else f"at least {number(low)}"


def seconds(value: float) -> str:
    """A duration in the unit that people would say it in."""
    for least, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= least or value == 0:
            return f"{number(value / least)} {unit}"
    return f"{number(value / 1e-9)} ns"
