"""Robustness inside a conversion: each candidate behind the guard that its bundle will have."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_rai_converters.answered import Answered
from edge_rai_converters.candidates import Candidate
from edge_rai_converters.data.rows import Array, Index, LazyRows, StoredRows
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.answers import Labels
from edge_rai_converters.gate.robustness.guarded import Guard, Model
from edge_rai_converters.gate.robustness.rules import RobustnessRule
from edge_rai_converters.gate.robustness.run import Robustness, Subjects, planned, robustness
from edge_rai_converters.gate.robustness.sample import Sample
from edge_rai_converters.gate.rows import Rows
from edge_rai_converters.gate.rules import AnswerRule, GatePolicy
from edge_rai_converters.learning import Learned
from edge_rai_converters.progress import Progress
from edge_rai_converters.runner import rows_are_independent


class _Chosen(LazyRows):
    """Some rows of a store."""

    def __init__(self, stored: StoredRows, chosen: npt.NDArray[np.int64]) -> None:
        super().__init__((len(chosen), *stored.shape[1:]), stored.dtype)
        self._stored, self._chosen = stored, chosen

    def _read(self, index: Index) -> Array:
        return self._stored[self._chosen[index]]


@dataclass(frozen=True, eq=False, slots=True)
class Inside:
    """What stays the same from candidate to candidate.

    Attributes:
        policy: Of the gate.
        rule: Its robustness.
        subjects: The original against itself.
        sample: The rows that are tried.
        guard: Of the bundle.
    """

    policy: GatePolicy
    rule: RobustnessRule
    subjects: Subjects
    sample: Sample
    guard: Guard

    def tried(
        self, rows: Rows, answered: Answered, content: bytes, entry: Candidate, answer: AnswerRule, progress: Progress
    ) -> Robustness:
        """A candidate.

        Args:
            rows: What it and the original decided.
            answered: Its answers to these.
            content: Of its file.
            entry: What else is known of it.
            answer: How its answers became decisions.
            progress: Told what happens.

        Raises:
            EdgeRaiError: A device would not open it.
        """
        original = self.subjects.original
        ours = Model(content, entry.target, original.inputs, original.outputs, answered, entry.rows_independent)
        subjects = replace(self.subjects, rows=rows, candidate=ours)
        policy = replace(self.policy, answer=answer)
        return robustness(subjects, policy, self.rule, self.sample, self.guard, progress)


def prepared(
    learned: Learned, policy: GatePolicy, rule: RobustnessRule, rows: Rows, labels: Labels, original: Answered
) -> Inside:
    """Plans it, before any candidate is made.

    Args:
        learned: The original with its data, and the guard.
        policy: Of the gate.
        rule: Its robustness.
        rows: What the original decided of the held-back rows.
        labels: Of these.
        original: Its answers to them.

    Raises:
        DataError: The rule does not fit; says why.
    """
    if learned.policy.states:
        raise DataError("the model carries recurrent states, and [robustness] tries rows one by one; leave it out")
    source, batched = learned.source, learned.policy.batched
    independent = rows_are_independent(original.runner, learned.shown, batched=batched)
    theirs = Model(source.data, "onnx", source.inputs, source.outputs, original, independent)
    shown = {name: _Chosen(array, learned.held_back) for name, array in learned.shown.items()}
    # Rows that are held back do not follow each other.
    series = replace(learned.dataset, rows=learned.shown)
    subjects = Subjects(rows, replace(learned.dataset, rows=shown), labels, theirs, theirs, series)
    sample = planned(subjects, policy, rule)
    return Inside(policy, rule, subjects, sample, Guard("candidate", learned.policy, learned.reference))
