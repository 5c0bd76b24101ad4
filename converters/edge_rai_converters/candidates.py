"""The candidates for a bundle: the float model and what each recipe makes of it, measured on the held-back rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edge_rai.bundle import Quantization
from edge_rai.errors import UnsupportedModelError
from edge_rai_converters import measure
from edge_rai_converters.compare import Comparison, compare, find_decision
from edge_rai_converters.learning import Learned
from edge_rai_converters.measure import Cost
from edge_rai_converters.passes.contract import Material, NotApplicableError, Target, apply
from edge_rai_converters.passes.properties import quantization_of
from edge_rai_converters.progress import Progress
from edge_rai_converters.recipes import FLOAT, Recipe
from edge_rai_converters.refit import Rethreshold, make_refitter
from edge_rai_converters.runner import Runner, feeds, rows_are_independent
from edge_rai_converters.sources import refusal

# Passes leave what is worth knowing of their work in the model, under keys that begin so.
NOTE = "edge_rai."
_LESS_THAN_GUESSING = 0.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form of the model.

    Attributes:
        recipe: Its name.
        quantization: As the manifest says it.
        size: Of the file, bytes.
        rows_independent: A row's answer was bit-identical whatever its batch mates were.
        comparison: With the float model, on the held-back rows.
        notes: What the passes say of their work, by topic.
        threshold: Re-fitted, for two classes; None where there are other ones, or no labels, and of the float model.
        cost: On this machine; None when nobody measured it.
    """

    recipe: str
    quantization: Quantization
    size: int
    rows_independent: bool
    comparison: Comparison
    notes: Mapping[str, str]
    threshold: Rethreshold | None = None
    cost: Cost | None = None

    def as_json(self) -> dict[str, Any]:
        """For documents, all in one object."""
        flat = {**asdict(self), **self.comparison.as_json(), "notes": dict(self.notes)}
        del flat["comparison"]
        return flat


@dataclass(frozen=True, eq=False, slots=True)
class Forms:
    """The candidates by recipe, the float model first; why others were not made; why labels were left aside, or ""."""

    models: Mapping[str, bytes]
    candidates: tuple[Candidate, ...]
    failed: Mapping[str, str]
    doubt: str


def make_candidates(
    learned: Learned, recipes: Sequence[Recipe], defaults: Mapping[str, Any], target: Target, progress: Progress
) -> Forms:
    """Follows the recipes and compares what comes out with the float model.

    Args:
        learned: The float model, its data and its answers.
        recipes: To follow; the float model's own needs none.
        defaults: Parameters of passes where recipes are silent.
        target: The CPU the candidates are for.
        progress: Told what happens.

    Raises:
        ValueError: A recipe is not valid; or there are labels, and the model answers no class.
    """
    scale = _Scale(learned)
    original = scale.candidate(FLOAT, "none", learned.source.data, learned.runner)
    models, candidates, failed = {FLOAT: learned.source.data}, [original], {}
    trees = refusal(learned.source.proto)
    for recipe in recipes:
        if recipe.name == FLOAT:
            continue
        if trees:
            failed[recipe.name] = f"cannot be made: {trees}"
            continue
        stage = f"making {recipe.name}: {recipe.summary}"
        progress(stage)
        try:
            model = _made(recipe, learned, defaults, target, lambda share, stage=stage: progress(stage, share))
            entry = scale.candidate(recipe.name, recipe.quantization, model, _runner(model))
        except NotApplicableError as reason:
            failed[recipe.name] = f"cannot be made: {reason}"
            continue
        twin = next((name for name, other in models.items() if other == model), None)
        if twin:
            failed[recipe.name] = f"came out as {twin}"
            continue
        models[recipe.name] = model
        candidates.append(entry)
    return Forms(models, tuple(candidates), failed, scale.doubt)


def with_costs(forms: Forms, learned: Learned) -> Forms:
    """The same, measured on this machine."""
    runners = {name: _runner(model) for name, model in forms.models.items()}
    one_call = next(feeds(learned.shown, learned.held_back[:1], batched=learned.policy.batched))
    costs = measure.measure(forms.models, runners, one_call)
    return replace(forms, candidates=tuple(replace(entry, cost=costs[entry.recipe]) for entry in forms.candidates))


def _made(recipe: Recipe, learned: Learned, defaults: Mapping[str, Any], target: Target, progress: Any) -> bytes:
    if not learned.answers:
        raise NotApplicableError("the model answers no numbers by which another form could be compared with it")
    material = Material(
        calibration=lambda: feeds(learned.shown, learned.calibration, batched=learned.policy.batched),
        rows=len(learned.calibration),
        batched=learned.policy.batched,
        target=target,
        seed=defaults["seed"],
        progress=progress,
    )
    made = apply(recipe.passes(defaults), learned.source.proto, material)
    found = quantization_of(made)
    if found != recipe.quantization:
        raise ValueError(f"recipe {recipe.name!r} says its result is {recipe.quantization}, but it is {found}")
    return bytes(made.SerializeToString(deterministic=True))


def _runner(model: bytes) -> Runner:
    try:
        return Runner(model, "the result")
    except UnsupportedModelError as error:
        raise NotApplicableError(f"what was written does not load: {error}") from error


def _few(values: npt.NDArray[np.int64]) -> str:
    shown = ", ".join(str(value) for value in values[:4])
    return f"{shown} and {len(values) - 4} more" if len(values) > 4 else shown


class _Scale:
    """Holds every candidate against the same rows."""

    def __init__(self, learned: Learned) -> None:
        self._learned = learned
        labels = learned.dataset.labels
        self._labels = None if labels is None else labels[learned.held_back]
        self._decision = find_decision(learned.answers, self._labels)
        self.doubt = self._doubt()
        if self.doubt:
            self._labels = None
        self._refit = None if self.doubt else make_refitter(learned)

    def _doubt(self) -> str:
        """Why labels are left aside: by them the float model is right less than half as often as by guessing."""
        if self._labels is None or self._decision is None:
            return ""
        answered = self._decision.of(self._learned.answers)
        right = float(np.mean(answered == self._labels))
        if right >= _LESS_THAN_GUESSING / max(self._decision.classes, len(np.unique(self._labels))):
            return ""
        return (
            f"the float model has the class of the label in {100 * right:.1f} % of the held-back rows, less than by "
            f"guessing: it answers {_few(np.unique(answered))}, the labels are {_few(np.unique(self._labels))}; "
            "they are left aside"
        )

    def candidate(self, recipe: str, quantization: Quantization, model: bytes, runner: Runner) -> Candidate:
        learned, batched = self._learned, self._learned.policy.batched
        original = recipe == FLOAT
        answers = learned.answers if original else runner.answers(learned.shown, learned.held_back, batched=batched)
        properties = onnx.load_model_from_string(model).metadata_props
        return Candidate(
            recipe=recipe,
            quantization=quantization,
            size=len(model),
            rows_independent=batched and rows_are_independent(runner, learned.shown, batched=True),
            comparison=compare(answers, learned.answers, self._decision, self._labels),
            notes={entry.key.removeprefix(NOTE): entry.value for entry in properties if entry.key.startswith(NOTE)},
            threshold=self._refit(runner, answers) if self._refit and not original else None,
        )
