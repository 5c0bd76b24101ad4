"""Slices that have too few rows for a statement about them."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np

from edge_rai_converters.audit.material import Coded, Material, encode
from edge_rai_converters.audit.report import Finding, listed

# Wilson 1927: at a share of one half, where it is widest, a 95 % interval of n rows reaches z / (2 sqrt(n + z^2)) to
# either side.
_Z = 1.959964
_HALF_WIDTH = 0.10
_MOST_SLICES = 100
_TOLD = 1000

NEEDED = ceil((_Z / (2 * _HALF_WIDTH)) ** 2 - _Z**2)
WIDTH = f"{100 * _HALF_WIDTH:g} points to either side with 95 % confidence"


def find_slices(material: Material) -> Iterator[Finding]:
    """Slices with fewer held-back rows than the interval needs; one finding a column."""
    for name, column in material.slices.items():
        coded = encode(column)
        if not 0 < len(coded.names) <= _MOST_SLICES:
            yield Finding(
                "no_slices",
                "warning",
                f"column {name!r} has {len(coded.names):,} different values, which make no slices",
                f"Give a column of at most {_MOST_SLICES}: put numbers into ranges, or texts into groups",
                {"column": name, "values": len(coded.names)},
            )
        else:
            yield from _too_small(material, name, coded)


def _too_small(material: Material, name: str, coded: Coded) -> Iterator[Finding]:
    codes = coded.codes[material.held_back]
    held_back = np.bincount(codes[codes >= 0], minlength=len(coded.names))
    small = np.flatnonzero(held_back < NEEDED)
    if not small.size:
        return
    counts = {coded.names[place]: int(held_back[place]) for place in small}
    told = listed(list(counts), lambda value: f"{value} ({counts[value]}, {_reach(counts[value])})")
    yield Finding(
        "slices_too_small",
        "warning",
        f"{len(small)} of {len(coded.names)} slices by {name!r} with fewer than {NEEDED} held-back rows: {told}",
        f"Their accuracy is not known to {WIDTH}; add rows of them, or merge slices",
        {"column": name, "held_back": dict(list(counts.items())[:_TOLD]), "needed": NEEDED},
    )


def _reach(count: int) -> str:
    return f"up to {100 * _Z / (2 * (count + _Z**2) ** 0.5):.0f} points off"
