"""The candidates for a bundle: the float model and what each recipe makes of it, measured on the held-back rows.

Each target has candidates of its own, of which the first is the float model in its format. All of them are held against
the answers of the float model as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.bundle import Format, Quantization
from edge_rai.errors import InferenceError, UnsupportedModelError
from edge_rai_converters import measure
from edge_rai_converters.compare import Comparison, compare, find_decision
from edge_rai_converters.gentler import gentle_enough, most_forms
from edge_rai_converters.learning import Learned
from edge_rai_converters.litert import LiteRTRunner
from edge_rai_converters.measure import Cost
from edge_rai_converters.passes.contract import NotApplicableError, PassError, Target
from edge_rai_converters.progress import Progress
from edge_rai_converters.recipes import FLOAT, FLOATS, Recipe
from edge_rai_converters.refit import Rethreshold, make_refitter
from edge_rai_converters.runner import Runner, Running, feeds, rows_are_independent
from edge_rai_converters.sources import refusal
from edge_rai_converters.workshop import Made, Workshop

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
        target: The format of the file.
    """

    recipe: str
    quantization: Quantization
    size: int
    rows_independent: bool
    comparison: Comparison
    notes: Mapping[str, str]
    threshold: Rethreshold | None = None
    cost: Cost | None = None
    target: Format = "onnx"

    def as_json(self) -> dict[str, Any]:
        """For documents, all in one object."""
        flat = {**asdict(self), **self.comparison.as_json(), "notes": dict(self.notes)}
        del flat["comparison"]
        return flat


@dataclass(frozen=True, eq=False, slots=True)
class Forms:
    """The candidates.

    Attributes:
        models: Files by recipe.
        candidates: The float model first.
        failed: Why others were not made, by recipe.
        doubt: Why labels were left aside, or "".
        compared: How far one form's answers to the held-back rows are from another's.
        chosen_of: By recipe, among how many forms of it the held-back rows may have chosen already.
    """

    models: Mapping[str, bytes]
    candidates: tuple[Candidate, ...]
    failed: Mapping[str, str]
    doubt: str
    compared: Callable[[Running, Running], Comparison]
    chosen_of: Mapping[str, int] = field(default_factory=dict)

    def of(self, target: Format) -> tuple[Candidate, ...]:
        """The candidates for a target, its float model first."""
        return tuple(entry for entry in self.candidates if entry.target == target)

    def running(self, recipe: str) -> Running:
        """A candidate's model, opened."""
        target = next(entry.target for entry in self.candidates if entry.recipe == recipe)
        return opened(self.models[recipe], target, recipe)


def opened(model: bytes, target: Format, where: str) -> Running:
    """A model in its runtime.

    Raises:
        UnsupportedModelError: The runtime cannot open it.
    """
    return LiteRTRunner(model, where) if target == "tflite" else Runner(model, where)


def make_candidates(
    learned: Learned, recipes: Sequence[Recipe], defaults: Mapping[str, Any], cpu: Target, progress: Progress
) -> Forms:
    """Follows the recipes and compares what comes out with the float model.

    Args:
        learned: The float model, its data and its answers.
        recipes: To follow; the float model's own needs none.
        defaults: Parameters of passes where recipes are silent.
        cpu: What the candidates are for.
        progress: Told what happens.

    Raises:
        UnsupportedModelError: The model as it came has no form in a recipe's format.
        ValueError: A recipe is not valid; or there are labels, and the model answers no class.
    """
    scale, workshop = _Scale(learned), Workshop(learned, defaults, cpu)
    original = scale.candidate(FLOAT, "none", Made(learned.source.data, {}), learned.runner)
    models, candidates, failed = {FLOAT: learned.source.data}, [original], {}
    trees = refusal(learned.source.proto)
    for recipe in recipes:
        if recipe.name == FLOAT:
            continue
        stage = f"making {recipe.name}: {recipe.summary}"
        try:
            if trees:
                raise NotApplicableError(trees)
            progress(stage)
            make = partial(_tried, workshop, scale, recipe, partial(progress, stage))
            made, entry = gentle_enough(make, original, recipe, defaults)
        except (NotApplicableError, PassError, UnsupportedModelError, InferenceError) as reason:
            if recipe.name in FLOATS.values():
                raise UnsupportedModelError(f"the target {recipe.target} cannot be met: {reason}") from reason
            failed[recipe.name] = f"cannot be made: {reason}"
            continue
        _add(models, candidates, failed, made.model, entry)
    chosen_of = {recipe.name: most_forms(recipe, defaults) for recipe in recipes}
    return Forms(models, tuple(candidates), failed, scale.doubt, scale.apart, chosen_of)


