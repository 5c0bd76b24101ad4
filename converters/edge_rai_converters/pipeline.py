"""The conversion: read, profile, make candidates, measure, choose, rehearse, write."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import edge_rai
from edge_rai.bundle import (
    FORMAT_VERSION,
    Manifest,
    ModelFile,
    Provenance,
    Quantization,
    check_replaceable,
    write_bundle,
)
from edge_rai.policy import compile_policy, policy_to_toml
from edge_rai_converters import card
from edge_rai_converters import recipes as recipe_books
from edge_rai_converters.audit import AuditReport, Finding, audit_dataset
from edge_rai_converters.candidates import Candidate, Forms, make_candidates, with_costs
from edge_rai_converters.choose import Budgets, Choice, choose
from edge_rai_converters.data import ImageOptions
from edge_rai_converters.distance import Asked, DistanceReport
from edge_rai_converters.evidence import Evidence
from edge_rai_converters.fallback import Fallback, read_fallback
from edge_rai_converters.given import Data, Labels, on_disk
from edge_rai_converters.golden import golden
from edge_rai_converters.learning import Learned, Wishes, learn
from edge_rai_converters.passes.contract import Target
from edge_rai_converters.progress import Progress, silent
from edge_rai_converters.recipes import Prune, Quantize, Recipe
from edge_rai_converters.rehearsal import FalseRejections, rehearse
from edge_rai_converters.runner import Runner
from edge_rai_converters.version import VERSION

DEFAULT_MAX_DROP = 1.0
_TOOLS = ("numpy", "onnx", "onnxruntime")
_REQUIREMENTS = {"edge_rai": ">=0.1", "onnxruntime": ">=1.17"}


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion did and measured.

    Attributes:
        output: The bundle.
        name: Of the bundle.
        batched: The model answers row by row.
        rows_independent: A row's answer was bit-identical whatever its batch mates were.
        features: Number of features with rules.
        calibration_rows: Rows learned from.
        candidates: Float first.
        choice: What went into the bundle, why, and why nothing else did.
        false_rejections: What the guard said of the held-back rows.
        distances: What is behind each input's distance.
        without_distance: By input, why it has none.
        fallback: The fallback model on the held-back rows.
        unrecorded: Outputs that are no tensors of numbers: they are not compared and have no golden vectors.
        audit: Of the data.
    """

    output: Path
    name: str
    batched: bool
    rows_independent: bool
    features: int
    calibration_rows: int
    candidates: tuple[Candidate, ...]
    choice: Choice
    false_rejections: FalseRejections
    distances: tuple[DistanceReport, ...]
    without_distance: Mapping[str, str]
    fallback: Fallback | None
    unrecorded: tuple[str, ...]
    audit: AuditReport

    def as_json(self) -> dict[str, Any]:
        """For documents."""
        return {
            "output": str(self.output),
            "name": self.name,
            "batched": self.batched,
            "rows_independent": self.rows_independent,
            "features": self.features,
            "calibration_rows": self.calibration_rows,
            "candidates": [entry.as_json() for entry in self.candidates],
            "choice": asdict(self.choice),
            "false_rejections": asdict(self.false_rejections),
            "distances": [asdict(entry) for entry in self.distances],
            "without_distance": dict(self.without_distance),
            "fallback": self.fallback.as_json() if self.fallback else None,
            "unrecorded": list(self.unrecorded),
            "audit": self.audit.as_json(),
        }

    @property
    def chosen(self) -> Candidate:
        """What went into the bundle."""
        return next(entry for entry in self.candidates if entry.recipe == self.choice.recipe)


