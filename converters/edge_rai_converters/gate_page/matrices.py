"""Confusion matrices as tables, original and candidate in one: rows are what is so, columns what was decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_rai.page.figure import section
from edge_rai.page.markup import Markup, element
from edge_rai_converters.gate_page.words import Report
from edge_rai_converters.words import number_of

_MOST_SLICES, _MOST_CLASSES = 24, 12
_MOST_PAIRS = 20


def matrices(report: Report) -> Iterator[Markup]:
    """The section; nothing where answers are no classes.

    Args:
        report: gate.json.
    """
    found = report.get("confusion", ())
    if not found:
        return
    explained = (
        "Rows of each class (down) by what was decided for them (across): of the original, then of the candidate where "
        "that differs. On the diagonal it was right."
    )
    parts = [element("p", explained, class_="about"), _matrix(found[0])]
    if len(found) > 1:
        rest = [_matrix(entry) for entry in found[1:_MOST_SLICES]]
        if len(found) > _MOST_SLICES:
            rest.append(element("p", f"And {number_of(len(found) - _MOST_SLICES, 'slice')} more, in gate.json."))
        parts.append(element("details", element("summary", "Of each slice"), *rest))
    yield section("Confusion", *parts)


def _matrix(entry: Report) -> Markup:
    """Of many classes what changed most, since nobody reads so wide a table."""
    if len(entry["classes"]) > _MOST_CLASSES:
        return _changes(entry)
    classes, before, after = entry["classes"], entry["original"], entry["candidate"]
    head = element("tr", element("th", "is", scope="col"), *(element("th", name, scope="col") for name in classes))
    body = [
        element(
            "tr",
            element("th", name, scope="row"),
            *(
                _cell(before[place][other], after[place][other], right=place == other, rows=sum(before[place]))
                for other in range(len(classes))
            ),
        )
        for place, name in enumerate(classes)
    ]
    return _scrolling(entry["slice"], head, body)


def _cell(before: int, after: int, *, right: bool, rows: int) -> Markup:
    moved = "" if before == after else f" \N{RIGHTWARDS ARROW} {after:,}"
    shade = min(100.0, 100 * after / rows) if rows else 0.0
    kind = "right" if right else "wrong"
    return element("td", f"{before:,}{moved}", class_=kind, style=f"--share:{shade:.0f}%")


def _changes(entry: Report) -> Markup:
    classes = entry["classes"]
    pairs = [
        (entry["original"][one][other], entry["candidate"][one][other], one, other)
        for one in range(len(classes))
        for other in range(len(classes))
        if one != other
    ]
    pairs = sorted(pairs, key=lambda pair: (-abs(pair[1] - pair[0]), -pair[1], pair[2:]))[:_MOST_PAIRS]
    head = element("tr", *(element("th", name, scope="col") for name in ("is", "decided", "original", "candidate")))
    body = [
        element(
            "tr",
            element("th", classes[one], scope="row"),
            element("td", classes[other]),
            element("td", f"{before:,}"),
            element("td", f"{after:,}"),
        )
        for before, after, one, other in pairs
    ]
    return _scrolling(f"{entry['slice']}: mistakes that changed most", head, body)


def _scrolling(caption: str, head: Markup, body: Sequence[Markup]) -> Markup:
    inside = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", inside, class_="scroll matrix", tabindex=0, role="region", aria_label=caption)
