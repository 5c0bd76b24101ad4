"""An estimate of accuracy without labels, from confidence alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_rai.bundle import read
from edge_rai.counts import FeatureCounts
from edge_rai.policy import Reference
from edge_rai.types import Feature

_REFERENCE = "reference/reference.json"


def estimated_accuracy(path: str, features: Sequence[Feature], counts: Sequence[FeatureCounts]) -> float | None:
    """The mean over a window's rows of how often rows of their confidence were right.

    Args:
        path: Of the bundle or model.
        features: As the session has them.
        counts: Of the window, in the same order.

    Returns:
        None where nothing is known, and of a window without rows.
    """
    if not Path(path).is_dir() and Path(path).suffix.lower() in (".onnx", ".tflite"):
        return None
    files = read(path).files
    if _REFERENCE not in files:
        return None
    known = {entry.name: entry for entry in Reference.from_json(files[_REFERENCE]).features if len(entry.right)}
    for feature, counted in zip(features, counts, strict=True):
        if feature.name in known:
            entry = known[feature.name]
            rows = counted.histogram[: len(entry.right)].astype(np.float64)
            # One row more, right by the reference's own rate, so that a bin of few rows does not decide.
            overall = entry.right.sum() / max(entry.counts.sum(), 1)
            shares = (entry.right + overall) / (entry.counts + 1.0)
            return float((rows * shares).sum() / rows.sum()) if rows.any() else None
    return None
