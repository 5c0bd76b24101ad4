"""Why a cell got its verdict, in one sentence."""

from __future__ import annotations

from edge_rai_converters.gate.cells import Cell
from edge_rai_converters.gate.rules import OF_CLASSES, split
from edge_rai_converters.words import number_of

# Of robustness: rows decided as without a corruption, and rows in which a relation holds.
_SHARES = ("stability", "monotone", "invariant", "batch")


def sentence(cell: Cell, confidence: float, *, able: bool) -> str:
    """The reason.

    Args:
        cell: Without one.
        confidence: Of its limits.
        able: It could pass if nothing had changed in any row.
    """
    within = "" if cell.merged_into is None else f"too few rows by itself, so judged within {cell.merged_into}: "
    return within + _reason(cell, confidence, able)


def _reason(cell: Cell, confidence: float, able: bool) -> str:
    metric = cell.measured.metric
    limit, margin = amount(metric, cell.loss_high), amount(metric, cell.margin)
    if cell.verdict == "pass":
        sure = f"with {100 * confidence:.4g} % confidence"
        if cell.loss_high < 0:
            return f"better by at least {amount(metric, -cell.loss_high)}, {sure}"
        return f"worse by less than {margin}: by at most {limit}, {sure}"
    if cell.verdict == "fail":
        return (
            f"harm is shown: {_moved(cell)} ({_p(cell.p_worse)} after Holm), and it is not shown to be below {margin}"
        )
    rows = cell.measured.rows
    few = "" if able else f"; {number_of(rows, 'row')} cannot pass whatever is in {'it' if rows == 1 else 'them'}"
    perhaps = f"perhaps worse by as much as {limit}, where {margin} is too much"
    return f"not settled: {_moved(cell)}, {perhaps}{few}{_more(cell)}"


def _more(cell: Cell) -> str:
    if cell.loss >= cell.margin:
        return "; it is that much in these rows already, so that more rows like them can only fail it"
    return "" if cell.rows_needed is None else f"; about {cell.rows_needed:,} rows would settle it"


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value > 0 else "p below 1e-300"


def _moved(cell: Cell) -> str:
    metric, rows = cell.measured.metric, number_of(cell.measured.rows, "row")
    if cell.losses is None or cell.gains is None:
        return f"worse by {amount(metric, cell.loss)} in {rows}"
    if metric in ("flips", "negative_flips"):
        return f"{cell.losses:,} of {rows} flipped"
    if split(metric)[0] == "selection_rate":
        return f"{cell.losses:,} of {rows} left and {cell.gains:,} joined"
    return f"{cell.losses:,} lost and {cell.gains:,} gained of {rows}"


def is_share(metric: str) -> bool:
    """Whether the metric is a share of rows, a change of which is said in points."""
    name = split(metric)[0].partition(" under ")[0]
    return name in (*OF_CLASSES, *_SHARES) and metric not in ("brier", "log_loss")


def amount(metric: str, value: float) -> str:
    """A change in words: of shares in points."""
    return f"{100 * value:.2f} points" if is_share(metric) else f"{value:.4g}"
