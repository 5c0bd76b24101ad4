"""The gate from models and data: reads, asks both models, judges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edge_rai_converters.answered import Answered
from edge_rai_converters.data import Dataset, ImageOptions, Known, StoredRows
from edge_rai_converters.data.labels import Classes
from edge_rai_converters.data.named import counted, plain
from edge_rai_converters.errors import DataError
from edge_rai_converters.gaps import as_shown, may_be_nan
from edge_rai_converters.gate.answers import Labels, no_better, outputs_of, rows_of, shares_output
from edge_rai_converters.gate.attempts import Attempt, Look, take
from edge_rai_converters.gate.cells import GateReport
from edge_rai_converters.gate.certificate.certificate import Deployed
from edge_rai_converters.gate.certificate.deployed import admitted, own_limit
from edge_rai_converters.gate.judge import divided, judge
from edge_rai_converters.gate.losses import AnyShape, Loss, losses_of
from edge_rai_converters.gate.opening import Opened, open_model
from edge_rai_converters.gate.policy import load_gate_policy
from edge_rai_converters.gate.reading import (
    by_name,
    load_rows,
    open_columns,
    read_beside,
    read_columns,
    read_labels,
    sha256_of,
)
from edge_rai_converters.gate.robustness.guarded import Model, guard_of
from edge_rai_converters.gate.robustness.rules import RobustnessRule
from edge_rai_converters.gate.robustness.run import Robustness, Subjects, planned, robustness
from edge_rai_converters.gate.rows import Rows
from edge_rai_converters.gate.rules import AnswerRule, GatePolicy
from edge_rai_converters.given import DATA, Data, check_there, on_disk
from edge_rai_converters.given import Labels as GivenLabels
from edge_rai_converters.missing_values import check_known, may_be_missing
from edge_rai_converters.progress import Progress, silent
from edge_rai_converters.runner import feeds, is_batched, rows_are_independent
from edge_rai_converters.sample import sample_of
from edge_rai_converters.sources import SourceModel

_SHOWN = 8


@dataclass(frozen=True, eq=False, slots=True)
class Evaluated:
    """Both models, asked.

    Attributes:
        rows: What they decided.
        dataset: The rows as a device would be given them.
        shown: The same as the models see them: missing values are what the guard makes of them.
        original: The answers themselves; ``runner`` asks for others.
        candidate: The same of the candidate.
        facts: Names and digests.
        columns_sha256: Of a file of columns; empty without one.
        opened: Both models, the original first.
        labels: As they were written.
    """

    rows: Rows
    dataset: Dataset
    shown: Dataset
    original: Answered
    candidate: Answered
    facts: Mapping[str, Any]
    columns_sha256: str
    opened: tuple[Opened, Opened]
    labels: Labels


@dataclass(frozen=True, slots=True)
class Asked:
    """What is judged by what, beside two models, data and a policy.

    Attributes:
        labels: Of the rows; see ``data.load``.
        columns: A file with the columns that the policy names, one row a row; None: the data have them.
        losses: By name, functions of a model's answers to some rows and of their labels.
        images: What becomes of the pixels of a folder of images.
        feature_names: The columns of a table that a single input takes, in its order.
    """

    labels: str | Path | None = None
    columns: str | Path | None = None
    losses: Mapping[str, Loss] = field(default_factory=dict)
    images: ImageOptions | None = None
    feature_names: Sequence[str] | None = None


def gate(
    candidate: object,
    original: object,
    data: Data,
    policy: GatePolicy | str | Path,
    *,
    labels: GivenLabels = None,
    groups: str | Path | None = None,
    losses: Mapping[str, Loss] | None = None,
    images: ImageOptions | None = None,
    columns: Sequence[str] | None = None,
    now: datetime | None = None,
    progress: Progress = silent,
) -> GateReport:
    """Judges a candidate against its original.

    Args:
        candidate: A model or bundle, see ``opening.open_model``.
        original: Likewise; not in TFLite, as it says what the rows are.
        data: Rows that neither model learned from, nor anything was calibrated with; see ``data.load`` and ``given``.
        policy: Or its file.
        labels: Of the rows; see ``data.load``. Some may be missing, if the policy says so.
        groups: A file with the columns that the policy names; None: they are in the data.
        losses: By name, functions of (answers by output, labels) of some rows to a loss a row: for detection, or
            sequences, or whatever has no class.
        images: What becomes of the pixels of a folder of images.
        columns: Those of a table that a single input takes, in its order; None: by the names that one of the models
            has for them, and where neither has any in the table's order.
        now: Decides which waivers have expired; None: the clock does.
        progress: Told what happens next.

    Raises:
        DataError: The rows cannot be judged by this policy; says why.
        EdgeRaiError: A model or the policy is not valid.
        OSError: A file cannot be read.
    """
    moment = now or datetime.now(timezone.utc)
    if isinstance(policy, str | Path):
        policy = load_gate_policy(policy)
    if policy.holdout is not None and not isinstance(data, str | Path):
        raise DataError("sealed data are a file or folder, beside which their looks are counted; give its path")
    with on_disk(data, labels) as (path, known):
        asked = Asked(known, groups, losses or {}, images, columns)
        evaluated = evaluate(candidate, original, Path(path), policy, asked, progress)
        progress("judging")
        divided(evaluated.rows, policy)  # before a look is spent on a policy that does not fit these rows
        trial = None if policy.robustness is None else _trial(evaluated, policy, policy.robustness)
        deployed = _deployed(evaluated, policy)
        attempt = _attempt(Path(path), policy, evaluated, moment)
        alpha = None if attempt is None else policy.alpha / attempt.of
        facts = {**evaluated.facts, "attempt": None if attempt is None else asdict(attempt)}
        tried = None if trial is None else trial(progress)
        beside = () if tried is None else tried.judged
        report = judge(
            evaluated.rows, policy, today=_day(moment), alpha=alpha, facts=facts, deployed=deployed, beside=beside
        )
        named = (note for opened in evaluated.opened for note in opened.notes)
        said = (*named, *_by_place(evaluated, policy, asked), *no_better(evaluated.rows))
        further = {} if tried is None else tried.found
        return replace(report, further={**report.further, **further}, notes=(*report.notes, *said))


def evaluate(
    candidate: object, original: object, data: Path, policy: GatePolicy, asked: Asked, progress: Progress = silent
) -> Evaluated:
    """Asks both models.

    Args:
        candidate: See ``gate``.
        original: See ``gate``.
        data: A file or folder.
        policy: Names columns, and says how answers become decisions.
        asked: What else is known.
        progress: Told what happens next.

    Raises:
        DataError: As ``gate``.
        EdgeRaiError: As ``gate``.
    """
    check_there(data, DATA)
    progress("opening both models")
    held = open_columns(data)
    ours = open_model(candidate, sample_of(candidate, data, asked.labels, asked.feature_names))
    names = by_name(data, held, asked.feature_names, _known((ours,)))
    theirs = open_model(original, sample_of(original, data, asked.labels, names))
    source = _source(theirs, ours)
    raw, guard = read_labels(data, held, asked.labels), ours.guard or theirs.guard
    dataset = _dataset(data, held, source, policy, asked, (theirs, ours), progress)
    shown = replace(dataset, rows=as_shown(guard, dataset.rows))
    file = Path(asked.columns or data)
    columns = read_columns(file, open_columns(file) if asked.columns else held, read_beside(policy), dataset)
    labels = Labels(raw, _classes(theirs, ours, policy.answer), data, dataset.place)
    progress(f"asking both models about {len(dataset):,} rows")
    index = np.arange(len(dataset), dtype=np.int64)
    batched = is_batched(source, theirs.running, shown)
    calls = partial(feeds, shown.rows, index, batched=batched, most_rows=policy.answer.batch_rows)
    fixed = policy.answer.kind != "other"
    before = (Answered if fixed else AnyShape)(theirs.running, calls, batched=batched)
    if fixed:
        outputs_of(before, policy.answer)
    after = before.by(ours.running)
    rows = rows_of(before, after, labels, policy.answer, columns, losses_of(asked.losses, before, after, raw))
    digest = sha256_of(file) if asked.columns else ""
    facts = _facts(theirs, ours, data, dataset, policy)
    return Evaluated(rows, dataset, shown, before, after, facts, digest, (theirs, ours), labels)


def _dataset(
    data: Path,
    held: Mapping[str, StoredRows],
    source: SourceModel,
    policy: GatePolicy,
    asked: Asked,
    models: tuple[Opened, Opened],
    progress: Progress,
) -> Dataset:
    """The rows; values may be missing where a bundle's guard says so, or else where the models know what that means."""
    reading = f"reading {data}"
    progress(reading)
    guard = models[1].guard or models[0].guard
    dataset = load_rows(
        data,
        held,
        source.inputs,
        asked.labels,
        policy,
        images=asked.images,
        feature_names=asked.feature_names,
        known=_known(models),
        missing=may_be_missing(source, source.inputs) if guard is None else may_be_nan(guard),
        progress=lambda share: progress(reading, share),
    )
    for model in models if guard is None else ():
        if model.source is not None:
            check_known(data, model.source, dataset)
    return dataset


