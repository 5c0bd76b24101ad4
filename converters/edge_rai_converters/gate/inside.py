"""The gate inside a conversion: a candidate that does not pass on the held-back rows is not chosen."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from edge_rai.bundle import Format
from edge_rai.errors import EdgeRaiError, PolicyError, UnsupportedModelError
from edge_rai.policy import Policy
from edge_rai_converters.answered import Answered
from edge_rai_converters.assemble import Assembled, assembled
from edge_rai_converters.candidates import Candidate, Forms
from edge_rai_converters.choose import Choice
from edge_rai_converters.data import Array
from edge_rai_converters.data.labels import Classes, model_classes, model_numbers
from edge_rai_converters.errors import AccuracyDropError, DataError
from edge_rai_converters.gate.answers import Labels, rows_of, shares_output
from edge_rai_converters.gate.cells import GateReport
from edge_rai_converters.gate.certificate.certificate import Deployed, choosing, order
from edge_rai_converters.gate.certificate.deployed import admitted, own_limit, with_limit
from edge_rai_converters.gate.judge import judge
from edge_rai_converters.gate.losses import Loss, losses_of
from edge_rai_converters.gate.reading import open_columns, read_beside, read_columns
from edge_rai_converters.gate.robustness.inside import Inside, prepared
from edge_rai_converters.gate.robustness.run import Robustness
from edge_rai_converters.gate.rows import Mask, Rows
from edge_rai_converters.gate.rules import AnswerRule, GatePolicy
from edge_rai_converters.gate.run import digest_of
from edge_rai_converters.gate.slices import Index, make_slices
from edge_rai_converters.learning import Learned
from edge_rai_converters.progress import Progress
from edge_rai_converters.recipes import FLOAT, FLOATS
from edge_rai_converters.refit import Rethreshold
from edge_rai_converters.runner import feeds
from edge_rai_converters.words import number_of

# More rows say little more of one threshold.
_MOST_ROWS = 4096
_DECIDE_SO = (
    "the candidate is judged where it decides for class 1 above a probability of {:.6g}, fitted again on rows that "
    "calibrate; decide so on a device too"
)
_SAME = "what is released is the original itself, so that nothing changed"


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """Some rows of the data, and what the original answers to them."""

    index: Index
    columns: Mapping[str, Array]
    labels: Labels
    original: Answered


@dataclass(frozen=True, eq=False, slots=True)
class _Judging:
    """A candidate's answers, how they became decisions, and what judges them, with or without what robustness found."""

    answered: Answered
    rule: AnswerRule
    judged: Callable[..., GateReport]


