"""Looks for rows that are decided otherwise within a reach, guided by scores: Square, of many rows in step.

Andriushchenko, Croce, Flammarion, Hein: Square Attack, 2020 (arXiv:1912.00049), for the maximum norm. A random part of
the row jumps to an edge of the reach, and stays there if that brings the decision nearer to another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_rai_converters.gate.robustness.boundary import Room
from edge_rai_converters.gate.robustness.sample import Floats, Index, Mask

# Of points, (m, d), of rows with these numbers, (m,): which are decided otherwise, and how far each is from that.
Scored = Callable[[Index, Floats], tuple[Mask, Floats]]
# So many jumps (m, d), each of about a share of the row: 1 and -1, and 0 where nothing moves.
Jumps = Callable[[int, float, np.random.Generator], Floats]
# Points with other categories than they have, of rows with these numbers.
Exchange = Callable[[Index, Floats, np.random.Generator], Floats]

_SHARE = 0.8
# Of all queries: where the share that jumps is halved.
_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, eq=False, slots=True)
class Within:
    """What was found.

    Attributes:
        found: (n,) rows with a point within reach that is decided otherwise.
        points: (n, d) these points; of the others the nearest to it.
    """

    found: Mask
    points: Floats


def square(
    scored: Scored,
    origins: Floats,
    room: Room,
    reach: Floats,
    queries: int,
    generator: np.random.Generator,
    jumps: Jumps,
    exchange: Exchange | None = None,
) -> Within:
    """Looks within a reach of each row.

    Args:
        scored: Asks the model.
        origins: (n, d) rows, in the units of the reach.
        room: Where points may be.
        reach: (d,) how far each free coordinate may move.
        queries: A row, at most.
        generator: Draws.
        jumps: Which values move together, and which way.
        exchange: Changes categories, which is tried every other time; None: there are none that may change.
    """
    every = np.arange(len(origins), dtype=np.int64)
    signs = np.where(generator.random(origins.shape) < 0.5, -reach, reach)
    points = room.clipped(origins + signs, origins)
    found, margins = scored(every, points)
    for query in range(1, queries):
        left = every[~found]
        if not left.size:
            break
        if exchange is not None and query % 2:
            trial = exchange(left, points[left], generator)
        else:
            ways = jumps(len(left), _share(query / queries), generator)
            moved = room.clipped(origins[left] + reach * ways, origins[left])
            trial = np.where((ways != 0) & room.free, moved, points[left])
        found[left], nearer = scored(left, trial)
        kept = found[left] | (nearer < margins[left])
        points[left[kept]], margins[left[kept]] = trial[kept], nearer[kept]
    return Within(found, points)


def _share(done: float) -> float:
    """Of a row that jumps, when so much of the queries is done."""
    return _SHARE * 0.5 ** sum(done > limit for limit in _HALVED_AT)
