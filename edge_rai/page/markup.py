"""HTML that is escaped by construction: a text becomes part of a page through `element` alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_EMPTY = ("meta", "br", "line", "rect", "circle", "path", "polyline")
_SPACES = " \u00a0"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | float | None) -> Markup:
    """An element of HTML or SVG.

    Args:
        tag: Its name.
        children: Markup as it is, any other text escaped.
        attributes: None leaves one out. A last underscore is dropped (`class_`), others become hyphens.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{given}/>" if tag in _EMPTY and not children else f"<{tag}{given}>{joined(children)}</{tag}>")


def joined(parts: Iterable[str]) -> Markup:
    """Parts one after the other, escaped where they are not markup."""
    return Markup("".join(part if isinstance(part, Markup) else _text(part) for part in parts))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> Markup:
    """A table whose first column names its rows. It scrolls by itself where the page is narrower.

    Args:
        header: Of each column.
        rows: As many cells each.
        caption: What it is, for who cannot see that.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    inside = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", inside, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _value(value: str | float) -> str:
    return _text(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def _text(text: str) -> str:
    """Escaped; what cannot be seen, or turns the text around it, or cannot be encoded, is shown as such."""
    return escape("".join(c if c.isprintable() or c in _SPACES else "\N{REPLACEMENT CHARACTER}" for c in text))
