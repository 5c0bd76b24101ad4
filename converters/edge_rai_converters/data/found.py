"""What a file, a table or a folder holds for a model, in its own types; nothing of it is checked or changed yet."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from edge_rai.types import TensorSpec
from edge_rai_converters.data import arrays, tables
from edge_rai_converters.data.images import ImageOptions, check_filled, read_images
from edge_rai_converters.data.named import Known
from edge_rai_converters.data.rows import ChangedRows, StoredRows
from edge_rai_converters.errors import DataError
from edge_rai_converters.words import number_of

FEATURE_NAMES = "feature_names"
NO_LABELS = "none"
_SHOWN = 12


@dataclass(eq=False, slots=True)
class Found:
    """What a file holds for a model, in its own types.

    Attributes:
        arrays: By input.
        names: By input, of its columns.
        labels: N of any shape; a file's are read when their number is known to be right.
        place: What to call a row in a message.
        typed: The arrays have the model's types and are finite.
        not_taken: See ``Dataset``.
    """

    arrays: Mapping[str, StoredRows]
    sha256: str
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: StoredRows | None = None
    labels_sha256: str = ""
    place: Callable[[int], str] = "row {}".format
    typed: bool = False
    table_columns: tuple[str, ...] | None = None
    not_taken: tuple[str, ...] = ()
    preparation: dict[str, Any] = field(default_factory=dict)


def find(
    path: Path,
    inputs: Sequence[TensorSpec],
    labels: str | Path | None,
    images: ImageOptions | None,
    feature_names: Sequence[str] | None,
    without: Collection[str],
    known: Known | None,
    progress: Callable[[float], None],
) -> Found:
    """Opens a file or folder; arguments are those of ``data.load``.

    Raises:
        DataError: It cannot be read, has not what the model or the caller names, or the options are of another form.
        MissingExtraError: A package that reads this kind of file is not there.
        OSError: A file cannot be read.
    """
    table = path.suffix.lower() in tables.SUFFIXES and not path.is_dir()
    if feature_names is not None and not table:
        raise DataError(f"{path}: no table, so no columns of it can be chosen; leave columns out")
    if images is not None and not path.is_dir():
        raise DataError(f"{path}: no folder of images, so nothing can be done to their pixels; leave the options out")
    if path.is_dir():
        return _in_folder(path, inputs, labels, images or ImageOptions(), progress)
    if table:
        return _in_table(path, inputs, labels, feature_names, known)
    return _in_arrays(path, inputs, labels, without)


def _in_folder(
    path: Path,
    inputs: Sequence[TensorSpec],
    labels: str | Path | None,
    options: ImageOptions,
    progress: Callable[[float], None],
) -> Found:
    pictures = read_images(path, inputs, options, progress)
    found = Found(
        arrays={inputs[0].name: pictures.rows},
        sha256=pictures.sha256,
        place=lambda row: pictures.names[row],
        typed=True,
        preparation=pictures.preparation,
    )
    if labels is None:
        check_filled(path, pictures.folders)
        found.labels = pictures.folders
    elif str(labels) != NO_LABELS:
        found.labels, found.labels_sha256 = _label_file(path, labels, ["the names of sub-folders"])
    return found


def _in_table(
    path: Path,
    inputs: Sequence[TensorSpec],
    labels: str | Path | None,
    feature_names: Sequence[str] | None,
    known: Known | None,
) -> Found:
    as_text = {spec.name for spec in inputs if spec.dtype == "string"}
    label = "" if labels is None else str(labels)  # no column has an empty name
    all_text = len(inputs) == len(as_text) == 1
    table = tables.read_table(path, lambda name: name != label and (all_text or name in as_text))
    beside = (None, "") if label in table.columns or labels is None else _label_file(path, labels, tuple(table.columns))
    fed = tables.feed_inputs(table, inputs, feature_names, label, known)
    found = Found(
        arrays=fed.arrays,
        sha256=_sha256(path),
        names=fed.names,
        place=table.place,
        table_columns=tuple(table.columns),
        not_taken=tuple(name for name in table.columns if name not in {label, *chain(*fed.names.values())}),
        preparation={"columns": {name: list(columns) for name, columns in fed.names.items()}},
    )
    found.labels, found.labels_sha256 = beside
    if label in table.columns:
        found.labels = table.columns[label]
    return found


def _in_arrays(path: Path, inputs: Sequence[TensorSpec], labels: str | Path | None, without: Collection[str]) -> Found:
    inner = {spec.name for spec in inputs}
    held = {name: rows for name, rows in arrays.open_arrays(path).items() if name in inner or name not in without}
    names = _feature_names(path, held.pop(FEATURE_NAMES, None), inputs)
    found = Found(arrays={}, sha256=_sha256(path), names={} if names is None else {inputs[0].name: names})
    keys = tuple(held)
    if labels is not None:
        found.labels = held.pop(str(labels), None)
        if found.labels is None:
            found.labels, found.labels_sha256 = _label_file(path, labels, keys)
    taken = {spec.name: _name_of(path, held, spec.name, len(inputs)) for spec in inputs}
    found.arrays = {spec.name: _in_columns(spec, held[taken[spec.name]]) for spec in inputs}
    found.not_taken = tuple(name for name in held if name not in taken.values())
    return found


def _label_file(path: Path, labels: str | Path, there: Sequence[str]) -> tuple[StoredRows, str]:
    file = Path(labels)
    if not file.is_file():
        raise DataError(f"labels {str(labels)!r} are neither a file nor in {path}; it has {_listed(there)}")
    held = arrays.open_arrays(file)
    if len(held) != 1:
        raise DataError(f"{file}: holds {_listed(tuple(held))}; a label file holds one array")
    return next(iter(held.values())), _sha256(file)


def _name_of(path: Path, held: Mapping[str, StoredRows], name: str, inputs: int) -> str:
    """Of the array for an input."""
    if name in held:
        return name
    if inputs == 1 and len(held) == 1:
        return next(iter(held))
    raise DataError(
        f"{path}: no array for input {name!r}; it has {_listed(tuple(held))}: give the one with its rows that name"
    )


def _in_columns(spec: TensorSpec, array: StoredRows) -> StoredRows:
    """Of an input of one value a row, rows without an axis for it, as columns of a table are, with that axis."""
    if array.ndim != 1 or len(spec.shape) != 2 or spec.shape[1] != 1:
        return array
    return ChangedRows(array, lambda part: part[:, np.newaxis], (len(array), 1), array.dtype)


def _feature_names(path: Path, array: StoredRows | None, inputs: Sequence[TensorSpec]) -> tuple[str, ...] | None:
    if array is None:
        return None
    if array.dtype.kind != "U" or array.ndim != 1:
        raise DataError(f"{path}: {FEATURE_NAMES} must be a one-dimensional array of text, not {array.dtype}")
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].shape[1] != len(array):
        raise DataError(
            f"{path}: {FEATURE_NAMES} has {number_of(len(array), 'name')} for the columns of a single input; the model "
            "has " + ", ".join(f"{spec.name!r} of shape {list(spec.shape)}" for spec in inputs)
        )
    names = tuple(map(str, array[:]))
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"{path}: {FEATURE_NAMES} has {twice[0]!r} more than once; a report could not say which")
    return names


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
    return (", ".join(map(repr, names[:_SHOWN])) or "no arrays") + more


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
