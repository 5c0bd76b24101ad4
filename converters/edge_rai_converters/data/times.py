"""When the rows of a file came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_rai.times import seconds_of
from edge_rai_converters.data import arrays, tables
from edge_rai_converters.data.rows import Array
from edge_rai_converters.errors import DataError

Times = npt.NDArray[np.float64]


def read_times(times: str | Path | Array, data: str | Path, rows: int) -> Times:
    """(rows,) seconds since 1970-01-01 00:00 UTC.

    Args:
        times: A column of the table or an array of the .npz file, or a .npy file, or the times themselves: numbers are
            seconds since 1970, text is ISO 8601, in UTC where it names no zone.
        data: The file of the rows.
        rows: How many there are.

    Raises:
        DataError: There is no such column, array or file, or some value is no time.
        OSError: A file cannot be read.
    """
    where, values = _found(times, Path(data))
    return seconds_of(where, values, rows)


def _found(times: str | Path | Array, data: Path) -> tuple[str, Array]:
    if isinstance(times, np.ndarray):
        return "the given times", times
    name = str(times)
    held: tuple[str, ...] = ()
    if data.suffix.lower() in tables.SUFFIXES and data.is_file():
        columns = tables.read_table(data).columns
        held = tuple(columns)
        if name in columns:
            return f"{data}: {name!r}", columns[name]
    elif data.suffix.lower() == ".npz":
        stored = arrays.open_arrays(data)
        held = tuple(stored)
        if name in stored:
            return f"{data}: {name!r}", np.asarray(stored[name][:])
    file = Path(times)
    if not file.is_file():
        listed = ", ".join(map(repr, held)) or "no columns"
        raise DataError(f"times {name!r} are neither a file nor in {data}; it has {listed}")
    alone = list(arrays.open_arrays(file).values())
    if len(alone) != 1:
        raise DataError(f"{file}: holds {len(alone)} arrays; a file of times holds one")
    return str(file), np.asarray(alone[0][:])
