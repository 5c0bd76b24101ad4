"""How far scores are probabilities: the expected calibration error beside its null value, and the curve behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from edge_rai_converters.gate.metrics import positive_of
from edge_rai_converters.gate.rows import Floats, Mask, Predicted, Rows
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.gate.slices import Slices

_MEAN_OF_NORMAL = float(np.sqrt(2 / np.pi))


def calibrations(rows: Rows, policy: GatePolicy, slices: Slices) -> Iterator[Mapping[str, Any]]:
    """One object a slice with labels; none where a model answers no probabilities.

    Of two classes the positive one's score is held against being it, of more the greatest score against being right, of
    labels each score against having that label. ``ece_null`` is what a model reads whose scores are exactly right, by
    the normal approximation: an ECE near it says nothing.
    """
    labelled = rows.labelled
    if rows.labels is None or rows.kind not in ("classes", "labels") or not labelled.any():
        return
    tables = []
    for model in (rows.original, rows.candidate):
        if model.scores is None:
            return
        tables.append(_table(*_held(rows, policy, model, labelled), labelled, slices, policy.calibration_bins))
    edges = np.linspace(0, 1, policy.calibration_bins + 1).tolist()
    for place, entry in enumerate(slices.slices):
        if entry.labelled:
            original, candidate = (_figures(table[place]) for table in tables)
            yield {
                "slice": entry.name,
                "rows": entry.labelled,
                "original": {"ece": original[0], "ece_null": original[1]},
                "candidate": {"ece": candidate[0], "ece_null": candidate[1]},
                "bins": [
                    {"low": low, "high": high, "original": one, "candidate": other}
                    for (low, high), one, other in zip(pairwise(edges), original[2], candidate[2], strict=True)
                    if one["rows"] or other["rows"]
                ],
            }


def _held(rows: Rows, policy: GatePolicy, model: Predicted, labelled: Mask) -> tuple[Floats, Mask]:
    """(labelled rows, k) scores, and whether what they are of is so."""
    scores, labels = np.asarray(model.scores)[labelled], np.asarray(rows.labels)[labelled]
    if rows.kind == "labels":
        return scores, labels == 1
    if len(rows.classes) == 2:
        positive = positive_of(rows, policy)
        return scores[:, [positive]], (labels == positive)[:, np.newaxis]
    return scores.max(axis=1, keepdims=True), (scores.argmax(axis=1) == labels)[:, np.newaxis]


def _table(scores: Floats, true: Mask, labelled: Mask, slices: Slices, bins: int) -> Floats:
    """(S, bins, 4) values, sum of scores, of what is so, of variances."""
    width = scores.shape[1]
    codes = np.minimum((scores * bins).astype(np.int64), bins - 1)
    weights = (np.ones_like(scores), scores, true.astype(np.float64), scores * (1 - scores))
    parts = []
    for family in slices.families:
        keys = (np.repeat(family.codes[labelled], width) * bins) + codes.reshape(-1)
        sums = [np.bincount(keys, weight.reshape(-1), family.count * bins) for weight in weights]
        parts.append(np.stack(sums, axis=1).reshape(family.count, bins, len(weights)))
    return np.concatenate(parts)


def _figures(table: Floats) -> tuple[float, float, list[dict[str, float | int]]]:
    """The error, its null value, and the curve, of one slice."""
    count, scores, true, variance = table.T
    total = count.sum()
    error = float(np.abs(scores - true).sum() / total)
    null = float(_MEAN_OF_NORMAL * np.sqrt(np.maximum(variance, 0)).sum() / total)
    curve = [
        {"rows": int(n), "mean_score": float(s / n) if n else 0.0, "share": float(t / n) if n else 0.0}
        for n, s, t in zip(count.tolist(), scores.tolist(), true.tolist(), strict=True)
    ]
    return error, null, curve
