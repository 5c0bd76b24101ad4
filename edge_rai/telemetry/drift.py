"""How far a window has moved from its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_rai._native import psi
from edge_rai.counts import FeatureDrift

if TYPE_CHECKING:
    import numpy.typing as npt


def feature_drift(name: str, reference: npt.NDArray[np.uint64], window: npt.NDArray[np.uint64]) -> FeatureDrift:
    """Population stability index with its expectation under no change.

    Args:
        name: The feature.
        reference: (bins,) counts of the reference.
        window: (bins,) counts of the window.
    """
    values, reference_values = int(window.sum()), int(reference.sum())
    expected = (len(reference) - 1) * (1 / values + 1 / reference_values) if values and reference_values else 0.0
    return FeatureDrift(name, psi(reference, window), expected, values)
