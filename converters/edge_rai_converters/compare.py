"""A form of a model against the float model on rows that neither calibrated: accuracy, agreement, differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data import Array
from edge_rai_converters.data.labels import NO_CLASS
from edge_rai_converters.errors import DataError

Answers = Mapping[str, Array]

MAX_RELATIVE_DIFFERENCE = 0.05
# Of shares that should be from 0 to 1, and of ranges.
_ROUNDING = 1e-3


def allowed_difference(max_drop: float) -> float:
    """By how much of an output's range a quantity may differ: 5 %, or as many percent as there are points of drop."""
    return max(MAX_RELATIVE_DIFFERENCE, max_drop / 100)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured of one form of the model on the held-back rows.

    Attributes:
        accuracy: Share of rows whose class is the label; None without labels or without classes.
        agreement: Share of rows with the float model's class; None when the model answers no classes.
        share_within: Of the values of quantities, those within 5 % of the output's range of the float model's, and of
            whole numbers and truth values those that are the same; None where the class is all that the model says.
        largest_difference: From the float model, absolute, over all float outputs; inf when one of two is not finite.
        mean_difference: The same, mean.
        relative_difference: Largest difference over its output's range, the worst output; see ``Output.span``. Of whole
            numbers and truth values the share that differ.
        quantity_difference: The same, the worst of the quantities; 0 where there are none. A quantity is an output that
            is not the class, and whose greatest value does not go with it either; and each of them where the float
            model gives one class to all rows: that the class is the same then says nothing.
    """

    accuracy: float | None
    agreement: float | None
    share_within: float | None
    largest_difference: float
    mean_difference: float
    relative_difference: float
    quantity_difference: float

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
        ranges: Of floats that are one vector a row, low and high of each place.
    """

    kind: str
    shape: tuple[int, ...]
    low: float
    high: float
    finite: bool
    ranges: tuple[tuple[float, float], ...] = ()

    @property
    def floating(self) -> bool:
        """Its numbers are floats."""
        return self.kind == "f"

    @property
    def whole(self) -> bool:
        """Its numbers are integers."""
        return self.kind in "iu"

    @property
    def vector(self) -> bool:
        """Of one row it is one: of scores of classes, perhaps."""
        return sum(extent > 1 for extent in self.shape) == 1

    @property
    def size(self) -> int:
        """Values a row."""
        return prod(self.shape)

    @property
    def span(self) -> npt.NDArray[np.float64]:
        """The range of its numbers, which differences are held against, as one row or for all of it; 1 where none.

        The places of a vector may be quantities of different scales, and each has a range of its own, but of shares of
        a whole; a range of less than a thousandth of all is rounding.
        """
        whole = self.high - self.low if self.high > self.low else 1.0
        if not self.ranges or (self.low >= -_ROUNDING and self.high <= 1 + _ROUNDING):
            return np.array(whole)
        return np.array([max(high - low, _ROUNDING * whole) for low, high in self.ranges]).reshape(self.shape)


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
        DataError: Labels were given, and the model answers no class or could never answer one of them.
    """
    decision = _find(outputs, labels)
    if labels is None:
        return decision
    if decision is None:
        raise DataError(
            f"labels were given, but no output of the model is a class, a vector of classes or a score; {NO_CLASS}"
        )
    if decision.classes and not 0 <= labels.min() <= labels.max() < decision.classes:
        from_one = labels.min() == 1 and labels.max() == decision.classes
        mend = "subtract 1 from each" if from_one else "number them as the model does"
        if decision.kind == "threshold":
            mend = "give 0 and 1"
        raise DataError(
            f"labels run from {labels.min()} to {labels.max()}, and output {decision.output!r} has the classes 0 to "
            f"{decision.classes - 1}: {mend}; of a model that answers no class {NO_CLASS}"
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
    tallies = {name: _Tally(output.span, exact=not output.floating) for name, output in outputs.items()}
    floats = [tally for tally in tallies.values() if not tally.exact]
    vectors = [name for name, output in outputs.items() if output.floating and output.vector]
    classes = None if decision is None else _Classes(decision, labels, vectors)
    for mine, theirs in pairs:
        for name, tally in tallies.items():
            tally.add(mine[name], theirs[name])
        if classes is not None:
            classes.add(mine, theirs)
    told = set() if classes is None else classes.told()
    quantities = [tally for name, tally in tallies.items() if name not in told]
    values, measured = (sum(tally.values for tally in some) for some in (floats, quantities))
    return Comparison(
        accuracy=classes.right / classes.rows if classes and labels is not None else None,
        agreement=classes.same / classes.rows if classes else None,
        share_within=sum(tally.within for tally in quantities) / measured if measured else None,
        largest_difference=max((tally.largest for tally in floats), default=0.0),
        mean_difference=sum(tally.total for tally in floats) / values if values else 0.0,
        relative_difference=max((tally.relative for tally in tallies.values()), default=0.0),
        quantity_difference=max((tally.relative for tally in quantities), default=0.0),
    )


@dataclass(slots=True)
class _Classes:
    """Rows so far: how many have the float model's class, how many the label; and what classes go with in its answers.

    Attributes:
        decision: How a class is read.
        labels: (N,) of all rows, when known.
        vectors: Outputs whose greatest value may go with the class.
    """

    decision: Decision
    labels: npt.NDArray[np.int64] | None
    vectors: Sequence[str]
    rows: int = 0
    same: int = 0
    right: int = 0
    greatest: dict[str, set[tuple[int, int]]] = field(default_factory=dict)

    def add(self, mine: Answers, theirs: Answers) -> None:
        """Some rows more."""
        decided, wanted = self.decision.of(mine), self.decision.of(theirs)
        self.same += int(np.count_nonzero(decided == wanted))
        if self.labels is not None:
            self.right += int(np.count_nonzero(decided == self.labels[self.rows : self.rows + len(wanted)]))
        self.rows += len(wanted)
        self._note(self.decision.output, wanted, wanted)
        for name in self.vectors:
            self._note(name, wanted, np.argmax(theirs[name].reshape(len(wanted), -1), axis=1))

    def told(self) -> set[str]:
        """Outputs that say the class and nothing else, of which there is more than one."""
        return {
            name
            for name, pairs in self.greatest.items()
            if 1 < len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
        }

    def _note(self, name: str, classes: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> None:
        self.greatest.setdefault(name, set()).update(zip(classes.tolist(), places.tolist(), strict=True))


@dataclass(slots=True)
class _Tally:
    """Of one output: absolute differences so far, and the range that they are held against; exact: any is one."""

    span: npt.NDArray[np.float64]
    exact: bool
    values: int = 0
    within: int = 0
    total: float = 0.0
    largest: float = 0.0
    share: float = 0.0

    @property
    def relative(self) -> float:
        """The largest as a share of the range; exact: the share of values that differ."""
        return 1 - self.within / max(1, self.values) if self.exact else self.share

    def add(self, mine: Array, theirs: Array) -> None:
        """Some rows more; equal non-finite values do not differ, and others differ without end."""
        left, right = mine.astype(np.float64), theirs.astype(np.float64)
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        with np.errstate(invalid="ignore"):
            apart = np.where(same, 0.0, np.abs(left - right))
        apart[np.isnan(apart)] = np.inf
        self.values += apart.size
        self.within += int(np.count_nonzero(same if self.exact else apart <= MAX_RELATIVE_DIFFERENCE * self.span))
        self.total += float(apart.sum())
        self.largest = max(self.largest, float(apart.max(initial=0.0)))
        self.share = max(self.share, float((apart / self.span).max(initial=0.0)))


def _find(outputs: Mapping[str, Output], labels: npt.NDArray[np.int64] | None) -> Decision | None:
    for name, output in outputs.items():
        if output.whole and output.size == 1:
            return Decision(name, "class")
    for name, output in outputs.items():
        if output.floating and output.vector:
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
    known = np.isfinite(array)
    low, high = _range(array[known])
    found = Output(array.dtype.kind, array.shape[1:], low, high, bool(known.all()))
    if not (found.floating and found.vector):
        return found
    places = zip(array.reshape(len(array), -1).T, known.reshape(len(array), -1).T, strict=True)
    return replace(found, ranges=tuple(_range(values[seen]) for values, seen in places))


def _range(known: Array) -> tuple[float, float]:
    return (float(known.min()), float(known.max())) if known.size else (math.inf, -math.inf)


def _both(one: Output, other: Output) -> Output:
    low, high = min(one.low, other.low), max(one.high, other.high)
    both = zip(one.ranges, other.ranges, strict=True)
    ranges = tuple((min(low, least), max(high, most)) for (low, high), (least, most) in both)
    return replace(one, low=low, high=high, finite=one.finite and other.finite, ranges=ranges)
