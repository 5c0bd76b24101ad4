"""What every page has: head, way back, the period looked at, and links that carry whatever devices are called."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Final
from urllib.parse import urlencode

from edge_rai.page.frame import framed
from edge_rai.page.markup import Markup, element

PERIODS: Final = {24: "24 hours", 168: "7 days", 720: "30 days"}
# Nothing is loaded from anywhere, no script runs, nobody else may frame it, whatever a device is called.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_LONGEST: Final = 60
_OURS: Final = """
a{color:var(--mark)}
a:focus-visible,button:focus-visible,input:focus-visible,.scroll:focus-visible{outline:3px solid var(--warm);
outline-offset:2px}
.skip{position:absolute;left:-999px}
.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.3rem .6rem}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1rem;align-items:center;margin-bottom:1.2rem;font-size:.875rem}
nav [aria-current]{font-weight:600;color:var(--ink);text-decoration:none}
nav form{display:flex;gap:.4rem;margin-left:auto;max-width:100%}
input,button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--grey);border-radius:4px;
padding:.25rem .5rem;min-width:0;min-height:2rem}
button{cursor:pointer}
.reference{fill:var(--grey);opacity:.55}
.bad-bar{fill:var(--warm)}
.key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .8em;background:var(--mark)}
.key.reference{background:var(--grey);opacity:.55}
.key.bad-bar{background:var(--warm)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.6rem 0}
dt{color:var(--soft)}
dd{margin:0}
"""


def document(title: str, parts: Iterable[str], *, hours: int, path: str, query: dict[str, str]) -> bytes:
    """A page.

    Args:
        title: Its heading.
        parts: Below it.
        hours: The period that is looked at.
        path: Its own.
        query: Its own, without the period.

    Returns:
        HTML in UTF-8.
    """
    skip = element("a", "Skip to the content", href="#content", class_="skip")
    above = (skip, _navigation(hours, path, query))
    return framed(f"{title}: fleet", (element("h1", title, id="content"), *parts), above=above, style=_OURS)


def refused(title: str, message: str) -> bytes:
    """A page that says why there is none."""
    return document(title, [element("p", message)], hours=24, path="/", query={})


def _navigation(hours: int, path: str, query: dict[str, str]) -> Markup:
    periods = [
        link(name, path, {**query, "hours": str(one)}, current=one == hours or None) for one, name in PERIODS.items()
    ]
    search = element(
        "form",
        element("input", name="instance", aria_label="Device", placeholder="device", size=12, required="required"),
        element("input", type="hidden", name="hours", value=str(hours)),
        element("button", "Show", type="submit"),
        action="/device",
        role="search",
    )
    return element("nav", link("Fleet", "/", {"hours": str(hours)}), *periods, search, aria_label="Pages")


def link(text: str, path: str, query: dict[str, str], *, current: bool | None = None) -> Markup:
    """A link to one of our pages."""
    return element("a", text, href=f"{path}?{urlencode(query)}", aria_current="page" if current else None)


def linked_table(header: Iterable[str], rows: Iterable[Iterable[str]], caption: str) -> Markup:
    """A table whose cells may be links; the first column names its rows."""
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    body = []
    for row in rows:
        first, *others = row
        body.append(element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in others)))
    inside = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", inside, class_="scroll", tabindex=0, role="region", aria_label=caption)


def short(text: str) -> str:
    """Whatever a device calls something, in not too many characters."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\u2026"


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names and what they stand for."""
    return element("dl", *(cell for name, value in pairs for cell in (element("dt", name), element("dd", value))))


def when(unix_ns: int) -> str:
    """A time in UTC; of a device's clock it may be any."""
    try:
        return f"{datetime.fromtimestamp(unix_ns // 10**9, timezone.utc):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"{unix_ns} ns"


def share(part: int, whole: int) -> str:
    """As 1.25 %."""
    return f"{part / whole:.2%}".replace("%", "\u00a0%") if whole else "\u2013"
