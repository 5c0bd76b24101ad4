"""The columns of a table in the order of whoever knows them by name: a model, or a policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_rai_converters.errors import DataError


@dataclass(frozen=True, slots=True)
class Known:
    """The names of an input's columns.

    Attributes:
        names: In the model's order.
        knower: Who knows them, and how, for messages: "the model was fitted with".
    """

    names: tuple[str, ...]
    knower: str


def plain(name: str) -> str:
    """A name as LightGBM keeps it, which puts underscores into the place of blanks."""
    return name.replace(" ", "_")


def counted(names: Sequence[str]) -> bool:
    """Whether names say no more than places: those that libraries and profiles give to columns without any."""
    return any(
        all(name == form.format(place) for place, name in enumerate(names)) for form in ("{}", "f{}", "Column_{}")
    )


def in_known_order(
    path: Path, there: Iterable[str], asked: Sequence[str] | None, known: Known | None
) -> tuple[str, ...] | None:
    """The columns that an input takes, in the model's order; None where only their places can say.

    Args:
        path: Of the table.
        there: Its columns.
        asked: What the caller chose: all that is known may be in any order, and other names stand in their places.
        known: Names in the model's order; None where nobody knows any.

    Raises:
        DataError: The table lacks a column, or the caller's choice has one in the place of another.
    """
    there = tuple(there)
    taken = None if asked is None else tuple(asked)
    if known is None or (counted(known.names) and not set(known.names) <= set(there)):
        return taken
    by_plain = {plain(name): name for name in there} | {name: name for name in there}
    found = tuple(by_plain.get(name, name) for name in known.names)
    if taken is None or set(taken) >= set(found):
        absent = [name for name in found if name not in there]
        if absent:
            raise DataError(
                f"{path}: no column {absent[0]!r}, which {known.knower}; add it, or rename the column that holds it"
            )
        return found
    for asked_for, fitted in zip(taken, found, strict=False):
        if asked_for != fitted and asked_for in found:
            raise DataError(
                f"{path}: columns has {asked_for!r} in the place of {fitted!r}, which {known.knower}; give the "
                f"columns in this order: {', '.join(found)}"
            )
    return taken
