"""The rows that are tried, as one matrix of numbers whatever the inputs are, and what is known of its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data import Array, Dataset
from edge_rai_converters.data.rows import Rows
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.robustness.rules import CORRUPTIONS, Kind, RobustnessRule

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# In memory at a time, of all rows together.
MOST_VALUES = 1 << 22
_CHANNELS = (1, 3)
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Sample:
    """n rows, drawn. A feature is a number of a row of a table, and every value of an image or a signal.

    Attributes:
        kind: Of the rows.
        index: (n,) which rows of the data these are, rising.
        rows: By input (n, *call), see ``data.Dataset``.
        inputs: Whose values are numbers that are tried, in the model's order.
        names: Of the features of a table, in the order of ``values``; empty of other kinds.
        groups: Of a table, places of features that are one category together.
        mutable: (features,) which of them an attack may change.
    """

    kind: Kind
    index: Index
    rows: Mapping[str, Array]
    inputs: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[Index, ...]
    mutable: Mask

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def values(self) -> Floats:
        """(n, features) the numbers of all inputs side by side."""
        return _matrix(self.rows, self.inputs)

    @cached_property
    def low(self) -> Floats:
        """(features,) least value of each; of images and signals of all of them."""
        return self.values.min(axis=0) if self.names else np.full(self.values.shape[1], self.values.min())

    @cached_property
    def high(self) -> Floats:
        """(features,) greatest value, likewise."""
        return self.values.max(axis=0) if self.names else np.full(self.values.shape[1], self.values.max())

    @cached_property
    def scale(self) -> Floats:
        """(features,) standard deviations, of images and signals that of all values; 1 of constants."""
        width = self.values.std(axis=0) if self.names else np.full(self.values.shape[1], self.values.std())
        return np.where(width > 0, width, 1.0)

    @cached_property
    def numeric(self) -> Mask:
        """(features,) those that are no category."""
        found = np.ones(self.values.shape[1], np.bool_)
        for group in self.groups:
            found[group] = False
        return found

    @cached_property
    def whole(self) -> Mask:
        """(features,) those of whole numbers, which are rounded."""
        found = [np.full(part.stop - part.start, self.rows[name].dtype.kind in "iu") for name, part in self.parts()]
        return np.concatenate(found)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Of an image or a signal, without the axis of rows that a call has."""
        shape = self.rows[self.inputs[0]].shape[1:]
        return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape

    def written(self, values: Floats, rows: Index | None = None) -> dict[str, Array]:
        """Numbers as the models take them, in the inputs' own types.

        Args:
            values: (m, features).
            rows: (m,) rows of the sample, whose text these get; None: all n.
        """
        found = {name: array if rows is None else array[rows] for name, array in self.rows.items()}
        for name, part in self.parts():
            shape = self.rows[name].shape[1:]
            found[name] = typed(values[:, part], self.rows[name].dtype).reshape(len(values), *shape)
        return found

    def held(self, values: Floats) -> Floats:
        """(m, features) as the models see them: rounded to the inputs' types."""
        return np.concatenate(
            [typed(values[:, part], self.rows[name].dtype).astype(np.float64) for name, part in self.parts()], axis=1
        )

    def place_of(self, name: str) -> int:
        """The column of a feature.

        Raises:
            DataError: There is none of that name.
        """
        return _place_of(name, self.names)

    def parts(self) -> Iterator[tuple[str, slice]]:
        """Inputs, and their columns of ``values``."""
        first = 0
        for name in self.inputs:
            width = prod(self.rows[name].shape[1:])
            yield name, slice(first, first + width)
            first += width