def convert(
    model: object,
    data: Data,
    output: str | Path,
    *,
    labels: Labels = None,
    images: ImageOptions | None = None,
    feature_names: Sequence[str] | None = None,
    policy: str | Path | None = None,
    states: Sequence[str] = (),
    distance: Asked | None = None,
    false_rejection_rate: float | None = None,
    fallback_model: str | Path | None = None,
    prune: Prune = "auto",
    quantize: Quantize = "auto",
    max_drop: float = DEFAULT_MAX_DROP,
    budget_ms: float | None = None,
    budget_bytes: int | None = None,
    target_cpu: Target = "x86",
    recipes: Sequence[str | Path] = (),
    seed: int = 0,
    reproducible: bool = False,
    name: str | None = None,
    progress: Progress = silent,
) -> ConversionReport:
    """Makes a bundle.

    Args:
        model: A file or an object, see ``sources.read``; it is not modified.
        data: Reference rows: a file or folder, see ``data.load``, or what is in memory, see ``given.on_disk``; one of
            every four is held back for comparison.
        output: ``NAME.erai`` for one file, anything else for a directory.
        labels: A key or column of the data, a file, or an array with the class of each row.
        images: What becomes of the pixels of a folder of images.
        feature_names: The columns of a table that a single input takes, in its order.
        policy: Rules to use instead of learned ones.
        states: Recurrent states, "INPUT=OUTPUT" each; a policy has its own.
        distance: Which distance to learn; None: "auto", or what the policy says.
        false_rejection_rate: Of the distance; None: 0.01, or what the policy says.
        fallback_model: An ONNX file: a simpler model of the same inputs and outputs that answers rejected rows.
        prune: ``auto`` tries and keeps what pays; the share of channels to remove, 0 to 1, insists; ``none``.
        quantize: ``auto`` tries static int8 and keeps it where it pays; ``int8``, ``int8-dynamic``, ``fp16`` and
            ``int4`` insist; ``none``.
        max_drop: Greatest loss of accuracy on the held-back rows, percentage points; without labels, of agreement with
            the float model, where one point more is allowed.
        budget_ms: Greatest median latency of a call with one row, on this machine and one thread; None: any.
        budget_bytes: Greatest size of the model file; None: any.
        target_cpu: What the bundle is for; on ARM activations are signed.
        recipes: Files with further recipes (see recipes/ in the package); their candidates may be chosen too.
        seed: Of whatever draws. Equal arguments and seed make equal models, and where no latency decides, equal
            choices.
        reproducible: Measure no times and no memory, so that the whole bundle is the same whenever it is made.
        name: Of the bundle; the output's when absent.
        progress: Told what happens next.

    Raises:
        AccuracyDropError: What was insisted on is not to be had within ``max_drop``.
        BudgetError: Nothing keeps the budgets of latency and size.
        EdgeRaiError: As ``learn``.
        FileExistsError: The output exists and is not a bundle.
        ValueError: As ``learn``; or max_drop is not finite; or ``name`` has other characters than letters, digits,
            '.', '_' and '-'.
    """
    target = Path(output)
    check_replaceable(target)
    _check_writable(target)
    budgets = _budgets(max_drop, budget_ms, budget_bytes, reproducible)
    if target_cpu not in get_args(Target):
        raise ValueError(f"target_cpu is {target_cpu!r}; expected one of {', '.join(get_args(Target))}")
    books = _all_books(prune, quantize, recipes)
    keep = prune if isinstance(prune, str) else 1 - prune
    defaults = {"max_drop": max(0.0, max_drop), "seed": seed, "keep": keep}
    for book in books:
        book.passes(defaults)  # refuses what no pass takes, before anything is made
    order = _Order(
        target=target,
        name=_bundle_name(target, name),
        books=books,
        defaults=defaults,
        target_cpu=target_cpu,
        budgets=budgets,
        wish=_wish(prune, quantize),
        reproducible=reproducible,
        fallback_model=fallback_model,
    )
    with on_disk(data, labels) as (data_path, known):
        wishes = Wishes(
            labels=known,
            policy=policy,
            states=tuple(states),
            distance=distance,
            rate=false_rejection_rate,
            fallback_model=fallback_model,
            images=images,
            feature_names=feature_names,
        )
        return _converted(learn(model, data_path, wishes, progress), order, progress)


@dataclass(frozen=True, eq=False, slots=True)
class _Order:
    """What is to be done with what was learned, all of it checked."""

    target: Path
    name: str
    books: Sequence[Recipe]
    defaults: Mapping[str, Any]
    target_cpu: Target
    budgets: Budgets
    wish: str
    reproducible: bool
    fallback_model: str | Path | None


def _converted(learned: Learned, order: _Order, progress: Progress) -> ConversionReport:
    progress("auditing the data")
    states = [state.input for state in learned.policy.states]
    audited = audit_dataset(learned.dataset, learned.calibration, learned.held_back, without=states)
    forms = make_candidates(learned, order.books, order.defaults, order.target_cpu, progress)
    if forms.doubt:
        advice = "Number the labels as the model numbers its classes, or give none"
        doubt = Finding("labels_unlike_answers", "error", forms.doubt, advice)
        audited = replace(audited, findings=(doubt, *audited.findings))
    if not order.reproducible:
        progress("measuring what each candidate costs")
        forms = with_costs(forms, learned)
    asked = [book.name for book in order.books]
    choice = choose(forms.candidates, forms.failed, asked, order.budgets, order.wish)
    fallback = None if order.fallback_model is None else read_fallback(order.fallback_model, learned)
    made = _made(learned, forms, choice, fallback, order.name)
    progress("rehearsing: loading the bundle as a device does, and showing its guard the held-back rows")
    verdicts = rehearse(made.files, made.manifest, learned.policy, learned.dataset.rows, learned.held_back)
    evidence = Evidence(learned, forms, choice, fallback, verdicts, order.budgets, order.defaults["seed"])
    made.files["evidence/candidates.json"] = evidence.candidates_json()
    made.files["evidence/audit.json"] = _json(audited.as_json())
    made.files["evidence/report.html"] = evidence.report_html(order.name)
    made.files["card.md"] = card.card(made.manifest, learned, forms, choice, fallback, verdicts)
    write_bundle(order.target, made.files, made.manifest)
    return _report(order.target, learned, forms, choice, fallback, made.manifest, verdicts, audited)


