"""How figures of a report are written: shares in points and per cent, others as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_rai.page.scale import digits
from edge_rai_converters.gate.sentences import is_share

Report = Mapping[str, Any]
_MINUS = "\N{MINUS SIGN}"


def figure_of(metric: str, value: float | None) -> str:
    """A metric's value; a dash where it is not defined."""
    if value is None:
        return "-"
    return share(value) if is_share(metric) else digits(value)


def share(value: float | None) -> str:
    """Per cent, two decimals."""
    return "-" if value is None else f"{100 * value:.2f}\u00a0%".replace("-", _MINUS)


def change(metric: str, value: float | None, *, unit: bool = True) -> str:
    """A change or a margin; a question mark where there is no limit."""
    if value is None:
        return "?"
    if not is_share(metric):
        return digits(value)
    points = "\u00a0points" if unit else ""
    return f"{100 * value:.2f}{points}".replace("-", _MINUS)


def mark(cell: Report) -> str:
    """The verdict of a cell as it counts."""
    return "waived" if cell["waiver"] is not None else str(cell["verdict"])