def draw(dataset: Dataset, rule: RobustnessRule, *, consecutive: bool = False) -> Sample:
    """Draws the rows that are tried.

    Args:
        dataset: All rows.
        rule: What is wanted of them.
        consecutive: They follow each other, as they came.

    Raises:
        DataError: The rows are not of the kind that the rule says, or have no feature that it names.
    """
    inputs = tuple(name for name, array in dataset.rows.items() if array.dtype.kind in "fiub")
    if not inputs:
        raise DataError("[robustness] takes inputs of numbers, and the models take text alone; leave it out")
    kind = rule.kind or _kind(dataset.rows, inputs)
    if kind != "table":
        inputs = inputs[:1]
    _refuse_shape(dataset.rows, inputs[0], kind)
    wide = sum(prod(array.shape[1:]) for array in dataset.rows.values())
    count = max(1, min(rule.rows, len(dataset), MOST_VALUES // wide))
    generator = np.random.default_rng(rule.seed)
    if consecutive:
        index = generator.integers(len(dataset) - count + 1) + np.arange(count, dtype=np.int64)
    else:
        index = np.sort(generator.choice(len(dataset), count, replace=False)).astype(np.int64)
    rows = {name: np.asarray(array[index]) for name, array in dataset.rows.items()}
    names = _names(dataset, rows, inputs) if kind == "table" else ()
    for name in (entry for entry in rule.judged if entry not in (*CORRUPTIONS[kind], *rule.relations)):
        raise DataError(f"[robustness] margins has {name!r}, and rows of the kind {kind} are not corrupted that way")
    values = _matrix(rows, inputs)
    return Sample(kind, index, rows, inputs, names, _groups(values, names, rule), _mutable(values, names, rule))


def typed(values: Floats, dtype: np.dtype[Any]) -> Array:
    """Numbers in another type: whole ones are rounded, and none leaves what the type can hold."""
    if dtype.kind == "b":
        return np.asarray(values > 0.5)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -(2**53)), min(limits.max, 2**53)
    return np.clip(np.rint(values), low, high).astype(dtype)


def _matrix(rows: Mapping[str, Array], inputs: Sequence[str]) -> Floats:
    return np.concatenate([rows[name].reshape(len(rows[name]), -1).astype(np.float64) for name in inputs], axis=1)


def _kind(rows: Rows, inputs: Sequence[str]) -> Kind:
    shape = rows[inputs[0]].shape[1:]
    if len(inputs) == 1 and len(shape) == 4 and any(shape[axis] in _CHANNELS for axis in (1, 3)):
        return "images"
    return "sensors" if len(inputs) == 1 and len(shape) == 3 else "table"


def _refuse_shape(rows: Rows, name: str, kind: Kind) -> None:
    shape = rows[name].shape[1:]
    fits = {
        "images": len(shape) == 4 and any(shape[axis] in _CHANNELS for axis in (1, 3)),
        "sensors": len(shape) in (2, 3),
        "audio": prod(shape) > 1,
        "table": True,
    }
    if not fits[kind]:
        raise DataError(
            f"[robustness] kind is {kind!r}, and a row of {name!r} has the shape {list(shape)}; leave kind out, or say "
            "which it is"
        )


def _names(dataset: Dataset, rows: Mapping[str, Array], inputs: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    for name in inputs:
        width = prod(rows[name].shape[1:])
        if len(inputs) == 1 and dataset.feature_names is not None and len(dataset.feature_names) == width:
            found += dataset.feature_names
        else:
            found += [name] if width == 1 else [f"{name}[{place}]" for place in range(width)]
    return tuple(found)


def _groups(values: Floats, names: tuple[str, ...], rule: RobustnessRule) -> tuple[Index, ...]:
    """Those that are declared, and each feature with two values at most by itself."""
    declared = [np.array([_place_of(name, names) for name in group], np.int64) for group in rule.categories]
    if not names:
        return ()
    taken = {place for group in declared for place in group.tolist()}
    two = (np.diff(np.sort(values, axis=0), axis=0) != 0).sum(axis=0) <= 1
    few = [place for place in np.flatnonzero(two).tolist() if place not in taken]
    return (*declared, *(np.array([place], np.int64) for place in few))


def _mutable(values: Floats, names: tuple[str, ...], rule: RobustnessRule) -> Mask:
    for name in (*rule.invariant, *rule.monotone):
        _place_of(name, names)
    if not rule.mutable:
        return np.ones(values.shape[1], np.bool_)
    found = np.zeros(values.shape[1], np.bool_)
    found[[_place_of(name, names) for name in rule.mutable]] = True
    return found


def _place_of(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        shown = ", ".join(map(repr, names[:_SHOWN])) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
        there = f"there are {shown}" if names else "features have names in tables alone"
        raise DataError(f"[robustness] names the feature {name!r}; {there}")
    return names.index(name)
