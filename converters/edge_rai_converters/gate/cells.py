"""What the gate says: cells, each one metric of one slice, and all of them together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from edge_rai_converters.gate.rules import Waiver

FORMAT_VERSION = 1

Verdict = Literal["pass", "fail", "inconclusive"]
Method = Literal["tango", "clopper_pearson", "betting", "clustered_betting", "precision_betting"]

_WORST: Mapping[Verdict, int] = {"fail": 0, "inconclusive": 1, "pass": 2}


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that are looked at together.

    Attributes:
        name: "all rows", "sex=F" or "sex=F, race=B".
        groups: The value of each column; none of all rows.
        rows: How many.
        labelled: How many of these have a label.
        parent: The slice that stands in for this one where rows are too few; None: none.
    """

    name: str
    groups: Mapping[str, str]
    rows: int
    labelled: int
    parent: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of a slice, judged or not. NaN where it is not defined.

    Attributes:
        metric: "accuracy", "tpr", "recall"...; of one of many classes "tpr[cat]".
        slice: Name of the slice.
        rows: That the metric is about: of tpr those that are positive.
        original: Of the original.
        candidate: Of the candidate.
    """

    metric: str
    slice: str
    rows: int
    original: float
    candidate: float

    @property
    def change(self) -> float:
        """Candidate less original."""
        return self.candidate - self.original

    @property
    def name(self) -> str:
        """As waivers have it."""
        return f"{self.metric} of {self.slice}"

    def as_json(self) -> dict[str, Any]:
        """For documents: NaN is null."""
        return dict(without_nan({**asdict(self), "change": self.change}))


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric of one slice, judged.

    Attributes:
        measured: The figures.
        margin: The change for the worse that would be too much.
        loss: How much worse the candidate was: positive is worse, of metrics where less is better too.
        loss_low: Lower limit of that, of one-sided confidence.
        loss_high: Upper limit: below the margin in a cell that passes.
        losses: Rows that became worse; None where that is not counted.
        gains: Rows that became better, likewise.
        method: By which test it passes or not.
        p_not_worse: p-value of "worse by the margin or more".
        p_worse: p-value of "not worse", adjusted for the number of cells (Holm).
        verdict: Of this cell, whatever is waived.
        reason: One sentence.
        rows_needed: About how many rows would settle it, of shares as they are; None: it is settled, or none would.
        merged_into: The slice that was judged instead; None: this one.
        waiver: Who answers for it.
    """

    measured: Measured
    margin: float
    loss: float
    loss_low: float
    loss_high: float
    losses: int | None
    gains: int | None
    method: Method
    p_not_worse: float
    p_worse: float
    verdict: Verdict
    reason: str
    rows_needed: int | None = None
    merged_into: str | None = None
    waiver: Waiver | None = None

    @property
    def name(self) -> str:
        """As waivers have it."""
        return self.measured.name

    @property
    def stands(self) -> bool:
        """Whether it stops a release."""
        return self.verdict != "pass" and self.waiver is None

    def as_json(self) -> dict[str, Any]:
        """For documents, all in one object."""
        flat: dict[str, Any] = {**self.measured.as_json(), **asdict(self)}
        del flat["measured"]
        if self.waiver is not None:
            flat["waiver"] = {**asdict(self.waiver), "expires": self.waiver.expires.isoformat()}
        return dict(without_nan(flat))


@dataclass(frozen=True, slots=True)
class GateReport:
    """What was judged of a candidate.

    Attributes:
        verdict: ``pass``: every cell does or is waived, and a certificate is granted where one is wanted; ``fail``:
            some cell does; else ``inconclusive``.
        confidence: Of each pass; and of all fails together.
        alpha: That was spent on this look: a part of 1 - confidence where the data are sealed. What is said holds with
            a confidence of 1 - alpha.
        slices: All rows first.
        cells: What was judged, worst first.
        measured: Every metric of every slice, judged or not.
        fairness: Of the columns that make slices; see fairness.py.
        calibration: Of slices; see calibration.py.
        notes: Sentences for people: waivers that expired, errors that were clipped.
        facts: What was judged by what, for the record: digests, data, policy, attempt.
        further: Further keys of gate.json by name, such as "robustness": what was found beside the cells.
        candidates: Of so many one is chosen by these rows; each of their cells is judged at alpha / candidates.
    """

    verdict: Verdict
    confidence: float
    alpha: float
    slices: tuple[Slice, ...]
    cells: tuple[Cell, ...]
    measured: tuple[Measured, ...]
    fairness: tuple[Mapping[str, Any], ...]
    calibration: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    further: Mapping[str, Any] = field(default_factory=dict)
    candidates: int = 1

    @property
    def passed(self) -> bool:
        """Whether the candidate may be released."""
        return self.verdict == "pass"

    def standing(self) -> Iterator[Cell]:
        """The cells that stop it, worst first."""
        return (cell for cell in self.cells if cell.stands)

    def as_json(self) -> dict[str, Any]:
        """evidence/gate.json, see docs/formats/gate.md."""
        return {
            "format_version": FORMAT_VERSION,
            "verdict": self.verdict,
            "confidence": self.confidence,
            "alpha": self.alpha,
            "candidates": self.candidates,
            "slices": [{**asdict(entry), "groups": dict(entry.groups)} for entry in self.slices],
            "cells": [cell.as_json() for cell in self.cells],
            "measured": [entry.as_json() for entry in self.measured],
            "fairness": [without_nan(entry) for entry in self.fairness],
            "calibration": [without_nan(entry) for entry in self.calibration],
            "notes": list(self.notes),
            "facts": dict(self.facts),
            **without_nan(self.further),
        }


def worst_first(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """What stops a release, then the rest; of each the greatest loss as a multiple of the margin first."""

    def rank(cell: Cell) -> tuple[bool, int, float, str]:
        loss = cell.loss / cell.margin if math.isfinite(cell.loss) else 0.0
        return not cell.stands, _WORST[cell.verdict], -loss, cell.name

    return tuple(sorted(cells, key=rank))


def together(cells: Sequence[Cell], *, certified: bool = True) -> Verdict:
    """The verdict of a release.

    Args:
        cells: All of them.
        certified: What the policy wants promised is, or nothing is wanted.
    """
    standing = {cell.verdict for cell in cells if cell.stands}
    return "fail" if "fail" in standing else "inconclusive" if standing or not certified else "pass"


def without_nan(value: Any) -> Any:
    """The same with null where JSON has no number: NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return value
