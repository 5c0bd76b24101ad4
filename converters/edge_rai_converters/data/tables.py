"""Tables: CSV and Parquet files as columns in memory, and what of them a model is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_rai.csv_table import number, read_csv
from edge_rai.types import TensorSpec
from edge_rai_converters.data.named import Known, in_known_order
from edge_rai_converters.data.rows import Array, ChangedRows, ColumnRows, StoredRows
from edge_rai_converters.errors import DataError
from edge_rai_converters.words import number_of

SUFFIXES = (".csv", ".parquet")
# Beyond, not every whole number is a double.
_MOST_WHOLE = 2.0**53
_SHOWN = 8


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """Columns of equal length.

    Attributes:
        path: Of the file.
        columns: By name, in the file's order, (N,) each: float64 with NaN for an empty cell, true and false as 1 and
            0; or objects, text with NaN for an empty cell.
        lines: (N,) line of the file in which each row ends; None where there are no lines.
    """

    path: Path
    columns: Mapping[str, Array]
    lines: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, row: int) -> str:
        """What to call a row in a message."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"


def read_table(path: str | Path, is_text: Callable[[str], bool] = lambda _: False) -> Table:
    """Reads a table whole.

    Args:
        path: .csv in UTF-8 with commas and a line of names, or .parquet.
        is_text: Whether the column of that name in a .csv is text even where every cell is a number.

    Raises:
        DataError: The file is neither, is damaged, or holds more than half a GiB.
        MissingExtraError: It is a .parquet file, and pyarrow is not there.
        OSError: It cannot be read.
    """
    from edge_rai_converters.data.parquet_table import read_parquet

    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: not a table; give a file that ends in {' or '.join(SUFFIXES)}")
    columns, lines = read_csv(path, is_text) if path.suffix.lower() == ".csv" else read_parquet(path)
    if not columns or not len(next(iter(columns.values()))):
        raise DataError(f"{path}: the table has no rows; give at least its names and a few hundred rows")
    return Table(path, columns, lines)


@dataclass(frozen=True, eq=False, slots=True)
class Fed:
    """Which columns the inputs are given.

    Attributes:
        arrays: By input, (N, F) or of an input of rank 1 (N,).
        names: By input, of the columns.
    """

    arrays: Mapping[str, StoredRows]
    names: Mapping[str, tuple[str, ...]]


def feed_inputs(
    table: Table,
    inputs: Sequence[TensorSpec],
    feature_names: Sequence[str] | None,
    labels: str | None,
    known: Known | None = None,
) -> Fed:
    """Chooses the columns of each input.

    Several inputs take the columns of their names, and so does a single one of one value a row. Another single one
    takes the columns that are known, in their order; else ``feature_names`` in theirs, or all columns of its kind, but
    for the labels, in the table's.

    Args:
        table: To choose from.
        inputs: Of the model.
        feature_names: Columns of a single input.
        labels: The column that is none of the input's.
        known: The names of a single input's columns.

    Raises:
        DataError: There is no such column, or it is of another kind; or an input takes no columns.
    """
    _refuse_wide(table.path, inputs)
    several = len(inputs) > 1 or inputs[0].shape[1:] in ((), (1,))
    by_name = several and all(spec.name in table.columns for spec in inputs)
    if by_name and (feature_names is None or set(feature_names) == {spec.name for spec in inputs}):
        names: dict[str, tuple[str, ...]] = {spec.name: (spec.name,) for spec in inputs}
    elif len(inputs) == 1:
        chosen = in_known_order(table.path, table.columns, feature_names, known)
        names = {inputs[0].name: _of_single(table, inputs[0], chosen, labels)}
    else:
        absent = [spec.name for spec in inputs if spec.name not in table.columns]
        raise DataError(
            f"{table.path}: {_no_column(table, absent[0])}; of a model with several inputs each is a column by its "
            "name, or an array by its name in .npz"
            if absent
            else f"{table.path}: columns are chosen for a model with one input; this one takes columns by their names"
        )
    return Fed({spec.name: _stack(table, spec, names[spec.name]) for spec in inputs}, names)


