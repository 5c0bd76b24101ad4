"""Tries both models behind one guard, and says what came of it: for gate.json, and as cells where there are margins."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_rai_converters.data import Dataset
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.answers import Labels
from edge_rai_converters.gate.metrics import Beside, positive_of
from edge_rai_converters.gate.robustness import images, words
from edge_rai_converters.gate.robustness.asking import Contender, reading_of
from edge_rai_converters.gate.robustness.attacks import attacks
from edge_rai_converters.gate.robustness.curves import curves
from edge_rai_converters.gate.robustness.edges import edges
from edge_rai_converters.gate.robustness.guarded import Guard, Model, opened
from edge_rai_converters.gate.robustness.queue import audit_queue
from edge_rai_converters.gate.robustness.relations import relations
from edge_rai_converters.gate.robustness.rules import RobustnessRule
from edge_rai_converters.gate.robustness.sample import Floats, Index, Sample, draw
from edge_rai_converters.gate.robustness.shift import rehearse_shifts, stride_of
from edge_rai_converters.gate.robustness.trial import Trial
from edge_rai_converters.gate.rows import Rows
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.gate.slices import make_slices
from edge_rai_converters.progress import Progress
from edge_rai_converters.rehearsal import without_seasons
from edge_rai_converters.words import number_of

_JPEG = "jpeg was not tried: Pillow is not installed (pip install 'edge-rai-converters[images]')"


@dataclass(frozen=True, eq=False, slots=True)
class Robustness:
    """What came of it.

    Attributes:
        found: Keys of gate.json: robustness, shift, audit_queue.
        judged: What margins are about, and these.
    """

    found: Mapping[str, Any]
    judged: tuple[Beside, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Subjects:
    """Both models and what they answered.

    Attributes:
        rows: What they decided of all rows.
        dataset: These rows.
        labels: What the models call their classes.
        original: What the candidate is held against.
        candidate: What is to be released.
        series: Rows in the order in which they came, for streams.
    """

    rows: Rows
    dataset: Dataset
    labels: Labels
    original: Model
    candidate: Model
    series: Dataset


def planned(subjects: Subjects, policy: GatePolicy, rule: RobustnessRule) -> Sample:
    """The rows that will be tried, once it is known that they can be.

    Args:
        subjects: Both models.
        policy: Of the gate.
        rule: Its robustness.

    Raises:
        DataError: The rule does not fit these rows or answers; says why.
    """
    sample = draw(subjects.dataset, rule)
    if subjects.rows.kind == "other":
        raise DataError("[robustness] takes models that answer classes, labels or a quantity; leave it out")
    if rule.monotone and subjects.rows.kind == "labels":
        raise DataError("monotone is about one score, and the models answer any number of labels; leave it out")
    if subjects.rows.kind == "quantity" and policy.answer.largest_error is None:
        tried = next((name for name in rule.judged if name not in rule.relations), None)
        if tried is not None:
            raise DataError(f"the margin of {tried} needs [answer] largest_error: what an error counts at most")
    if "jpeg" in rule.judged and images.without_pillow():
        raise DataError(f"a margin is of 'jpeg', and {_JPEG}")
    if rule.slice_margins:
        _check_slices(subjects.rows, policy, sample)
    return sample


def _check_slices(rows: Rows, policy: GatePolicy, sample: Sample) -> None:
    """Refuses slices of which no row would be tried."""
    if not policy.slices:
        raise DataError("[robustness] has slice_margins, and the policy has no [[slices]]; declare them, or margins")
    slices = make_slices(rows.columns, rows.labelled, policy)
    tried = np.zeros(len(rows), np.bool_)
    tried[sample.index] = True
    if rows.labels is not None:
        tried &= rows.labelled
    there = slices.sums(tried)
    alone = np.flatnonzero((there == 0) & (slices.parents < 0))
    if alone.size:
        raise DataError(
            f"[robustness] tries {number_of(len(sample), 'row')}, and none with a label is of "
            f"{slices.slices[alone[0]].name}; raise rows, or merge the slice into another (merge_into)"
        )


def robustness(
    subjects: Subjects, policy: GatePolicy, rule: RobustnessRule, sample: Sample, guard: Guard, progress: Progress
) -> Robustness:
    """Tries everything.

    Args:
        subjects: Both models.
        policy: Of the gate.
        rule: Its robustness.
        sample: As planned.
        guard: That both stand behind.
        progress: Told what happens.

    Raises:
        EdgeRaiError: A device would not open one of them behind this guard.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-rai-")))
        kind = replace(policy.answer, kind=subjects.rows.kind)
        reading = reading_of(subjects.original.answered, subjects.candidate.answered, subjects.labels, kind)
        contenders = [
            Contender(
                reading,
                stack.enter_context(opened(model, guard, sample, folder)),
                candidate=model is subjects.candidate,
                independent=model.independent,
            )
            for model in (subjects.original, subjects.candidate)
        ]
        trial = Trial(rule, sample, subjects.rows, policy.answer.largest_error, *contenders)
        report, judged = _tried(trial, policy, guard, progress)
        shift = None
        if without_seasons(guard.policy, guard.reference).drift is not None:
            watching = stack.enter_context(opened(subjects.candidate, guard, sample, folder, watching=True))
            series = sample if stride_of(watching) == 1 else draw(subjects.series, rule, consecutive=True)
            shift = rehearse_shifts(watching, series, rule, lambda _, share: progress("rehearsing shifts", share))
    progress("looking for rows that a person should see")
    queue = audit_queue(subjects.rows, _pictures(subjects.dataset, sample) if sample.kind == "images" else None)
    return Robustness(_said(report, shift, queue), judged)


