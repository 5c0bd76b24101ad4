"""Slices as a forest plot: of each cell how much worse the candidate is, with its interval, beside the margin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_rai.page.drawing import along, axis, dot, grid, strip, upright
from edge_rai.page.figure import figure, row, section
from edge_rai.page.markup import Markup, element, table
from edge_rai.page.scale import Scale, fitting
from edge_rai_converters.gate.sentences import is_share
from edge_rai_converters.gate_page.words import Report, change, figure_of, mark
from edge_rai_converters.words import number_of

_HEIGHT, _MIDDLE = 24, 12
_MOST_DRAWN, _MOST_LISTED = 120, 500
_CLASSES = {"pass": "row", "fail": "row bad", "waived": "row unsure", "inconclusive": "row unsure"}


def forest(report: Report) -> Iterator[Markup]:
    """The section; one drawing a cell, metric by metric, in each the worst first.

    Args:
        report: gate.json.
    """
    cells = report["cells"]
    drawn: list[Markup] = []
    for metric in dict.fromkeys(cell["metric"] for cell in cells[:_MOST_DRAWN]):
        drawn += _metric(metric, [cell for cell in cells[:_MOST_DRAWN] if cell["metric"] == metric])
    explained = (
        "The dot: how much worse the candidate is than the original in these rows; left of the thin line it is better. "
        f"The bar: its limits, each with {100 * (1 - report['alpha']):.4g} % confidence. The dashed line: the margin, "
        "which the bar must not reach. Grey: not settled, or somebody answers for it."
    )
    parts = [figure(explained, drawn, _numbers(cells))]
    if len(cells) > _MOST_DRAWN:
        parts.append(element("p", f"And {number_of(len(cells) - _MOST_DRAWN, 'cell')} more, in gate.json."))
    yield section("Slices", *parts)


def _metric(metric: str, cells: Sequence[Report]) -> Iterator[Markup]:
    ends = [cell[key] for cell in cells for key in ("loss", "loss_low", "loss_high", "margin")]
    scale = fitting([0.0, *(end for end in ends if end is not None)], logarithmic=False)
    ticks = scale.ticks()
    yield element("h3", metric)
    yield from (_cell(cell, scale, ticks) for cell in cells)
    factor, unit = (100, "points worse") if is_share(metric) else (1, "worse")
    written = [(tick, f"{factor * tick:.4g}".replace("-", "\N{MINUS SIGN}")) for tick in ticks]
    yield axis(scale, written, f"{metric}, {unit}")


def _cell(cell: Report, scale: Scale, ticks: Sequence[float]) -> Markup:
    metric, low, high = cell["metric"], cell["loss_low"], cell["loss_high"]
    inside = cell["merged_into"] is not None
    value = f"{change(metric, cell['loss'])} ({change(metric, low, unit=False)} to {change(metric, high, unit=False)})"
    said = f"{value}, margin {change(metric, cell['margin'])}: {mark(cell)}"
    note = f"{cell['rows']:,} rows" + f"; judged within {cell['merged_into']}" * inside
    ends = (scale.low if low is None else low, scale.high if high is None else high)
    shapes = [
        grid(scale, ticks, _HEIGHT),
        upright(scale.at(0.0), 0, _HEIGHT, "base"),
        upright(scale.at(cell["margin"]), 0, _HEIGHT, "bound"),
        along(scale.at(ends[0]), scale.at(ends[1]), _MIDDLE, "thick"),
    ]
    if cell["loss"] is not None:
        shapes.append(dot(scale.at(cell["loss"]), _MIDDLE, "dot", 6))
    drawing = strip(_HEIGHT, f"{metric} of {cell['slice']}", said, *shapes)
    return row(cell["slice"], said, drawing, note, class_=_CLASSES[mark(cell)])


def _numbers(cells: Sequence[Report]) -> Markup:
    header = ("", "rows", "original", "candidate", "worse by", "at least", "at most", "margin", "verdict")
    rows = [
        (
            f"{cell['metric']} of {cell['slice']}",
            f"{cell['rows']:,}",
            figure_of(cell["metric"], cell["original"]),
            figure_of(cell["metric"], cell["candidate"]),
            *(change(cell["metric"], cell[key]) for key in ("loss", "loss_low", "loss_high", "margin")),
            mark(cell),
        )
        for cell in cells[:_MOST_LISTED]
    ]
    return table(header, rows, "Every cell, what stops the release first")