def _known(models: Sequence[Opened]) -> Known | None:
    """The columns that the models take, where one of them names them."""
    named = [opened for opened in models if opened.columns and not counted(opened.columns)]
    named = named or [opened for opened in models if opened.columns]
    if not named:
        return None
    first, last = named[0], named[-1]
    if tuple(map(plain, first.columns)) != tuple(map(plain, last.columns)):
        raise DataError(
            f"{last.name} takes the columns {', '.join(last.columns)}, and {first.name} {', '.join(first.columns)}; "
            "give two models that take the same rows"
        )
    return Known(first.columns, f"{first.name if first.held is None else first.held.path.name} takes")


def _by_place(evaluated: Evaluated, policy: GatePolicy, asked: Asked) -> Sequence[str]:
    """That columns were taken as they stand, and others left: one with a word among its numbers is not taken."""
    dataset, elsewhere = evaluated.dataset, {*read_beside(policy), str(asked.labels)}
    left = [name for name in dataset.not_taken if dataset.feature_names and name not in elsewhere]
    if asked.feature_names or not left or any(opened.columns for opened in evaluated.opened):
        return ()
    said = (
        f"neither model has names for its columns, and these were taken in the data's order: "
        f"{_listed(dataset.feature_names or ())}; not taken: {_listed(left)}; where that is not what the models were "
        "fitted with, name them (--columns)"
    )
    return (said,)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" * (len(names) > _SHOWN)
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _classes(original: Opened, candidate: Opened, rule: AnswerRule) -> Classes | None:
    """As the models have them; by the names that a bundle has for them, unless the policy names them."""
    known = original.classes
    names = original.class_names or candidate.class_names
    if names and not rule.classes and known in (None, tuple(range(len(names)))):
        return names
    return known


