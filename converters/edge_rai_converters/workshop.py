"""Follows recipes: passes on the ONNX model, and for TFLite the writer and what is rewritten behind it.

What several recipes begin with is made once: pruning takes long, and is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import onnx

from edge_rai_converters.learning import Learned
from edge_rai_converters.litert import LiteRTRunner
from edge_rai_converters.passes import REWRITES
from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass, Target, apply
from edge_rai_converters.passes.properties import quantization_of
from edge_rai_converters.recipes import Recipe
from edge_rai_converters.runner import feeds

# Passes leave what is worth knowing of their work in the model, under keys that begin so.
_NOTE = "edge_rai."
_ROWS_VERIFIED = 16
_ONE_SCALE = (
    "with edges in int8 all values of an input share one scale and zero point: scale the features to one range before "
    "the model"
)

Share = Callable[[float], None]


@dataclass(frozen=True, eq=False, slots=True)
class Made:
    """What a recipe came to.

    Attributes:
        model: The file.
        notes: What the steps say of their work, by topic.
    """

    model: bytes
    notes: Mapping[str, str]


class Workshop:
    """Makes models of one source.

    Args:
        learned: The source and its data.
        defaults: Parameters of passes where recipes are silent.
        cpu: What the models are for.
    """

    def __init__(self, learned: Learned, defaults: Mapping[str, Any], cpu: Target) -> None:
        self._learned, self._defaults, self._cpu = learned, defaults, cpu
        self._passed: dict[str, onnx.ModelProto | NotApplicableError] = {}
        self._written: dict[str, Made] = {}

    def made(self, recipe: Recipe, progress: Share, part: float = 1.0) -> Made:
        """What the recipe makes of the source.

        Args:
            recipe: To follow.
            progress: Told the share that is done.
            part: Of the pruning that "auto" finds.

        Raises:
            NotApplicableError: A step has nothing to offer.
            UnsupportedModelError: The model has no TFLite form.
            ValueError: The result is another kind of model than the recipe says.
        """
        if not self._learned.answers.outputs:
            raise NotApplicableError("the model answers no numbers by which another form could be compared with it")
        if recipe.target == "tflite":
            return self._tflite(recipe, progress, part)
        model = self._onnx(recipe, progress, part)
        _check(recipe, quantization_of(model))
        return Made(bytes(model.SerializeToString(deterministic=True)), _notes(model))

    def _onnx(self, recipe: Recipe, progress: Share, part: float) -> onnx.ModelProto:
        """The source behind the recipe's passes."""
        model, done = self._learned.source.proto, f"{part}\n"
        for step, written in zip(recipe.passes({**self._defaults, "part": part}), recipe.steps, strict=False):
            done += f"{written}\n"
            if done not in self._passed:
                self._passed[done] = _attempt(step, model, self._material(progress))
            found = self._passed[done]
            if isinstance(found, NotApplicableError):
                raise found
            model = found
        return model

    def _tflite(self, recipe: Recipe, progress: Share, part: float) -> Made:
        from edge_rai_converters.targets.tflite import probed, quantize

        model = self._onnx(recipe, progress, part)
        passes = str(part) + str([step for step in recipe.steps if step[0] not in REWRITES])
        if passes not in self._written:
            self._written[passes] = Made(as_tflite(model, self._learned), _notes(model))
        written = self._written[passes]
        notes = dict(written.notes)
        integers = recipe.quantization == "static_int8" and self._defaults["edges"] == "int8"
        try:
            result = apply(recipe.rewrites(self._defaults), written.model, self._material(progress, notes))
        except NotApplicableError as reason:
            if integers:
                raise NotApplicableError(f"{reason}; {_ONE_SCALE}") from reason
            raise
        _check(recipe, quantize.quantization_of(result))
        found = probed(result)
        if integers:
            notes["edges"] = _edges(result)
        return Made(result, {**notes, "xnnpack": _delegated(found.delegated, found.plain)})

    def _material(self, progress: Share, notes: dict[str, str] | None = None) -> Material:
        learned = self._learned
        return Material(
            calibration=lambda: feeds(learned.shown, learned.calibration, batched=learned.policy.batched),
            rows=len(learned.calibration),
            batched=learned.policy.batched,
            target=self._cpu,
            seed=self._defaults["seed"],
            progress=progress,
            note=({} if notes is None else notes).__setitem__,
        )


def as_tflite(model: onnx.ModelProto, learned: Learned) -> bytes:
    """A model as TFLite, held to its answers to a few calibration rows.

    Args:
        model: Of the same inputs as what was learned from.
        learned: Whose rows those are.

    Raises:
        UnsupportedModelError: It has no such form.
    """
    from edge_rai_converters.targets import tflite

    # A file is planned for one row.
    single = feeds(learned.shown, learned.calibration, batched=learned.policy.batched, most_rows=1)
    calls = list(islice(single, _ROWS_VERIFIED))
    written = tflite.write(model, shapes={name: values.shape for name, values in calls[0].items()})
    tflite.verify(model, written, calls)
    return written.model


def _attempt(step: Pass, model: onnx.ModelProto, material: Material) -> onnx.ModelProto | NotApplicableError:
    try:
        return apply([step], model, material)
    except NotApplicableError as reason:
        return reason


def _check(recipe: Recipe, found: str) -> None:
    if found != recipe.quantization:
        raise ValueError(f"recipe {recipe.name!r} says its result is {recipe.quantization}, but it is {found}")


def _edges(model: bytes) -> str:
    """What whoever runs the file without a session has to know of its integers."""
    known = LiteRTRunner(model, "the result").integers
    return ", ".join(f"{name} has scale {scale:.6g} and zero point {zero}" for name, (scale, zero) in known.items())


def _delegated(parts: int, plain: Sequence[str]) -> str:
    outside = f"; outside: {', '.join(dict.fromkeys(plain))}" if plain else ""
    return f"{parts} part{'s' * (parts != 1)} of the graph{outside}"


def _notes(model: onnx.ModelProto) -> dict[str, str]:
    properties = model.metadata_props
    return {entry.key.removeprefix(_NOTE): entry.value for entry in properties if entry.key.startswith(_NOTE)}
