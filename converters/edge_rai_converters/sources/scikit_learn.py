"""scikit-learn's estimators and pipelines, through skl2onnx; with XGBoost's and LightGBM's estimators in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import onnx

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.errors import DataError
from edge_rai_converters.sources import boosted
from edge_rai_converters.sources.exported import (
    OPSET,
    Array,
    Exported,
    Sample,
    exporting,
    imported,
    without_gaps,
)
from edge_rai_converters.sources.tables import Column, columns, fed, table
from edge_rai_converters.words import first_line, number_of

# Of ai.onnx.ml: the newest that knows the operators of skl2onnx and no other types of them.
_OPSETS = {"": OPSET, "ai.onnx.ml": 3}
_TYPES = {
    "float": "FloatTensorType",
    "int": "Int64TensorType",
    "bool": "BooleanTensorType",
    "string": "StringTensorType",
}


def export(model: Any, sample: Sample | None, name: str) -> Exported:
    """The model in ONNX: a classifier gives labels and a matrix of probabilities.

    Args:
        model: A fitted estimator or pipeline; not modified.
        sample: See ``tables.columns``.
        name: For messages.

    Raises:
        MissingExtraError: skl2onnx is not installed.
        UnsupportedModelError: skl2onnx has no converter for a part of the model.
        DataError: The sample has other columns than the model was fitted with, or rows that it refuses.
    """
    skl2onnx, tensors = imported("skl2onnx"), imported("skl2onnx.common.data_types")
    given = columns(sample, getattr(model, "n_features_in_", None), name)
    _check_width(model, given, name)
    types = [(column.name, getattr(tensors, _TYPES[column.kind])([None, column.width])) for column in given]
    boosted.register(model)
    try:
        with exporting(name, "skl2onnx"), _whole_numbers():
            proto = _converted(skl2onnx, model, types)
    except UnsupportedModelError as error:
        _refuse_unfitted(model, name, error)
        raise
    if sample is None:
        return Exported(proto)
    feed: Sample = fed(sample, given)
    try:
        return Exported(proto, feed, [answer(model, _as_fitted(model, feed))])
    except ValueError:  # as scikit-learn refuses rows, of missing values for one
        feed = without_gaps(feed, name)
    try:
        return Exported(proto, feed, [answer(model, _as_fitted(model, feed))])
    except ValueError as error:
        raise DataError(f"{name}: it refuses the first rows of the data: {first_line(error)}") from error


@contextmanager
def _whole_numbers() -> Iterator[None]:
    """skl2onnx 1.20 says with truth values where a missing value goes in a tree, and protobuf 7 takes numbers alone."""
    trees = vars(imported("skl2onnx.common.tree_ensemble"))
    written = trees["add_node"]

    def add_node(*args: Any, nodes_missing_value_tracks_true: Any = 0, **named: Any) -> None:
        written(*args, nodes_missing_value_tracks_true=int(nodes_missing_value_tracks_true), **named)

    trees["add_node"] = add_node
    try:
        yield
    finally:
        trees["add_node"] = written


def _check_width(model: Any, given: list[Column], name: str) -> None:
    """Columns that are picked by name may be among others; a matrix has what the model was fitted with."""
    names = [column.name for column in given]
    fitted = list(map(str, getattr(model, "feature_names_in_", ())))
    absent = [column for column in fitted if column not in names]
    if len(given) > 1 and fitted and absent:
        raise DataError(f"{name}: it was fitted with a column {absent[0]!r}, and the data have none of that name")
    width, there = getattr(model, "n_features_in_", None), sum(column.width for column in given)
    if width not in (None, there) and (len(given) == 1 or not fitted):
        raise DataError(
            f"{name}: it was fitted with {number_of(width, 'column')}, and the data have {there}; give it "
            "those and no others: of a table name them as columns, and the one with the classes as labels"
        )


def _refuse_unfitted(model: Any, name: str, error: Exception) -> None:
    """Asked only of what was not exported: an estimator without a state counts as not fitted."""
    try:
        imported("sklearn.utils.validation").check_is_fitted(model)
    except imported("sklearn.exceptions").NotFittedError:
        raise UnsupportedModelError(f"{name}: it is not fitted; fit it before it is converted") from error


def _converted(skl2onnx: Any, model: Any, types: list[tuple[str, Any]]) -> onnx.ModelProto:
    convert: Callable[..., onnx.ModelProto] = partial(
        skl2onnx.convert_sklearn, model, "model", types, target_opset=_OPSETS
    )
    if not imported("sklearn.base").is_classifier(model):
        return convert()
    try:
        # A ZipMap would make a list of dicts of the probabilities, which no device wants.
        return convert(options={id(model): {"zipmap": False}})
    except NameError as error:
        if "zipmap" not in str(error):
            raise
    # A classifier without probabilities has none; what is wanted of it instead has to be said.
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    return convert(options={id(last): {"raw_scores": True}})


def answer(model: Any, rows: Any) -> Array:
    """What an estimator itself says of rows: probabilities, predictions or transformed rows."""
    for method in ("predict_proba", "predict", "transform"):
        said = getattr(model, method)(rows) if hasattr(model, method) else None
        # Of several targets there is a list of probabilities, which no single output is.
        if said is not None and not isinstance(said, list):
            return np.asarray(said.toarray() if hasattr(said, "toarray") else said)
    raise UnsupportedModelError(f"{type(model).__name__} neither predicts nor transforms")


def _as_fitted(model: Any, feed: Sample) -> Any:
    """The rows as a table with the names that the model was fitted with, where they are the inputs' or one has all."""
    names, arrays = list(getattr(model, "feature_names_in_", ())), list(feed.values())
    if names and all(name in feed for name in names):
        return imported("pandas").DataFrame({name: feed[name][:, 0] for name in names})
    if names and len(arrays) == 1 and arrays[0].shape[1] == len(names):
        return imported("pandas").DataFrame(arrays[0], columns=names)
    return table(feed)
