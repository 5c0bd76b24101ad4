"""Pruning that loses too much on the held-back rows is tried again with less of it, a few times.

How much can go is judged on calibration rows, and a model that was trained on these is surer of them than of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from edge_rai_converters.choose import GENTLER, too_much_lost
from edge_rai_converters.passes.contract import NotApplicableError
from edge_rai_converters.recipes import Recipe

if TYPE_CHECKING:
    from edge_rai_converters.candidates import Candidate

# Of what calibration rows allow.
PARTS = (0.5, 0.25)

Made = TypeVar("Made")
# Makes and measures a form with this part of the pruning that "auto" finds.
Make = Callable[[float], "tuple[Made, Candidate]"]


def most_forms(recipe: Recipe, defaults: Mapping[str, Any]) -> int:
    """Among how many forms of a recipe the held-back rows may choose."""
    return 1 + len(PARTS) * _finds_shares(recipe, defaults)


def gentle_enough(
    make: Make[Made], original: Candidate, recipe: Recipe, defaults: Mapping[str, Any]
) -> tuple[Made, Candidate]:
    """What a recipe makes; where "auto" prunes too much for the held-back rows, the first gentler form that does not.

    Where all do, the first one again. A note says what was tried. The held-back rows choose among three forms then, so
    that what they say of the chosen one is a little kind.

    Args:
        make: Makes and measures a form.
        original: The float model.
        recipe: What is made.
        defaults: Parameters of passes where recipes are silent.

    Raises:
        NotApplicableError: A step has nothing to offer.
    """
    first = make(1.0)
    why = too_much_lost(original, first[1], defaults["max_drop"])
    if not why or not _finds_shares(recipe, defaults):
        return first
    tried = []
    for part in PARTS:
        try:
            made, entry = make(part)
        except NotApplicableError:
            break  # of less, nothing is left
        refused = too_much_lost(original, entry, defaults["max_drop"])
        if not refused:
            note = f"{recipe.name} takes {part:.0%} of the pruning that calibration rows allow; all of it {why}"
            return made, _noted(entry, note)
        tried.append(f"{recipe.name} with {part:.0%} of that pruning {refused}")
    return first[0], _noted(first[1], "; ".join(tried)) if tried else first[1]


def _noted(entry: Candidate, note: str) -> Candidate:
    return replace(entry, notes={**entry.notes, GENTLER: note})


def _finds_shares(recipe: Recipe, defaults: Mapping[str, Any]) -> bool:
    return any(
        name == "prune" and {**defaults, **written}.get("keep") == "auto" and "part" not in written
        for name, written, _ in recipe.steps
    )
