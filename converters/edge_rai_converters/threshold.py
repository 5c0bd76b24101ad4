"""Re-fits the decision threshold of a classifier of two classes to what quantizing did to its scores.

Rounding may move all scores of one class a little to one side, so that the old threshold cuts where it should not. A
new one is found on calibration rows, and kept only when rows that had no part in finding it say beyond chance that it
is right more often (the sign test, one-sided at 5 %, of the rows that the two thresholds decide differently).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[Any]

_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Refit:
    """What was found. A row is of class 1 where its score exceeds the threshold.

    Attributes:
        before: The threshold of the float model, and the one that holds unless ``kept``.
        found: The best on the calibration rows.
        kept: Whether ``found`` is to be used.
        rows: Apart from calibration, by which that was decided.
        right_before: Of these, rows that ``before`` puts into their class.
        right_found: The same of ``found``.
    """

    before: float
    found: float
    kept: bool
    rows: int
    right_before: int
    right_found: int

    @property
    def threshold(self) -> float:
        """That is to be used."""
        return self.found if self.kept else self.before

    def __str__(self) -> str:
        if self.found == self.before:
            return f"no other is right for more of the calibration rows than {self.before:g}"
        tried = f"of {self.rows} calibration rows that had no part in finding it"
        if self.kept:
            return (
                f"{tried}, {self.found:g} is right for {self.right_found}, and {self.before:g} for {self.right_before}"
            )
        return (
            f"{tried}, {self.found:g} is right for {self.right_found} and {self.before:g} for {self.right_before}, "
            "which is no gain beyond chance"
        )


def refit_threshold(
    scores_float_calibration: Scores,
    scores_quantized_calibration: Scores,
    labels_calibration: npt.NDArray[np.integer[Any]],
    scores_quantized_apart: Scores,
    labels_apart: npt.NDArray[np.integer[Any]],
) -> Refit:
    """Finds the threshold with the most right answers, of several the one nearest the old.

    Scores are (N,) or (N, 1), where the old threshold is 0.5 if all scores of the float model are between 0 and 1, and
    else 0, as for a logarithm of odds; or (N, 2), one a class, where they stand for the second less the first, and the
    old threshold is 0: that is the arg-max.

    Args:
        scores_float_calibration: Of the float model.
        scores_quantized_calibration: Of the quantized one, for the same rows.
        labels_calibration: (N,), 0 or 1.
        scores_quantized_apart: Of rows that are in no way among the others.
        labels_apart: Theirs.

    Raises:
        ValueError: Shapes do not fit each other, a score is not finite, or a label is neither 0 nor 1.
    """
    reference, _ = _checked(scores_float_calibration, labels_calibration)
    scores, labels = _checked(scores_quantized_calibration, labels_calibration)
    apart, truth = _checked(scores_quantized_apart, labels_apart)
    odds = scores_float_calibration.shape[1:] == (2,) or reference.min() < 0 or reference.max() > 1
    before = 0.0 if odds else 0.5
    found = _best(scores, labels, before)
    old, new = ((apart > threshold) == truth for threshold in (before, found))
    kept = _is_beyond_chance(int(np.sum(new & ~old)), int(np.sum(old & ~new)))
    return Refit(before, found, kept, len(apart), int(np.sum(old)), int(np.sum(new)))


def _is_beyond_chance(gained: int, lost: int) -> bool:
    """Whether so many, of as many as both, are more than a fair coin gives in one of twenty cases."""
    count = gained + lost
    return gained > lost and sum(comb(count, k) for k in range(gained, count + 1)) <= _CHANCE * 2**count


def _checked(scores: Scores, labels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    if scores.ndim not in (1, 2) or scores.shape[1:] not in ((), (1,), (2,)):
        raise ValueError(f"scores have the shape {scores.shape}; expected (N,), (N, 1) or (N, 2)")
    if labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(f"{len(scores)} rows of scores and labels of shape {labels.shape}; expected one label a row")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}; expected 0 and 1")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    wide = scores.astype(np.float64).reshape(len(scores), -1)
    return wide[:, 1] - wide[:, 0] if wide.shape[1] == 2 else wide[:, 0], labels == 1


def _best(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], before: float) -> float:
    """Of the midpoints between neighbouring scores, and the old threshold."""
    order = np.argsort(scores, kind="stable")
    ordered, ones = scores[order], labels[order]
    # Right with the first k + 1 rows at or below the threshold: the zeros among them and the ones after them.
    right = np.cumsum(~ones) + ones.sum() - np.cumsum(ones)
    between = np.flatnonzero(ordered[:-1] < ordered[1:])
    candidates = np.append((ordered[between] + ordered[between + 1]) / 2, before)
    counts = np.append(right[between], _right(scores, labels, before))
    best = candidates[counts == counts.max()]
    return float(best[np.argmin(np.abs(best - before))])


def _right(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], threshold: float) -> int:
    return int(np.count_nonzero((scores > threshold) == labels))
