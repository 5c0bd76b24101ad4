"""A few rows of the data, for a model in memory that does not know its own inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_rai_converters.data import FEATURE_NAMES, Array, open_arrays, read_table
from edge_rai_converters.data.tables import SUFFIXES

_ROWS = 64


def sample_of(model: object, path: str | Path, labels: str | Path | None) -> Mapping[str, Array] | None:
    """The first rows of the data by name; None where the model is a file, or the data are pictures.

    A table is one matrix of its numbers, in their order, unless the model picks columns by name or one has text: then
    each column is an input.

    Args:
        model: As ``sources.read`` takes it.
        path: Of the data, see ``data.load``.
        labels: As there: they are no input.

    Raises:
        DataError: The data cannot be read.
        OSError: A file cannot be read.
    """
    path = Path(path)
    if isinstance(model, str | Path) or path.is_dir():
        return None
    if path.suffix.lower() not in SUFFIXES:
        return {
            name: np.asarray(rows[:_ROWS])
            for name, rows in open_arrays(path).items()
            if name not in (labels, FEATURE_NAMES)
        }
    columns = {name: values[:_ROWS] for name, values in read_table(path).columns.items() if name != labels}
    if _picks_columns(model) or any(values.dtype.kind not in "fiub" for values in columns.values()):
        return {
            name: values.astype(np.float32 if values.dtype.kind == "f" else values.dtype)[:, np.newaxis]
            for name, values in columns.items()
        }
    return {"X": np.stack([values.astype(np.float32) for values in columns.values()], axis=1)}


def _picks_columns(model: Any) -> bool:
    parts = [model, *model.get_params(deep=True).values()] if hasattr(model, "get_params") else [model]
    return any(type(part).__name__ == "ColumnTransformer" for part in parts)
