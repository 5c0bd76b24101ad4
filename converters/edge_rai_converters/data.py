"""Reference data from .npz or .npy: rows on axis 0, in the model's own types, finite, one array a model input."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.policy import FeatureRule
from edge_rai.types import TensorSpec

MIN_ROWS = 32
HELD_BACK_EVERY = 4
FEATURE_NAMES = "feature_names"
_CHUNK_VALUES = 1 << 20
_NPY = b"\x93NUMPY"  # such a file can be looked at where it is; arrays in .npz are read whole

Array = npt.NDArray[Any]
Rows = Mapping[str, Array]


@dataclass(frozen=True, eq=False, slots=True)
class Dataset:
    """Reference rows.

    Attributes:
        rows: Per input (N, *call): what one call of one row takes, so that a model of rank r has r + 1 axes here.
            Recurrent states among them, as zeros.
        row_is_slice: Every row is one index of the model's axis 0, whose extent in a call is then 1.
        labels: (N,) classes, when given.
        feature_names: Of the only input, when given.
        sha256: Of the data file, hex.
        labels_sha256: Of a label file of its own, hex; empty without one.
    """

    rows: Rows
    row_is_slice: bool
    labels: npt.NDArray[np.int64] | None
    feature_names: tuple[str, ...] | None
    sha256: str
    labels_sha256: str

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def split(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Indices of the rows that calibrate, and of those held back for comparison: one of every four, see drawn."""
        index = np.arange(len(self), dtype=np.int64)
        held_back = drawn(len(self), HELD_BACK_EVERY)
        return index[~held_back], index[held_back]


def load(
    path: str | Path,
    inputs: Sequence[TensorSpec],
    labels: str | Path | None = None,
    *,
    missing: Mapping[str, npt.NDArray[np.bool_]] | None = None,
) -> Dataset:
    """Reads the data for a model.

    Args:
        path: .npz with one array an input, by name (any name when there is one input), or .npy for one input. An
            array ``feature_names`` names the features of a single input.
        inputs: Of the model, without recurrent states.
        labels: A key of the .npz, or a .npy file.
        missing: By input, where NaN is a missing value rather than a fault; broadcasts to one call of one row.

    Raises:
        ValueError: An array is missing, does not fit the input's type, is not finite, is of the wrong shape, or has
            too few rows.
        OSError: A file cannot be read.
    """
    path = Path(path)
    arrays = _read(path)
    label_array, labels_sha256, label_key = _find_labels(path, arrays, labels)
    names = _feature_names(path, arrays.pop(FEATURE_NAMES, None))
    arrays.pop(label_key, None)
    found = {spec.name: _find(path, arrays, spec.name, len(inputs)) for spec in inputs}
    slices = {_is_slice(path, spec, found[spec.name]) for spec in inputs}
    if len(slices) > 1:
        raise ValueError(
            f"{path}: some arrays have one axis more than their inputs and some have not; give all or none"
        )
    row_is_slice = slices.pop()
    if names is not None:
        _check_feature_names(path, names, inputs)
    rows = {}
    for spec in inputs:
        _check_extents(path, spec, found[spec.name], row_is_slice)
        cast = _cast(path, spec, found.pop(spec.name), names, (missing or {}).get(spec.name))
        rows[spec.name] = cast[:, np.newaxis] if row_is_slice else cast
    count = _check_counts(path, rows, label_array)
    if count < MIN_ROWS:
        raise ValueError(f"{path}: {count} rows; at least {MIN_ROWS} are needed, and a few hundred are better")
    return Dataset(
        rows=rows,
        row_is_slice=row_is_slice,
        labels=None if label_array is None else _classes(label_array),
        feature_names=names,
        sha256=_sha256(path),
        labels_sha256=labels_sha256,
    )


