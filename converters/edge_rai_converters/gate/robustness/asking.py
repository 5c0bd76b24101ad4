"""Asks a model, and the guard before it, about rows that are not as they should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from edge_rai.errors import InferenceError
from edge_rai.session import Session
from edge_rai.types import ReasonCode, Verdict
from edge_rai_converters.answered import Answered, Calls
from edge_rai_converters.compare import Answers
from edge_rai_converters.data import Array
from edge_rai_converters.gate.answers import Labels, rows_of
from edge_rai_converters.gate.robustness.sample import Floats, Mask
from edge_rai_converters.gate.rules import AnswerRule
from edge_rai_converters.runner import feeds

_ROWS_A_CALL = 256


@dataclass(frozen=True, eq=False, slots=True)
class Said:
    """What a model answered to n rows.

    Attributes:
        decided: As of ``Predicted``; of a row without an answer anything.
        scores: Likewise.
        lost: (n,) rows without an answer, or with one that is not finite.
    """

    decided: Array
    scores: Floats | None
    lost: Mask

    def differs(self, other: Array) -> Mask:
        """(n,) rows decided otherwise than that; without an answer too."""
        return np.asarray((self.decided != other).reshape(len(self.lost), -1).any(axis=1) | self.lost)


@dataclass(frozen=True, eq=False, slots=True)
class Caught:
    """What the guard said of n rows.

    Attributes:
        rows: (n,) those that it rejected or flagged.
        reasons: Rows by reason.
    """

    rows: Mask
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """How answers are read: once for all, as the clean ones were.

    Attributes:
        original: Clean answers.
        candidate: Clean answers.
        labels: Without values: what the models call their classes.
        rule: With the kind that was found.
    """

    original: Answered
    candidate: Answered
    labels: Labels
    rule: AnswerRule


class _Asked(Answered):
    """Answers that are read as clean ones were."""

    def __init__(self, clean: Answered, answers: Answers) -> None:
        super().__init__(clean.runner, clean.calls, batched=clean.batched)
        self._kept = [answers]
        self.outputs = clean.outputs


class Contender:
    """One of the two models behind the guard; one thread at a time.

    Args:
        reading: How answers are read.
        session: The model behind the guard.
        candidate: Which of the two it is.
        independent: A row's answer was bit-identical whatever its batch mates were: it is asked about many rows a call.
    """

    def __init__(self, reading: Reading, session: Session, *, candidate: bool, independent: bool) -> None:
        self.name = "candidate" if candidate else "original"
        self._reading, self._session, self._candidate = reading, session, candidate
        self.clean = reading.candidate if candidate else reading.original
        self.rows_a_call = _ROWS_A_CALL if independent else reading.rule.batch_rows
        self._guarded = partial(
            feeds, batched=session.batched, most_rows=self.rows_a_call if session.rows_independent else 1
        )

    def ask(self, rows: Mapping[str, Array]) -> Said:
        """What it answers without the guard.

        Args:
            rows: By input (n, *call), n at least 1.
        """
        answers = self.answers(rows)
        lost = np.zeros(len(next(iter(rows.values()))), np.bool_)
        for name, output in self.clean.outputs.items():
            if output.floating and output.finite:
                finite = np.isfinite(answers[name])
                lost |= ~finite.reshape(len(lost), -1).all(axis=1)
                answers[name] = np.where(finite, answers[name], 0)
        read = self._reading
        asked = _Asked(self.clean, answers)
        found = rows_of(asked, asked, read.labels, read.rule, {})
        predicted = found.candidate if self._candidate else found.original
        return Said(predicted.decided, predicted.scores, lost)

    def answers(self, rows: Mapping[str, Array], most_rows: int | None = None) -> dict[str, Array]:
        """Outputs of numbers, (n, ...) each; NaN, or 0 of whole numbers, where the runtime fails.

        Args:
            rows: By input (n, *call).
            most_rows: A call; None: as many as it is asked about.
        """
        index = np.arange(len(next(iter(rows.values()))), dtype=np.int64)
        calls = partial(feeds, rows, batched=self.clean.batched, most_rows=most_rows or self.rows_a_call)
        try:
            parts = [*self._parts(partial(calls, index))]
        except InferenceError:
            parts = [part for row in index for part in self._alone(partial(calls, index[row : row + 1]))]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.clean.outputs}

    def _parts(self, calls: Calls) -> list[Answers]:
        asked = Answered(self.clean.runner, calls, batched=self.clean.batched)
        return list(asked.parts())

    def _alone(self, calls: Calls) -> list[Answers]:
        try:
            return self._parts(calls)
        except InferenceError:
            return [
                {
                    name: np.full((1, *output.shape), np.nan if output.floating else 0)
                    for name, output in self.clean.outputs.items()
                }
            ]

    def caught(self, rows: Mapping[str, Array]) -> Caught:
        """What the guard says of rows.

        Args:
            rows: By input (n, *call).
        """
        index = np.arange(len(next(iter(rows.values()))), dtype=np.int64)
        found, reasons = [], Counter[str]()
        for feed in self._guarded(rows, index):
            mask, counted = self._judged(feed, len(next(iter(feed.values()))) if self._session.batched else 1)
            found.append(mask)
            reasons.update(counted)
        return Caught(np.concatenate(found), dict(sorted(reasons.items())))

    def _judged(self, feed: Mapping[str, Array], count: int) -> tuple[Mask, Counter[str]]:
        try:
            answer = self._session.predict(feed)
        except InferenceError:  # which an application is told: nobody takes it for an answer
            if count == 1:
                return np.ones(1, np.bool_), Counter({ReasonCode.INFERENCE.name.lower(): 1})
            alone = [
                self._judged({name: array[row : row + 1] for name, array in feed.items()}, 1) for row in range(count)
            ]
            return np.concatenate([mask for mask, _ in alone]), sum((counted for _, counted in alone), Counter())
        given = {(reason.code, reason.row) for reason in answer.reasons}
        return answer.row_verdicts != Verdict.ACCEPT, Counter(code.name.lower() for code, _ in given)


def reading_of(original: Answered, candidate: Answered, labels: Labels, rule: AnswerRule) -> Reading:
    """How clean answers were read; ``rule`` has the kind that was found."""
    return Reading(original, candidate, replace(labels, values=None), rule)
