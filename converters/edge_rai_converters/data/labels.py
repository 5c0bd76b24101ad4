"""Labels: whole numbers as they are, and text as indices into a list of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data.rows import Array
from edge_rai_converters.errors import DataError

if TYPE_CHECKING:
    import onnx

Classes = tuple[str, ...] | tuple[int, ...]
Place = Callable[[int], str]

# Where exported classifiers keep their classes: in the operator itself, or where this one looks them up.
_TEXTS, _NUMBERS = "classlabels_strings", ("classlabels_ints", "classlabels_int64s")
_LOOK_UP = "ArrayFeatureExtractor"
_SHOWN = 10
# What to do with labels that are no classes.
NO_CLASS = "leave labels out, or give a policy of the gate (--gate) whose [answer] kind says what they are"
# Of a row whose label is missing.
UNLABELLED = int(np.iinfo(np.int64).min)


def model_classes(graph: onnx.GraphProto) -> tuple[str, ...] | None:
    """The classes of a classifier that answers with text, in the order of its scores; None when it does not say."""
    texts = {constant.name: constant.string_data for constant in graph.initializer}
    found = {tuple(texts[name]) for name in _looked_up(graph) if name in texts}
    found |= {tuple(given.strings) for node in graph.node for given in node.attribute if given.name == _TEXTS}
    found.discard(())
    return tuple(name.decode() for name in found.pop()) if len(found) == 1 else None


def model_numbers(graph: onnx.GraphProto) -> tuple[int, ...] | None:
    """The classes of a classifier that answers with whole numbers, likewise."""
    found = {tuple(given.ints) for node in graph.node for given in node.attribute if given.name in _NUMBERS}
    found |= set(_numbers(graph))
    found.discard(())
    return found.pop() if len(found) == 1 else None


def _looked_up(graph: onnx.GraphProto) -> set[str]:
    return {node.input[0] for node in graph.node if node.op_type == _LOOK_UP}


def _numbers(graph: onnx.GraphProto) -> Iterator[tuple[int, ...]]:
    """Constants of whole numbers, of which none is there twice: others are the labels of neighbours, or features."""
    from onnx import numpy_helper

    for constant in graph.initializer:
        if constant.name in _looked_up(graph):
            values = numpy_helper.to_array(constant).reshape(-1)
            if values.dtype.kind in "iu" and len(np.unique(values)) == len(values):
                yield tuple(map(int, values))


def check_one_a_row(path: Path, shape: tuple[int, ...], rows: int) -> None:
    """Refuses labels with several values a row.

    Args:
        path: For messages.
        shape: Of the labels.
        rows: Of the data.

    Raises:
        DataError: There are as many rows of labels, and a row has several.
    """
    if len(shape) == 2 and shape[0] == rows and shape[1] > 1:
        raise DataError(
            f"{path}: labels have {shape[1]} values a row; where these are one-hot, give one class a row "
            f"(numpy.argmax(labels, axis=1)), and else {NO_CLASS}"
        )


def to_classes(
    path: Path, labels: Array, known: Classes | None, place: Place
) -> tuple[npt.NDArray[np.int64], tuple[str, ...] | None]:
    """The class of each row, (N,), ``UNLABELLED`` where its label is missing; and the names of classes that are text.

    Args:
        path: For messages.
        labels: N values of any shape.
        known: The model's own classes, in the order of its outputs; None: those of the labels, sorted.
        place: What to call a row in a message.

    Raises:
        DataError: Some label is no whole number, or none of the model's classes; or all are missing.
    """
    flat = labels.reshape(-1)
    there = labelled(flat)
    if there.all():
        return _known(path, flat, known, place)
    if not there.any():
        raise DataError(f"{path}: every label is missing; give some rows their class, or leave labels out")
    rows, found = np.flatnonzero(there), np.full(len(flat), UNLABELLED, np.int64)
    found[there], names = _known(path, flat[there], known, lambda row: place(int(rows[row])))
    return found, names


def labelled(flat: Array) -> npt.NDArray[np.bool_]:
    """(n,) which of n labels are there: a missing one is NaN, None or text of blanks."""
    if flat.dtype.kind == "f":
        return np.asarray(~np.isnan(flat))
    if flat.dtype.kind == "U":
        return np.array([bool(label.strip()) for label in flat], np.bool_)
    if flat.dtype.kind == "O":
        return np.array([label is not None and label == label and str(label).strip() != "" for label in flat], np.bool_)
    return np.ones(len(flat), np.bool_)


def _known(
    path: Path, flat: Array, known: Classes | None, place: Place
) -> tuple[npt.NDArray[np.int64], tuple[str, ...] | None]:
    """Of labels none of which is missing."""
    texts = tuple(name for name in known or () if isinstance(name, str))
    numbers = [number for number in known or () if isinstance(number, int)]
    if flat.dtype.kind in "UO":
        whole = _as_whole(flat) if numbers else None
        if whole is None:
            return _indices(path, flat, texts or _sorted(path, flat, numbers), place)
        flat = whole
    if flat.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: labels hold {flat.dtype}, such as {flat[0]!s}; give the class of each row as a whole number or "
            "as text (labels.astype(str))"
        )
    classes = _whole(path, flat, place)
    if numbers:
        _refuse_unknown(path, classes, numbers, place)
    return classes, None


def _as_whole(labels: Array) -> Array | None:
    """Text that is whole numbers, all of it, as numbers."""
    try:
        return np.array([int(label) for label in labels], np.int64)
    except (ValueError, OverflowError):
        return None


def _whole(path: Path, labels: Array, place: Place) -> npt.NDArray[np.int64]:
    """Numbers as whole ones."""
    if labels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            other = labels != labels.astype(np.int64)
        if other.any():
            row = int(np.argmax(other))
            raise DataError(
                f"{path}: the label in {place(row)} is {float(labels[row]):g}, and a class is a whole number, as the "
                f"model counts them, or text; of a model that answers no class {NO_CLASS}"
            )
    return labels.astype(np.int64)


def _refuse_unknown(path: Path, labels: npt.NDArray[np.int64], known: Sequence[int], place: Place) -> None:
    strange = ~np.isin(labels, known)
    if strange.any():
        row = int(np.argmax(strange))
        one_too_many = bool(np.isin(labels - 1, known).all())
        mend = "subtract 1 from each label" if one_too_many else "number labels as the model does"
        raise DataError(
            f"{path}: the label in {place(row)} is {labels[row]}, which is none of the model's classes, "
            f"{_shown(known)}; {mend}"
        )


def _sorted(path: Path, labels: Array, numbers: Sequence[int]) -> tuple[str, ...]:
    """The classes of labels that are text, in the order in which training libraries number them."""
    names = tuple(sorted(set(map(str, labels))))
    if numbers and list(range(len(names))) != list(numbers):
        raise DataError(
            f"{path}: labels are text, {_shown(names)}, and the model numbers its classes {_shown(numbers)}; give its "
            "numbers"
        )
    return names


def _indices(
    path: Path, labels: Array, names: tuple[str, ...], place: Place
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    index = {name: number for number, name in enumerate(names)}
    for row, label in enumerate(labels):
        if str(label) not in index:
            raise DataError(
                f"{path}: the label {str(label)!r} in {place(row)} is none of the model's classes, {_shown(names)}; "
                f"spell labels as the model does, or give whole numbers, from 0 for {names[0]!r} on"
            )
    return np.array([index[str(label)] for label in labels], np.int64), names


def _shown(classes: Sequence[object]) -> str:
    listed = ", ".join(map(repr, classes[:_SHOWN]))
    return f"{listed} and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else listed
