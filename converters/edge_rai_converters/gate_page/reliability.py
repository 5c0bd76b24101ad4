"""Reliability curves: what was so of the rows with a score, beside the score."""

from __future__ import annotations

from collections.abc import Iterator

from edge_rai.page.drawing import Plane, axis, grid, strip
from edge_rai.page.figure import figure, row, section
from edge_rai.page.markup import Markup, element, table
from edge_rai.page.scale import Scale
from edge_rai_converters.gate_page.words import Report
from edge_rai_converters.words import number_of

_HEIGHT = 170
_MOST_DRAWN = 12
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_UNIT = Scale(0.0, 1.0)


def reliability(report: Report) -> Iterator[Markup]:
    """The section; nothing where a model gives no probabilities.

    Args:
        report: gate.json.
    """
    found = report["calibration"]
    if not found:
        return
    drawn = [_curve(entry) for entry in found[:_MOST_DRAWN]]
    drawn.append(axis(_UNIT, [(tick, f"{tick:g}") for tick in _TICKS], "mean score of the rows of a bin"))
    explained = (
        "Of the rows whose score is so much, the share of which it is true. On the dotted diagonal scores are "
        "probabilities. Green: the candidate, grey: the original; larger dots have more rows. The error (ECE) stands "
        "beside what scores that are exactly right would read on as many rows."
    )
    header = ("", "rows", "original", "if exactly right", "candidate", "if exactly right")
    rows = [
        (
            entry["slice"],
            f"{entry['rows']:,}",
            *(f"{entry[model][key]:.4f}" for model in ("original", "candidate") for key in ("ece", "ece_null")),
        )
        for entry in found
    ]
    parts = [figure(explained, drawn, table(header, rows, "Expected calibration error"))]
    if len(found) > _MOST_DRAWN:
        parts.append(element("p", f"And {number_of(len(found) - _MOST_DRAWN, 'slice')} more, in gate.json."))
    yield section("Calibration", *parts)


def _curve(entry: Report) -> Markup:
    plane = Plane(_UNIT, _UNIT, _HEIGHT)
    most = max((b[model]["rows"] for b in entry["bins"] for model in ("original", "candidate")), default=1)
    shapes = [grid(_UNIT, _TICKS, _HEIGHT), plane.levels([(level, f"{level:g}") for level in (0.0, 0.5, 1.0)])]
    shapes.append(plane.line([(0.0, 0.0), (1.0, 1.0)], "diagonal"))
    for model, kind in (("original", "before"), ("candidate", "after")):
        bins = [b[model] for b in entry["bins"] if b[model]["rows"]]
        shapes.append(plane.line([(b["mean_score"], b["share"]) for b in bins], f"{kind}-line"))
        for b in bins:
            radius = 2 + 4 * (b["rows"] / most) ** 0.5
            shapes.append(plane.point(b["mean_score"], b["share"], f"{kind}-dot", radius))
    before, after = entry["original"], entry["candidate"]
    said = f"ECE {before['ece']:.4f} to {after['ece']:.4f}; {after['ece_null']:.4f} if exactly right"
    return row(
        entry["slice"], said, strip(_HEIGHT, f"Reliability, {entry['slice']}", said, *shapes), f"{entry['rows']:,} rows"
    )
