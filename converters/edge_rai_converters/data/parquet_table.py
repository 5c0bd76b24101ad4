"""Parquet files, through pyarrow; a null is a missing value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_rai_converters.data.rows import Array
from edge_rai_converters.data.tables import Texts, check_names, check_size
from edge_rai_converters.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import pyarrow


def read_parquet(path: Path) -> tuple[dict[str, Array], None]:
    """The columns; see ``tables.Table``. Dates and times become text."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{path}: reading Parquet takes pyarrow: pip install edge-rai-converters[parquet]"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            check_names(path, names)
            check_size(path, 8 * file.metadata.num_rows * len(names))
            texts = Texts(path)
            return {name: _column(path, name, file.read(columns=[name]).column(0), texts) for name in names}, None
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise DataError(
            f"{path}: not a sound Parquet file: {str(error).strip().splitlines()[0]}; write it again"
        ) from error


def _column(path: Path, name: str, column: pyarrow.ChunkedArray, texts: Texts) -> Array:
    import pyarrow

    kind = column.type.value_type if pyarrow.types.is_dictionary(column.type) else column.type
    if _is_number(kind):
        return np.asarray(column.cast(kind).cast(pyarrow.float64(), safe=False).to_numpy(), np.float64)
    try:
        written = column.cast(pyarrow.string())
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise DataError(f"{path}: column {name!r} holds {column.type}; numbers and text are read") from error
    values = np.empty(len(column), object)
    for row, cell in enumerate(written):
        values[row] = texts.of(cell.as_py())
    return values


def _is_number(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )
