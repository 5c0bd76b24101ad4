"""Reads what the gate judges by: rows for both models, labels that may be missing, columns that neither model sees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_rai.types import TensorSpec
from edge_rai_converters import data
from edge_rai_converters.data import FEATURE_NAMES, Array, Dataset, ImageOptions, StoredRows, open_arrays, read_table
from edge_rai_converters.data.found import NO_LABELS
from edge_rai_converters.data.images import read_images
from edge_rai_converters.data.named import Known, counted, in_known_order
from edge_rai_converters.data.rows import ChangedRows
from edge_rai_converters.data.tables import SUFFIXES
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.rows import Mask
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.given import check_there

_SHOWN = 8


def needed_columns(policy: GatePolicy) -> tuple[str, ...]:
    """Columns that a policy judges by, which are inputs of the models only where these are short of some."""
    names = [name for rule in policy.slices for name in rule.by]
    names += [policy.clusters] if policy.clusters else []
    names += [name for rule in policy.values.values() for name in rule.columns]
    return tuple(dict.fromkeys(names))


def read_beside(policy: GatePolicy) -> tuple[str, ...]:
    """Columns that are read for it: those, and where leads are looked for."""
    return tuple(dict.fromkeys((*needed_columns(policy), *policy.leads)))


def open_columns(path: Path) -> Mapping[str, StoredRows]:
    """Columns of a table, arrays of a file, nothing of a folder; whatever is read of them is read once.

    Raises:
        DataError: It cannot be read.
        MissingFileError: There is no such file.
        OSError: It cannot be read.
    """
    check_there(path, "a .csv, .parquet or .npz file with the columns of the gate's policy")
    if path.is_dir():
        return {}
    if path.suffix.lower() in SUFFIXES:
        return dict(read_table(path).columns)
    return {name: array for name, array in open_arrays(path).items() if name != FEATURE_NAMES}


def load_rows(
    path: Path,
    held: Mapping[str, StoredRows],
    inputs: Sequence[TensorSpec],
    labels: str | Path | None,
    policy: GatePolicy,
    *,
    images: ImageOptions | None = None,
    feature_names: Sequence[str] | None = None,
    known: Known | None = None,
    missing: Mapping[str, Mask] | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Dataset:
    """The rows as both models take them, without labels; see ``data.load``.

    Args:
        path: Of the data.
        held: What it holds.
        inputs: Of the original.
        labels: What is no input.
        policy: Names columns that are inputs only where the model would be short of some without them.
        images: See ``data.load``.
        feature_names: See there.
        known: The names of the columns of a single input, which an .npz file may have in another order too.
        missing: See there.
        progress: See there.

    Raises:
        DataError: As ``data.load``.
    """
    apart = {*needed_columns(policy), "" if labels is None else str(labels)}
    if _is_table(path) and len(inputs) == 1:
        chosen = by_name(path, held, feature_names, known)
        feature_names = chosen or _columns_of_input(held, inputs[0], str(labels), apart)
    unlabelled = NO_LABELS if path.is_dir() else None
    dataset = data.load(
        path,
        inputs,
        unlabelled,
        missing=missing,
        images=images,
        feature_names=feature_names,
        without=apart,
        progress=progress,
    )
    return dataset if _is_table(path) else _in_order(path, dataset, known)


def by_name(
    path: Path, held: Mapping[str, StoredRows], feature_names: Sequence[str] | None, known: Known | None
) -> Sequence[str] | None:
    """The columns of a table that an input takes, in its order; see ``data.named``.

    Args:
        path: Of the data; of others than tables the names stay as they are.
        held: What it holds.
        feature_names: What the caller chose.
        known: Names in the models' order.

    Raises:
        DataError: The table lacks one.
    """
    return in_known_order(path, held, feature_names, known) if _is_table(path) else feature_names


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _in_order(path: Path, dataset: Dataset, known: Known | None) -> Dataset:
    """Rows of an .npz file that names its features, in the order in which the models take them."""
    given = dataset.feature_names or ()
    if known is None or not given or given == known.names or counted(known.names):
        return dataset
    absent = [name for name in known.names if name not in given]
    if absent or len(known.names) != len(given):
        lacking = f"has no {absent[0]!r}" if absent else f"has {len(given)} names"
        raise DataError(
            f"{path}: {FEATURE_NAMES} {lacking}, and {known.knower} {', '.join(known.names)}; name them so, or leave "
            f"{FEATURE_NAMES} out where the rows are in this order"
        )
    order = [given.index(name) for name in known.names]
    rows = {
        name: ChangedRows(array, lambda part: part[..., order], array.shape, array.dtype)
        for name, array in dataset.rows.items()
    }
    return replace(dataset, rows=rows, feature_names=known.names)


def _columns_of_input(
    held: Mapping[str, StoredRows], spec: TensorSpec, labels: str, apart: Collection[str]
) -> tuple[str, ...] | None:
    """The columns of the only input: without those that a policy names, if the model has room for no more."""
    if len(spec.shape) < 2:
        return None
    kind = "O" if spec.dtype == "string" else "f"
    there = [name for name, column in held.items() if column.dtype.kind == kind and name != labels]
    inner = tuple(name for name in there if name not in apart)
    fitting = (names for names in (inner, tuple(there)) if spec.shape[-1] in (None, len(names)))
    return next(fitting, None)


def read_labels(path: Path, held: Mapping[str, StoredRows], labels: str | Path | None) -> Array | None:
    """(N, ...) labels as they are, missing ones NaN; None without any.

    Args:
        path: Of the data.
        held: What it holds.
        labels: A column or key of them, a .npy file; "none" for no labels; None: of images the names of sub-folders.

    Raises:
        DataError: There is no such thing.
        OSError: It cannot be read.
    """
    if labels is None:
        return _folder_names(path) if path.is_dir() else None
    if str(labels) == NO_LABELS:
        return None
    if str(labels) in held:
        return np.asarray(held[str(labels)][:])
    file = Path(labels)
    if not file.is_file():
        raise DataError(f"labels {str(labels)!r} are neither a file nor in {path}; it has {_listed(held)}")
    arrays = open_arrays(file)
    if len(arrays) != 1:
        raise DataError(f"{file}: holds {_listed(arrays)}; a label file holds one array")
    return np.asarray(next(iter(arrays.values()))[:])


def _folder_names(path: Path) -> Array | None:
    """(N,) the sub-folder of each image; see ``images.read_images``."""
    pictures = read_images(path, (TensorSpec("image", "uint8", (None, 8, 8, 3)),), ImageOptions())
    return None if pictures.folders is None else pictures.folders.astype(object)


def read_columns(
    path: Path, held: Mapping[str, StoredRows], names: Sequence[str], dataset: Dataset
) -> dict[str, Array]:
    """(N,) each: float64, or objects of text; NaN for a missing value.

    Args:
        path: A table or .npz file with as many rows as the data, which may be the data.
        held: What it holds.
        names: Columns, keys, or features of the model's only input.
        dataset: The rows.

    Raises:
        DataError: A column is not there, or has another number of rows.
    """
    return {name: _column(path, name, held, dataset) for name in names}


def _column(path: Path, name: str, held: Mapping[str, StoredRows], dataset: Dataset) -> Array:
    features = dataset.feature_names or ()
    if name in held:
        values = np.asarray(held[name][:])
    elif name in features and dataset.rows:
        rows = next(iter(dataset.rows.values()))
        values = np.asarray(rows[:]).reshape(len(rows), -1)[:, features.index(name)]
    else:
        raise DataError(f"{path}: no column {name!r}, which the gate's policy names; it has {_listed(held)}")
    values = values.reshape(len(values), -1)
    if len(values) != len(dataset) or values.shape[1] != 1:
        raise DataError(
            f"{path}: column {name!r} has {values.size} values, and there are {len(dataset)} rows; give one for each"
        )
    return _plain(path, name, values[:, 0])


def _plain(path: Path, name: str, values: Array) -> Array:
    if values.dtype.kind in "UO":
        return values.astype(object)
    if values.dtype.kind not in "fiub":
        raise DataError(f"{path}: column {name!r} holds {values.dtype}; numbers and text are read")
    return values.astype(np.float64)


def sha256_of(path: Path) -> str:
    """Of a file, hex.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(map(repr, list(names)[:_SHOWN])) or "none"
    return shown + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
