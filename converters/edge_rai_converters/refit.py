"""The decision threshold of candidates with two classes, re-fitted where that helps: see threshold.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai_converters.answered import Answered, answered
from edge_rai_converters.compare import Output
from edge_rai_converters.data import Array, drawn
from edge_rai_converters.learning import Learned
from edge_rai_converters.runner import Running
from edge_rai_converters.threshold import Refit, refit_threshold

# More rows say little more of one number.
_MOST_ROWS = 4096
_KEPT_APART_EVERY = 4


@dataclass(frozen=True, slots=True)
class Rethreshold:
    """A threshold for a candidate, found on three quarters of the calibration rows and tried on the rest.

    Attributes:
        output: Whose scores it is for: of two columns the second less the first.
        refit: What was found.
        accuracy: Of the candidate on the held-back rows with the threshold that is to be used; these rows had no part.
    """

    output: str
    refit: Refit
    accuracy: float


def make_refitter(learned: Learned) -> Callable[[Running, Answered], Rethreshold | None] | None:
    """What re-fits a candidate's threshold from its runner and its answers to the held-back rows.

    None where there is nothing to re-fit: without labels of 0 and 1, or without scores of two classes.
    """
    labels = learned.dataset.labels
    if labels is None or not np.isin(labels[learned.dataset.labelled], (0, 1)).all():
        return None
    output = next((name for name, entry in learned.answers.outputs.items() if _is_score(entry)), None)
    if output is None:
        return None
    index = learned.calibration[learned.dataset.labelled[learned.calibration]][:_MOST_ROWS]
    apart = drawn(len(index), _KEPT_APART_EVERY)
    original = _scores(learned.answers.runner, learned, index, output)

    def refitted(runner: Running, held_back: Answered) -> Rethreshold | None:
        scores = _scores(runner, learned, index, output)
        if not np.isfinite(scores).all():
            return None
        refit = refit_threshold(
            original[~apart], scores[~apart], labels[index[~apart]], scores[apart], labels[index[apart]]
        )  # fmt: skip
        values = held_back.all_of(output).reshape(len(learned.held_back), -1).astype(np.float64)
        margin = values[:, 1] - values[:, 0] if values.shape[1] == 2 else values[:, 0]
        right = (margin > refit.threshold) == (labels[learned.held_back] == 1)
        return Rethreshold(output, refit, float(np.mean(right)))

    return refitted


def _is_score(output: Output) -> bool:
    return output.floating and output.size in (1, 2) and output.finite


def _scores(runner: Running, learned: Learned, index: npt.NDArray[np.int64], output: str) -> Array:
    answers = answered(runner, learned.shown, index, batched=learned.policy.batched)
    return answers.all_of(output).reshape(len(index), -1)