def _said(report: dict[str, Any], shift: dict[str, Any] | None, queue: dict[str, Any]) -> dict[str, Any]:
    """The keys of gate.json, each with its sentences."""
    return {
        "robustness": {**report, "sentences": list(words.of_robustness(report))},
        "shift": None if shift is None else {**shift, "sentences": list(words.of_shift(shift))},
        "audit_queue": {**queue, "sentences": list(words.of_queue(queue))},
    }


def _tried(
    trial: Trial, policy: GatePolicy, guard: Guard, progress: Progress
) -> tuple[dict[str, Any], tuple[Beside, ...]]:
    rule, kind = trial.rule, trial.judged.kind
    positive = positive_of(trial.judged, policy) if rule.monotone and kind == "classes" else None
    worn = list(curves(trial, lambda _, share: progress("trying both models on corrupted rows", share)))
    progress("trying numbers at the edges")
    edged = list(edges(trial, guard.policy))
    related = list(relations(trial, positive, lambda _, share: progress("trying relations", share)))
    attacked = None
    notes = [_JPEG] if trial.sample.kind == "images" and images.without_pillow() else []
    if kind == "quantity":
        notes.append("no attack was tried: the models answer a quantity, which has no boundary")
    elif rule.attack_rows:
        attacked = attacks(trial, lambda _, share: progress("attacking both models", share))
        if attacked is None:
            notes.append("no attack was tried: both models are right on none of the rows")
        elif attacked["score"] is None:
            notes.append("no attack on scores was tried: a model gives none")
    report = {
        "kind": trial.sample.kind,
        "seed": rule.seed,
        "rows": len(trial.sample),
        "severity": rule.severity,
        "guard": guard.whose,
        "measure": trial.measure,
        "curves": [entry for entry, _ in worn],
        "edges": edged,
        "relations": [entry for entry, _ in related],
        "attacks": attacked,
        "notes": notes,
    }
    by_name = {entry["corruption"]: measure for entry, measure in worn if measure is not None}
    by_name |= {entry["relation"]: measure for entry, measure in related if measure is not None}
    judged = (Beside(by_name[name], rule.margins.get(name), rule.slice_margins.get(name)) for name in rule.judged)
    return report, tuple(judged)


def _pictures(dataset: Dataset, sample: Sample) -> Any:
    name = sample.inputs[0]

    def read(rows: Index) -> Floats:
        values = np.asarray(dataset.rows[name][rows], np.float64).reshape(len(rows), -1)
        return images.pictures(sample, values)

    return read
