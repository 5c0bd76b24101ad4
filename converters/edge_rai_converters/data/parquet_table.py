"""Parquet files, through pyarrow; a null is a missing value."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_rai.csv_table import Texts, check_names, check_size
from edge_rai_converters.data.rows import Array
from edge_rai_converters.errors import DataError, missing
from edge_rai_converters.words import first_line

if TYPE_CHECKING:
    import pyarrow.parquet


def read_parquet(path: Path) -> tuple[dict[str, Array], None]:
    """The columns; see ``tables.Table``. Dates and times become text."""
    if find_spec("pyarrow") is None:
        raise missing("pyarrow", f"{path}: reading Parquet takes pyarrow")
    from pyarrow import parquet

    with path.open("rb") as opened:
        try:
            with parquet.ParquetFile(opened) as file:
                return _columns(path, file), None
        except DataError:
            raise
        except Exception as error:  # a damaged file makes pyarrow raise whatever its parts raise
            raise DataError(f"{path}: not a sound Parquet file: {first_line(error)}; write it again") from error


def _columns(path: Path, file: pyarrow.parquet.ParquetFile) -> dict[str, Array]:
    names, count = file.schema_arrow.names, file.metadata.num_rows
    check_names(path, names)
    check_size(path, 8 * count * len(names))
    texts, columns = Texts(path), {}
    for name in names:
        columns[name] = _column(path, name, file.read(columns=[name]).column(0), texts)
        if len(columns[name]) != count:
            raise ValueError(f"column {name!r} has {len(columns[name])} of {count} rows")
    return columns


def _column(path: Path, name: str, column: pyarrow.ChunkedArray, texts: Texts) -> Array:
    import pyarrow

    kind = column.type.value_type if pyarrow.types.is_dictionary(column.type) else column.type
    if _is_number(kind):
        return np.asarray(column.cast(kind).cast(pyarrow.float64(), safe=False).to_numpy(), np.float64)
    try:
        written = column.cast(pyarrow.string())
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise DataError(
            f"{path}: column {name!r} holds {column.type}; numbers and text are read: leave it out of the file, or "
            "make columns of these of it"
        ) from error
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