class Gatekeeper:
    """Judges the candidates of one conversion.

    Args:
        learned: The original with its data.
        policy: See docs/formats/gate.md.
        columns: A file with the columns that the policy names, one row a row of all data.
        today: Decides which waivers have expired.
        losses: By name, functions of a model's answers to some rows and of their labels.

    Raises:
        PolicyError: The policy's data are sealed: a conversion looks more than once. Or the held-back rows cannot be
            judged by it; found before any candidate is made.
        MissingFileError: The file with the columns is not there.
    """

    def __init__(
        self, learned: Learned, policy: GatePolicy, columns: str | Path, today: date, losses: Mapping[str, Loss]
    ) -> None:
        self.policy, self._losses = policy, losses
        if policy.holdout is not None:
            raise PolicyError(
                "sealed data are for edge-rai gate, which looks once; leave [holdout] out of a conversion"
            )
        self._learned, self._today = learned, today
        try:
            self._read(Path(columns))
        except DataError as error:
            raise PolicyError(f"the gate's policy cannot be held to these data: {error}") from error

    def _read(self, file: Path) -> None:
        learned = self._learned
        rows, index = learned.dataset, learned.held_back
        wanted = read_beside(self.policy)
        found = read_columns(file, open_columns(file) if wanted else {}, wanted, rows)
        self._held_back = self._part(index, found, file)
        self._notes = () if self.policy.clusters is None else _shared(found[self.policy.clusters], learned)
        self._learned_on = self._part(learned.calibration[:_MOST_ROWS], found, file)
        self._judged(self._held_back.original, learned.source.data, FLOAT)  # refuses what no candidate could keep
        self._inside = self._prepared()

    def _prepared(self) -> Inside | None:
        rule, part = self.policy.robustness, self._held_back
        if rule is None:
            return None
        return prepared(self._learned, self.policy, rule, self._rows(part.original), part.labels, part.original)

    def _part(self, index: Index, columns: Mapping[str, Array], file: Path) -> _Part:
        learned = self._learned
        rows, batched = learned.dataset, learned.policy.batched
        given = rows.labels if rows.truths is None else rows.truths
        labels = Labels(
            None if given is None else given[index],
            _classes(learned),
            file,
            lambda row: rows.place(int(index[row])),
        )
        calls = partial(feeds, learned.shown, index, batched=batched, most_rows=self.policy.answer.batch_rows)
        original = Answered(learned.answers.runner, calls, batched=batched)
        return _Part(index, {name: values[index] for name, values in columns.items()}, labels, original)

    def passing(self, forms: Forms, progress: Progress) -> tuple[Forms, dict[str, GateReport]]:
        """The candidates that pass, and what was said of each.

        Args:
            forms: All candidates.
            progress: Told which is judged.

        Raises:
            UnsupportedModelError: The float model in a target's format does not pass, so that nothing can.
        """
        reports: dict[str, GateReport] = {}
        kept: list[Candidate] = []
        failed = dict(forms.failed)
        for entry in forms.candidates:
            name = entry.recipe
            progress(f"judging {name} slice by slice")
            reports[name] = self._report(forms, entry, progress)
            if reports[name].passed:
                kept.append(entry)
            elif name in FLOATS.values():
                raise self._stop(entry, reports[name])
            else:
                failed[name] = refusal(reports[name])
        return replace(forms, candidates=tuple(kept), failed=failed), reports

    def kept(self, reports: Mapping[Format, GateReport]) -> Learned:
        """What was learned, with the limit that a device needs to keep what the reports promise, all of them.

        Args:
            reports: By target, of what was chosen.

        Raises:
            UnsupportedModelError: No threshold is certified for each.
        """
        learned, rule = self._learned, self.policy.certificate
        if rule is None or rule.abstention is None:
            return learned
        output, logits = shares_output(self._held_back.original, self.policy.answer)
        if own_limit(learned.policy, output, rule.abstention.score) is not None:
            return learned
        limit = common(reports)
        return replace(learned, policy=with_limit(learned.policy, output, rule.abstention.score, limit, logits=logits))

    def promised(
        self, forms: Forms, certified: Learned, reports: Mapping[Format, GateReport]
    ) -> dict[Format, GateReport]:
        """The reports on what was chosen, each about the limit that the guard has.

        Args:
            forms: All candidates.
            certified: As of ``kept``.
            reports: By target.

        Raises:
            UnsupportedModelError: A target's session answers other rows than were certified.
        """
        found = dict(reports)
        for target, report in reports.items():
            promise = report.further.get("certificate", {}).get("abstention")
            if promise is None:
                continue
            entry = next(entry for entry in forms.of(target) if entry.recipe == report.facts["candidate"]["name"])
            limit = common(reports)
            if limit != promise["threshold"]:
                again = self._judging(forms, entry, limit).judged()
                report = replace(report, further={**report.further, "certificate": again.further["certificate"]})
            self._check_kept(forms, certified, entry, report)
            found[target] = report
        return found

    def _check_kept(self, forms: Forms, certified: Learned, entry: Candidate, report: GateReport) -> None:
        """Holds a target's session to its certificate: it must answer as many rows as were certified."""
        made = assembled(certified, forms, {entry.target: Choice(entry.recipe, "", {})}, None, "rehearsal")
        through = self._through(made, certified.policy, self._held_back)
        if report.further["certificate"]["abstention"]["rows_chosen_on"]:
            through = through[~choosing(self._rows(self._held_back.original), self.policy)]
        answered = report.further["certificate"]["groups"][0]["answered"]
        if int(through.sum()) != answered:
            raise UnsupportedModelError(
                f"the session of the target {entry.target} answers {int(through.sum())} of the held-back rows, and the "
                f"certificate is about {answered}: the model answers otherwise on a device; leave [certificate] out"
            )

    def _rows(self, candidate: Answered, rule: AnswerRule | None = None) -> Rows:
        part = self._held_back
        losses = losses_of(self._losses, part.original, candidate, part.labels.values)
        return rows_of(part.original, candidate, part.labels, rule or self.policy.answer, part.columns, losses)

    def _judging(self, forms: Forms, entry: Candidate, limit: float | None = None) -> _Judging:
        name, own = entry.recipe, self.policy
        rule = fitted_again(own.answer, entry.threshold, self._held_back.original)
        running = self._learned.answers.runner if name == FLOAT else forms.running(name)
        found = self._held_back.original.by(running)
        deployed = None if own.certificate is None else self._deployed(forms, entry, rule, limit)
        judged = partial(self._judged, found, forms.models[name], name, rule, deployed, self._count(forms, entry))
        return _Judging(found, rule, judged)

    def _report(self, forms: Forms, entry: Candidate, progress: Progress) -> GateReport:
        judging = self._judging(forms, entry)
        report = judging.judged()
        if self._inside is not None and (report.passed or entry.recipe == FLOAT):
            rows = self._rows(judging.answered, judging.rule)
            content = forms.models[entry.recipe]
            tried = self._inside.tried(rows, judging.answered, content, entry, judging.rule, progress)
            report = judging.judged(tried)
        if entry.recipe != FLOAT:
            return report
        certified = report.further.get("certificate", {}).get("granted", True)
        return replace(report, verdict="pass" if certified else "inconclusive", notes=(*report.notes, _SAME))

    def _count(self, forms: Forms, entry: Candidate) -> int:
        """Of how many one is chosen for the target; the original, in which no cell changes, may break a certificate."""
        safe = {FLOAT} if self.policy.certificate is None else set()
        others = (other.recipe for other in forms.of(entry.target) if other.recipe not in safe)
        return max(1, sum(forms.chosen_of.get(name, 1) for name in others))

    def _deployed(self, forms: Forms, entry: Candidate, rule: AnswerRule, limit: float | None) -> Deployed:
        """On a device; the order of the thresholds is learned from rows that calibrate.

        Of several targets, which one guard serves, they are the original's, so that all test the same ones; of clusters
        they come from some that are held back, as others of their rows calibrate.
        """
        learned, wanted = self._learned, self.policy.certificate
        made = assembled(learned, forms, {entry.target: Choice(entry.recipe, "", {})}, None, "rehearsal")
        through = self._through(made, learned.policy, self._held_back)
        if wanted is None or wanted.abstention is None:
            return Deployed(through)
        output, _ = shares_output(self._held_back.original, rule)
        own = own_limit(learned.policy, output, wanted.abstention.score)
        if own is not None:
            return Deployed(through, (own,))
        several = len({other.target for other in forms.candidates}) > 1
        if several or self.policy.clusters is not None:
            return Deployed(through, wanted=limit, by_original=several)
        part = self._learned_on
        answers = part.original if entry.recipe == FLOAT else part.original.by(forms.running(entry.recipe))
        rows = rows_of(part.original, answers, part.labels, rule, part.columns)
        slices = make_slices(rows.columns, rows.labelled, self.policy)
        seen = self._through(made, learned.policy, part)
        return Deployed(through, order(rows, slices, wanted.abstention, seen, len(through)))

    def _through(self, made: Assembled, policy: Policy, part: _Part) -> Mask:
        rows = self._learned.dataset.rows
        return admitted(made.files, made.manifest, policy, rows, part.index, self.policy.answer.batch_rows)

    def _stop(self, entry: Candidate, report: GateReport) -> EdgeRaiError:
        """Nothing of the target can be released."""
        said = refusal(report)
        if entry.recipe == FLOAT:
            return AccuracyDropError(f"the model as it came {said}")
        return UnsupportedModelError(f"the target {entry.target} cannot be met: {entry.recipe} {said}")

    def _judged(
        self,
        candidate: Answered,
        model: bytes,
        name: str,
        rule: AnswerRule | None = None,
        deployed: Deployed | None = None,
        candidates: int = 1,
        tried: Robustness | None = None,
    ) -> GateReport:
        learned, rule = self._learned, rule or self.policy.answer
        rows = self._rows(candidate, rule)
        facts: Mapping[str, Any] = {
            "original": {"name": learned.source.path.name, "sha256": learned.source.sha256},
            "candidate": {"name": name, "sha256": hashlib.sha256(model).hexdigest()},
            "data": {"name": "held-back rows", "sha256": learned.dataset.sha256, "rows": len(rows)},
            "policy_sha256": digest_of(self.policy),
            "batch_rows": self.policy.answer.batch_rows,
            "candidate_threshold": rule.candidate_threshold,
            "attempt": None,
        }
        beside = () if tried is None else tried.judged
        report = judge(
            rows,
            self.policy,
            today=self._today,
            facts=facts,
            candidates=candidates,
            deployed=deployed,
            beside=beside,
        )
        if tried is not None:
            report = replace(report, further={**report.further, **tried.found})
        fitted = () if rule is self.policy.answer else (_DECIDE_SO.format(rule.candidate_threshold),)
        return replace(report, notes=(*report.notes, *self._notes, *fitted))


