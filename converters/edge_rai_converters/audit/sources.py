"""Opens what an audit is given: a file or folder without a model, or the reference data of a conversion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_rai.types import TensorSpec
from edge_rai_converters.audit.material import Coded, ImageForm, Mask, Material, Numbers, drawn_evenly, encode
from edge_rai_converters.audit.report import listed
from edge_rai_converters.data import (
    FEATURE_NAMES,
    HELD_BACK_EVERY,
    Array,
    Dataset,
    ImageOptions,
    Index,
    StoredRows,
    drawn,
    open_arrays,
    read_table,
)
from edge_rai_converters.data.found import NO_LABELS
from edge_rai_converters.data.images import read_images
from edge_rai_converters.data.tables import SUFFIXES
from edge_rai_converters.errors import DataError

# Pixels of a folder are looked at in this size: enough to tell pictures apart, and small whatever the pictures are.
_PICTURE = TensorSpec("image", "uint8", (None, 64, 64, 3))
_LEAST_PICTURE = 8
_FEW_ROWS = 32


def open_data(
    path: Path,
    labels: Sequence[str | Path],
    slices: Sequence[str],
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[Material, tuple[str, ...]]:
    """Opens all rows of a file or folder.

    Args:
        path: .csv, .parquet, .npz, .npy, or a folder of images.
        labels: Keys, columns or .npy files, one an annotator; a folder's own are the names of its sub-folders,
            unless this says "none".
        slices: Keys or columns.
        progress: Told the share of images that is read, 0 to 1.

    Returns:
        What to look at, and the names of what was left out: columns that number the rows, arrays of another length.

    Raises:
        DataError: There is no such column, or something is damaged or of another length.
        MissingExtraError: A package that reads this kind of file is not there.
        OSError: It cannot be read.
    """
    if path.is_dir():
        return _folder(path, labels, slices, progress), ()
    return _table(path, labels, slices) if path.suffix.lower() in SUFFIXES else _arrays(path, labels, slices)


def of_dataset(
    data: Dataset, calibration: Index, held_back: Index, without: Collection[str], most_rows: int, most_values: int
) -> Material:
    """A bounded number of the rows of a conversion, spread evenly over them.

    Args:
        data: Reference rows.
        calibration: Rows that calibrate.
        held_back: Rows for comparison.
        without: Inputs to pass over.
        most_rows: To look at.
        most_values: Of these together.
    """
    given = [(name, rows) for name, rows in data.rows.items() if name not in without]
    numbers = [(name, rows) for name, rows in given if rows.dtype.kind in "fiub"]
    words = [(name, rows) for name, rows in given if rows.dtype.kind in "UO"]
    width = sum(Numbers(name, rows).width for name, rows in numbers + words)
    used = np.sort(np.concatenate([calibration, held_back]))
    index = used[drawn_evenly(len(used), max(_FEW_ROWS, min(most_rows, most_values // max(1, width))))]
    parts = tuple(Numbers(name, rows, _columns(data, rows), int(data.row_is_slice)) for name, rows in numbers)
    return Material(
        path="the data",
        count=len(data),
        index=index,
        held_back=np.isin(index, held_back),
        numbers=parts,
        texts={name: coded for key, rows in words for name, coded in _texts(key, rows[index]).items()},
        labels={} if data.labels is None else {"labels": _class_names(data, index)},
        image=_image_form(parts) if not words else None,
        place=data.place,
    )


def _class_names(data: Dataset, index: Index) -> Array:
    """(n,) labels as people gave them: text, where the classes have names; NaN for a missing one."""
    labels, there = np.asarray(data.labels)[index], data.labelled[index]
    if data.class_names is None:
        return np.where(there, labels, np.nan)
    return np.array([*data.class_names, np.nan], object)[np.where(there, labels, -1)]


def _columns(data: Dataset, rows: StoredRows) -> tuple[str, ...] | None:
    names = data.feature_names
    return names if names is not None and Numbers("", rows).width == len(names) else None


def _all_rows(count: int) -> tuple[Index, Mask]:
    return np.arange(count, dtype=np.int64), drawn(count, HELD_BACK_EVERY)


def _folder(
    path: Path, labels: Sequence[str | Path], slices: Sequence[str], progress: Callable[[float], None]
) -> Material:
    if slices:
        raise DataError(f"{path}: a folder of images has no column {slices[0]!r}; leave --slice out")
    pictures = read_images(path, (_PICTURE,), ImageOptions(), progress)
    given: dict[str, Array] = {}
    if pictures.folders is not None and not labels:
        given = {"sub-folder": pictures.folders.astype(object)}
    count = len(pictures.names)
    for label in labels if list(map(str, labels)) != [NO_LABELS] else ():
        given[str(label)] = _flat(path, str(label), _label_file(path, label, ()), count)
    parts = (Numbers("image", pictures.rows),)
    index, held_back = _all_rows(count)
    return Material(
        path=str(path),
        count=count,
        index=index,
        held_back=held_back,
        numbers=parts,
        labels=given,
        image=_image_form(parts),
        place=lambda row: pictures.names[row],
    )


def _table(path: Path, labels: Sequence[str | Path], slices: Sequence[str]) -> tuple[Material, tuple[str, ...]]:
    table = read_table(path)
    columns = dict(table.columns)
    count = len(table)
    made = {name: _named(path, name, columns) for name in slices}
    given = {}
    for label in map(str, labels):
        found = columns[label] if label in columns else _label_file(path, label, tuple(columns))
        given[label] = _flat(path, label, found, count)
    features = {name: column for name, column in columns.items() if name not in given}
    left_out = tuple(name for name, column in features.items() if name not in made and _numbers_rows(column))
    kept = {name: column for name, column in features.items() if name not in left_out}
    if not kept:
        raise DataError(f"{path}: no column is left to look at beside {listed([*given, *left_out], repr)}")
    index, held_back = _all_rows(count)
    material = Material(
        path=str(path),
        count=count,
        index=index,
        held_back=held_back,
        numbers=tuple(Numbers(name, column) for name, column in kept.items() if column.dtype.kind == "f"),
        texts={name: encode(column) for name, column in kept.items() if column.dtype.kind == "O"},
        labels=given,
        slices=made,
        place=table.place,
    )
    return material, left_out


def _arrays(path: Path, labels: Sequence[str | Path], slices: Sequence[str]) -> tuple[Material, tuple[str, ...]]:
    held: dict[str, StoredRows] = dict(open_arrays(path))
    names = held.pop(FEATURE_NAMES, None)
    count = max((len(rows) for rows in held.values() if rows.ndim), default=0)
    if not count:
        raise DataError(f"{path}: holds no rows; give an array with rows on axis 0")
    made = {name: _flat(path, name, _named(path, name, held), count) for name in slices}
    given = {}
    for label in map(str, labels):
        found = held.pop(label) if label in held else _label_file(path, label, tuple(held))
        given[label] = _flat(path, label, found, count)
    left_out = tuple(
        name
        for name, rows in held.items()
        if not rows.ndim or len(rows) != count or (len(held) > 1 and rows.ndim == 1 and _numbers_rows(_plain(rows[:])))
    )
    kept = {name: rows for name, rows in held.items() if name not in left_out}
    for name, rows in kept.items():
        if rows.dtype.kind not in "fiubU" or 0 in rows.shape:
            raise DataError(f"{path}: array {name!r} holds {rows.dtype} {rows.shape}; numbers and text are looked at")
    if not kept:
        raise DataError(f"{path}: no array is left to look at beside the labels")
    parts = tuple(
        Numbers(name, rows, _feature_names(names, rows)) for name, rows in kept.items() if rows.dtype.kind != "U"
    )
    words = [(name, rows) for name, rows in kept.items() if rows.dtype.kind == "U"]
    index, held_back = _all_rows(count)
    material = Material(
        path=str(path),
        count=count,
        index=index,
        held_back=held_back,
        numbers=parts,
        texts={name: coded for key, rows in words for name, coded in _texts(key, rows[:]).items()},
        labels=given,
        slices=made,
        image=_image_form(parts) if not words else None,
    )
    return material, left_out


def _feature_names(names: StoredRows | None, rows: StoredRows) -> tuple[str, ...] | None:
    if names is None or names.ndim != 1 or len(names) != Numbers("", rows).width:
        return None
    return tuple(map(str, names[:]))


def _named(path: Path, name: str, there: Mapping[str, StoredRows]) -> Array:
    if name not in there:
        raise DataError(f"{path}: no column {name!r} to make slices of; it has {listed(tuple(there), repr)}")
    return np.asarray(there[name][:])


def _label_file(path: Path, label: str | Path, there: Sequence[str]) -> StoredRows:
    file = Path(label)
    if not file.is_file():
        beside = f"; it has {listed(there, repr)}" if there else ""
        raise DataError(f"labels {str(label)!r} are neither a file nor in {path}{beside}")
    held = open_arrays(file)
    if len(held) != 1:
        raise DataError(f"{file}: holds {listed(tuple(held), repr)}; a label file holds one array")
    return next(iter(held.values()))


def _flat(path: Path, name: str, rows: StoredRows, count: int) -> Array:
    """(count,) one value a row: numbers, or text as objects."""
    values = np.asarray(rows[:]).reshape(-1)
    if len(values) != count:
        raise DataError(f"{path}: {name!r} has {len(values)} values for {count} rows; give one for each row")
    if values.dtype.kind not in "fiubUO":
        raise DataError(f"{path}: {name!r} holds {values.dtype}; numbers and text are read")
    return _plain(values)


def _plain(values: Array) -> Array:
    return values.astype(object if values.dtype.kind in "UO" else np.float64)


def _texts(name: str, values: Array) -> dict[str, Coded]:
    """By column, of an array of text (n, ...)."""
    flat = values.reshape(len(values), -1).astype(object)
    titles = [name] if flat.shape[1] == 1 else [f"{name}[{place}]" for place in range(flat.shape[1])]
    return {title: encode(flat[:, place]) for place, title in enumerate(titles)}


def _numbers_rows(column: Array) -> bool:
    """Whether a column only tells rows apart: whole numbers or text, of which none is missing or there twice."""
    if len(column) < _FEW_ROWS or len(set(column.tolist())) != len(column):
        return False
    if column.dtype.kind == "O":
        return all(isinstance(value, str) for value in column)
    return bool(np.isfinite(column).all() and (column == np.floor(column)).all())


def _image_form(parts: Sequence[Numbers]) -> ImageForm | None:
    """How rows are pictures, when there is one array and its shape says so."""
    if len(parts) != 1:
        return None
    shape = parts[0].rows.shape[1:]
    shape = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    if len(shape) == 2 and parts[0].rows.dtype == np.uint8:
        shape = (1, *shape)
    if len(shape) != 3:
        return None
    first = shape[0] in (1, 3)
    channels, height, width = shape if first else (shape[2], *shape[:2])
    if channels not in (1, 3) or min(height, width) < _LEAST_PICTURE:
        return None
    return ImageForm(height, width, channels, first)
