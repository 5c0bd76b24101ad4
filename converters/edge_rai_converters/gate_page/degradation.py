"""What corruptions of rising severity do to both models, and what else was tried on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_rai.page.drawing import Plane, axis, grid, strip
from edge_rai.page.figure import figure, row, section
from edge_rai.page.markup import Markup, element, table
from edge_rai.page.scale import Scale, digits, fitting
from edge_rai_converters.gate_page.words import Report, share

_HEIGHT = 120
_MODELS = (("original", "before"), ("candidate", "after"))


def degradation(report: Report) -> Iterator[Markup]:
    """The section; nothing where the policy did not ask for it.

    Args:
        report: gate.json.
    """
    found = report.get("robustness")
    if not found:
        return
    parts = [element("ul", *(element("li", sentence) for sentence in found["sentences"]))]
    parts += [_curves(found)] if found.get("curves") else []
    parts += _edges(found.get("edges", ()))
    parts += _said("Not tried", found.get("notes", ()))
    yield section("Degradation", *parts)


def _curves(found: Report) -> Markup:
    shares = found["measure"] != "error"
    severities = Scale(0.0, float(max(point["severity"] for curve in found["curves"] for point in curve["points"])))
    values = [
        point[model]["value"]
        for curve in found["curves"]
        for point in curve["points"]
        for model, _ in _MODELS
        if point[model]["value"] is not None
    ]
    up = Scale(0.0, 1.0) if shares else fitting([0.0, *values], logarithmic=False)
    drawn = [_curve(curve, severities, up, found["measure"], shares=shares) for curve in found["curves"]]
    written = [(float(level), str(level)) for level in range(int(severities.high) + 1)]
    drawn.append(axis(severities, written, "severity; 0: as it was"))
    explained = (
        f"{found['measure'].capitalize()} on {found['rows']:,} rows as a corruption grows, without the guard. "
        "Green: the candidate, grey: the original. Dashed: the share of rows that the guard of the candidate catches."
    )
    header = ("", "severity", *_of_both(found["measure"], "caught", "wrong and not caught"))
    pairs = ("value", "caught", "silent")
    rows = [
        (
            curve["corruption"],
            f"{point['severity']}: {point['setting']}",
            *(_number(point[model].get(key), shares or key != "value") for key in pairs for model, _ in _MODELS),
        )
        for curve in found["curves"]
        for point in curve["points"]
    ]
    return figure(explained, drawn, table(header, rows, f"{found['measure'].capitalize()} by corruption"))


def _curve(curve: Report, severities: Scale, up: Scale, measure: str, *, shares: bool) -> Markup:
    plane, points = Plane(severities, up, _HEIGHT), curve["points"]
    shapes = [grid(severities, range(int(severities.high) + 1), _HEIGHT)]
    shapes.append(plane.levels([(level, _number(level, shares)) for level in up.ticks()]))
    if shares:
        caught = [(float(p["severity"]), p["candidate"]["caught"]) for p in points]
        shapes += _line(plane, caught, "front")
    for model, kind in _MODELS:
        shapes += _line(plane, [(float(p["severity"]), p[model]["value"]) for p in points], f"{kind}-line")
        shapes += [
            plane.point(float(p["severity"]), p[model]["value"], f"{kind}-dot", 4)
            for p in points
            if p[model]["value"] is not None
        ]
    first, last = points[0]["candidate"], points[-1]["candidate"]
    said = f"{measure} {_number(first['value'], shares)} to {_number(last['value'], shares)}"
    said += f"; the guard catches {share(last['caught'])}" if last["caught"] is not None else ""
    drawing = strip(_HEIGHT, f"Degradation by {curve['corruption']}", said, *shapes)
    return row(curve["corruption"], said, drawing, str(curve.get("parameter", "")))


def _line(plane: Plane, points: Sequence[tuple[float, float | None]], kind: str) -> list[Markup]:
    known = [(across, value) for across, value in points if value is not None]
    return [plane.line(known, kind)] if len(known) > 1 else []


def _number(value: float | None, is_share: bool) -> str:
    if is_share:
        return "-" if value is None else f"{100 * value:.4g}\u00a0%"
    return "-" if value is None else digits(value)


def _edges(edges: Sequence[Mapping[str, Any]]) -> list[Markup]:
    if not edges:
        return []
    header = ("", "rows", *_of_both("caught", "decided otherwise and not caught"))
    rows = [
        (
            entry["edge"],
            f"{entry['rows']:,}",
            *(share(entry[model].get(key)) for key in ("caught", "silent") for model, _ in _MODELS),
        )
        for entry in edges
    ]
    caption = "A number put into one feature at a time"
    return [element("h3", "Numbers at the edge"), table(header, rows, caption)]


def _of_both(*names: str) -> list[str]:
    return [f"{name}, {model}" for name in names for model, _ in _MODELS]


def _said(title: str, sentences: Sequence[str]) -> list[Markup]:
    if not sentences:
        return []
    return [element("h3", title), element("ul", *(element("li", sentence) for sentence in sentences))]
