"""Learns how far a row may be from the reference: a Mahalanobis distance whose threshold keeps a stated rate.

The covariance is that of standardized features, shrunk towards a multiple of the identity as Ledoit and Wolf do (A
well-conditioned estimator for large-dimensional covariance matrices, 2004, section 3.3). Up to 64 features its inverse
has a triangular factor, and the distance is exact; beyond, the leading directions are kept and the others share one
variance. The threshold is an order statistic of rows that the covariance was not learned from, so that a row like
them is above it with a probability of at most the rate, whatever the distribution (split conformal prediction).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_rai.policy import Distance, DistanceReference

MOST_FULL = 64
DIRECTIONS = 16
# Two thirds of the rows for the covariance, one for the threshold.
_SHARE = 3
_LEAST_ROWS = 16

Kind = Literal["full", "low_rank", "diagonal"]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LearnedDistance:
    """A distance, its reference, and what the threshold stands on.

    Attributes:
        rule: For the policy.
        reference: For the reference.
        rows: Rows held back for the threshold.
        above: Of them, those above the threshold.
    """

    rule: Distance
    reference: DistanceReference
    rows: int
    above: int


def learn_distance(
    name: str, values: npt.NDArray[np.generic], *, rate: float = 0.01, kind: Kind | None = None
) -> LearnedDistance | None:
    """Learns the distance of one input.

    Args:
        name: Of the input.
        values: (rows, features); a NaN is a missing value and counts as the mean.
        rate: Share of rows like these that may be above the threshold. With fewer than 1 / rate rows held back, the
            rate that they can state is used.
        kind: None: "full" up to 64 features, "low_rank" beyond.

    Returns:
        None when there are too few rows, or every feature is constant.
    """
    exact = np.asarray(values, np.float64)
    held = np.arange(len(exact)) % _SHARE == _SHARE - 1
    learned, kept_back = exact[~held], exact[held]
    if len(kept_back) < _LEAST_ROWS:
        return None
    mean, stddev = np.nanmean(learned, axis=0), np.nanstd(learned, axis=0)
    scale = np.divide(1.0, stddev, out=np.zeros_like(stddev), where=stddev > 0)
    if not scale.any() or not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        return None
    kind = kind or ("full" if exact.shape[1] <= MOST_FULL else "low_rank")
    projection, weights, rest = _shape(kind, _standardize(learned, mean, scale))
    reference = DistanceReference(
        name, mean, scale, projection.astype(np.float32), weights.astype(np.float32), float(rest)
    )
    squared = squared_distances(reference, kept_back)
    count = len(squared)
    place = min(math.ceil((count + 1) * (1 - rate)), count)
    threshold = float(np.sort(squared)[place - 1]) * (1 + 1e-4)  # the device computes in float32
    stated = max(rate, 1 / (count + 1))
    rule = Distance(threshold=max(threshold, 1e-6), kind=kind, false_rejection_rate=stated)
    return LearnedDistance(rule, reference, count, int((squared > rule.threshold).sum()))


def squared_distances(reference: DistanceReference, values: Values) -> Values:
    """(rows,) squared distances, as erai_distance_rule in edge_rai.h defines them, in float64."""
    z = _standardize(values, reference.mean, reference.scale)
    projected = z @ reference.projection.astype(np.float64).T
    squared: Values = reference.rest * (z**2).sum(axis=1) + projected**2 @ reference.weights.astype(np.float64)
    return np.maximum(squared, 0.0)


def _standardize(values: Values, mean: Values, scale: Values) -> Values:
    z: Values = np.nan_to_num((values - mean) * scale, nan=0.0, posinf=1e6, neginf=-1e6)
    return np.clip(z, -1e6, 1e6)


def _shape(kind: Kind, z: Values) -> tuple[Values, Values, float]:
    """Projection, weights and rest."""
    features = z.shape[1]
    if kind == "diagonal":
        return np.empty((0, features)), np.empty(0), 1.0
    covariance = _shrunk_covariance(z)
    if kind == "full":
        return np.tril(np.linalg.inv(np.linalg.cholesky(covariance))), np.ones(features), 0.0
    variances, directions = np.linalg.eigh(covariance)
    kept = min(DIRECTIONS, features - 1)
    remaining = float(variances[: features - kept].mean())
    return directions[:, -kept:].T, 1 / variances[-kept:] - 1 / remaining, 1 / remaining


def _shrunk_covariance(z: Values) -> Values:
    rows, features = z.shape
    centred = z - z.mean(axis=0)
    sample: Values = centred.T @ centred / rows
    variance = np.trace(sample) / features
    spread = float(((sample - variance * np.eye(features)) ** 2).sum())
    noise = float(((centred**2).sum(axis=1) ** 2).sum() / rows - (sample**2).sum()) / rows
    shrinkage = min(max(noise / spread, 0.0), 1.0) if spread > 0 else 1.0
    return (1 - shrinkage) * sample + shrinkage * variance * np.eye(features)
