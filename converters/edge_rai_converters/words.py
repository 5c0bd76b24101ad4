"""Words of messages: numbers of things, and what exceptions of others say."""

from __future__ import annotations

import re

# Some print arrays, or a whole graph.
_LONGEST = 300
# With which ONNX Runtime begins whatever it says.
_ORT_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


def number_of(count: int, thing: str, many: str = "") -> str:
    """A number of things: "1 row", "1,200 rows".

    Args:
        count: How many.
        thing: One of them.
        many: Several; ``thing`` with an s when empty.
    """
    return f"{count:,} {thing if count == 1 else many or f'{thing}s'}"


def first_line(error: BaseException) -> str:
    """What an exception of somebody else's says, for a message of one line; its type where it says nothing."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    said = (_ORT_PREFIX.sub("", said) or said).rstrip(". ")
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."
