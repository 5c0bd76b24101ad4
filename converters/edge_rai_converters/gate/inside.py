"""The gate inside a conversion: a candidate that does not pass on the held-back rows is not chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from edge_rai.bundle import Format
from edge_rai.errors import PolicyError, UnsupportedModelError
from edge_rai_converters.answered import Answered
from edge_rai_converters.candidates import Candidate, Forms
from edge_rai_converters.choose import Choice
from edge_rai_converters.data.labels import Classes, model_classes, model_numbers
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.answers import Labels, rows_of
from edge_rai_converters.gate.cells import GateReport
from edge_rai_converters.gate.judge import judge
from edge_rai_converters.gate.reading import needed_columns, open_columns, read_columns
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.gate.run import digest_of
from edge_rai_converters.learning import Learned
from edge_rai_converters.progress import Progress
from edge_rai_converters.recipes import FLOAT, FLOATS
from edge_rai_converters.runner import feeds

_SAME = "what is released is the original itself, so that nothing changed"


class Gatekeeper:
    """Judges the candidates of one conversion.

    Args:
        learned: The original with its data.
        policy: See docs/formats/gate.md.
        columns: A file with the columns that the policy names, one row a row of all data.
        today: Decides which waivers have expired.

    Raises:
        PolicyError: The policy's data are sealed: a conversion looks more than once. Or the held-back rows cannot be
            judged by it; found before any candidate is made.
        MissingFileError: The file with the columns is not there.
    """

    def __init__(self, learned: Learned, policy: GatePolicy, columns: str | Path, today: date) -> None:
        self.policy = policy
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
        wanted = needed_columns(self.policy)
        found = read_columns(file, open_columns(file) if wanted else {}, wanted, rows)
        self._columns = {name: values[index] for name, values in found.items()}
        self._labels = Labels(
            None if rows.labels is None else rows.labels[index],
            _classes(learned),
            file,
            lambda row: rows.place(int(index[row])),
        )
        calls = partial(
            feeds, learned.shown, index, batched=learned.policy.batched, most_rows=self.policy.answer.batch_rows
        )
        self._original = Answered(learned.answers.runner, calls, batched=learned.policy.batched)
        self._same = self._judged(self._original, learned.source.data, FLOAT)

    def passing(self, forms: Forms, progress: Progress) -> tuple[Forms, dict[str, GateReport]]:
        """The candidates that pass, and what was said of each.

        Args:
            forms: All candidates.
            progress: Told which is judged.

        Raises:
            UnsupportedModelError: The float model in a target's format does not pass, so that nothing can.
        """
        reports = {FLOAT: replace(self._same, verdict="pass", notes=(*self._same.notes, _SAME))}
        kept: list[Candidate] = []
        failed = dict(forms.failed)
        for entry in forms.candidates:
            name = entry.recipe
            if name != FLOAT:
                progress(f"judging {name} slice by slice")
                reports[name] = self._judged(self._original.by(forms.running(name)), forms.models[name], name)
            if reports[name].passed:
                kept.append(entry)
            elif name in FLOATS.values():
                raise UnsupportedModelError(
                    f"the target {entry.target} cannot be met: {name} {_refused(reports[name])}"
                )
            else:
                failed[name] = _refused(reports[name])
        return replace(forms, candidates=tuple(kept), failed=failed), reports

    def _judged(self, candidate: Answered, model: bytes, name: str) -> GateReport:
        learned = self._learned
        rows = rows_of(self._original, candidate, self._labels, self.policy.answer, self._columns)
        facts: Mapping[str, Any] = {
            "original": {"name": learned.source.path.name, "sha256": learned.source.sha256},
            "candidate": {"name": name, "sha256": hashlib.sha256(model).hexdigest()},
            "data": {"name": "held-back rows", "sha256": learned.dataset.sha256, "rows": len(rows)},
            "policy_sha256": digest_of(self.policy),
            "batch_rows": self.policy.answer.batch_rows,
            "attempt": None,
        }
        return judge(rows, self.policy, today=self._today, facts=facts)


def evidence_of(reports: Mapping[str, GateReport], choices: Mapping[Format, Choice]) -> dict[str, GateReport]:
    """By the path of a bundle's file, what was said of what went into it; of the only target, or ONNX, gate.json."""
    paths = [f"evidence/gate{f'.{target}' * (place > 0)}.json" for place, target in enumerate(sorted(choices))]
    return {path: reports[choices[target].recipe] for path, target in zip(paths, sorted(choices), strict=True)}


def _refused(report: GateReport) -> str:
    worst = next(report.standing())
    count = sum(1 for _ in report.standing())
    more = f" (and {count - 1} more of {len(report.cells)} cells)" if count > 1 else ""
    return f"does not pass the gate: {worst.name}: {worst.reason}{more}"


def _classes(learned: Learned) -> Classes | None:
    graph = learned.source.proto.graph
    return learned.dataset.class_names or model_classes(graph) or model_numbers(graph)
