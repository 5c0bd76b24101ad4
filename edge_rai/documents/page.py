"""A card as a page: as much of Markdown as cards are written in, shown by HTML that needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from edge_rai.page.frame import framed
from edge_rai.page.markup import Markup, element, joined

_FRONT = "---"
_HEADING = re.compile(r"(#{1,4}) (.+)")
_CELL = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"`([^`]*)`")
_STYLE = "h4{margin:1rem 0 .2rem}table{width:auto}td,th{text-align:left}"


def card_page(text: str, title: str) -> bytes:
    """A page that needs nothing but itself: no network, no script.

    Args:
        text: Markdown: headings, paragraphs, lists and tables, with code between backquotes; whatever else is shown as
            it is written. A front matter is left out.
        title: Of the page.

    Returns:
        HTML in UTF-8; the same of the same text.
    """
    return framed(title, _blocks(without_front_matter(text).splitlines()), style=_STYLE)


def without_front_matter(text: str) -> str:
    """A card as people read it: without the lines for programs between the first two rules."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FRONT:
        return text
    end = next((place for place, line in enumerate(lines[1:], 1) if line.rstrip() == _FRONT), None)
    return text if end is None else "".join(lines[end + 1 :]).lstrip("\n")


def _blocks(lines: Sequence[str]) -> Iterator[Markup]:
    for kind, found in groupby(lines, _kind):
        block = list(found)
        if kind == "heading":
            for line in block:
                marks, said = _HEADING.fullmatch(line.strip()).groups()  # type: ignore[union-attr]
                yield element(f"h{len(marks)}", _inline(said))
        elif kind == "list":
            yield element("ul", *(element("li", _inline(line.strip()[2:])) for line in block))
        elif kind == "table":
            yield _table(block)
        elif kind == "text":
            yield element("p", _inline(" ".join(line.strip() for line in block)))


def _kind(line: str) -> str:
    line = line.strip()
    if not line:
        return ""
    if _HEADING.fullmatch(line):
        return "heading"
    return "list" if line.startswith("- ") else "table" if line.startswith("|") else "text"


def _table(lines: Sequence[str]) -> Markup:
    rows = [_cells(line) for line in lines]
    rows = [row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]
    head, body = (rows[0], rows[1:]) if rows else ([], [])
    inside = element(
        "table",
        element("thead", element("tr", *(element("th", _inline(cell), scope="col") for cell in head))),
        element("tbody", *(element("tr", *(element("td", _inline(cell)) for cell in row)) for row in body)),
    )
    return element("div", inside, class_="scroll words", tabindex=0, role="region", aria_label="table")


def _cells(line: str) -> list[str]:
    line = line.strip()[1:]
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line.removesuffix("|"))]


def _inline(text: str) -> Markup:
    parts = _CODE.split(text)
    return joined(element("code", part) if place % 2 else part for place, part in enumerate(parts))
