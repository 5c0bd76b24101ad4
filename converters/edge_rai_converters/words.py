"""Numbers of things, as people write them."""

from __future__ import annotations


def number_of(count: int, thing: str, many: str = "") -> str:
    """A number of things: "1 row", "1,200 rows".

    Args:
        count: How many.
        thing: One of them.
        many: Several; ``thing`` with an s when empty.
    """
    return f"{count:,} {thing if count == 1 else many or f'{thing}s'}"
