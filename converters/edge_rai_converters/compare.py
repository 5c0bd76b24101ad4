"""Float against int8 on rows that neither calibrated: accuracy, agreement, differences, and the choice between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data import Array
from edge_rai_converters.errors import AccuracyDropError

Quantization = Literal["none", "static_int8_qdq"]
Mode = Literal["auto", "int8", "none"]
Answers = Mapping[str, Array]

MIN_AGREEMENT = 0.98
MAX_RELATIVE_DIFFERENCE = 0.05
MIN_SAVING = 0.10


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was measured of one form of the model on the held-back rows.

    Attributes:
        quantization: As in the manifest.
        size: Of the file, bytes.
        accuracy: Share of rows whose class is the label; None without labels or without classes.
        agreement: Share of rows with the float model's class; None when the model answers no classes.
        share_within: Share of values within 5 % of the output's range of the float model's; None with classes.
        largest_difference: From the float model, absolute, over all float outputs; inf when one of two is not finite.
        mean_difference: The same, mean.
        relative_difference: Largest difference over its output's range, the worst output.
    """

    quantization: Quantization
    size: int
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
class Choice:
    """Which form goes into the bundle and one sentence why."""

    quantization: Quantization
    reason: str


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


def measure_candidate(
    quantization: Quantization,
    size: int,
    answers: Answers,
    reference: Answers,
    decision: Decision | None,
    labels: npt.NDArray[np.int64] | None,
) -> Candidate:
    """Compares a form's answers with the float model's; all arrays are (N, ...)."""
    differences = [_difference(answers[name], reference[name]) for name in reference if _floating(reference[name])]
    values = sum(len(flat) for flat, _ in differences)
    accuracy = agreement = None
    if decision is not None:
        decided = decision.of(answers)
        agreement = float(np.mean(decided == decision.of(reference)))
        accuracy = None if labels is None else float(np.mean(decided == labels))
    return Candidate(
        quantization=quantization,
        size=size,
        accuracy=accuracy,
        agreement=agreement,
        share_within=_share_within(differences) if decision is None and values else None,
        largest_difference=max((float(flat.max()) for flat, _ in differences), default=0.0),
        mean_difference=float(sum(flat.sum() for flat, _ in differences) / values) if values else 0.0,
        relative_difference=max((float(flat.max()) / span for flat, span in differences), default=0.0),
    )


def choose(mode: Mode, original: Candidate, quantized: Candidate | str, max_drop: float) -> Choice:
    """Decides by size and answers alone: times differ from run to run, and equal inputs give equal bundles.

    Args:
        mode: ``auto`` weighs, ``int8`` insists, ``none`` declines.
        original: The float model.
        quantized: The int8 model, or why there is none.
        max_drop: Greatest loss of accuracy, percentage points.

    Raises:
        AccuracyDropError: ``int8`` was insisted on and is not to be had within ``max_drop``.
    """
    if mode == "none":
        return Choice("none", "float was asked for")
    if isinstance(quantized, str):
        if mode == "int8":
            raise AccuracyDropError(f"int8 was asked for, but {quantized}; use --quantize none")
        return Choice("none", f"float is kept because {quantized}")
    drop = _drop(original, quantized)
    if mode == "int8":
        if drop is not None and drop > max_drop:
            raise AccuracyDropError(
                f"int8 loses {drop:.2f} points of accuracy on the held-back rows, more than the {max_drop:g} allowed; "
                "raise --max-drop, or use --quantize none"
            )
        return Choice("static_int8_qdq", f"int8 was asked for{_and_drop(drop)}")
    objection = _objection(original, quantized, drop, max_drop)
    if objection:
        return Choice("none", f"float is kept because {objection}")
    saving = 100 * (1 - quantized.size / original.size)
    return Choice("static_int8_qdq", f"int8 is {saving:.0f} % smaller and {_as_good(quantized)}{_and_drop(drop)}")


def _drop(original: Candidate, quantized: Candidate) -> float | None:
    if original.accuracy is None or quantized.accuracy is None:
        return None
    return 100 * (original.accuracy - quantized.accuracy)


def _objection(original: Candidate, quantized: Candidate, drop: float | None, max_drop: float) -> str:
    if quantized.size > (1 - MIN_SAVING) * original.size:
        return f"int8 saves less than {100 * MIN_SAVING:.0f} % ({original.size} to {quantized.size} bytes)"
    if drop is not None and drop > max_drop:
        return f"int8 loses {drop:.2f} points of accuracy, more than the {max_drop:g} allowed"
    if quantized.agreement is not None and quantized.agreement < MIN_AGREEMENT:
        return f"int8 gives another class in {100 * (1 - quantized.agreement):.1f} % of the held-back rows"
    if quantized.agreement is None and not quantized.relative_difference <= MAX_RELATIVE_DIFFERENCE:
        return (
            f"int8 differs by up to {100 * quantized.relative_difference:.1f} % of an output's range, more than the "
            f"{100 * MAX_RELATIVE_DIFFERENCE:.0f} % allowed"
        )
    return ""


def _as_good(quantized: Candidate) -> str:
    if quantized.agreement is not None:
        return f"gives the same class in {100 * quantized.agreement:.1f} % of the held-back rows"
    return f"differs by at most {100 * quantized.relative_difference:.1f} % of an output's range"


def _and_drop(drop: float | None) -> str:
    if drop is None:
        return ""
    return f"; accuracy {-drop:+.2f} points" if drop else "; accuracy is the same"


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
