"""What every page is within: head, style, and a policy under which nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from edge_rai.page.markup import Markup, element
from edge_rai.page.style import STYLE

# Nothing is loaded and no script runs, whatever the page says; pictures are within it, and as pictures run none either.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def framed(title: str, main: Iterable[str], *, above: Iterable[str] = (), style: str = "") -> bytes:
    """A page that needs nothing but itself: no network, no script.

    Args:
        title: Of the window.
        main: What the page has to say; text that is no markup is escaped.
        above: What comes before it, such as links to other pages.
        style: Rules of this kind of page, after those of all.

    Returns:
        HTML in UTF-8; the same of the same parts.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Markup(STYLE + style)),
    )
    body = element("body", *above, element("main", *main))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n".encode()
