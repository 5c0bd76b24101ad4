"""The conversion: read, profile, make candidates, measure, choose, rehearse, write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_rai.bundle import Format, Manifest, write_bundle
from edge_rai.policy.order import OF_ORDER, without
from edge_rai_converters import card
from edge_rai_converters.assemble import Assembled, assembled
from edge_rai_converters.audit import AuditReport, audit_dataset
from edge_rai_converters.candidates import Forms, make_candidates, with_costs
from edge_rai_converters.choose import Budgets, Choice, choose
from edge_rai_converters.compare import Comparison
from edge_rai_converters.conversion import ConversionReport
from edge_rai_converters.data import ImageOptions
from edge_rai_converters.delays import found_delays
from edge_rai_converters.distance import Asked
from edge_rai_converters.documents.facts import DRIFT_FILE, Found, Json
from edge_rai_converters.documents.required import read_papers
from edge_rai_converters.documents.written import add_documents
from edge_rai_converters.doubts import doubts
from edge_rai_converters.evidence import Evidence
from edge_rai_converters.fallback import Fallback, read_fallback
from edge_rai_converters.formats import Layout
from edge_rai_converters.gate import GateReport, load_gate_policy
from edge_rai_converters.gate.inside import Gatekeeper, evidence_of
from edge_rai_converters.gate.losses import Loss
from edge_rai_converters.given import Data, Labels, Times, on_disk
from edge_rai_converters.learning import Learned, learn
from edge_rai_converters.observed import with_observed
from edge_rai_converters.order import Order, make_order
from edge_rai_converters.passes.contract import Target
from edge_rai_converters.progress import Progress, silent
from edge_rai_converters.recipes import Prune, Quantize
from edge_rai_converters.rehearsal import FalseRejections, rehearse, unwatched
from edge_rai_converters.wishes import Wishes

DEFAULT_MAX_DROP = 1.0


def convert(
    model: object,
    data: Data,
    output: str | Path,
    *,
    labels: Labels = None,
    images: ImageOptions | None = None,
    columns: Sequence[str] | None = None,
    policy: str | Path | None = None,
    states: Sequence[str] = (),
    distance: Asked | None = None,
    false_rejection_rate: float | None = None,
    average_run_length: float | None = None,
    ordered: bool = False,
    times: Times = None,
    fallback_model: str | Path | None = None,
    prune: Prune = "auto",
    quantize: Quantize = "auto",
    max_drop: float = DEFAULT_MAX_DROP,
    budget_ms: float | None = None,
    budget_bytes: int | None = None,
    target: str = "onnx",
    gate: str | Path | None = None,
    groups: str | Path | None = None,
    losses: Mapping[str, Loss] | None = None,
    risk: str | Path | None = None,
    datasheet: str | Path | None = None,
    layout: Layout = "keep",
    edges: str = "float",
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
        labels: A key or column of the data, a file, or an array with the class of each row; of a gate whose
            ``[answer] kind`` is no class, with what that says.
        images: What becomes of the pixels of a folder of images.
        columns: Those of a table that a single input takes, in its order.
        policy: Rules to use instead of learned ones.
        states: Recurrent states, "INPUT=OUTPUT" each; a policy has its own.
        distance: Which distance to learn; None: "auto", or what the policy says.
        false_rejection_rate: Of the distance; None: 0.01, or what the policy says.
        average_run_length: Rows from one false alarm of drift to the next, at least; None: drift is not watched.
        ordered: Whether rows of the data are in the order in which they came, which that takes.
        times: When: a key or column of the data, a file, or an array, of seconds since 1970 or ISO 8601.
        fallback_model: An ONNX file: a simpler model of the same inputs and outputs that answers rejected rows.
        prune: ``auto`` tries and keeps what pays; the share of channels to remove, 0 to 1, insists; ``none``.
        quantize: ``auto`` tries static int8 and keeps it where it pays; ``int8``, ``int8-dynamic``, ``fp16``, ``int4``
            (ONNX only) and ``int16`` (TFLite only, and never without its measured price) insist; ``none``.
        max_drop: Greatest loss of accuracy on the held-back rows, percentage points; without labels, of agreement with
            the float model, where one point more is allowed.
        budget_ms: Greatest median latency of a call with one row, on this machine and one thread; None: any.
        budget_bytes: Greatest size of the model file; None: any.
        target: ``onnx``, ``tflite`` or ``onnx,tflite``: the formats in which the bundle has the model, each chosen from
            candidates of its own. TFLite needs the extra ``tflite``.
        gate: A policy of the release gate: only candidates that pass it on the held-back rows may be chosen.
        groups: A file with the columns that it names, as many rows as the data; None: the data have them.
        losses: By name, functions of (answers by output, labels) of some rows to a loss a row, for a policy of the gate
            that has a margin for it.
        risk: A questionnaire: what the model is for, what it can do to people, and what may change; makes a class of
            risk, which makes documents mandatory.
        datasheet: A questionnaire: where the data come from; makes datasheet.md.
        layout: ``nhwc``: the bundle takes images with their channels last, in TFLite without a transposition; ``keep``:
            as the model that was given. The data are as that model takes them in either case.
        edges: ``int8``: inputs and outputs of a TFLite model in int8 are of that type too, for what computes with
            integers alone; a session still takes and gives floats. ``float``: they are floats.
        target_cpu: What the bundle is for; on ARM activations of ONNX models are signed.
        recipes: Files with further recipes (see recipes/ in the package); their candidates may be chosen too.
        seed: Of whatever draws. Equal arguments and seed make equal models, and where no latency decides, equal
            choices.
        reproducible: Measure no times and no memory, so that the whole bundle is the same whenever it is made.
        name: Of the bundle; the output's when absent.
        progress: Told what happens next.

    Raises:
        AccuracyDropError: What was insisted on is not to be had within ``max_drop``.
        BudgetError: Nothing keeps the budgets of latency and size.
        EdgeRaiError: As ``learn``; UnsupportedModelError where the model has no form in a target's format.
        FileExistsError: The output exists and is not a bundle.
        ValueError: As ``learn``; or max_drop is not finite; or ``name`` has other characters than letters, digits,
            '.', '_' and '-'.
    """
    rules = None if gate is None else load_gate_policy(gate)
    papers = read_papers(risk, datasheet, rules)
    papers.refuse_early(rules, labelled=_labelled(data, labels))
    order = make_order(
        output,
        name,
        target,
        prune=prune,
        quantize=quantize,
        recipes=recipes,
        budgets=Budgets(max_drop, budget_ms, budget_bytes),
        layout=layout,
        edges=edges,
        target_cpu=target_cpu,
        seed=seed,
        reproducible=reproducible,
        fallback_model=fallback_model,
        papers=papers,
    )
    with on_disk(data, labels) as (data_path, known):
        wishes = Wishes(
            labels=known,
            as_truths=rules is not None and rules.answer.of_truths,
            policy=policy,
            states=tuple(states),
            distance=distance,
            rate=false_rejection_rate,
            fallback_model=fallback_model,
            images=images,
            columns=columns,
            average_run_length=average_run_length,
            ordered=ordered,
            times=times,
            targets=order.targets,
            layout=layout,
        )
        learned = learn(model, data_path, wishes, progress)
        today = datetime.now(timezone.utc).date()
        keeper = None if rules is None else Gatekeeper(learned, rules, groups or data_path, today, losses or {})
        return _converted(learned, order, keeper, progress)


