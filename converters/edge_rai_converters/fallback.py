"""The fallback model: a second, simpler one that answers what the first must not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from edge_rai.bundle import Format
from edge_rai.errors import UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters.compare import Comparison, Output, compare, find_decision
from edge_rai_converters.learning import Learned
from edge_rai_converters.maps import without_maps
from edge_rai_converters.passes.contract import Material, apply
from edge_rai_converters.passes.lower import lower
from edge_rai_converters.runner import Runner, feeds, rows_are_independent
from edge_rai_converters.sources import onnx as onnx_source
from edge_rai_converters.workshop import as_tflite


@dataclass(frozen=True, eq=False, slots=True)
class Fallback:
    """A fallback model and what was measured of it.

    Attributes:
        source_name: Of its file.
        data: The model; where it had maps for outputs, with matrices in their place.
        rows_independent: A row's answer was bit-identical whatever its batch mates were.
        comparison: With the primary model, on the held-back rows.
        tflite: The same model as TFLite; None where that is no target, or it has no such form.
    """

    source_name: str
    data: bytes
    rows_independent: bool
    comparison: Comparison
    tflite: bytes | None = None

    @property
    def size(self) -> int:
        """Of the file, bytes."""
        return len(self.data)

    def as_json(self) -> dict[str, Any]:
        """For documents."""
        return {"source_name": self.source_name, "size": self.size, **self.comparison.as_json()}


def read_fallback(path: str | Path, learned: Learned, targets: Sequence[Format] = ("onnx",)) -> Fallback:
    """Reads a fallback model and holds it against the primary one.

    Args:
        path: An ONNX file; it is only read.
        learned: Of the primary model.
        targets: Formats of the bundle's models; where it can be had in TFLite, it is.

    Raises:
        BundleError: It is not a valid model.
        UnsupportedModelError: It has other inputs or outputs than the primary model, or its rows depend on each other
            where the primary model's do not.
    """
    source, columns = without_maps(onnx_source.read(path))
    source = onnx_source.with_free_rows(source) if learned.policy.batched else source
    carried = {name for state in learned.policy.states for name in (state.input, state.output)}
    _compare(path, "input", source.inputs, learned.source.inputs, carried)
    _compare(path, "output", source.outputs, learned.source.outputs, carried)
    for name, theirs in learned.columns.items():
        if columns.get(name, theirs) != theirs:
            raise UnsupportedModelError(
                f"{path}: output {name!r} has the classes {list(columns[name])}, the primary model's {list(theirs)}"
            )
    runner = Runner(source.data, str(path))
    batched = learned.policy.batched
    independent = batched and rows_are_independent(runner, learned.shown, batched=True)
    if batched and not independent:
        raise UnsupportedModelError(
            f"{path}: a row's answer depends on the other rows of its batch, so it cannot answer one row of a batch"
        )
    labels = None if learned.dataset.labels is None else learned.dataset.labels[learned.held_back]
    answers, primary = learned.answers.by(runner), learned.answers.outputs
    _compare_answers(path, answers.outputs, primary)
    common = {name: output for name, output in primary.items() if name in answers.outputs}
    comparison = compare(answers.beside(learned.answers), common, find_decision(common, labels), labels)
    written = _written(source.proto, learned) if "tflite" in targets else None
    return Fallback(source.path.name, source.data, independent, comparison, written)


def _written(model: onnx.ModelProto, learned: Learned) -> bytes | None:
    batched = learned.policy.batched
    material = Material(
        lambda: feeds(learned.shown, learned.calibration, batched=batched), len(learned.calibration), batched
    )
    try:
        return as_tflite(apply([replace(lower(), optional=True)], model, material), learned)
    except UnsupportedModelError:
        return None  # a tree, say, which stays with ONNX Runtime


def _compare(
    path: str | Path, kind: str, mine: Sequence[TensorSpec], theirs: Sequence[TensorSpec], carried: set[str]
) -> None:
    """By name and in any order; recurrent states may be absent."""
    found = {spec.name: spec for spec in mine}
    for spec in theirs:
        other = found.pop(spec.name, None)
        if other is None:
            if spec.name not in carried:
                raise UnsupportedModelError(f"{path}: has no {kind} {spec.name!r}, which the primary model has")
        elif (other.dtype, len(other.shape)) != (spec.dtype, len(spec.shape)) or not all(
            left == right or left is None for left, right in zip(other.shape, spec.shape, strict=True)
        ):
            raise UnsupportedModelError(
                f"{path}: {kind} {spec.name!r} is {other.dtype} {_shown(other)}, in the primary model {spec.dtype} "
                f"{_shown(spec)}"
            )
    if found:
        raise UnsupportedModelError(f"{path}: has the {kind} {next(iter(found))!r}, which the primary model has not")


def _compare_answers(path: str | Path, mine: Mapping[str, Output], theirs: Mapping[str, Output]) -> None:
    for name, output in mine.items():
        shape = theirs[name].shape if name in theirs else output.shape
        if output.shape != shape:
            raise UnsupportedModelError(
                f"{path}: output {name!r} is {list(output.shape)} a row, the primary model's {list(shape)}"
            )


def _shown(spec: TensorSpec) -> str:
    return "[" + ", ".join("free" if extent is None else str(extent) for extent in spec.shape) + "]"
