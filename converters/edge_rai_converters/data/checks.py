"""Holds arrays against the inputs of a model, and gives them the model's types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_rai.types import TensorSpec
from edge_rai_converters.data.rows import Array, ChangedRows, StoredRows, all_chunks
from edge_rai_converters.errors import DataError
from edge_rai_converters.words import number_of


def is_slice(path: Path, spec: TensorSpec, array: StoredRows) -> bool:
    """Whether a row is one index of the input's axis 0, or else a whole input.

    Raises:
        DataError: The array's rank allows neither.
    """
    rank = len(spec.shape)
    if array.ndim == rank and rank > 0 and spec.shape[0] in (None, 1):
        return True
    if array.ndim == rank + 1:
        return False
    wanted = ", ".join("any" if extent is None else str(extent) for extent in spec.shape)
    slices = rank > 0 and spec.shape[0] in (None, 1)
    row = spec.shape[1:] if slices else spec.shape
    known = tuple(extent for extent in row if extent is not None)
    how = "axis 0, of the remaining axes" if slices else "axis 0, each a whole input"
    if len(known) == len(row) and prod(known) == prod(array.shape[1:]):
        how += f": numpy.reshape(array, {(-1, *known)})"
    raise DataError(
        f"{path}: the array for input {spec.name!r} has shape {array.shape}; the input is ({wanted}), so give rows on "
        f"{how}"
    )


def check_extents(path: Path, spec: TensorSpec, array: StoredRows, row_is_slice: bool) -> None:
    """Compares the axes of a row with those of the input.

    Raises:
        DataError: They differ, or one is empty.
    """
    wanted = spec.shape[1:] if row_is_slice else spec.shape
    for axis, (extent, came) in enumerate(zip(wanted, array.shape[1:], strict=True)):
        if came == 0 or extent not in (None, came):
            raise DataError(
                f"{path}: the array for input {spec.name!r} has {number_of(came, 'value')} on axis {axis + 1}; the "
                f"model takes {'at least 1' if extent is None else extent}: give what it was trained with, rows of "
                f"({', '.join('any' if wide is None else str(wide) for wide in wanted)})"
            )


def typed(
    path: Path,
    spec: TensorSpec,
    array: StoredRows,
    names: Sequence[str] | None,
    missing: npt.NDArray[np.bool_] | None,
    place: Callable[[int], str],
    progress: Callable[[float], None],
) -> StoredRows:
    """The array in the model's type; nothing changes a value but the rounding of floats.

    Args:
        path: For messages.
        spec: Of the input.
        array: (N, ...); read once, part by part.
        names: Of the columns, of an array of rank 2.
        missing: Where NaN is a missing value; broadcasts to a row.
        place: What to call a row in a message.
        progress: Told the share that is read, 0 to 1.

    Raises:
        DataError: Some value cannot be had in that type, or is not finite.
    """
    if spec.dtype == "string":
        if array.dtype.kind != "U":
            raise DataError(
                f"{path}: the array for input {spec.name!r} holds {array.dtype}; text is needed: array.astype(str)"
            )
        return array
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: the array for input {spec.name!r} holds {array.dtype}; numbers are needed: "
            f"array.astype({spec.dtype!r})"
        )
    dtype = np.dtype(spec.dtype)
    if dtype == array.dtype and dtype.kind != "f":
        return array
    cast = array if dtype == array.dtype else ChangedRows(array, lambda part: _cast(part, dtype), array.shape, dtype)
    _refuse_unusable(path, spec, array, names, missing, place, progress)
    return cast


def _cast(part: Array, dtype: np.dtype[np.generic]) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(part, dtype=dtype)


def _refuse_unusable(
    path: Path,
    spec: TensorSpec,
    array: StoredRows,
    names: Sequence[str] | None,
    missing: npt.NDArray[np.bool_] | None,
    place: Callable[[int], str],
    progress: Callable[[float], None],
) -> None:
    dtype = np.dtype(spec.dtype)
    bad_rows = 0
    first: tuple[int, ...] = ()
    for start, part in all_chunks(array):
        progress(start / len(array))
        bad = _unusable(_cast(part, dtype), part, missing)
        if bad.any():
            bad_rows += int(bad.reshape(len(bad), -1).any(axis=1).sum())
            if not first:
                at = tuple(map(int, np.unravel_index(int(np.argmax(bad)), bad.shape)))
                first, value = (start + at[0], *at[1:]), part[at]
    if first:
        feature = f"{spec.name}{list(first[1:])}" if names is None or array.ndim != 2 else names[first[1]]
        form = "finite " if dtype.kind == "f" else ""
        raise DataError(
            f"{path}: feature {feature!r} is {value} in {place(first[0])}, and {bad_rows} of {len(array)} rows hold "
            f"values that are no {form}{spec.dtype}; remove or impute them, or allow missing ones in a policy: limits "
            "are learned from this data"
        )


def _unusable(cast: Array, array: Array, missing: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    if cast.dtype.kind != "f":
        return np.asarray(cast != array)
    bad = ~np.isfinite(cast)
    if missing is not None:
        bad &= ~(np.isnan(cast) & missing)
    return np.asarray(bad)