def _converted(learned: Learned, order: Order, keeper: Gatekeeper | None, progress: Progress) -> ConversionReport:
    progress("auditing the data")
    states = [state.input for state in learned.policy.states]
    audited = audit_dataset(learned.dataset, learned.calibration, learned.held_back, without=states)
    forms = make_candidates(learned, order.with_floats(), order.defaults, order.target_cpu, progress)
    audited = replace(audited, findings=(*doubts(learned, forms), *audited.findings))
    forms, judged = (forms, None) if keeper is None else keeper.passing(forms, progress)
    if not order.reproducible:
        progress("measuring what each candidate costs")
        forms = with_costs(forms, learned)
    choices = {target: _chosen(forms, target, order) for target in order.targets}
    apart = _apart(forms, choices)
    fallback = None if order.fallback_model is None else read_fallback(order.fallback_model, learned, order.targets)
    reports = {} if judged is None else {target: judged[choice.recipe] for target, choice in choices.items()}
    certified = learned if keeper is None else keeper.kept(reports)
    if certified.policy.observe:
        progress("learning what the bundle observes of held-back rows")
        calm = replace(certified, policy=unwatched(certified.policy))  # a watch needs the references first
        certified = _observing(certified, assembled(calm, forms, choices, fallback, order.name))
    made = assembled(certified, forms, choices, fallback, order.name)
    progress("rehearsing: loading the bundle as a device does, and showing its guard the held-back rows")
    shown = replace(learned.policy, drift=certified.policy.drift)
    verdicts = rehearse(made.files, made.manifest, shown, learned.dataset.rows, learned.held_back)
    gated = {} if keeper is None else evidence_of(keeper.promised(forms, certified, reports))
    evidence = Evidence(learned, forms, choices, apart, fallback, verdicts, order.budgets, order.defaults["seed"])
    written = card.Written(made.manifest, certified, forms, choices, apart, fallback, verdicts, audited)
    drift = found_delays(made.files, made.manifest, certified, progress)
    write_bundle(order.output, made.files, _documented(made, evidence, written, gated, drift, order))
    report = _report(order.output, learned, forms, choices, apart, fallback, made.manifest, verdicts, audited)
    return replace(report, gate=gated)


