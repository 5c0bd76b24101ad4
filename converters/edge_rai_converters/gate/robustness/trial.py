"""What is tried on what: two models behind one guard, and the rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_rai_converters.gate.metrics import Means, Measure, Paired
from edge_rai_converters.gate.robustness.asking import Contender, Said
from edge_rai_converters.gate.robustness.rules import RobustnessRule
from edge_rai_converters.gate.robustness.sample import Floats, Mask, Sample
from edge_rai_converters.gate.rows import Array, Rows


@dataclass(frozen=True, eq=False)
class Trial:
    """Both models, the rows that they are tried on, and what they decided before anything was done to these.

    Attributes:
        rule: What is tried.
        sample: The rows.
        judged: All rows of the gate.
        largest_error: What an error of a quantity counts at most; None: it is not said.
        original: Behind the guard.
        candidate: Behind the guard.
    """

    rule: RobustnessRule
    sample: Sample
    judged: Rows
    largest_error: float | None
    original: Contender
    candidate: Contender

    @property
    def contenders(self) -> tuple[Contender, Contender]:
        """Original and candidate."""
        return self.original, self.candidate

    @cached_property
    def clean(self) -> tuple[Said, Said]:
        """What both said of the rows as they are."""
        rows = self.sample.rows
        return self.original.ask(rows), self.candidate.ask(rows)

    @cached_property
    def truth(self) -> Array | None:
        """(n, ...) labels of the sample."""
        labels = self.judged.labels
        return None if labels is None else np.asarray(labels[self.sample.index])

    @cached_property
    def known(self) -> Mask:
        """(n,) rows of the sample that a measure is about: those with a label, or all where no row has one."""
        if self.truth is None:
            return np.ones(len(self.sample), np.bool_)
        return np.asarray(self.judged.labelled[self.sample.index])

    @property
    def measure(self) -> str:
        """What degrades."""
        if self.judged.kind == "quantity":
            return "error"
        return "stability" if self.truth is None else "accuracy"

    def wrong(self, said: Said, place: int) -> Mask:
        """(n,) rows decided wrong, or without labels otherwise than before.

        Args:
            said: By a model of the sample, with something done to it.
            place: 0 of the original, 1 of the candidate.
        """
        wanted = self.clean[place].decided if self.truth is None else self.truth
        return said.differs(wanted)

    def errors(self, said: Said, place: int) -> Floats:
        """(n,) absolute errors of a quantity, or without labels changes; NaN without an answer and no largest error."""
        wanted = self.clean[place].decided if self.truth is None else self.truth
        most = np.nan if self.largest_error is None else self.largest_error
        errors = np.where(said.lost, most, np.abs(said.decided - wanted))
        return np.asarray(errors if self.largest_error is None else np.minimum(errors, most))

    def value(self, said: Said, place: int) -> float:
        """The measure of the sample; NaN of no row."""
        values = self.errors(said, place) if self.measure == "error" else 1.0 - self.wrong(said, place)
        chosen = values[self.known & ~np.isnan(values)]
        return float(chosen.mean()) if chosen.size else float("nan")

    def as_measure(self, under: str, both: tuple[Said, Said]) -> Measure:
        """For a cell: the measure of both models on the same rows.

        Args:
            under: What was done to the rows.
            both: What the models said of them.
        """
        name = f"{self.measure} under {under}"
        chosen = self.among_all(self.known)
        if self.measure == "error":
            assert self.largest_error is not None
            before, after = (self.errors(said, place)[self.known] for place, said in enumerate(both))
            return Means(name, chosen, before, after, self.largest_error, -1)
        right = [~self.wrong(said, place)[self.known] for place, said in enumerate(both)]
        return Paired(name, chosen, right[0], right[1], 1)

    def among_all(self, rows: Mask) -> Mask:
        """(all rows of the gate,) which of them are these rows of the sample."""
        found = np.zeros(len(self.judged), np.bool_)
        found[self.sample.index[rows]] = True
        return found
