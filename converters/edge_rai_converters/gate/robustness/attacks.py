"""Both models attacked from the same rows: the distance to the boundary, and counterexamples within a reach.

An attack that finds nothing proves nothing, so that nothing is ever called robust.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from edge_rai_converters.gate.robustness.asking import Contender, Said
from edge_rai_converters.gate.robustness.boundary import Nearest, Room, hop_skip_jump
from edge_rai_converters.gate.robustness.sample import MOST_VALUES, Floats, Index, Mask, Sample
from edge_rai_converters.gate.robustness.square import Within, square
from edge_rai_converters.gate.robustness.trial import Trial
from edge_rai_converters.gate.rows import Array
from edge_rai_converters.words import number_of

# Points that a way to the boundary may begin from: other rows, the nearest first, and draws between least and greatest.
_NEAREST, _DRAWN = 20, 10
_FLOOR = 1e-300


def attacks(trial: Trial, told: Callable[[str, float], None]) -> dict[str, Any] | None:
    """What was found; None where no row could be attacked.

    Args:
        trial: What is tried.
        told: Of the attack that begins, and the share of all that is done.
    """
    rows = _attacked(trial)
    if not rows.size:
        return None
    sides = [_Side(trial, rows, place) for place in (0, 1)]
    nearest, within = [], []
    for place, side in enumerate(sides):
        told(f"HopSkipJump on the {side.contender.name}", place / 4)
        nearest.append(side.nearest())
    scored = all(said.scores is not None for said in trial.clean)
    for place, side in enumerate(sides if scored else ()):
        told(f"Square on the {side.contender.name}", 0.5 + place / 4)
        within.append(side.within())
    queries = trial.rule.attack_queries
    found = {
        "rows": len(rows),
        "queries": queries,
        "boundary": _boundary(sides, nearest),
        "score": _score(sides, within, trial.rule.reach) if within else None,
    }
    return {**found, "said": _sentences(found, sides)}


def _attacked(trial: Trial) -> Index:
    """Rows of the sample that both models decide alike, rightly where that is known."""
    before, after = trial.clean
    usable = trial.known & ~before.lost & ~after.differs(before.decided)
    if trial.truth is not None:
        usable &= ~trial.wrong(before, 0)
    order = np.random.default_rng(trial.rule.seed).permutation(np.flatnonzero(usable))
    most = max(1, MOST_VALUES // trial.sample.values.shape[1])
    return np.sort(order[: min(trial.rule.attack_rows, most)]).astype(np.int64)


@dataclass(frozen=True, eq=False, slots=True)
class _Found:
    """Of one model: (n,) rows with a counterexample, (n, features) these, and more about them."""

    rows: Mask
    values: Floats
    distances: Floats
    flat: float


class _Side:
    """One of the models under attack; points are in units of ``Sample.scale``."""

    def __init__(self, trial: Trial, rows: Index, place: int) -> None:
        self.contender: Contender = trial.contenders[place]
        self._trial, self._rows, self._sample = trial, rows, trial.sample
        self._clean: Array = trial.clean[place].decided
        self._origins = trial.sample.values[rows] / trial.sample.scale
        sample = self._sample
        free = sample.numeric & sample.mutable & (sample.high > sample.low)
        self._room = Room(free, sample.low / sample.scale, sample.high / sample.scale)

    def nearest(self) -> _Found:
        """By HopSkipJump."""
        generator = np.random.default_rng(self._trial.rule.seed)
        found, starts = self._starts(generator)
        values = self._sample.values[self._rows].copy()
        distances = np.full(len(self._rows), np.inf)
        if not found.any():
            return _Found(found, values, distances, 0.0)
        chosen = np.flatnonzero(found)
        budget = self._trial.rule.attack_queries - _NEAREST - _DRAWN
        done: Nearest = hop_skip_jump(
            lambda rows, points: self._differs(chosen[rows], points)[0],
            self._origins[chosen],
            starts[chosen],
            self._room,
            budget,
            generator,
        )
        # As the model sees it: rounded to its inputs' types.
        values[chosen] = self._sample.held(done.points * self._sample.scale)
        moved = values[chosen] / self._sample.scale - self._origins[chosen]
        distances[chosen] = self._length(moved)
        return _Found(found, values, distances, done.flat)

    def within(self) -> _Found:
        """By Square."""
        rule, sample = self._trial.rule, self._sample
        groups = [group for group in sample.groups if sample.mutable[group].all()]

        def exchange(rows: Index, points: Floats, generator: np.random.Generator) -> Floats:
            found = np.array(points)
            group = groups[generator.integers(len(groups))]
            found[:, group] = sample.values[generator.integers(len(sample), size=len(rows))][:, group]
            found[:, group] /= sample.scale[group]
            return found

        done: Within = square(
            self._differs,
            self._origins,
            self._room,
            np.where(sample.whole, np.floor(rule.reach * sample.scale) / sample.scale, rule.reach),
            rule.attack_queries,
            np.random.default_rng(rule.seed),
            _jumps(sample),
            exchange if groups else None,
        )
        values = sample.held(done.points * sample.scale)
        return _Found(done.found, values, np.full(len(values), np.nan), 0.0)

    def caught(self, found: _Found) -> float:
        """The share of the counterexamples that the guard catches; NaN without any."""
        chosen = np.flatnonzero(found.rows)
        if not chosen.size:
            return float("nan")
        given = self._sample.written(found.values[chosen], self._rows[chosen])
        return float(self.contender.caught(given).rows.mean())

    def _length(self, moved: Floats) -> Floats:
        """(n,) L2 in standard deviations; of images and signals the root of the mean of squares."""
        squares = np.square(moved)
        return np.asarray(np.sqrt(squares.sum(axis=1) if self._sample.names else squares.mean(axis=1)))

    def _differs(self, rows: Index, points: Floats) -> tuple[Mask, Floats]:
        """Which points of attacked rows are decided otherwise than these rows, and how far each is from that."""
        owners = self._rows[rows]
        said = self.contender.ask(self._sample.written(points * self._sample.scale, owners))
        clean = self._clean[owners]
        return said.differs(clean), _margins(said, clean)

    def _starts(self, generator: np.random.Generator) -> tuple[Mask, Floats]:
        """(n,) rows with a point that is decided otherwise, and (n, features) that point."""
        points, found = self._origins.copy(), np.zeros(len(self._rows), np.bool_)
        others = self._others()
        for turn in range(_NEAREST + _DRAWN):
            left = np.flatnonzero(~found)
            if not left.size:
                break
            if turn < others.shape[1]:
                wanted = self._sample.values[others[left, turn]] / self._sample.scale
            else:
                shares = generator.random((len(left), self._origins.shape[1]))
                wanted = self._room.low + shares * (self._room.high - self._room.low)
            trial = self._room.clipped(wanted, self._origins[left])
            beyond, _ = self._differs(left, trial)
            points[left[beyond]] = trial[beyond]
            found[left[beyond]] = True
        return found, points

    def _others(self) -> Index:
        """(n, up to 20) rows of the sample that are decided otherwise, the nearest first."""
        free = self._room.free
        pool = (self._sample.values / self._sample.scale)[:, free]
        clean = self._clean.reshape(len(pool), -1)
        found = []
        for row in self._rows:
            apart = np.square(pool - pool[row]).sum(axis=1)
            apart[(clean == clean[row]).all(axis=1)] = np.inf
            order = np.argsort(apart, kind="stable")[:_NEAREST]
            found.append(order)
        return np.stack(found).astype(np.int64)


def _margins(said: Said, clean: Array) -> Floats:
    """(m,) how far scores are from another decision: logarithms, as probabilities have no room left near 1."""
    if said.scores is None:
        return np.zeros(len(said.lost))
    logs = np.log(np.maximum(said.scores, _FLOOR))
    if clean.ndim == 2:
        rest = np.log(np.maximum(1 - said.scores, _FLOOR))
        return np.asarray(np.where(clean, logs - rest, rest - logs).min(axis=1))
    rows = np.arange(len(logs))
    own = logs[rows, clean]
    logs[rows, clean] = -np.inf
    return np.asarray(own - logs.max(axis=1))


def _jumps(sample: Sample) -> Callable[[int, float, np.random.Generator], Floats]:
    """Of images squares, each channel its own way; of signals stretches; of tables features."""
    width = sample.values.shape[1]
    if sample.kind == "images":
        return lambda rows, share, generator: _squares(sample.row_shape, rows, share, generator)

    def features(rows: int, share: float, generator: np.random.Generator) -> Floats:
        count = max(1, round(share * width))
        if sample.names:
            chosen = generator.random((rows, width)).argsort(axis=1).argsort(axis=1) < count
            return np.asarray(np.where(generator.random((rows, width)) < 0.5, -1.0, 1.0) * chosen)
        first = generator.integers(width, size=(rows, 1))
        signs = np.where(generator.random((rows, 1)) < 0.5, -1.0, 1.0)
        return np.asarray(signs * ((np.arange(width) - first) % width < count))

    return features


def _squares(shape: tuple[int, ...], rows: int, share: float, generator: np.random.Generator) -> Floats:
    axis = 0 if shape[0] in (1, 3) and shape[2] not in (1, 3) else 2
    height, width = (extent for place, extent in enumerate(shape) if place != axis)
    side = max(1, min(height, width, round(sqrt(share * height * width))))
    found = np.zeros((rows, height, width, shape[axis]))
    signs = np.where(generator.random((rows, shape[axis])) < 0.5, -1.0, 1.0)
    corners = generator.integers((height - side + 1, width - side + 1), size=(rows, 2))
    for image, (top, left), sign in zip(found, corners, signs, strict=True):
        image[top : top + side, left : left + side] = sign
    return np.asarray(np.moveaxis(found, 3, 1 + axis).reshape(rows, -1))


def _boundary(sides: list[_Side], found: list[_Found]) -> dict[str, Any]:
    both = found[0].rows & found[1].rows
    medians = [float(np.median(entry.distances[both])) if both.any() else float("nan") for entry in found]
    by_side = list(zip(sides, found, strict=True))
    return {
        "found": {side.contender.name: int(entry.rows.sum()) for side, entry in by_side},
        "distance": {side.contender.name: _quantile(entry, 0.5) for side, entry in by_side},
        "quartiles": {side.contender.name: [_quantile(entry, 0.25), _quantile(entry, 0.75)] for side, entry in by_side},
        "ratio": medians[1] / medians[0] if medians[0] > 0 else float("nan"),
        "caught": {side.contender.name: side.caught(entry) for side, entry in by_side},
        "flat": {side.contender.name: entry.flat for side, entry in by_side},
    }


def _quantile(found: _Found, share: float) -> float:
    return float(np.quantile(found.distances[found.rows], share)) if found.rows.any() else float("nan")


def _score(sides: list[_Side], found: list[_Found], reach: float) -> dict[str, Any]:
    by_side = list(zip(sides, found, strict=True))
    return {
        "reach": reach,
        "found": {side.contender.name: int(entry.rows.sum()) for side, entry in by_side},
        "caught": {side.contender.name: side.caught(entry) for side, entry in by_side},
    }


def _sentences(found: dict[str, Any], sides: list[_Side]) -> list[str]:
    said = []
    apart = found["boundary"]["distance"]
    if all(found["boundary"]["found"].values()):
        said.append(
            f"median distance to the boundary: {apart['original']:.3g} of the original and {apart['candidate']:.3g} of "
            f"the candidate, at most, in standard deviations"
        )
    budget = f"{number_of(found['queries'], 'query', 'queries')} a row"
    for method, key in (("HopSkipJump", "boundary"), ("Square", "score")):
        if found[key] is None:
            continue
        for side in sides:
            name = side.contender.name
            count = found[key]["found"][name]
            if count:
                said.append(f"{method} found a counterexample of the {name} in {count} of {found['rows']} rows")
            else:
                said.append(f"{method} on the {name}: no counterexample in {found['rows']} rows with {budget}")
    return said