def _trial(evaluated: Evaluated, policy: GatePolicy, rule: RobustnessRule) -> Callable[[Progress], Robustness]:
    """What tries both models, once the rule is known to fit these rows."""
    rows, (theirs, ours) = evaluated.shown.rows, evaluated.opened
    models = []
    for opened, answered in ((theirs, evaluated.original), (ours, evaluated.candidate)):
        source = opened.source or _source(theirs, ours)
        independent = rows_are_independent(answered.runner, rows, batched=answered.batched)
        models.append(Model(opened.content, opened.format, source.inputs, source.outputs, answered, independent))
    dataset, labels, (before, after) = evaluated.shown, evaluated.labels, models
    subjects = Subjects(evaluated.rows, dataset, labels, before, after, series=dataset)
    sample = planned(subjects, policy, rule)
    guard = guard_of((("candidate", ours.held), ("original", theirs.held)), models[0], sample)
    return partial(robustness, subjects, policy, rule, sample, guard)


def _source(original: Opened, candidate: Opened) -> SourceModel:
    """What says what rows both take."""
    source = original.source
    if source is None:
        raise DataError(f"{original.name}: a TFLite model does not say what rows it takes; give what it was made from")
    if candidate.source is not None:
        wanted, given = (
            {spec.name: (spec.dtype, spec.shape[1:]) for spec in model.inputs} for model in (source, candidate.source)
        )
        if wanted != given:
            raise DataError(
                f"{candidate.name} takes {_inputs(candidate.source)}, and {original.name} {_inputs(source)}; "
                "give two models that take the same rows"
            )
    return source


def _inputs(model: SourceModel) -> str:
    return ", ".join(
        f"{spec.name!r} ({spec.dtype}, {' x '.join('any' if size is None else str(size) for size in spec.shape)})"
        for spec in model.inputs
    )


def _facts(original: Opened, candidate: Opened, data: Path, dataset: Dataset, policy: GatePolicy) -> Mapping[str, Any]:
    return {
        "original": {"name": original.name, "sha256": original.sha256},
        "candidate": {"name": candidate.name, "sha256": candidate.sha256},
        "data": {"name": data.name, "sha256": dataset.sha256, "rows": len(dataset)},
        "policy_sha256": digest_of(policy),
        "batch_rows": policy.answer.batch_rows,
        "candidate_threshold": policy.answer.candidate_threshold,
    }


def digest_of(policy: GatePolicy) -> str:
    """Of what a policy says about judging, hex: waivers and documents are none of that."""
    said = {key: value for key, value in asdict(policy).items() if key not in ("waivers", "required")}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=dict).encode()).hexdigest()


def _deployed(evaluated: Evaluated, policy: GatePolicy) -> Deployed:
    """Of a bundle what its guard lets through; a model by itself has none."""
    held, guard = evaluated.opened[1].held, evaluated.opened[1].guard
    if policy.certificate is None or held is None or guard is None:
        return Deployed()
    rows, index = evaluated.dataset.rows, np.arange(len(evaluated.rows), dtype=np.int64)
    files = {path: held.files[path] for path in held.manifest.files}
    through = admitted(files, held.manifest, guard, rows, index, policy.answer.batch_rows)
    rule, limit = policy.certificate.abstention, None
    if rule is not None:
        output, _ = shares_output(evaluated.original, policy.answer)
        limit = own_limit(guard, output, rule.score)
    return Deployed(through, () if limit is None else (limit,))


def _attempt(data: Path, policy: GatePolicy, evaluated: Evaluated, now: datetime) -> Attempt | None:
    if policy.holdout is None:
        return None
    facts = evaluated.facts
    digests = hashlib.sha256(f"{facts['policy_sha256']}{evaluated.columns_sha256}".encode()).hexdigest()
    look = Look(facts["candidate"]["sha256"], facts["original"]["sha256"], digests, evaluated.dataset.sha256)
    return take(data, policy.holdout, look, now)


def _day(moment: datetime) -> date:
    return moment.date()