def _refuse_wide(path: Path, inputs: Sequence[TensorSpec]) -> None:
    """Refuses inputs whose rows have several axes: a table has no order for their values."""
    wide = next((spec for spec in inputs if len(spec.shape) > 2), None)
    if wide is not None:
        shape = ", ".join("any" if extent is None else str(extent) for extent in wide.shape)
        images = "a folder of images, " if len(inputs) == 1 and len(wide.shape) == 4 else ""
        raise DataError(
            f"{path}: input {wide.name!r} takes ({shape}), and a row of a table is one axis of values; give {images}"
            ".npz or .npy"
        )


def _of_single(
    table: Table, spec: TensorSpec, feature_names: Sequence[str] | None, labels: str | None
) -> tuple[str, ...]:
    if feature_names is not None:
        for name in feature_names:
            if name not in table.columns:
                raise DataError(f"{table.path}: {_no_column(table, name)}")
        return tuple(feature_names)
    kind = "O" if spec.dtype == "string" else "f"
    if kind == "f":
        for name, column in table.columns.items():
            if name != labels and _is_spoiled(column):
                _column(table, spec, name)
    names = tuple(name for name, column in table.columns.items() if column.dtype.kind == kind and name != labels)
    wanted = spec.shape[-1] if spec.shape else 1
    if not names or wanted not in (None, len(names)):
        left_out = [name for name in table.columns if name not in names]
        takes = "at least 1 column" if wanted is None else number_of(wanted, "column")
        raise DataError(
            f"{table.path}: the model takes {takes}, and of "
            f"{'text' if kind == 'O' else 'numbers'} there are {len(names)}: {_list(names)} (not taken: "
            f"{_list(left_out)}); name them in their order as columns, and that of the classes as labels"
        )
    return names


def _is_spoiled(column: Array) -> bool:
    """Whether a column of text would be one of numbers, but for some of its cells."""
    texts = [value for value in column if isinstance(value, str)] if column.dtype.kind == "O" else []
    return 2 * sum(number(text) is not None for text in texts) > len(texts)


def _stack(table: Table, spec: TensorSpec, names: Sequence[str]) -> StoredRows:
    columns = [_column(table, spec, name) for name in names]
    width = max((len(value) for column in columns for value in set(column)), default=1) if spec.dtype == "string" else 0
    dtype = np.dtype(f"<U{max(width, 1)}") if spec.dtype == "string" else np.dtype(np.float64)
    if len(spec.shape) == 1 and spec.shape[0] is None:
        return ChangedRows(columns[0], lambda part: part.astype(dtype), columns[0].shape, dtype)
    return ColumnRows(columns, dtype)


def _column(table: Table, spec: TensorSpec, name: str) -> Array:
    column = table.columns[name]
    if spec.dtype == "string":
        if column.dtype.kind != "O":
            raise DataError(f"{table.path}: column {name!r} holds numbers; text is needed for input {spec.name!r}")
        for row, value in enumerate(column):
            if not isinstance(value, str):
                raise DataError(
                    f"{table.path}: column {name!r} is empty in {table.place(row)}; fill it in, or leave the row out"
                )
        return column
    if column.dtype.kind == "O":
        texts = [(row, value) for row, value in enumerate(column) if isinstance(value, str)]
        row, value = next((entry for entry in texts if number(entry[1]) is None), texts[0])
        raise DataError(
            f"{table.path}: column {name!r} holds text such as {value!r} in {table.place(row)}; numbers are needed, "
            "and an empty cell for a missing one"
        )
    if np.dtype(spec.dtype).kind in "iu" and (np.abs(column) > _MOST_WHOLE).any():
        row = int(np.argmax(np.abs(column) > _MOST_WHOLE))
        raise DataError(
            f"{table.path}: column {name!r} has {column[row]:.17g} in {table.place(row)}; beyond 2**53 a table is not "
            "exact: give a .npz file"
        )
    return column


def _no_column(table: Table, name: str) -> str:
    return f"no column {name!r}; it has {_list(tuple(table.columns))}"


def _list(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names[:_SHOWN])) or "none"
    return listed + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
