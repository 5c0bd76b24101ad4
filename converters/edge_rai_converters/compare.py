"""A form of a model against the float model on rows that neither calibrated: accuracy, agreement, differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data import Array

Answers = Mapping[str, Array]

MAX_RELATIVE_DIFFERENCE = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured of one form of the model on the held-back rows.

    Attributes:
        accuracy: Share of rows whose class is the label; None without labels or without classes.
        agreement: Share of rows with the float model's class; None when the model answers no classes.
        share_within: Share of values within 5 % of the output's range of the float model's; None with classes.
        largest_difference: From the float model, absolute, over all float outputs; inf when one of two is not finite.
        mean_difference: The same, mean.
        relative_difference: Largest difference over its output's range, the worst output.
    """

    accuracy: float | None
    agreement: float | None
    share_within: float | None
    largest_difference: float
    mean_difference: float
    relative_difference: float

    def as_json(self) -> dict[str, Any]:
        """For documents: JSON has no infinity, so that is null."""
        return {key: None if value in (math.inf, -math.inf) else value for key, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Decision:
    """How a row's class is read from the model's answer.

    Attributes:
        output: Where it is read.
        kind: The output is the class; its arg-max is; or it is 1 above ``threshold`` and else 0.
        threshold: Of the last kind.
        classes: Number of classes that can come out; 0: not known.
    """

    output: str
    kind: Literal["class", "arg_max", "threshold"]
    threshold: float = 0.0
    classes: int = 0

    def of(self, answers: Answers) -> npt.NDArray[np.int64]:
        """The class of each row, (N,)."""
        flat = answers[self.output].reshape(len(answers[self.output]), -1)
        if self.kind == "class":
            decided = flat[:, 0]
        elif self.kind == "arg_max":
            decided = np.argmax(flat, axis=1)
        else:
            decided = flat[:, 0] > self.threshold
        return np.asarray(decided, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Output:
    """What is known of one output of the float model.

    Attributes:
        kind: Of its numbers, as numpy has it: "f" and so on.
        shape: Of one row.
        low: The least finite number; inf without one.
        high: The greatest; minus inf without one.
        finite: All numbers are.
    """

    kind: str
    shape: tuple[int, ...]
    low: float
    high: float
    finite: bool

    @property
    def floating(self) -> bool:
        """Its numbers are floats."""
        return self.kind == "f"

    @property
    def whole(self) -> bool:
        """Its numbers are integers."""
        return self.kind in "iu"

    @property
    def size(self) -> int:
        """Values a row."""
        return prod(self.shape)

    @property
    def span(self) -> float:
        """The range of its numbers, which differences are held against; 1 where it has none."""
        return self.high - self.low if self.high > self.low else 1.0


def summarize(parts: Iterable[Answers]) -> dict[str, Output]:
    """What is known of the outputs that all parts have, from (n, ...) of some rows after the others."""
    found: dict[str, Output] | None = None
    for part in parts:
        seen = {name: _output(array) for name, array in part.items()}
        found = seen if found is None else {name: _both(found[name], seen[name]) for name in found if name in seen}
    return found or {}


def find_decision(outputs: Mapping[str, Output], labels: npt.NDArray[np.int64] | None) -> Decision | None:
    """How this model answers with a class, None when it does not.

    An integer output of one value a row is the class; else the first float output whose row is one vector has it at
    its greatest value; else, only when labels of 0 and 1 were given, a float output of one value a row is a score.

    Args:
        outputs: Of the float model.
        labels: (N,) classes, when known.

    Raises:
        ValueError: Labels were given, and the model answers no class or could never answer one of them.
    """
    decision = _find(outputs, labels)
    if labels is None:
        return decision
    if decision is None:
        raise ValueError("labels were given, but no output of the model is a class, a vector of classes or a score")
    if decision.classes and not 0 <= labels.min() <= labels.max() < decision.classes:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but output {decision.output!r} has the classes 0 to "
            f"{decision.classes - 1}; leave labels out for a model that answers no class"
        )
    return decision


def compare(
    pairs: Iterable[tuple[Answers, Answers]],
    outputs: Mapping[str, Output],
    decision: Decision | None,
    labels: npt.NDArray[np.int64] | None,
) -> Comparison:
    """Compares a form's answers with the float model's, part by part.

    Args:
        pairs: Of some rows after the others, the form's answers and the float model's to the same, (n, ...) each.
        outputs: Of the float model, of all these rows.
        decision: How a class is read from the answers, where there is one.
        labels: (N,) of all rows, when known.
    """
    tallies = {name: _Tally(output.span) for name, output in outputs.items() if output.floating}
    rows = same = right = 0
    for mine, theirs in pairs:
        for name, tally in tallies.items():
            tally.add(mine[name], theirs[name])
        if decision is not None:
            decided, count = decision.of(mine), len(theirs[decision.output])
            same += int(np.count_nonzero(decided == decision.of(theirs)))
            right += 0 if labels is None else int(np.count_nonzero(decided == labels[rows : rows + count]))
            rows += count
    values = sum(tally.values for tally in tallies.values())
    total, within = (sum(getattr(tally, what) for tally in tallies.values()) for what in ("total", "within"))
    return Comparison(
        accuracy=right / rows if decision is not None and labels is not None else None,
        agreement=same / rows if decision is not None else None,
        share_within=within / values if decision is None and values else None,
        largest_difference=max((tally.largest for tally in tallies.values()), default=0.0),
        mean_difference=total / values if values else 0.0,
        relative_difference=max((tally.largest / tally.span for tally in tallies.values()), default=0.0),
    )


@dataclass(slots=True)
class _Tally:
    """Of one output: absolute differences so far, and the range that they are held against."""

    span: float
    values: int = 0
    within: int = 0
    total: float = 0.0
    largest: float = 0.0

    def add(self, mine: Array, theirs: Array) -> None:
        """Some rows more; equal non-finite values do not differ, and others differ without end."""
        left, right = mine.astype(np.float64), theirs.astype(np.float64)
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        with np.errstate(invalid="ignore"):
            apart = np.where(same, 0.0, np.abs(left - right))
        apart[np.isnan(apart)] = np.inf
        self.values += apart.size
        self.within += int(np.count_nonzero(apart <= MAX_RELATIVE_DIFFERENCE * self.span))
        self.total += float(apart.sum())
        self.largest = max(self.largest, float(apart.max(initial=0.0)))


def _find(outputs: Mapping[str, Output], labels: npt.NDArray[np.int64] | None) -> Decision | None:
    for name, output in outputs.items():
        if output.whole and output.size == 1:
            return Decision(name, "class")
    for name, output in outputs.items():
        if output.floating and sum(extent > 1 for extent in output.shape) == 1:
            return Decision(name, "arg_max", classes=output.size)
    if labels is None:
        return None
    for name, output in outputs.items():
        if output.floating and output.size == 1:
            # A score between 0 and 1 is a probability; anything else is its logarithm of odds.
            probability = output.finite and output.low >= 0.0 and output.high <= 1.0
            return Decision(name, "threshold", threshold=0.5 if probability else 0.0, classes=2)
    return None


def _output(array: Array) -> Output:
    known = array[np.isfinite(array)]
    low, high = (float(known.min()), float(known.max())) if known.size else (math.inf, -math.inf)
    return Output(array.dtype.kind, array.shape[1:], low, high, known.size == array.size)


def _both(one: Output, other: Output) -> Output:
    low, high = min(one.low, other.low), max(one.high, other.high)
    return replace(one, low=low, high=high, finite=one.finite and other.finite)
