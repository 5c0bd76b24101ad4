"""What sections are made of: rows that carry a name, a value and a drawing, and the numbers below them as a table."""

from __future__ import annotations

from collections.abc import Sequence

from edge_rai.page.markup import Markup, element


def section(title: str, *parts: str, class_: str | None = None) -> Markup:
    """A part of the page."""
    return element("section", element("h2", title), *parts, class_=class_)


def figure(explained: str, drawn: Sequence[str], numbers: str) -> Markup:
    """Drawings, how to read them, and the same as a table."""
    behind = element("details", element("summary", "The numbers"), numbers)
    return element("figure", element("figcaption", explained), *drawn, behind)


def row(name: str, value: str, drawing: str, note: str = "", class_: str = "row") -> Markup:
    """A drawing below its name and the value that it shows."""
    head = [element("span", name, class_="name"), element("span", value, class_="value")]
    said = [element("span", note, class_="note")] if note else []
    return element("div", element("p", *head, *said, class_="label"), drawing, class_=class_)
