"""The rows that an audit looks at, of whatever form, as numbers that are read part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data import Array, Index, StoredRows

_CHUNK_VALUES = 1 << 19

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class Coded:
    """A column whose values are kinds of something.

    Attributes:
        codes: (n,) place of each row's value among the names; -1: missing.
        names: Of the values; numbers in their order, text in the alphabet's.
        values: What the names stand for, of a column of numbers.
    """

    codes: Index
    names: tuple[str, ...]
    values: Floats | None

    def counts(self) -> Index:
        """(names,) how many rows have each."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names)).astype(np.int64)


@dataclass(frozen=True, eq=False, slots=True)
class Numbers:
    """One array of numbers.

    Attributes:
        name: Of the array; empty for the columns of a table.
        rows: (N, ...) all rows.
        columns: Names of the values of a row, where there are some.
        call_axes: Axes of 1 behind axis 0 that a call of the model adds, and no name has.
    """

    name: str
    rows: StoredRows
    columns: tuple[str, ...] | None = None
    call_axes: int = 0

    @property
    def width(self) -> int:
        """Values a row."""
        return prod(self.rows.shape[1:])

    def column(self, place: int) -> str:
        """What to call a value of a row."""
        if self.columns is not None:
            return self.columns[place]
        if self.width == 1:
            return self.name
        return f"{self.name}{list(map(int, np.unravel_index(place, self.rows.shape[1 + self.call_axes :])))}"


@dataclass(frozen=True, slots=True)
class ImageForm:
    """How the values of a row are a picture."""

    height: int
    width: int
    channels: int
    channels_first: bool


@dataclass(frozen=True, eq=False, slots=True)
class Material:
    """Rows to look at; n of the N that the data has.

    Attributes:
        path: Of the data, for messages.
        count: N.
        index: (n,) which rows these are, ascending.
        held_back: (n,) which of these are held back for comparison; the others calibrate.
        numbers: What is numbers.
        texts: What is text, by column.
        labels: By annotator, (n,): float64 with NaN, or text with NaN, for a missing one.
        slices: By column that makes slices, (n,) likewise.
        image: The rows are pictures.
        place: What to call one of the N rows.
    """

    path: str
    count: int
    index: Index
    held_back: Mask
    numbers: tuple[Numbers, ...]
    texts: Mapping[str, Coded] = field(default_factory=dict)
    labels: Mapping[str, Array] = field(default_factory=dict)
    slices: Mapping[str, Array] = field(default_factory=dict)
    image: ImageForm | None = None
    place: Callable[[int], str] = "row {}".format

    def __len__(self) -> int:
        return len(self.index)

    @property
    def width(self) -> int:
        """Columns of numbers."""
        return sum(part.width for part in self.numbers)

    def column(self, place: int) -> str:
        """The name of a column of numbers."""
        for part in self.numbers:
            if place < part.width:
                return part.column(place)
            place -= part.width
        raise IndexError(place)

    def read(self, rows: Index) -> Floats:
        """(m, width) numbers of some of the n rows."""
        values = np.empty((len(rows), self.width))
        start = 0
        for part in self.numbers:
            values[:, start : start + part.width] = part.rows[self.index[rows]].reshape(len(rows), -1)
            start += part.width
        return values

    def parts(self) -> Iterator[tuple[slice, Floats]]:
        """All n rows, a bounded number of values at a time, and where in the n each part lies."""
        step = max(1, _CHUNK_VALUES // max(1, self.width))
        for start in range(0, len(self), step):
            stop = min(start + step, len(self))
            yield slice(start, stop), self.read(np.arange(start, stop, dtype=np.int64))

    def name_rows(self, rows: Index) -> list[str]:
        """What to call some of the n rows."""
        return [self.place(int(row)) for row in self.index[rows]]


def encode(column: Array) -> Coded:
    """Values as kinds; see ``Coded``.

    Args:
        column: (n,) numbers with NaN for a missing one; or text, NaN in its place for a missing one.
    """
    if column.dtype.kind in "fiub":
        numbers = column.astype(np.float64)
        known = ~np.isnan(numbers)
        values, inverse = np.unique(numbers[known], return_inverse=True)
        codes = np.full(len(numbers), -1, np.int64)
        codes[known] = inverse
        return Coded(codes, tuple(f"{value:.12g}" for value in values), values)
    texts = [value if isinstance(value, str) else None for value in column.tolist()]
    names = tuple(sorted({text for text in texts if text is not None}))
    places: dict[str | None, int] = {name: place for place, name in enumerate(names)}
    return Coded(np.array([places.get(text, -1) for text in texts], np.int64), names, None)


def drawn_evenly(count: int, most: int, seed: int = 0) -> Index:
    """At most so many of a number of rows, ascending: all, or one drawn from each of as many equal stretches.

    Drawn, as a fixed step would keep pace with what comes round in the data.
    """
    if count <= most:
        return np.arange(count, dtype=np.int64)
    bounds = np.arange(most + 1, dtype=np.int64) * count // most
    offsets = np.random.default_rng(seed).random(most) * np.diff(bounds)
    return np.asarray(bounds[:-1] + offsets.astype(np.int64), np.int64)