def _documented(
    made: Assembled,
    evidence: Evidence,
    written: card.Written,
    gated: Mapping[str, GateReport],
    drift: Json | None,
    order: Order,
) -> Manifest:
    """Puts evidence and documents beside the bundle's files; the manifest that promises them."""
    audited, learned = written.audited, written.learned
    made.files["evidence/candidates.json"] = evidence.candidates_json()
    made.files["evidence/audit.json"] = _json(audited.as_json())
    made.files.update({path: _json(entry.as_json()) for path, entry in gated.items()})
    if drift is not None:
        made.files[DRIFT_FILE] = _json(drift)
    made.files["evidence/report.html"] = evidence.report_html(order.name)
    facts = Found(
        manifest=made.manifest,
        policy=learned.policy,
        candidates=json.loads(made.files["evidence/candidates.json"]),
        audit=audited.as_json(),
        gates={path: entry.as_json() for path, entry in gated.items()},
        drift=drift,
        risk=order.papers.risk,
        task=card.task_of(learned, written.forms),
    )
    return add_documents(made.files, made.manifest, facts, order.papers, written.card)


def _observing(learned: Learned, made: Assembled) -> Learned:
    """With references of what the finished bundle observes."""
    timeless, _ = without(learned.policy, OF_ORDER)
    rules, reference = with_observed(
        timeless,
        learned.reference,
        made.files,
        made.manifest,
        learned.dataset.rows,
        learned.held_back,
        None if learned.dataset.labels is None else learned.dataset.labels[learned.held_back],
    )
    return replace(learned, policy=replace(learned.policy, drift=rules.drift), reference=reference)


def _chosen(forms: Forms, target: Format, order: Order) -> Choice:
    asked = [book.name for book in order.books if book.target == target]
    failed = {name: why for name, why in forms.failed.items() if name in asked}
    return choose(forms.of(target), failed, asked, order.budgets, order.wish)


def _apart(forms: Forms, choices: Mapping[Format, Choice]) -> Comparison | None:
    """How far the chosen models are apart, where there are two."""
    if len(choices) == 1:
        return None
    return forms.compared(forms.running(choices["tflite"].recipe), forms.running(choices["onnx"].recipe))


def _labelled(data: Data, labels: Labels) -> bool:
    """Whether somebody said of each row what is right; of images their folders say so."""
    if labels is None:
        return isinstance(data, str | Path) and Path(data).is_dir()
    return not (isinstance(labels, str) and labels == "none")


def _report(
    output: Path,
    learned: Learned,
    forms: Forms,
    choices: Mapping[Format, Choice],
    apart: Comparison | None,
    fallback: Fallback | None,
    manifest: Manifest,
    verdicts: FalseRejections,
    audited: AuditReport,
) -> ConversionReport:
    return ConversionReport(
        output=output,
        name=manifest.name,
        batched=learned.policy.batched,
        rows_independent=manifest.primary.rows_independent,
        features=sum(len(rule.features) for rule in learned.policy.inputs),
        calibration_rows=len(learned.calibration),
        candidates=forms.candidates,
        choices=choices,
        apart=apart,
        false_rejections=verdicts,
        distances=learned.distances,
        without_distance=learned.without_distance,
        fallback=fallback,
        unrecorded=learned.unrecorded,
        columns=learned.columns,
        drift=learned.policy.drift,
        not_taken=learned.dataset.not_taken,
        audit=audited,
    )


def _json(document: Any) -> bytes:
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")