def evidence_of(reports: Mapping[Format, GateReport]) -> dict[str, GateReport]:
    """By the path of a bundle's file, what was said of what went into it; of the only target, or ONNX, gate.json."""
    paths = [f"evidence/gate{f'.{target}' * (place > 0)}.json" for place, target in enumerate(sorted(reports))]
    return {path: reports[target] for path, target in zip(paths, sorted(reports), strict=True)}


def _shared(clusters: Array, learned: Learned) -> tuple[str, ...]:
    """That candidates have seen other rows of the clusters that judge them."""
    there = {entry for entry in clusters[learned.held_back].tolist() if entry == entry}
    both = there.intersection(clusters[learned.calibration].tolist())
    if not both:
        return ()
    said = (
        f"of {len(both):,} of the {number_of(len(there), 'cluster')} that judge here other rows calibrated the "
        "candidates: what is shown is shown of clusters that calibrate; for others keep some apart, and judge the "
        "bundle with edge-rai gate"
    )
    return (said,)


def common(reports: Mapping[Format, GateReport]) -> float:
    """The lowest threshold that is certified for every target."""
    lists = [report.further["certificate"]["abstention"]["certified"] for report in reports.values()]
    found = set(lists[0]).intersection(*lists)
    if not found:
        raise UnsupportedModelError(
            "no threshold is certified for each of the targets, and a bundle has one guard; convert for one target at "
            "a time, or promise less under [certificate.abstention]"
        )
    return float(min(found))


