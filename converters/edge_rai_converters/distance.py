"""Learns how far a row may be from the reference: a Mahalanobis distance whose threshold keeps a stated rate.

The covariance is that of standardized features, shrunk towards a multiple of the identity as Ledoit and Wolf do (A
well-conditioned estimator for large-dimensional covariance matrices, 2004, section 3.3). Up to 64 features its inverse
has a triangular factor, and the distance is exact; beyond, the leading directions are kept and the others share one
variance, of at least what the device's float32 can tell from nothing. The threshold is an order statistic of rows that
the covariance was not learned from, so that a row like them is above it with a probability of at most the rate,
whatever the distribution (split conformal prediction). The device's own code computes their distances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge_rai.errors import PolicyError
from edge_rai.policy import Distance, DistanceReference, InputRule, Policy
from edge_rai_converters.data import Array, Rows, StoredRows, chunks, drawn, is_missing
from edge_rai_converters.on_device import distances_on_device

MOST_FULL = 64
DIRECTIONS = 16
# Two thirds of the rows for the covariance, one for the threshold.
SHARE = 3
_LEAST_ROWS = 16
_VALUES = 1 << 20
# Columns that say the same have no variance against each other, and nothing but this to divide by.
_LEAST_SHRINKAGE = 1e-4
# Share of a squared distance by which the device may be off.
TOLERANCE = 0.01
# What a product of factor and value loses on the device at most: nine roundings to 24 bits (native/src/distance.c).
_LOSS = 9 * 2.0**-24

Kind = Literal["full", "low_rank", "diagonal"]
Asked = Literal["auto", "full", "low_rank", "diagonal", "none"]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LearnedDistance:
    """A distance, its reference, and what the threshold stands on.

    Attributes:
        rule: For the policy.
        reference: For the reference.
        rows: Rows held back for the threshold.
    """

    rule: Distance
    reference: DistanceReference
    rows: int


@dataclass(frozen=True, slots=True)
class DistanceReport:
    """What people should know of an input's distance.

    Attributes:
        input: Its name.
        kind: Of the distance.
        threshold: Of the squared distance.
        yours: A policy says another threshold than these rows do: ``rows`` and what they promise are not behind it.
        false_rejection_rate: The share of rows like these that the threshold keeps to; of yours, that above it.
        rows: That a threshold was learned from, and nothing else of the distance.
        held_back: Rows that nothing was learned from.
        above: Of these, those above the threshold.
    """

    input: str
    kind: Kind
    threshold: float
    yours: bool
    false_rejection_rate: float
    rows: int
    held_back: int
    above: int


def learn_distance(
    name: str, values: npt.NDArray[np.generic], *, rate: float = 0.01, kind: Kind | None = None
) -> LearnedDistance | str:
    """Learns the distance of one input.

    Args:
        name: Of the input.
        values: (rows, features); a NaN is a missing value and counts as the mean.
        rate: Share of rows like these that may be above the threshold. With fewer than 1 / rate rows held back, the
            rate that they can state is used.
        kind: None: "full" up to 64 features, "low_rank" beyond.

    Returns:
        Or why there is none: too few rows, only constants, or more than TOLERANCE between the device's and this one.
    """
    exact = np.asarray(values, np.float64)
    held = drawn(len(exact), SHARE)
    learned, kept_back = exact[~held], exact[held]
    if len(kept_back) < _LEAST_ROWS:
        return f"{len(exact)} rows leave {len(kept_back)} for its threshold, and at least {_LEAST_ROWS} are needed"
    known = np.where(np.isnan(learned).all(axis=0), 0.0, learned)  # a column that is always missing says nothing
    mean, stddev = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    # The standard deviation of one value, again and again, is what rounding leaves of it, and not always 0.
    varies = (np.nanmin(known, axis=0) < np.nanmax(known, axis=0)) & (stddev > 0)
    scale = np.divide(1.0, stddev, out=np.zeros_like(stddev), where=varies)
    if not scale.any() or not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        return "every feature is constant, or varies beyond what can be squared"
    kind = kind or ("full" if exact.shape[1] <= MOST_FULL else "low_rank")
    projection, weights, rest = _shape(kind, _standardize(learned, mean, scale))
    reference = DistanceReference(
        name, mean, scale, projection.astype(np.float32), weights.astype(np.float32), float(np.float32(rest))
    )
    squared = distances_on_device(reference, kept_back)
    off = _largest_difference(squared, squared_distances(reference, kept_back))
    if off > TOLERANCE:
        return (
            f"the device's {kind} distance of a row held back is {100 * off:.2g} % off, and {100 * TOLERANCE:g} % is "
            f"allowed{'; a diagonal one can be asked for' * (kind != 'diagonal')}"
        )
    return LearnedDistance(_rule(kind, squared, rate), reference, len(squared))


def _rule(kind: Kind, squared: npt.NDArray[np.floating[Any]], rate: float) -> Distance:
    """The threshold that rows which taught the distance nothing else keep to, at the rate that so many can state."""
    count = len(squared)
    place = min(math.ceil((count + 1) * (1 - rate)), count)
    threshold = max(float(np.sort(squared)[place - 1]) * (1 + 1e-4), 1e-6)  # six digits of it are written
    return Distance(float(f"{threshold:.6g}"), kind, max(rate, 1 / (count + 1)))


def learn_distances(
    policy: Policy, rows: Rows, index: npt.NDArray[np.int64], asked: Asked, rate: float
) -> dict[str, LearnedDistance | str]:
    """By name of input, the distance of each that can have one, or the reason why there is none.

    Args:
        policy: Whose inputs; recurrent states are left out.
        rows: Per input (N, *call), see ``data.Dataset``.
        index: Rows to learn from; of many, one of every n is used, so that memory is bounded.
        asked: ``auto``: of inputs with at least two columns of floats, full or low rank by their number.
        rate: Share of rows like these that may be above any threshold; each input's distance has an equal part of it.

    Raises:
        ValueError: The rate is not between 0 and 1, or a full distance was asked for of too many features.
    """
    if not 0 < rate < 1:
        raise ValueError(f"false rejection rate {rate}; it must be more than 0 and less than 1: 0.01 for 1 % of rows")
    if asked == "none":
        return {}
    states = {state.input for state in policy.states}
    given = [rule for rule in policy.inputs if rule.name not in states]
    unfit = {rule.name: _unfit(rule, policy.batched, rows[rule.name], asked) for rule in given}
    share = rate / max(1, list(unfit.values()).count(""))
    kind = None if asked == "auto" else asked
    found: dict[str, LearnedDistance | str] = {}
    for rule in given:
        features = len(rule.features)
        if not unfit[rule.name] and kind == "full" and features > MOST_FULL:
            raise ValueError(f"input {rule.name!r} has {features} features; a full distance takes {MOST_FULL}")
        found[rule.name] = unfit[rule.name] or learn_distance(
            rule.name, table(rule, rows[rule.name], _thinned(index, features)), rate=share, kind=kind
        )
    return found


def relearn_distances(
    policy: Policy, rows: Rows, index: npt.NDArray[np.int64], rate: float
) -> dict[str, LearnedDistance]:
    """By name of input, what lies behind the distances that somebody wrote into a policy.

    Args:
        policy: Says the kind, and the rate where it says one.
        rows: As ``learn_distances``.
        index: As ``learn_distances``.
        rate: Where the policy says none.

    Raises:
        PolicyError: One of them cannot be learned from this data.
    """
    found = {}
    for rule in policy.inputs:
        if rule.distance is not None:
            values = table(rule, rows[rule.name], _thinned(index, len(rule.features)))
            asked = rule.distance.false_rejection_rate or rate
            learned = learn_distance(rule.name, values, rate=asked, kind=rule.distance.kind)
            if isinstance(learned, str):
                raise PolicyError(f"input {rule.name!r} has a distance in the policy, but {learned}")
            found[rule.name] = learned
    return found


def report(
    rule: InputRule, distance: Distance, learned: LearnedDistance, array: StoredRows, held_back: npt.NDArray[np.int64]
) -> DistanceReport:
    """Measures a distance on rows that nothing was learned from, at most as many as ``learn_distances`` uses."""
    shown = _thinned(held_back, len(rule.features))
    squared = distances_on_device(learned.reference, table(rule, array, shown))
    above = int((squared > distance.threshold).sum())
    yours = distance.threshold != learned.rule.threshold
    return DistanceReport(
        input=rule.name,
        kind=learned.rule.kind,
        threshold=distance.threshold,
        yours=yours,
        false_rejection_rate=float(f"{above / len(squared):.6g}") if yours else learned.rule.false_rejection_rate,
        rows=learned.rows,
        held_back=len(squared),
        above=above,
    )


def table(rule: InputRule, array: StoredRows, index: npt.NDArray[np.int64]) -> Values:
    """The chosen rows as (rows, features), with NaN for what is missing."""
    return np.concatenate([_with_nan(rule, part.reshape(len(part), -1)) for part in chunks(array, index)])


def _with_nan(rule: InputRule, came: Array) -> Values:
    values = came.astype(np.float64)
    for place, feature in enumerate(rule.features):
        values[is_missing(feature, came[:, place]), place] = np.nan
    return values


def squared_distances(reference: DistanceReference, values: Values) -> Values:
    """(rows,) squared distances, as erai_distance_rule in edge_rai.h defines them, in float64: what is exact."""
    z = _standardize(values, reference.mean, reference.scale)
    projected = z @ reference.projection.astype(np.float64).T
    squared: Values = reference.rest * (z**2).sum(axis=1) + projected**2 @ reference.weights.astype(np.float64)
    return np.maximum(squared, 0.0)


def _largest_difference(found: Values, exact: Values) -> float:
    """As a share of what is exact."""
    return float((np.abs(found - exact) / np.maximum(exact, np.finfo(np.float64).tiny)).max())


def _unfit(rule: InputRule, batched: bool, array: StoredRows, asked: Asked) -> str:
    if array.dtype.kind not in "fiub":
        return "it holds no numbers"
    if asked == "auto" and array.dtype.kind != "f":
        return f"it holds {rule.dtype}, of which a distance is only learned when one is asked for"
    if rule.feature_axis is None:
        return "it has no columns"
    if asked == "auto" and len(rule.features) == 1:
        return "it has one column, and its limits say as much"
    if not rule.has_one_value_a_feature(batched):
        return "it has more than one value a feature and row"
    return ""


def _thinned(index: npt.NDArray[np.int64], features: int) -> npt.NDArray[np.int64]:
    most = max(_VALUES // features, 4 * features)
    return index[drawn(len(index), -(-len(index) // most))]


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
    projection, spread = _upright(directions[:, features - kept :]).T, variances[features - kept :]
    shared = max(float(variances[: features - kept].mean()), _least_shared(projection, spread))
    return projection, 1 / np.maximum(spread, shared) - 1 / shared, 1 / shared


def _least_shared(projection: Values, spread: Values) -> float:
    """The variance that directions beyond the leading ones must share for the device to keep to TOLERANCE.

    It takes what lies in the leading directions away from the sum of all squares. With shared variance v, z of squared
    distance d2, a = |z| <= sqrt(max(spread) d2), and b_k = |projection_k . z| / sqrt(spread_k), |b| <= sqrt(d2), the
    difference is off by at most 2 loss / v times b' |diag(sqrt(spread)) projection| |z|: by the norm of that matrix.
    """
    reach = np.linalg.norm(np.sqrt(spread)[:, np.newaxis] * np.abs(projection), 2)
    return float(2 * _LOSS * reach * math.sqrt(spread.max()) / TOLERANCE)


def _upright(directions: Values) -> Values:
    """Of a direction and its opposite, which are as good, the one whose largest part is positive."""
    largest = np.abs(directions).argmax(axis=0)
    signs: Values = np.sign(directions[largest, np.arange(directions.shape[1])])
    upright: Values = directions * signs
    return upright


def _shrunk_covariance(z: Values) -> Values:
    rows, features = z.shape
    centred = z - z.mean(axis=0)
    sample: Values = centred.T @ centred / rows
    variance = np.trace(sample) / features
    spread = float(((sample - variance * np.eye(features)) ** 2).sum())
    noise = float(((centred**2).sum(axis=1) ** 2).sum() / rows - (sample**2).sum()) / rows
    shrinkage = min(max(noise / spread, _LEAST_SHRINKAGE), 1.0) if spread > 0 else 1.0
    shrunk: Values = (1 - shrinkage) * sample + shrinkage * variance * np.eye(features)
    return shrunk
