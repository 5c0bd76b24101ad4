"""Arguments of the public functions: of the type and range that they say, or refused in a sentence that names them."""

from __future__ import annotations

import math
import operator
import os
from typing import Any

_SHOWN = 60


def wrong_type(name: str, value: Any, expected: str) -> TypeError:
    """The error that says what came and what was expected."""
    return TypeError(f"{name} is {value!r:.{_SHOWN}} ({type(value).__name__}); expected {expected}")


def integer(name: str, value: Any, expected: str = "an integer") -> int:
    """An int, or what stands for one, as numpy's do.

    Raises:
        TypeError: It is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise wrong_type(name, value, expected) from None


def number(name: str, value: Any) -> float:
    """A number, of Python's or numpy's types.

    Raises:
        TypeError: It is none.
        ValueError: It is an integer beyond the greatest float.
    """
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except OverflowError:
        raise ValueError(f"{name} is an integer beyond the greatest float; expected a number") from None
    except (TypeError, ValueError):
        pass
    raise wrong_type(name, value, "a number")


def within(name: str, value: Any, least: int, most: int, expected: str = "") -> int:
    """An integer of a range.

    Args:
        name: Of the argument.
        value: What came.
        least: Of the range.
        most: Of the range, inclusive.
        expected: The range in words; empty: "LEAST to MOST".

    Raises:
        TypeError: It is no integer.
        ValueError: It is out of range.
    """
    expected = expected or f"{least} to {most}"
    number = integer(name, value, f"an integer: {expected}")
    if not least <= number <= most:
        raise ValueError(f"{name} is {number}; expected {expected}")
    return number


def seconds(name: str, value: Any, least: float, most: float, expected: str) -> float:
    """A finite number of a range.

    Raises:
        TypeError: It is no number.
        ValueError: It is out of range, or not finite.
    """
    try:
        fits = math.isfinite(value) and least <= value <= most
    except TypeError:
        raise wrong_type(name, value, expected) from None
    except OverflowError:
        fits = False
    if not fits:
        raise ValueError(f"{name} is {value!r:.{_SHOWN}}; expected {expected}")
    return float(value)


def text(name: str, value: Any) -> str:
    """A str that C can have.

    Raises:
        TypeError: It is no str.
        ValueError: It holds NUL, or what UTF-8 has no bytes for.
    """
    if not isinstance(value, str):
        raise wrong_type(name, value, "a str")
    if "\0" in value:
        raise ValueError(f"{name} cannot hold NUL: {value!r:.{_SHOWN}}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is no text in UTF-8: {value!r:.{_SHOWN}}") from None
    return value


def path(name: str, value: Any) -> str:
    """A path as a str.

    Raises:
        TypeError: It is no path.
        ValueError: It holds NUL.
    """
    try:
        decoded = os.fsdecode(value)
    except TypeError:
        raise wrong_type(name, value, "a str or os.PathLike") from None
    if "\0" in decoded:
        raise ValueError(f"{name}: a path cannot hold NUL: {decoded!r:.{_SHOWN}}")
    return decoded
