"""Columns that alone tell the label: made from the outcome, most likely, and not known when the model is asked.

A row is given the class that most other rows of the same value have, or most of those next to it in the order of the
column; it has no say about itself. A column where that is nearly never wrong is suspect when it has one value a class,
or when all others are wrong several times as often: a strong column of honest data mostly has others nearly as strong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai_converters.audit.labels import are_classes
from edge_rai_converters.audit.material import Coded, Floats, Material, drawn_evenly
from edge_rai_converters.audit.report import Finding, listed
from edge_rai_converters.data import Index
from edge_rai_converters.words import number_of

# What a column leaves open, as a share of what is open without it: at most this, and of the others at least so many
# times and so much more.
_MOST_OPEN, _TIMES, _MORE = 0.10, 3.0, 0.03
# Of quantities, one less the rank correlation.
_MOST_DISORDER = 0.01
_MANY_CLASSES = 20
# Rows of one value are compared with each other where there are so many of them on average.
_ROWS_A_KIND = 4
# Neighbours to each side.
_REACHES = (3, 16)
_FEWEST, _MOST_ROWS, _MOST_VALUES = 50, 20_000, 1 << 22
# Rows times classes times columns.
_MOST_COUNTS = 1 << 27


@dataclass(frozen=True, slots=True)
class _Solo:
    """What one column says of the label by itself.

    Attributes:
        name: Of the column.
        open: Share of what is open without it that it leaves open: wrong classes of those that guessing the most
            frequent one gives; of quantities one less the rank correlation.
        figure: Share of the classes that are right; or the rank correlation.
        copies: It has one value a class.
    """

    name: str
    open: float
    figure: float
    copies: bool = False


def find_giveaways(material: Material, labels: Coded) -> Iterator[Finding]:
    """One finding that lists the columns, where there are some; pictures have none.

    Args:
        material: A bounded part of it is looked at, spread evenly.
        labels: Of all rows; classes or quantities.
    """
    columns, classes = material.width + len(material.texts), len(labels.names)
    if material.image is not None or not columns or classes < 2:
        return
    known = np.flatnonzero(labels.codes >= 0)
    rows = known[drawn_evenly(len(known), min(_MOST_ROWS, _MOST_VALUES // columns))]
    if len(rows) < _FEWEST:
        return
    # In no order, so that rows of one value are not told apart by their places in the file.
    rows = np.random.default_rng(0).permutation(rows)
    if are_classes(labels) and len(rows) * classes * columns <= _MOST_COUNTS:
        yield from _finding(_suspects([*_by_classes(material, rows, labels)], _MOST_OPEN), _right)
    if labels.values is not None and classes > _MANY_CLASSES:
        quantities = labels.values[labels.codes[rows]]
        yield from _finding(_suspects([*_by_order(material, rows, quantities)], _MOST_DISORDER), _correlated)


def _suspects(solos: Sequence[_Solo], most: float) -> tuple[list[_Solo], _Solo | None]:
    """Columns that leave next to nothing open, the best first; and the best of the others."""
    ordered = sorted(solos, key=lambda solo: solo.open)
    found = [solo for solo in ordered if solo.open <= most and solo.copies]
    others = [solo for solo in ordered if solo not in found]
    if len(others) > 1 and others[0].open <= most:
        first, following = others[0].open, others[1].open
        found += others[: following >= max(_TIMES * first, first + _MORE)]
    return found, next((solo for solo in ordered if solo not in found), None)


def _finding(told: tuple[list[_Solo], _Solo | None], say: Callable[[_Solo], str]) -> Iterator[Finding]:
    found, following = told
    if not found:
        return
    beside = f"; the next column is {say(following)}" if following else ""
    yield Finding(
        "target_leakage",
        "warning",
        f"{number_of(len(found), 'column')} that may give the label away: {listed(found, say)}{beside}",
        "If it is made from the outcome, or known only after it, leave it out and train again: on a device it will not "
        "be there, or say nothing",
        {
            "columns": {solo.name: solo.figure for solo in found},
            "next": {following.name: following.figure} if following else {},
        },
    )


def _right(solo: _Solo) -> str:
    return f"{solo.name} (alone right in {100 * solo.figure:.1f} % of the rows)"


def _correlated(solo: _Solo) -> str:
    return f"{solo.name} (rank correlation {solo.figure:.3f})"


def _columns(material: Material, rows: Index) -> Iterator[tuple[str, Floats | None, Index]]:
    """Of each column its name, its numbers if it has some, and its values as kinds; a missing one is a kind too."""
    numbers = material.read(rows)
    for place in range(material.width):
        values = numbers[:, place]
        yield material.column(place), values, np.unique(values, return_inverse=True)[1].astype(np.int64)
    for name, coded in material.texts.items():
        yield name, None, coded.codes[rows] + 1


def _by_classes(material: Material, rows: Index, labels: Coded) -> Iterator[_Solo]:
    codes = labels.codes[rows]
    counts = np.bincount(codes, minlength=len(labels.names))
    rule = _Rule(codes, len(counts), codes == counts.argmax())
    base = len(rows) - int(counts.max())
    if not base:
        return
    for name, values, kinds in _columns(material, rows):
        many = int(kinds.max()) + 1
        right = rule.of_kinds(kinds, many) if values is None or many * _ROWS_A_KIND <= len(rows) else 0
        if values is not None:
            right = max(right, *(rule.of_neighbours(np.argsort(values, kind="stable"), reach) for reach in _REACHES))
        there = len(np.unique(kinds))
        yield _Solo(name, (len(rows) - right) / base, right / len(rows), there == int(np.count_nonzero(counts)))


@dataclass(frozen=True, eq=False, slots=True)
class _Rule:
    """Counts rows whose class is that of most others; at a tie the most frequent class wins.

    Attributes:
        codes: (n,) classes.
        classes: Number of them.
        usual: (n,) the class is the most frequent one.
    """

    codes: Index
    classes: int
    usual: npt.NDArray[np.bool_]

    def of_kinds(self, kinds: Index, many: int) -> int:
        """Of rows of the same kind."""
        counts = np.bincount(kinds * self.classes + self.codes, minlength=many * self.classes)
        return self._right(counts.reshape(many, self.classes)[kinds], self.codes, self.usual)

    def of_neighbours(self, order: Index, reach: int) -> int:
        """Of so many rows before and behind in an order."""
        codes = self.codes[order]
        before = np.zeros((len(codes) + 1, self.classes), np.int32)
        np.cumsum(codes[:, np.newaxis] == np.arange(self.classes), axis=0, out=before[1:])
        places = np.arange(len(codes))
        within = before[np.minimum(places + reach + 1, len(codes))] - before[np.maximum(places - reach, 0)]
        return self._right(within, codes, self.usual[order])

    def _right(self, counts: Index, codes: Index, usual: npt.NDArray[np.bool_]) -> int:
        counts = counts.copy()
        places = np.arange(len(codes))
        own = counts[places, codes] - 1
        counts[places, codes] = -1
        others = counts.max(axis=1)
        return int(np.count_nonzero((own > others) | ((own == others) & usual)))


def _by_order(material: Material, rows: Index, quantities: Floats) -> Iterator[_Solo]:
    wanted = _ranks(quantities)
    for name, values, _ in _columns(material, rows):
        if values is not None and np.ptp(ranks := _ranks(values)) > 0:
            figure = float(np.corrcoef(ranks, wanted)[0, 1])
            yield _Solo(name, 1 - abs(figure), figure)


def _ranks(values: Floats) -> Floats:
    """Mean ranks of equal values; all NaN are equal, and the greatest."""
    _, kinds, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[kinds])
