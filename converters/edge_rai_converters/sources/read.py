"""Reads a trained model, whatever it was made with: a file, or an object in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.sources import boosted, keras, parity, pytorch, scikit_learn
from edge_rai_converters.sources import onnx as onnx_source
from edge_rai_converters.sources.exported import Exported, Sample, exporting, tidied
from edge_rai_converters.sources.external import MAX_BYTES
from edge_rai_converters.sources.onnx import Kind, SourceModel
from edge_rai_converters.sources.tables import fitted_names

_Export = Callable[[Any, Sample | None, str], Exported]
# By the package that an object's class comes from.
_OBJECTS: dict[str, tuple[Kind, _Export]] = {
    "xgboost": ("xgboost", partial(boosted.export, "xgboost")),
    "lightgbm": ("lightgbm", partial(boosted.export, "lightgbm")),
    "keras": ("keras", keras.export),
    "sklearn": ("scikit-learn", scikit_learn.export),
    "torch": ("pytorch", pytorch.export),
}
_FILES: dict[str, Callable[[Path], Any]] = {
    ".keras": keras.read,
    ".json": partial(boosted.read, "xgboost"),
    ".ubj": partial(boosted.read, "xgboost"),
    ".txt": partial(boosted.read, "lightgbm"),
}
_RUN_CODE = frozenset({".joblib", ".pickle", ".pkl", ".pt", ".pth"})
_KNOWN = (
    ".onnx files, .keras files, .json and .ubj files of XGBoost, .txt files of LightGBM, and objects of scikit-learn, "
    "XGBoost, LightGBM, PyTorch and Keras"
)


def read(model: object, *, sample: Sample | None = None, name: str = "") -> SourceModel:
    """Reads and checks a model. Equal models give equal bytes; nothing is written, and an object is not modified.

    Args:
        model: A path, or an object: an estimator or pipeline of scikit-learn, an estimator or Booster of XGBoost or
            LightGBM, a module of PyTorch, a model of Keras, or an onnx.ModelProto.
        sample: A few rows as an array an input, rows on axis 0, for an object that does not know its own inputs: of
            PyTorch always, of scikit-learn where they are not one matrix of floats. Its names become the inputs' names,
            and what the export answers to it is held to what the object answers.
        name: Of an object, for messages and provenance; that of its class when empty.

    Raises:
        MissingExtraError: A library is needed that is not installed; names the extra.
        BundleError: The file is not a valid model.
        UnsupportedModelError: The model is of no known kind, or uses something that is not supported, or its export
            answers otherwise; names it.
        OSError: The file cannot be read.
    """
    if isinstance(model, (str, Path)):
        return _read_file(Path(model), sample)
    if isinstance(model, type):
        raise UnsupportedModelError(
            f"{model.__name__}: a class is no known model; known are {_KNOWN}: make an object of it, and fit that"
        )
    name = name or type(model).__name__
    if isinstance(model, onnx.ModelProto):
        return _checked(Path(name), model, "onnx")
    packages = [base.__module__.partition(".")[0] for base in type(model).__mro__]
    known = next((package for package in packages if package in _OBJECTS), None)
    if known is None:
        raise UnsupportedModelError(f"{name}: an object of {packages[0]!r} is no known model; known are {_KNOWN}")
    kind, export = _OBJECTS[known]
    exported = export(model, sample, name)
    with exporting(name, "onnx's version converter"):
        proto = tidied(exported.proto)
    source = _checked(Path(name), proto, kind)
    keeps_gaps = parity.check(exported, source.data, name)
    return replace(source, features=fitted_names(model), keeps_gaps=keeps_gaps)


def _read_file(path: Path, sample: Sample | None) -> SourceModel:
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return onnx_source.read(path)
    if suffix in _RUN_CODE:
        raise UnsupportedModelError(
            f"{path}: opening a {suffix} file runs code that is in it; open it yourself, if you trust it, and pass the "
            "object to edge_rai_converters.convert"
        )
    if suffix == ".tflite":
        raise UnsupportedModelError(
            f"{path}: a .tflite model is what conversions end with; give the model that it was made from (edge-rai run "
            "and edge_rai.load take it as it is)"
        )
    if suffix not in _FILES:
        raise UnsupportedModelError(f"{path}: not a known kind of model; known are {_KNOWN}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(read(_FILES[suffix](path), sample=sample, name=str(path)), path=path, sha256=digest)


def _checked(path: Path, proto: onnx.ModelProto, kind: Kind) -> SourceModel:
    if proto.ByteSize() > MAX_BYTES:
        raise UnsupportedModelError(f"{path}: exported it has 2 GiB or more, and one ONNX file has less")
    data = proto.SerializeToString(deterministic=True)
    return onnx_source.checked(path, data, proto, hashlib.sha256(data).hexdigest(), kind)