def _add(
    models: dict[str, bytes], candidates: list[Candidate], failed: dict[str, str], model: bytes, entry: Candidate
) -> None:
    twin = next((name for name, other in models.items() if other == model), None)
    if twin:
        failed[entry.recipe] = f"came out as {twin}"
    else:
        models[entry.recipe] = model
        candidates.append(entry)


def with_costs(forms: Forms, learned: Learned) -> Forms:
    """The same, measured on this machine."""
    one_call = next(feeds(learned.shown, learned.held_back[:1], batched=learned.policy.batched))
    contestants = [
        measure.Contestant(
            entry.recipe, entry.target, forms.models[entry.recipe], forms.running(entry.recipe), FLOATS[entry.target]
        )
        for entry in forms.candidates
    ]
    costs = measure.measure(contestants, one_call)
    return replace(forms, candidates=tuple(replace(entry, cost=costs[entry.recipe]) for entry in forms.candidates))


def _tried(
    workshop: Workshop, scale: _Scale, recipe: Recipe, progress: Callable[[float], None], part: float
) -> tuple[Made, Candidate]:
    made = workshop.made(recipe, progress, part)
    return made, scale.candidate(recipe.name, recipe.quantization, made, _opened(made.model, recipe.target))


def _opened(model: bytes, target: Format) -> Running:
    try:
        return opened(model, target, "the result")
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
        known = None if labels is None else labels[learned.dataset.labelled]
        self._decision = find_decision(learned.answers.outputs, known)
        self.doubt = self._doubt()
        if self.doubt:
            self._labels = None
        self._refit = None if self.doubt else make_refitter(learned)

    def _doubt(self) -> str:
        """Why labels are left aside: by them the float model is right less than half as often as by guessing."""
        if self._labels is None or self._decision is None:
            return ""
        answered = self._learned.answers.decided(self._decision)
        right = float(np.mean(answered == self._labels))
        if right >= _LESS_THAN_GUESSING / max(self._decision.classes, len(np.unique(self._labels))):
            return ""
        return (
            f"the float model has the class of the label in {100 * right:.1f} % of the held-back rows, less than by "
            f"guessing: it answers {_few(np.unique(answered))}, the labels are {_few(np.unique(self._labels))}; "
            "they are left aside"
        )

    def apart(self, mine: Running, theirs: Running) -> Comparison:
        """How far the answers of one form to the held-back rows are from another's."""
        reference = self._learned.answers.by(theirs)
        pairs = reference.by(mine).beside(reference)
        return compare(pairs, reference.outputs, self._decision, self._labels)

    def candidate(self, recipe: str, quantization: Quantization, made: Made, running: Running) -> Candidate:
        learned, batched = self._learned, self._learned.policy.batched
        reference = learned.answers
        answers = reference.by(running)
        tflite = isinstance(running, LiteRTRunner)
        return Candidate(
            recipe=recipe,
            quantization=quantization,
            size=len(made.model),
            rows_independent=batched and (tflite or rows_are_independent(running, learned.shown, batched=True)),
            comparison=compare(answers.beside(reference), reference.outputs, self._decision, self._labels),
            notes=made.notes,
            threshold=self._refit(running, answers) if self._refit and recipe != FLOAT else None,
            target="tflite" if tflite else "onnx",
        )
