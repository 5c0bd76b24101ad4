"""When rows came: seconds since 1970, of numbers or of text as ISO 8601 has it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edge_rai.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Times = npt.NDArray[np.float64]

# The year 2262, where nanoseconds end that 64 bits hold; numbers beyond are milliseconds or finer.
_LATEST = 2.0**63 / 1e9


def seconds_of(where: str, values: Any, rows: int) -> Times:
    """(rows,) seconds since 1970-01-01 00:00 UTC.

    Args:
        where: What errors say that the times are.
        values: An array: numbers are seconds since 1970, text is ISO 8601, in UTC where it names no zone.
        rows: How many there are.

    Raises:
        DataError: They are not one a row, or some value is no time.
    """
    import numpy as np

    if values.shape not in ((rows,), (rows, 1)):
        raise DataError(f"{where}: times of shape {list(values.shape)} for {rows:,} rows; give one a row")
    values = values.reshape(-1)
    if values.dtype.kind == "M":
        values = np.where(np.isnat(values), np.nan, values.astype("datetime64[us]").astype(np.int64) / 1e6)
    if values.dtype.kind in "UO":
        values = np.array([_of_text(where, row, value) for row, value in enumerate(values)], np.float64)
    if values.dtype.kind not in "fiu":
        raise DataError(
            f"{where}: {values.dtype} is no time; give seconds since 1970, or text such as 2026-01-31T06:00Z"
        )
    seconds: Times = values.astype(np.float64)
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
