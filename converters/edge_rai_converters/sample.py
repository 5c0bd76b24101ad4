"""A few rows of the data, for a model in memory that does not know its own inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_rai_converters.data import FEATURE_NAMES, Array, Known, open_arrays, read_table
from edge_rai_converters.data.named import in_known_order
from edge_rai_converters.data.tables import SUFFIXES
from edge_rai_converters.errors import DataError
from edge_rai_converters.sources import fitted_names
from edge_rai_converters.words import number_of

_ROWS, _ROWS_WITH_GAPS, _ROWS_READ = 64, 16, 4096


def sample_of(
    model: object,
    path: str | Path,
    labels: str | Path | None,
    feature_names: Sequence[str] | None = None,
    times: object = None,
) -> Mapping[str, Array] | None:
    """Some of the first rows of the data by name, without infinities; None where the model is a file, or of pictures.

    A table is one matrix of its numbers, in the model's order where it knows their names and else in their own, unless
    the model picks columns by name or one has text: then each column is an input. Of arrays, those
    are taken that have the names of the model's columns, where all of them are there, and else all.

    Args:
        model: As ``sources.read`` takes it.
        path: Of the data, see ``data.load``.
        labels: As there: they are no input.
        feature_names: As there.
        times: A key of the data, that is no input either, or anything else.

    Raises:
        DataError: The data cannot be read, or each of their first rows holds an infinity.
        OSError: A file cannot be read.
    """
    path = Path(path)
    if isinstance(model, str | Path | type) or path.is_dir():
        return None
    apart = [name for name in (labels, times) if isinstance(name, str)]
    if path.suffix.lower() not in SUFFIXES:
        held = {
            name: np.asarray(rows[:_ROWS_READ])
            for name, rows in open_arrays(path).items()
            if name not in (*apart, FEATURE_NAMES)
        }
        fitted = fitted_names(model)
        named = bool(fitted) and set(fitted) <= held.keys()
        return _usable(path, {name: held[name] for name in fitted} if named else held)
    there = read_table(path).columns
    chosen = in_known_order(path, there, feature_names, fitted_with(fitted_names(model)))
    wanted = [name for name in chosen or there if name in there and (name not in apart or chosen is not None)]
    columns = _usable(path, {name: there[name][:_ROWS_READ] for name in wanted})
    if _picks_columns(model) or any(values.dtype.kind not in "fiub" for values in columns.values()):
        return {
            name: values.astype(np.float32 if values.dtype.kind == "f" else values.dtype)[:, np.newaxis]
            for name, values in columns.items()
        }
    return {"X": np.stack([values.astype(np.float32) for values in columns.values()], axis=1)}


def fitted_with(names: tuple[str, ...]) -> Known | None:
    """The names of the columns of a model, where it has some."""
    return Known(names, "the model was fitted with") if names else None


def _usable(path: Path, arrays: dict[str, Array]) -> dict[str, Array]:
    """Some rows without NaN and infinities, and behind them some with NaN, which the model may know to be missing."""
    counts = {len(array) for array in arrays.values() if array.ndim}
    if len(counts) != 1:
        return {name: array[:_ROWS] for name, array in arrays.items()}
    count = counts.pop()
    finite, gaps = np.ones(count, np.bool_), np.zeros(count, np.bool_)
    for array in arrays.values():
        if array.dtype.kind == "f":
            values = array.reshape(count, -1)
            gaps |= np.isnan(values).any(axis=1)
            finite &= ~np.isinf(values).any(axis=1)
    if not finite.any():
        raise DataError(
            f"{path}: each of the first {number_of(count, 'row')} holds an infinity; give rows without them"
        )
    some = np.flatnonzero(finite & gaps)[:_ROWS_WITH_GAPS]
    index = np.concatenate([np.flatnonzero(finite & ~gaps)[: _ROWS - len(some)], some])
    return {name: array[index] for name, array in arrays.items()}


def _picks_columns(model: Any) -> bool:
    parts = [model, *model.get_params(deep=True).values()] if hasattr(model, "get_params") else [model]
    return any(type(part).__name__ == "ColumnTransformer" for part in parts)
