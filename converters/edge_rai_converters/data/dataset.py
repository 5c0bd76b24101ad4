"""Reference data of any of the forms that are read: rows on axis 0, in the model's own types, finite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.policy import FeatureRule
from edge_rai.types import TensorSpec
from edge_rai_converters.data.checks import check_extents, is_slice, typed
from edge_rai_converters.data.found import Found, find
from edge_rai_converters.data.images import ImageOptions
from edge_rai_converters.data.labels import UNLABELLED, Classes, check_one_a_row, labelled, to_classes
from edge_rai_converters.data.named import Known
from edge_rai_converters.data.rows import Array, ChangedRows, Index, Rows, StoredRows
from edge_rai_converters.errors import DataError
from edge_rai_converters.words import number_of

MIN_ROWS = 32
HELD_BACK_EVERY = 4


@dataclass(frozen=True, eq=False, slots=True)
class Dataset:
    """Reference rows.

    Attributes:
        rows: Per input (N, *call): what one call of one row takes, so that a model of rank r has r + 1 axes here.
            Recurrent states among them, as zeros. Read when they are asked for: see ``rows.StoredRows``.
        row_is_slice: Every row is one index of the model's axis 0, whose extent in a call is then 1.
        labels: (N,) classes, when given; ``UNLABELLED`` where a row has none.
        truths: (N, ...) labels that are no classes, as they came: quantities, or several a row; ``labels`` is None
            then.
        feature_names: Of the only input, when given.
        sha256: Of the data file, hex; of a folder, over the names and contents of its images.
        labels_sha256: Of a label file of its own, hex; empty without one.
        class_names: Of the classes that labels in text or folders stand for.
        table_columns: All columns of a table.
        not_taken: Columns of a table, or arrays of a file, that no input takes and that are not the labels.
        preparation: How the rows were made of what the file holds, for the record; values that JSON has.
        place: What to call a row in a message.
    """

    rows: Rows
    row_is_slice: bool
    labels: npt.NDArray[np.int64] | None
    feature_names: tuple[str, ...] | None
    sha256: str
    labels_sha256: str
    truths: Array | None = None
    class_names: tuple[str, ...] | None = None
    table_columns: tuple[str, ...] | None = None
    not_taken: tuple[str, ...] = ()
    preparation: Mapping[str, Any] = field(default_factory=dict)
    place: Callable[[int], str] = "row {}".format

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(N,) which rows have a label, all of it; all where none were given."""
        if self.truths is not None:
            return np.asarray(labelled(self.truths.reshape(-1)).reshape(len(self), -1).all(axis=1))
        return np.ones(len(self), np.bool_) if self.labels is None else np.asarray(self.labels != UNLABELLED)

    def split(self) -> tuple[Index, Index]:
        """Indices of the rows that calibrate, and of those held back for comparison: one of every four, see drawn.

        Rows whose label is missing all calibrate, as they could say nothing of accuracy.
        """
        judge = np.flatnonzero(self.labelled)
        held_back = judge[drawn(len(judge), HELD_BACK_EVERY)]
        return np.setdiff1d(np.arange(len(self), dtype=np.int64), held_back, assume_unique=True), held_back


