"""Keras's models, by their own export to ONNX."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edge_rai.errors import BundleError, UnsupportedModelError
from edge_rai_converters.sources.exported import (
    MOST_ROWS,
    Array,
    Exported,
    Sample,
    exporting,
    imported,
    without_gaps,
)
from edge_rai_converters.words import first_line


def export(model: Any, sample: Sample | None, name: str) -> Exported:
    """The model in ONNX; axis 0 of every input is free.

    Args:
        model: A built model of Keras 3; not modified.
        sample: Needed for a model that was never built: an array an input, in their order.
        name: For messages.

    Raises:
        MissingExtraError: Keras is not installed.
        UnsupportedModelError: Keras cannot export it.
    """
    keras = imported("keras")
    if not isinstance(model, keras.Model):
        raise UnsupportedModelError(f"{name}: of Keras's objects only a keras.Model of Keras 3 is a model; give that")
    with exporting(name, "Keras"), tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        rows = _rows(model, sample and without_gaps({key: np.asarray(array) for key, array in sample.items()}, name))
        tensors = [keras.ops.convert_to_tensor(array) for array in rows]
        # Before its first call Keras does not export a model.
        answers = keras.tree.flatten(model(tensors[0] if len(tensors) == 1 else tensors, training=False))
        path = Path(folder, "model.onnx")
        model.export(str(path), format="onnx", verbose=False)
        proto = onnx.load(path)
        feed = {given.name: array for given, array in zip(proto.graph.input, rows, strict=True)}
        return Exported(proto, feed, [keras.ops.convert_to_numpy(answer) for answer in answers])


def _rows(model: Any, sample: Sample | None) -> list[Array]:
    """Rows for each input, in the types that the model takes; without a sample two rows of zeros."""
    if not sample:
        return [np.zeros([2, *(extent or 1 for extent in given.shape[1:])], given.dtype) for given in model.inputs]
    types = [given.dtype for given in model.inputs] if model.inputs else ["float32"] * len(sample)
    return [np.asarray(array)[:MOST_ROWS].astype(dtype) for array, dtype in zip(sample.values(), types, strict=True)]


def read(path: Path) -> Any:
    """The model in a .keras file, which Keras opens without running code from it.

    Raises:
        MissingExtraError: Keras is not installed.
        BundleError: It cannot read the file.
    """
    keras = imported("keras")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # it raises whatever its parts raise
        raise BundleError(f"{path}: not a model of Keras, or a damaged one: {first_line(error)}") from error
