"""How far rows are from being decided otherwise, found from decisions alone: HopSkipJump, of many rows in step.

Chen, Jordan, Wainwright: HopSkipJumpAttack, 2020 (arXiv:1904.02144), for the L2 norm. A point on the boundary is moved
along an estimate of the boundary's normal, and then back towards the row until it is on the boundary again. What comes
out bounds the true distance from above and never from below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from edge_rai_converters.gate.robustness.sample import MOST_VALUES, Floats, Index, Mask

# Which of some points, (m, d), of rows with these numbers, (m,), are decided otherwise than those rows.
Decided = Callable[[Index, Floats], Mask]

_PROBES = 60
_HALVINGS = 10
_STEPS = 8
# Of the distance: how far around a point is felt for the boundary.
_RADIUS = 0.1


@dataclass(frozen=True, slots=True)
class Room:
    """Where points may be.

    Attributes:
        free: (d,) coordinates that may change.
        low: (d,) least values of these.
        high: (d,) greatest values.
    """

    free: Mask
    low: Floats
    high: Floats

    def clipped(self, points: Floats, origins: Floats) -> Floats:
        """(m, d) the nearest points that are allowed; a row outside the limits may stay where it is."""
        inside = np.clip(points, np.minimum(self.low, origins), np.maximum(self.high, origins))
        return np.where(self.free, inside, origins)


@dataclass(frozen=True, eq=False, slots=True)
class Nearest:
    """What was found.

    Attributes:
        points: (n, d) decided otherwise than their rows.
        distances: (n,) L2.
        flat: Share of the estimates of a normal in which all points around were decided alike.
    """

    points: Floats
    distances: Floats
    flat: float


def hop_skip_jump(
    decided: Decided, origins: Floats, starts: Floats, room: Room, queries: int, generator: np.random.Generator
) -> Nearest:
    """Looks for the nearest point that is decided otherwise.

    Args:
        decided: Asks the model.
        origins: (n, d) rows, in the units of the distance.
        starts: (n, d) points that are decided otherwise, within the room.
        room: Where points may be.
        queries: A row, at most; with fewer than about 100 nothing but the way to the start is tried.
        generator: Draws.
    """
    every = np.arange(len(origins), dtype=np.int64)
    points = _to_boundary(decided, origins, starts)
    best, least = points, _length(points - origins)
    flat: list[Mask] = []
    used, step = _HALVINGS, 0
    while True:
        step += 1
        probes = max(1, min(int(_PROBES * sqrt(step)), MOST_VALUES // origins.shape[1]))
        used += probes + _STEPS + _HALVINGS
        if used > queries:
            break
        distances = _length(points - origins)
        normals, alike = _normals(decided, points, origins, _RADIUS * distances, room, probes, generator)
        flat.append(alike)
        moved = _moved(decided, every, points, origins, normals, distances / sqrt(step), room)
        points = _to_boundary(decided, origins, moved)
        distances = _length(points - origins)
        nearer = distances < least
        best, least = np.where(nearer[:, np.newaxis], points, best), np.minimum(distances, least)
    return Nearest(best, least, float(np.mean(flat)) if flat else 0.0)


def _length(vectors: Floats) -> Floats:
    return np.asarray(np.sqrt(np.square(vectors).sum(axis=-1)))


def _to_boundary(decided: Decided, origins: Floats, points: Floats) -> Floats:
    """(n, d) points on the way to their rows, still decided otherwise, next to where they are not."""
    rows = np.arange(len(origins), dtype=np.int64)
    inner, outer = np.zeros((len(origins), 1)), np.ones((len(origins), 1))
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        beyond = decided(rows, origins + middle * (points - origins))[:, np.newaxis]
        inner, outer = np.where(beyond, inner, middle), np.where(beyond, middle, outer)
    return np.asarray(origins + outer * (points - origins))


def _normals(
    decided: Decided,
    points: Floats,
    origins: Floats,
    radii: Floats,
    room: Room,
    probes: int,
    generator: np.random.Generator,
) -> tuple[Floats, Mask]:
    """(n, d) unit vectors away from the row's own decision; and (n,) where all points around were decided alike."""
    count, width = points.shape
    found, alike = np.empty_like(points), np.empty(count, np.bool_)
    at_once = max(1, MOST_VALUES // (probes * width))
    for first in range(0, count, at_once):
        part = np.arange(first, min(first + at_once, count), dtype=np.int64)
        ways = generator.normal(size=(len(part), probes, width)) * room.free
        ways /= np.maximum(_length(ways), 1e-300)[..., np.newaxis]
        around = points[part, np.newaxis] + radii[part, np.newaxis, np.newaxis] * ways
        owners = origins[part, np.newaxis]
        around = room.clipped(around, np.broadcast_to(owners, around.shape))
        ways = around - points[part, np.newaxis]
        signs = 2.0 * decided(np.repeat(part, probes), around.reshape(-1, width)).reshape(len(part), probes) - 1
        mean = signs.mean(axis=1, keepdims=True)
        alike[part] = np.abs(mean[:, 0]) == 1
        weights = np.where(np.abs(mean) == 1, signs, signs - mean)
        sums = (weights[..., np.newaxis] * ways).sum(axis=1)
        found[part] = sums / np.maximum(_length(sums), 1e-300)[:, np.newaxis]
    return found, alike


def _moved(
    decided: Decided, rows: Index, points: Floats, origins: Floats, normals: Floats, steps: Floats, room: Room
) -> Floats:
    """(n, d) points moved along their normals as far as they stay decided otherwise; halved until they do."""
    found = np.array(points)
    left, steps = rows, steps.copy()
    for _ in range(_STEPS):
        trial = room.clipped(points[left] + steps[left, np.newaxis] * normals[left], origins[left])
        beyond = decided(left, trial)
        found[left[beyond]] = trial[beyond]
        left = left[~beyond]
        if not left.size:
            break
        steps[left] /= 2
    return found
