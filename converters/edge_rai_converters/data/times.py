"""When rows came: seconds since 1970, of numbers or of text as ISO 8601 has it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data import arrays, tables
from edge_rai_converters.data.rows import Array
from edge_rai_converters.errors import DataError

Times = npt.NDArray[np.float64]

# The year 2262, where nanoseconds end that 64 bits hold; numbers beyond are milliseconds or finer.
_LATEST = 2.0**63 / 1e9


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
    if values.shape not in ((rows,), (rows, 1)):
        raise DataError(f"{where}: times of shape {list(values.shape)} for {rows:,} rows; give one a row")
    return _seconds(where, values.reshape(-1))


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


def _seconds(where: str, values: Array) -> Times:
    if values.dtype.kind == "M":
        values = np.where(np.isnat(values), np.nan, values.astype("datetime64[ns]").astype(np.int64) / 1e9)
    if values.dtype.kind in "UO":
        return np.array([_of_text(where, row, value) for row, value in enumerate(values)], np.float64)
    if values.dtype.kind not in "fiu":
        raise DataError(
            f"{where}: {values.dtype} is no time; give seconds since 1970, or text such as 2026-01-31T06:00Z"
        )
    seconds = values.astype(np.float64)
    wrong = ~(np.abs(seconds) < _LATEST)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{where}: {seconds[row]:g} in row {row} is no time; give seconds since 1970 for every row")
    return seconds


def _of_text(where: str, row: int, value: object) -> float:
    text = str(value).strip()
    try:
        # Before Python 3.11 a Z is not read.
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" and text else text)
    except ValueError:
        raise DataError(
            f"{where}: {text!r} in row {row} is no time; write 2026-01-31T06:00:00+01:00, or seconds since 1970"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
