"""What a model's answers say against it: that they are no numbers, or no better than those of who does not look."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edge_rai_converters.audit import Finding
from edge_rai_converters.candidates import Forms
from edge_rai_converters.learning import Learned

# Standard deviations of the normal distribution around 95 % of it.
_Z = 1.96


def doubts(learned: Learned, forms: Forms) -> Iterator[Finding]:
    """Findings that only show when the model has answered.

    Args:
        learned: The model, its data and which rows are held back.
        forms: The candidates, the model as it came first.
    """
    yield from _not_finite(learned)
    if forms.doubt:
        advice = "Number the labels as the model numbers its classes, or give none"
        yield Finding("labels_unlike_answers", "error", forms.doubt, advice)
    accuracy, labels = forms.candidates[0].comparison.accuracy, learned.dataset.labels
    if accuracy is None or labels is None:
        return
    classes, counts = np.unique(labels[learned.held_back], return_counts=True)
    total, most = int(counts.sum()), int(counts.argmax())
    share = float(counts[most]) / total
    if len(classes) == 1 or accuracy - _Z * math.sqrt(accuracy * (1 - accuracy) / total) > share:
        return
    names = learned.dataset.class_names
    name = str(classes[most]) if names is None else names[classes[most]]
    yield Finding(
        "no_better_than_guessing",
        "warning",
        f"the model as it came has the class of the label in {100 * accuracy:.1f} % of the held-back rows, not "
        f"measurably more than the {100 * share:.1f} % of somebody who always says {name}",
        "See that the labels are these rows', and that the rows are prepared as in training: order of columns, scale, "
        "channels",
        {"accuracy": accuracy, "most_common": share, "rows": total},
    )


def _not_finite(learned: Learned) -> Iterator[Finding]:
    """Answers that are NaN or infinite: a guard that was learned from them cannot tell them from faults."""
    for name, output in learned.answers.outputs.items():
        if not output.floating or output.finite:
            continue
        never = output.high < output.low
        yield Finding(
            "answers_not_finite",
            "error" if never else "warning",
            f"output {name!r} of the model as it came is {'never' if never else 'not always'} finite on the held-back "
            "rows",
            "See that the rows are prepared as in training, and that the model is sound: a policy that is learned from "
            "such answers lets them through (finite = false)",
            {"output": name},
        )
