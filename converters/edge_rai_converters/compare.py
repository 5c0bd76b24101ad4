"""A form of a model against the float model on rows that neither calibrated: accuracy, agreement, differences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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


def find_decision(reference: Answers, labels: npt.NDArray[np.int64] | None) -> Decision | None:
    """How this model answers with a class, None when it does not.

    An integer output of one value a row is the class; else the first float output whose row is one vector has it at
    its greatest value; else, only when labels of 0 and 1 were given, a float output of one value a row is a score.

    Args:
        reference: Answers of the float model, (N, ...) each.
        labels: (N,) classes, when known.

    Raises:
        ValueError: Labels were given, and the model answers no class or could never answer one of them.
    """
    decision = _find(reference, labels)
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
    answers: Answers,
    reference: Answers,
    decision: Decision | None,
    labels: npt.NDArray[np.int64] | None,
) -> Comparison:
    """Compares a form's answers with the float model's; all arrays are (N, ...)."""
    differences = [_difference(answers[name], reference[name]) for name in reference if _floating(reference[name])]
    values = sum(len(flat) for flat, _ in differences)
    accuracy = agreement = None
    if decision is not None:
        decided = decision.of(answers)
        agreement = float(np.mean(decided == decision.of(reference)))
        accuracy = None if labels is None else float(np.mean(decided == labels))
    return Comparison(
        accuracy=accuracy,
        agreement=agreement,
        share_within=_share_within(differences) if decision is None and values else None,
        largest_difference=max((float(flat.max()) for flat, _ in differences), default=0.0),
        mean_difference=float(sum(flat.sum() for flat, _ in differences) / values) if values else 0.0,
        relative_difference=max((float(flat.max()) / span for flat, span in differences), default=0.0),
    )


def _find(reference: Answers, labels: npt.NDArray[np.int64] | None) -> Decision | None:
    for name, array in reference.items():
        if array.dtype.kind in "iu" and array[0].size == 1:
            return Decision(name, "class")
    for name, array in reference.items():
        if _floating(array) and sum(extent > 1 for extent in array.shape[1:]) == 1:
            return Decision(name, "arg_max", classes=array[0].size)
    if labels is None:
        return None
    for name, array in reference.items():
        if _floating(array) and array[0].size == 1:
            # A score between 0 and 1 is a probability; anything else is its logarithm of odds.
            probability = array.min() >= 0.0 and array.max() <= 1.0
            return Decision(name, "threshold", threshold=0.5 if probability else 0.0, classes=2)
    return None


def _floating(array: Array) -> bool:
    return array.dtype.kind == "f"


def _difference(mine: Array, theirs: Array) -> tuple[npt.NDArray[np.float64], float]:
    """Absolute differences, flat, and the range of the float model's values; equal non-finite values do not differ."""
    left, right = mine.astype(np.float64).reshape(-1), theirs.astype(np.float64).reshape(-1)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        flat = np.where(same, 0.0, np.abs(left - right))
    flat[np.isnan(flat)] = np.inf
    finite = right[np.isfinite(right)]
    span = float(finite.max() - finite.min()) if finite.size else 0.0
    return flat, span if span > 0 else 1.0


def _share_within(differences: list[tuple[npt.NDArray[np.float64], float]]) -> float:
    within = sum(int(np.count_nonzero(flat <= MAX_RELATIVE_DIFFERENCE * span)) for flat, span in differences)
    return within / sum(len(flat) for flat, _ in differences)