def _budgets(max_drop: float, budget_ms: float | None, budget_bytes: int | None, reproducible: bool) -> Budgets:
    if not math.isfinite(max_drop):
        raise ValueError(f"max_drop is {max_drop}; expected a number of percentage points")
    if budget_ms is not None and not 0 < budget_ms < math.inf:
        raise ValueError(f"budget_ms is {budget_ms}; expected a number of milliseconds above 0")
    if budget_ms is not None and reproducible:
        raise ValueError("a budget of latency needs times, and a reproducible bundle has none; leave one of them out")
    if budget_bytes is not None and budget_bytes <= 0:
        raise ValueError(f"budget_bytes is {budget_bytes}; expected a number of bytes above 0")
    return Budgets(max_drop, budget_ms, budget_bytes)


def _all_books(prune: Prune, quantize: Quantize, users: Sequence[str | Path]) -> list[Recipe]:
    built_in = recipe_books.built_in()
    names = {book.name for book in built_in}
    books = recipe_books.chosen(built_in, prune, quantize)
    for path in users:
        book = recipe_books.read(path)
        if book.name in names:
            raise ValueError(f"{path}: there is another recipe {book.name!r}; give this one a name of its own")
        names.add(book.name)
        books.append(book)
    return books


def _check_writable(target: Path) -> None:
    """Early, because what is written comes after minutes of work."""
    there = next(parent for parent in target.absolute().parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{target} cannot be written: {there} is not a directory that may be written to")


def _wish(prune: Prune, quantize: Quantize) -> str:
    """What was asked for, in words."""
    pruned = f"removing {prune:.0%} of the channels" if not isinstance(prune, str) else ""
    quantized = quantize if quantize not in ("auto", "none") else ""
    return " with ".join(filter(None, (quantized, pruned))) or "float"


def _report(
    target: Path,
    learned: Learned,
    forms: Forms,
    choice: Choice,
    fallback: Fallback | None,
    manifest: Manifest,
    verdicts: FalseRejections,
    audited: AuditReport,
) -> ConversionReport:
    return ConversionReport(
        output=target,
        name=manifest.name,
        batched=learned.policy.batched,
        rows_independent=manifest.primary.rows_independent,
        features=sum(len(rule.features) for rule in learned.policy.inputs),
        calibration_rows=len(learned.calibration),
        candidates=forms.candidates,
        choice=choice,
        false_rejections=verdicts,
        distances=learned.distances,
        without_distance=learned.without_distance,
        fallback=fallback,
        unrecorded=learned.unrecorded,
        audit=audited,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Made:
    manifest: Manifest
    files: dict[str, bytes]


def _made(learned: Learned, forms: Forms, choice: Choice, fallback: Fallback | None, name: str) -> _Made:
    chosen = next(entry for entry in forms.candidates if entry.recipe == choice.recipe)
    model = forms.models[chosen.recipe]
    vectors, files = golden(
        Runner(model, chosen.recipe), learned.policy, learned.shown, learned.held_back, chosen.quantization
    )  # fmt: skip
    path = f"models/{name}.onnx" if chosen.recipe == recipe_books.FLOAT else f"models/{name}.{chosen.recipe}.onnx"
    models = [_model_file("primary", path, model, chosen.quantization, chosen.rows_independent, chosen.recipe)]
    files[path] = model
    if fallback:
        path = f"models/{name}.fallback.onnx"
        independent = fallback.rows_independent
        models.append(_model_file("fallback", path, fallback.data, "none", independent, recipe_books.FLOAT))
        files[path] = fallback.data
    files["policy.toml"] = policy_to_toml(learned.policy).encode()
    files["guard.bin"] = compile_policy(learned.policy, learned.reference)
    files["reference/reference.json"] = learned.reference.to_json()
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        models=tuple(models),
        inputs=learned.source.inputs,
        outputs=learned.source.outputs,
        golden=vectors,
        provenance=Provenance(
            source_name=learned.source.path.name,
            source_sha256=learned.source.sha256,
            data_sha256=learned.dataset.sha256,
            preparation=dict(learned.dataset.preparation),
            tools={
                "edge-rai": edge_rai.__version__,
                "edge-rai-converters": VERSION,
                **{tool: version(tool) for tool in _TOOLS},
            },
        ),
        requirements=_REQUIREMENTS,
    )
    return _Made(manifest, files)


def _model_file(
    role: Literal["primary", "fallback"],
    path: str,
    model: bytes,
    quantization: Quantization,
    independent: bool,
    recipe: str,
) -> ModelFile:
    digest = hashlib.sha256(model).hexdigest()
    return ModelFile(role, path, "onnx", quantization, independent, digest, len(model), recipe)


def _json(document: Any) -> bytes:
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _bundle_name(output: Path, name: str | None) -> str:
    if name is None:
        return re.sub(r"[^A-Za-z0-9._-]", "-", output.name.removesuffix(".erai")).lstrip(".") or "model"
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError(f"name {name!r} must be letters, digits, '.', '_' and '-', and not begin with '.'")
    return name
