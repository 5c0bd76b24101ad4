"""Nearest rows by brute force in blocks: exact, in bounded memory, at a cost that is known before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai_converters.audit.material import Floats, Mask, drawn_evenly
from edge_rai_converters.data import Index

# Blocks of distances stay within a few MiB.
_BLOCK = 64
_STRETCH = 8192
_ASKED = 1000
# Up to four copies of a row do not change what its distance to others is.
_TYPICAL_PLACE = 5


@dataclass(frozen=True, eq=False, slots=True)
class Near:
    """Which rows have another one within a radius.

    Attributes:
        partner: (n,) such a row, or -1.
        of_marked: (n,) whether such a row is among the marked ones.
    """

    partner: Index
    of_marked: Mask


def nearest(points: Floats, k: int) -> npt.NDArray[np.int64]:
    """(n, k) the k nearest other rows of each, in no order; n times n distances of f values.

    Args:
        points: (n, f), n > k.
        k: At least 1.
    """
    found = np.empty((len(points), k), np.int64)
    squares = np.einsum("ij,ij->i", points, points)
    for start in range(0, len(points), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(points)))
        distances = points[block] @ points.T
        distances *= -2
        distances += squares  # the row's own square does not change the order
        distances[block - start, block] = np.inf
        found[block] = np.argpartition(distances, k - 1, axis=1)[:, :k]
    return found


def typical_distance(points: Floats) -> float:
    """The median distance of a row to its fifth nearest other one, of at most a thousand rows; 0 of fewer than six."""
    if len(points) <= _TYPICAL_PLACE:
        return 0.0
    asked = drawn_evenly(len(points), _ASKED)
    squares = np.einsum("ij,ij->i", points, points)
    distances = np.empty(len(asked))
    for place, row in enumerate(asked):
        found = squares - 2 * (points @ points[row])
        found.partition(_TYPICAL_PLACE)  # the row itself is nearest
        distances[place] = found[_TYPICAL_PLACE] + squares[row]
    return float(np.sqrt(max(float(np.median(distances)), 0.0)))


def along_widest(points: Floats) -> tuple[Index, Floats]:
    """The order of rows along their first principal component, and their places on it in that order."""
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    widest = vectors[:, -1]
    places = centred @ (widest * np.sign(widest[np.abs(widest).argmax()]))  # either sign is a solution
    order = np.argsort(places, kind="stable")
    return order, places[order]


def pairs_to_compare(places: Floats, radius: float) -> int:
    """How many distances ``near_rows`` would look at."""
    return sum((stop - start) * (end - start) for start, stop, end in _stretches(places, radius))


def near_rows(points: Floats, order: Index, places: Floats, radius: float, marked: Mask) -> Near:
    """Rows that have another one within a radius.

    Rows that are further apart than the radius along one direction are so altogether: in the order of that direction,
    each block is compared only with what follows within the radius.

    Args:
        points: (n, f).
        order: (n,) of the rows along some direction of unit length.
        places: (n,) their places along it, ascending.
        radius: At least 0.
        marked: (n,) rows of interest.
    """
    points, marked = points[order], marked[order]
    squares = np.einsum("ij,ij->i", points, points)
    partner, of_marked = np.full(len(points), -1, np.int64), np.zeros(len(points), np.bool_)
    for start, stop, end in _stretches(places, radius):
        block = np.arange(start, stop)
        for begin in range(start, end, _STRETCH):
            others = np.arange(begin, min(begin + _STRETCH, end))
            found = points[block] @ points[others].T
            found *= -2
            found += squares[others]
            near = found <= radius**2 - squares[block][:, np.newaxis]
            near &= others > block[:, np.newaxis]  # every pair once, and no row with itself
            rows, columns = near.any(axis=1), near.any(axis=0)
            if not rows.any():
                continue
            partner[block[rows]] = others[near[rows].argmax(axis=1)]
            partner[others[columns]] = block[near[:, columns].argmax(axis=0)]
            of_marked[block] |= (near & marked[others]).any(axis=1)
            of_marked[others] |= (near & marked[block][:, np.newaxis]).any(axis=0)
    back = np.argsort(order, kind="stable")
    return Near(np.where(partner >= 0, order[partner], -1)[back], of_marked[back])


def _stretches(places: Floats, radius: float) -> Iterator[tuple[int, int, int]]:
    """Of each block its first and last row, and the last row that may be near one of it; both last ones exclusive."""
    for start in range(0, len(places), _BLOCK):
        stop = min(start + _BLOCK, len(places))
        yield start, stop, int(np.searchsorted(places, places[stop - 1] + radius, side="right"))
