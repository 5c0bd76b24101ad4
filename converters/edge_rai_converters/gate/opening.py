"""Opens the two models that are held against each other, whatever their formats."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from edge_rai import bundle
from edge_rai.errors import UnsupportedModelError
from edge_rai.policy import Policy, parse_policy
from edge_rai_converters import sources
from edge_rai_converters.data import Array
from edge_rai_converters.data.labels import Classes, model_classes, model_numbers
from edge_rai_converters.given import check_there
from edge_rai_converters.litert import LiteRTRunner
from edge_rai_converters.maps import without_maps
from edge_rai_converters.profile import written_names
from edge_rai_converters.runner import Runner, Running

_KNOWN = "a model or a bundle: .onnx, .tflite, .erai, .keras, .json or .ubj of XGBoost, .txt of LightGBM"
_ONE_OF = (
    "{name} holds {count} models, and {judged} is judged here; for another unpack the bundle (unzip) and give its file "
    "{others}"
)


@dataclass(frozen=True, eq=False, slots=True)
class Opened:
    """A model that can be asked.

    Attributes:
        name: For people.
        sha256: Of its file, or of what it was exported to.
        running: Answers.
        source: Of an ONNX model; a TFLite model takes and gives what its original does.
        classes: Their names or numbers in the order of its scores, where it knows them.
        content: Of its file.
        format: Of that.
        held: The bundle that it is in.
        guard: The rules of that, where it has them.
        class_names: Of the labels that this bundle was made with, in the order of the scores.
        columns: Names of what its only input takes, in that order; none where it does not know them.
        notes: Sentences for people: which of a bundle's models this is.
    """

    name: str
    sha256: str
    running: Running
    source: sources.SourceModel | None
    classes: Classes | None
    content: bytes
    format: bundle.Format
    held: bundle.Bundle | None = None
    guard: Policy | None = None
    class_names: tuple[str, ...] | None = None
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def open_model(model: object, sample: Mapping[str, Array] | None = None) -> Opened:
    """Opens a model.

    Args:
        model: A path, or an object in memory, see ``sources.read``. A bundle stands for its ONNX model, or, where it
            has none, for its TFLite model.
        sample: See ``sources.read``.

    Raises:
        BundleError: It is not valid.
        MissingFileError: It is not there.
        UnsupportedModelError: It cannot be run.
        OSError: It cannot be read.
    """
    check_there(model, _KNOWN)
    if isinstance(model, str | Path):
        path = Path(model)
        if is_bundle(path):
            return _of_bundle(path)
        if path.suffix.lower() == ".tflite":
            return _tflite(path.name, path.read_bytes())
    source, _ = without_maps(sources.read(model, sample=sample))
    return replace(_onnx(source), columns=source.features)


def is_bundle(path: Path) -> bool:
    """Whether a path is taken for a bundle's."""
    return path.is_dir() or path.suffix == bundle.SUFFIX


def _of_bundle(path: Path) -> Opened:
    held = bundle.read(path)
    models = [entry for entry in held.manifest.models if entry.role == "primary"]
    if not models:
        raise UnsupportedModelError(f"{path}: the bundle has no primary model")
    model = next((entry for entry in models if entry.format == "onnx"), models[0])
    name, content = f"{path.name}: {model.path}", held.files[model.path]
    if model.format == "tflite":
        opened = _tflite(name, content)
    else:
        source = sources.read(onnx.load_model_from_string(content), name=name)
        opened = replace(_onnx(source), sha256=hashlib.sha256(content).hexdigest())
    others = " or ".join(entry.path for entry in models if entry is not model)
    said = _ONE_OF.format(name=path.name, count=len(models), judged=model.path, others=others)
    text = held.files.get("policy.toml")
    guard = None if text is None else parse_policy(text.decode(), f"{path}: policy.toml")
    return replace(
        opened,
        held=held,
        guard=guard,
        class_names=_class_names(held),
        columns=_columns(guard),
        notes=(said,) if others else (),
    )


def _class_names(held: bundle.Bundle) -> tuple[str, ...] | None:
    names = held.manifest.provenance.preparation.get("classes")
    return tuple(map(str, names)) if isinstance(names, list) and names else None


def _columns(guard: Policy | None) -> tuple[str, ...]:
    """Of its only input, as its guard has them."""
    inputs = guard.inputs if guard else ()
    return written_names(inputs[0]) if len(inputs) == 1 and len(inputs[0].shape) == 2 else ()


def _onnx(source: sources.SourceModel) -> Opened:
    return Opened(
        name=source.path.name,
        sha256=source.sha256,
        running=Runner(source.data, str(source.path)),
        source=source,
        classes=model_classes(source.proto.graph) or model_numbers(source.proto.graph),
        content=source.data,
        format="onnx",
    )


def _tflite(name: str, content: bytes) -> Opened:
    return Opened(name, hashlib.sha256(content).hexdigest(), LiteRTRunner(content, name), None, None, content, "tflite")
