"""Labels: whole numbers as they are, and text as indices into a list of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data.rows import Array
from edge_rai_converters.errors import DataError

if TYPE_CHECKING:
    import onnx

# Where exported classifiers keep classes that are text: in the operator itself, or where this one looks them up.
_ATTRIBUTE, _LOOK_UP = "classlabels_strings", "ArrayFeatureExtractor"


def model_classes(graph: onnx.GraphProto) -> tuple[str, ...] | None:
    """The classes of a classifier that answers with text, in the order of its scores; None when it does not say."""
    texts = {constant.name: constant.string_data for constant in graph.initializer}
    found = {tuple(texts[node.input[0]]) for node in graph.node if node.op_type == _LOOK_UP and node.input[0] in texts}
    found |= {tuple(given.strings) for node in graph.node for given in node.attribute if given.name == _ATTRIBUTE}
    found.discard(())
    return tuple(name.decode() for name in found.pop()) if len(found) == 1 else None


def to_classes(
    path: Path, labels: Array, known: Sequence[str] | None, place: Callable[[int], str]
) -> tuple[npt.NDArray[np.int64], tuple[str, ...] | None]:
    """The class of each row, (N,), and the names of the classes where labels are text.

    Args:
        path: For messages.
        labels: N values of any shape.
        known: The model's own classes, in the order of its outputs; None: those of the labels, sorted.
        place: What to call a row in a message.

    Raises:
        DataError: Some label is missing, no whole number, or none of the model's classes.
    """
    flat = labels.reshape(-1)
    if flat.dtype.kind in "UO":
        return _indices(path, flat, known, place)
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        row = int(np.argmin(np.isfinite(flat)))
        raise DataError(
            f"{path}: the label in {place(row)} is {flat[row]}; every row needs a class, or leave labels out"
        )
    if flat.dtype.kind not in "fiub" or not np.array_equal(flat, flat.astype(np.int64)):
        raise DataError(
            f"{path}: labels hold {flat.dtype} such as {flat[0]!r}; they must be whole numbers or text, the class of "
            "each row"
        )
    return flat.astype(np.int64), None


def _indices(
    path: Path, labels: Array, known: Sequence[str] | None, place: Callable[[int], str]
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    for row, label in enumerate(labels):
        if not isinstance(label, str):
            raise DataError(
                f"{path}: the label in {place(row)} is missing; every row needs a class, or leave labels out"
            )
    names = tuple(known) if known else tuple(sorted(set(map(str, labels))))
    index = {name: place for place, name in enumerate(names)}
    for row, label in enumerate(labels):
        if str(label) not in index:
            raise DataError(
                f"{path}: the label {str(label)!r} in {place(row)} is none of the model's classes, "
                f"{', '.join(map(repr, names))}"
            )
    return np.array([index[str(label)] for label in labels], np.int64), names