def load(
    path: str | Path,
    inputs: Sequence[TensorSpec],
    labels: str | Path | None = None,
    *,
    missing: Mapping[str, npt.NDArray[np.bool_]] | None = None,
    images: ImageOptions | None = None,
    feature_names: Sequence[str] | None = None,
    classes: Classes | None = None,
    as_truths: bool = False,
    without: Collection[str] = (),
    known: Known | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Dataset:
    """Reads the data for a model; of large files only what is asked for, and that part by part.

    Args:
        path: .npz with one array an input, by name (any name when there is one input), or .npy for one input; an array
            ``feature_names`` names the features of a single input. Or a table, .csv or .parquet, see
            ``tables.feed_inputs``. Or a folder of images, see ``images.read_images``.
        inputs: Of the model, without recurrent states.
        labels: A key of the .npz, a column of the table, or a .npy file. Images that are all in sub-folders are
            labelled by these, unless this says "none".
        missing: By input, where NaN is a missing value rather than a fault; broadcasts to one call of one row.
        images: What becomes of the pixels of images.
        feature_names: The columns of a table that a single input takes, in its order.
        classes: The model's own, in its order; None: of labels that are text, those of the labels, sorted.
        as_truths: Labels are no classes, and are kept as they came.
        without: Keys of a .npz file that are no inputs, such as groups.
        known: The names of the columns of a table that a single input takes; see ``named.in_known_order``.
        progress: Told the share that is read, 0 to 1.

    Raises:
        DataError: The data cannot be read, something is missing, does not fit the input's type, is not finite, is of
            the wrong shape, or has too few rows.
        MissingExtraError: A package that reads this kind of file is not there.
        OSError: A file cannot be read.
    """
    path = Path(path)
    found = find(path, inputs, labels, images, feature_names, without, known, progress)
    row_is_slice = _row_is_slice(path, inputs, found)
    _check_counts(path, found, as_truths=as_truths)
    arrays_of = {spec.name: _typed(path, spec, found, (missing or {}).get(spec.name), progress) for spec in inputs}
    numbers, class_names = (None, None) if as_truths else _classes(path, found, classes)
    truths = np.asarray(found.labels[:]) if as_truths and found.labels is not None else None
    dataset = Dataset(
        rows={name: _slices(array) if row_is_slice else array for name, array in arrays_of.items()},
        row_is_slice=row_is_slice,
        labels=numbers,
        feature_names=found.names.get(inputs[0].name) if len(inputs) == 1 else None,
        sha256=found.sha256,
        labels_sha256=found.labels_sha256,
        truths=truths,
        class_names=class_names,
        table_columns=found.table_columns,
        not_taken=found.not_taken,
        preparation=found.preparation,
        place=found.place,
    )
    _check_labelled(path, dataset)
    return dataset


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


def _classes(
    path: Path, found: Found, known: Classes | None
) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...] | None]:
    """Labels as the model has them, and the names of their classes."""
    if found.labels is None:
        return None, None
    labels, names = to_classes(path, np.asarray(found.labels[:]), known, found.place)
    if names:
        whose = "the model" if known and isinstance(known[0], str) else "the labels"
        found.preparation |= {"classes": list(names), "classes_of": whose}
    return labels, names


def _row_is_slice(path: Path, inputs: Sequence[TensorSpec], found: Found) -> bool:
    slices = {is_slice(path, spec, found.arrays[spec.name]) for spec in inputs}
    if len(slices) > 1:
        raise DataError(f"{path}: some arrays have one axis more than their inputs and some have not; give all or none")
    for spec in inputs:
        check_extents(path, spec, found.arrays[spec.name], True in slices)
    return slices.pop()


def _check_labelled(path: Path, dataset: Dataset) -> None:
    count = int(np.count_nonzero(dataset.labelled))
    if count < MIN_ROWS:
        raise DataError(
            f"{path}: of {len(dataset):,} rows {count} have a label; label at least {MIN_ROWS}, or leave labels out"
        )


def _check_counts(path: Path, found: Found, *, as_truths: bool) -> None:
    counts = {name: len(array) for name, array in found.arrays.items()}
    if found.labels is not None and as_truths:
        counts["the labels"] = len(found.labels)
    elif found.labels is not None:
        check_one_a_row(path, found.labels.shape, min(counts.values()))
        counts["the labels"] = prod(found.labels.shape)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise DataError(f"{path}: the arrays differ in their number of rows ({listed}); give as many of each")
    count = next(iter(counts.values()))
    if count < MIN_ROWS:
        raise DataError(
            f"{path}: {number_of(count, 'row')}; at least {MIN_ROWS} are needed, and a few hundred are better"
        )


def _typed(
    path: Path,
    spec: TensorSpec,
    found: Found,
    missing: npt.NDArray[np.bool_] | None,
    progress: Callable[[float], None],
) -> StoredRows:
    array, before = found.arrays[spec.name], list(found.arrays).index(spec.name)
    if found.typed:
        return array
    names, count = found.names.get(spec.name), len(found.arrays)
    return typed(path, spec, array, names, missing, found.place, lambda share: progress((before + share) / count))


def _slices(array: StoredRows) -> StoredRows:
    """Each row with the axis 0 that a call has."""
    shape = (len(array), 1, *array.shape[1:])
    return ChangedRows(array, lambda part: part[:, np.newaxis], shape, array.dtype)