def refusal(report: GateReport) -> str:
    """Why a candidate does not pass: the worst cell, or its certificate."""
    worst = next(report.standing(), None)
    if worst is None:
        return f"has {report.further['certificate']['sentences'][0]}"
    count = sum(1 for _ in report.standing())
    more = f" (and {count - 1} more of {len(report.cells)} cells)" if count > 1 else ""
    return f"does not pass the gate: {worst.name}: {worst.reason}{more}"


def fitted_again(rule: AnswerRule, found: Rethreshold | None, original: Answered) -> AnswerRule:
    """The rule with the threshold that the conversion re-fitted, on rows that calibrate, unless the policy has one.

    Args:
        rule: How answers become decisions.
        found: Of a score, or of the difference of two; in the rule it is of the probability of class 1. None: none.
        original: Its answers.
    """
    if found is None or not found.refit.kept or rule.threshold is not None or rule.candidate_threshold is not None:
        return rule
    rule, limit = replace(rule, positive=1, output=found.output), found.refit.threshold
    _, odds = shares_output(original, rule)
    if odds:
        share = 1 / (1 + math.exp(-limit))
    else:
        share = (1 + limit) / 2 if original.outputs[found.output].size == 2 else limit
    return replace(rule, candidate_threshold=share)


def _classes(learned: Learned) -> Classes | None:
    graph = learned.source.proto.graph
    return learned.dataset.class_names or model_classes(graph) or model_numbers(graph)
