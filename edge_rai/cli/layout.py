"""Tables of facts as text: aligned columns, the widest of which fold where the terminal ends."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_rai.policy import Table

_MOST_COLUMNS = 100
_LEAST_WIDTH = 16
_GAP = "  "


def screen_width() -> int:
    """Columns to use: the terminal's, and at most 100."""
    return min(_MOST_COLUMNS, shutil.get_terminal_size((_MOST_COLUMNS, 24)).columns)


def lines_of(table: Table, width: int) -> Iterator[str]:
    """The title, and the rows indented beneath it; headings only when there are any."""
    yield table.title
    rows = [table.columns, *table.rows] if any(table.columns) else list(table.rows)
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    room = width - len(_GAP) * len(widths)
    while sum(widths) > room and max(widths) > _LEAST_WIDTH:
        widths[widths.index(max(widths))] -= 1
    for row in rows:
        folded = [_folded(cell, most) for cell, most in zip(row, widths, strict=True)]
        for parts in zip_longest(*folded, fillvalue=""):
            cells = [part.ljust(most) for part, most in zip(parts, widths, strict=True)]
            yield (_GAP + _GAP.join(cells)).rstrip()


def printable(text: str) -> str:
    """A text of somebody else's without what would command a terminal, or turn the text around it."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf") else "\ufffd" for c in text)


def _folded(cell: str, width: int) -> list[str]:
    return textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
