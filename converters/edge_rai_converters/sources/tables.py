"""Models of tables: the types of their inputs, as a sample of rows has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.sources.exported import MOST_ROWS, Array, Sample

_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool", "U": "string"}
_DTYPES = {"float": np.float32, "int": np.int64, "bool": np.bool_, "string": object}


@dataclass(frozen=True, slots=True)
class Column:
    """One input of a model of tables.

    Attributes:
        name: Of the input.
        kind: Of its values: "float" (float32), "int" (int64), "bool" or "string".
        width: Columns.
    """

    name: str
    kind: str
    width: int


def columns(sample: Sample | None, width: int | None, name: str) -> list[Column]:
    """The inputs of a model of tables, as the sample has them.

    Args:
        sample: An array an input, rows on axis 0 of (rows,) or (rows, columns); floats of any width stand for float32,
            integers for int64, which is what a device gives.
        width: Columns of a model without a sample, which are then floats of one input "X"; None when not known.
        name: Of the model, for messages.

    Raises:
        UnsupportedModelError: A sample is needed, or has an array of another kind.
    """
    if sample is None:
        if width is None:
            raise UnsupportedModelError(f"{name}: the types of its inputs are not known; give a sample of its rows")
        return [Column("X", "float", width)]
    return [_column(key, np.asarray(array), name) for key, array in sample.items()]


def fitted_names(model: Any) -> tuple[str, ...]:
    """The columns that an estimator or a Booster was fitted with, in its order; none where it was fitted with arrays.

    LightGBM numbers the columns of an array itself, see ``data.named.counted``.
    """
    if type(model).__name__ == "Booster":
        names = model.feature_name() if hasattr(model, "feature_name") else model.feature_names
    else:
        names = getattr(model, "feature_names_in_", getattr(model, "feature_name_", None))
    return () if names is None else tuple(map(str, names))


def _column(key: str, array: Array, name: str) -> Column:
    if array.ndim not in (1, 2) or len(array) == 0:
        raise UnsupportedModelError(
            f"{name}: {key!r} of the sample has shape {list(array.shape)}; a model of tables takes rows and columns"
        )
    kind = _KINDS.get(array.dtype.kind)
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
        kind = "string"
    if kind is None:
        raise UnsupportedModelError(
            f"{name}: {key!r} of the sample mixes types or holds {array.dtype}; give one array for the columns of each "
            "type: numbers, and strings"
        )
    return Column(key, kind, 1 if array.ndim == 1 else array.shape[1])


def fed(sample: Sample, given: list[Column]) -> dict[str, Array]:
    """The first rows of the sample as the model takes them: (rows, width) each."""
    taken: dict[str, Array] = {}
    for column in given:
        rows = np.asarray(sample[column.name])[:MOST_ROWS]
        taken[column.name] = rows.reshape(-1, column.width).astype(_DTYPES[column.kind])
    return taken


def table(feed: Sample) -> Array:
    """One matrix of all columns; of objects when their types differ."""
    arrays = list(feed.values())
    mixed = len({array.dtype for array in arrays}) > 1
    return np.hstack([array.astype(object) for array in arrays] if mixed else arrays)