def chunks(array: Array, index: npt.NDArray[np.int64]) -> Iterator[Array]:
    """The chosen rows, a bounded number of values at a time."""
    step = max(1, _CHUNK_VALUES // max(1, prod(array.shape[1:])))
    for start in range(0, len(index), step):
        yield array[index[start : start + step]]


def drawn(count: int, every: int) -> npt.NDArray[np.bool_]:
    """(count,) mask that is true for one of every so many rows in a row; a last group that is not full has none.

    Which one is drawn from random numbers that are the same for ever: the chosen rows are spread over the data as those
    of a fixed step would be, but are not in step with what comes round in it, such as the devices that took turns.
    """
    groups = count // every
    places = np.random.PCG64(every).random_raw(groups) % np.uint64(every)
    mask = np.zeros(count, dtype=np.bool_)
    mask[np.arange(groups, dtype=np.int64) * every + places.astype(np.int64)] = True
    return mask


def is_missing(feature: FeatureRule, values: Array) -> npt.NDArray[np.bool_]:
    """Which values the device takes for missing, of the values' shape.

    It compares in their own type: -99.9 is, of float32, the float32 next to it.

    Args:
        feature: Says what is missing.
        values: As they came, in the input's type.
    """
    missing = feature.missing
    if missing is None:
        return np.zeros(values.shape, dtype=np.bool_)
    if missing.value is None:
        return np.isnan(values)
    return np.asarray(values == values.dtype.type(missing.value))


def _read(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            if file.read(len(_NPY)) == _NPY:
                return {path.stem: np.load(path, allow_pickle=False, mmap_mode="r")}
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            return {key: loaded[key] for key in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a .npz or .npy file of plain arrays: {error}") from error


def _find_labels(path: Path, arrays: dict[str, Array], labels: str | Path | None) -> tuple[Array | None, str, str]:
    if labels is None:
        return None, "", ""
    if str(labels) in arrays:
        return arrays[str(labels)], "", str(labels)
    file = Path(labels)
    if not file.is_file():
        raise ValueError(f"labels {str(labels)!r} are neither a file nor a key of {path}; it has {_keys(arrays)}")
    found = _read(file)
    if len(found) != 1:
        raise ValueError(f"{file}: holds {_keys(found)}; a label file holds one array")
    return next(iter(found.values())), _sha256(file), ""


def _find(path: Path, arrays: Mapping[str, Array], name: str, inputs: int) -> Array:
    if name in arrays:
        return arrays[name]
    if inputs == 1 and len(arrays) == 1:
        return next(iter(arrays.values()))
    raise ValueError(f"{path}: no array for input {name!r}; it has {_keys(arrays)}")


def _is_slice(path: Path, spec: TensorSpec, array: Array) -> bool:
    rank = len(spec.shape)
    if array.ndim == rank and rank > 0 and spec.shape[0] in (None, 1):
        return True
    if array.ndim == rank + 1:
        return False
    wanted = ", ".join("any" if extent is None else str(extent) for extent in spec.shape)
    raise ValueError(
        f"{path}: the array for input {spec.name!r} has shape {array.shape}; the input is ({wanted}), so give rows on "
        f"axis 0, {'of the remaining axes' if rank and spec.shape[0] in (None, 1) else 'each a whole input'}"
    )


def _check_extents(path: Path, spec: TensorSpec, array: Array, row_is_slice: bool) -> None:
    wanted = spec.shape[1:] if row_is_slice else spec.shape
    for axis, (extent, came) in enumerate(zip(wanted, array.shape[1:], strict=True)):
        if came == 0 or extent not in (None, came):
            raise ValueError(
                f"{path}: the array for input {spec.name!r} has {came} values on axis {axis + 1}; the model takes "
                f"{'at least 1' if extent is None else extent}"
            )


def _cast(
    path: Path, spec: TensorSpec, array: Array, names: Sequence[str] | None, missing: npt.NDArray[np.bool_] | None
) -> Array:
    """The array in the model's type; nothing changes a value but the rounding of floats."""
    if spec.dtype == "string":
        if array.dtype.kind != "U":
            raise ValueError(f"{path}: the array for input {spec.name!r} holds {array.dtype}; text is needed")
        return array
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path}: the array for input {spec.name!r} holds {array.dtype}; numbers are needed")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = np.ascontiguousarray(array, dtype=spec.dtype)
    bad_rows, first = 0, None
    step = max(1, _CHUNK_VALUES // max(1, prod(array.shape[1:])))
    for start in range(0, len(cast), step):
        bad = _unusable(cast[start : start + step], array[start : start + step], missing)
        if bad.any():
            bad_rows += int(bad.reshape(len(bad), -1).any(axis=1).sum())
            at = np.unravel_index(int(np.argmax(bad)), bad.shape)
            first = first or (start + int(at[0]), *map(int, at[1:]))
    if first:
        feature = f"{spec.name}{list(first[1:])}" if names is None or array.ndim != 2 else names[first[1]]
        form = "finite " if cast.dtype.kind == "f" else ""
        raise ValueError(
            f"{path}: feature {feature!r} is {array[first]} in row {first[0]}, and {bad_rows} of {len(cast)} rows hold "
            f"values that are no {form}{spec.dtype}; remove or impute them, or allow missing ones in a policy: limits "
            "are learned from this data"
        )
    return cast


def _unusable(cast: Array, array: Array, missing: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    if cast.dtype.kind != "f":
        return np.asarray(cast != array)
    bad = ~np.isfinite(cast)
    if missing is not None:
        bad &= ~(np.isnan(cast) & missing)
    return np.asarray(bad)


def _check_counts(path: Path, rows: Rows, labels: Array | None) -> int:
    counts = {name: len(array) for name, array in rows.items()}
    if labels is not None:
        counts["the labels"] = labels.size
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise ValueError(f"{path}: the arrays differ in their number of rows ({listed})")
    return next(iter(counts.values()))


def _classes(labels: Array) -> npt.NDArray[np.int64]:
    flat = labels.reshape(-1)
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        row = int(np.argmin(np.isfinite(flat)))
        raise ValueError(f"the label of row {row} is {flat[row]}; every row needs a class, or leave labels out")
    if flat.dtype.kind not in "fiub" or not np.array_equal(flat, flat.astype(np.int64)):
        raise ValueError(
            f"labels hold {flat.dtype} such as {flat[0]!r}; they must be whole numbers, the class of each row"
        )
    return flat.astype(np.int64)


def _feature_names(path: Path, array: Array | None) -> tuple[str, ...] | None:
    if array is None:
        return None
    if array.dtype.kind != "U" or array.ndim != 1:
        raise ValueError(f"{path}: {FEATURE_NAMES} must be a one-dimensional array of text, not {array.dtype}")
    return tuple(str(name) for name in array)


def _check_feature_names(path: Path, names: Sequence[str], inputs: Sequence[TensorSpec]) -> None:
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].shape[1] != len(names):
        raise ValueError(
            f"{path}: {FEATURE_NAMES} has {len(names)} names for the columns of a single input; the model has "
            + ", ".join(f"{spec.name!r} of shape {list(spec.shape)}" for spec in inputs)
        )
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise ValueError(f"{path}: {FEATURE_NAMES} has {twice[0]!r} more than once; a report could not say which")


def _keys(arrays: Mapping[str, Array]) -> str:
    return ", ".join(repr(key) for key in arrays) or "no arrays"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
