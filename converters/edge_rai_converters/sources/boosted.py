"""XGBoost's and LightGBM's models, through onnxmltools: estimators, boosters, files, and steps of pipelines."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_rai.errors import BundleError, UnsupportedModelError
from edge_rai_converters.sources.exported import Array, Exported, Sample, exporting, imported
from edge_rai_converters.sources.tables import Column, columns, fed, table
from edge_rai_converters.words import number_of

# Of the standard operators that onnxmltools writes around the trees.
_OPSET = 15


@dataclass(frozen=True, slots=True)
class _Library:
    """What differs between the two.

    Attributes:
        title: As people write it.
        width: The method of a Booster that counts its features.
        dump: The one that goes through all of it.
        estimators: What their names begin with.
        converters: onnxmltools' module.
        options: Of onnxmltools' function.
    """

    title: str
    width: str
    dump: str
    estimators: str
    converters: str
    options: Mapping[str, Any]


_LIBRARIES = {
    "xgboost": _Library("XGBoost", "num_features", "get_dump", "XGB", "XGBoost", {}),
    "lightgbm": _Library("LightGBM", "num_feature", "dump_model", "LGBM", "LightGbm", {"zipmap": False}),
}
# What skl2onnx may ask of a converter, by the kind of estimator.
_ASKED = {"Classifier": {"zipmap": [True, False, "columns"], "nocl": [True, False]}, "Regressor": {}}


def export(library: str, model: Any, sample: Sample | None, name: str) -> Exported:
    """The model in ONNX, an ensemble of trees; a classifier gives labels and a matrix of probabilities.

    Args:
        library: "xgboost" or "lightgbm".
        model: An estimator of the library, or its Booster; not modified.
        sample: One array with all features, or None; the features are float32 either way.
        name: For messages.

    Raises:
        MissingExtraError: onnxmltools is not installed.
        UnsupportedModelError: It cannot export the model.
    """
    convert = getattr(imported("onnxmltools"), f"convert_{library}")
    tensors = imported("onnxmltools.convert.common.data_types")
    known = _LIBRARIES[library]
    with exporting(name, "onnxmltools"):
        width = model.n_features_in_ if hasattr(model, "n_features_in_") else getattr(model, known.width)()
        given = columns(sample, width, name)
        if [column.width for column in given] != [width]:
            found = ", ".join(f"{column.name!r} with {column.width}" for column in given)
            wanted = number_of(width, "feature")
            raise UnsupportedModelError(
                f"{name}: a model of {known.title} takes one array with its {wanted}; the sample has {found}"
            )
        exporter_takes = _plain_xgboost(model, name) if library == "xgboost" else model
        types = [(given[0].name, tensors.FloatTensorType([None, width]))]
        proto = convert(exporter_takes, "model", initial_types=types, target_opset=_OPSET, **known.options)
        for value in proto.graph.output:
            # LightGBM's labels are declared as one.
            value.type.tensor_type.shape.dim[0].Clear()
        if sample is None:
            return Exported(proto)
        feed = fed(sample, [Column(given[0].name, "float", width)])
        return Exported(proto, feed, [_answer(library, exporter_takes, table(feed))])


def _plain_xgboost(model: Any, name: str) -> Any:
    """A copy with features f0, f1, …, which are the only names that onnxmltools knows."""
    model = copy.deepcopy(model)
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    kind = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"]
    if kind != "gbtree":
        raise UnsupportedModelError(f"{name}: onnxmltools exports boosters of kind gbtree, and this one is a {kind}")
    booster.feature_names = None
    return model


def _answer(library: str, model: Any, rows: Array) -> Array:
    for method in ("predict_proba", "predict"):
        if hasattr(model, "n_features_in_") and hasattr(model, method):
            return np.asarray(getattr(model, method)(rows))
    return np.asarray(model.predict(imported(library).DMatrix(rows) if library == "xgboost" else rows))


def read(library: str, path: Path) -> Any:
    """The Booster in a file that the library saved.

    Raises:
        MissingExtraError: The library is not installed.
        BundleError: It cannot read the file.
        OSError: Nobody can.
    """
    module, known = imported(library), _LIBRARIES[library]
    with path.open("rb"):  # raises what is to be said of a file that nobody can read
        pass
    # Neither library checks what it reads: a damaged file can end the process, so that first another one tries.
    program = f"import sys, {library}; {library}.Booster(model_file=sys.argv[1]).{known.dump}()"
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        tried = subprocess.run(
            [sys.executable, "-c", program, str(path.resolve())], cwd=folder, capture_output=True, check=False
        )
    if tried.returncode != 0:
        raise BundleError(f"{path}: not a model of {known.title}, or a damaged one: {known.title} cannot read it")
    return module.Booster(model_file=str(path))


def register(model: Any) -> None:
    """Tells skl2onnx of the libraries that parts of a scikit-learn model come from.

    Raises:
        MissingExtraError: onnxmltools is not installed.
    """
    parts = {type(part).__module__.partition(".")[0] for part in (model, *model.get_params().values())}
    for library in sorted(parts & _LIBRARIES.keys()):
        _register(library)


def _register(library: str) -> None:
    known = _LIBRARIES[library]
    estimators = imported(library)
    converters = imported(f"onnxmltools.convert.{library}.operator_converters.{known.converters}")
    skl2onnx, shapes = imported("skl2onnx"), imported("skl2onnx.common.shape_calculator")
    for task, options in _ASKED.items():
        skl2onnx.update_registered_converter(
            getattr(estimators, f"{known.estimators}{task}"),
            f"{library}{task}",
            getattr(shapes, f"calculate_linear_{task.lower()}_output_shapes"),
            getattr(converters, f"convert_{library}"),
            options=options,
        )
