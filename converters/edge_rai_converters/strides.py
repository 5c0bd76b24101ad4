"""How far apart rows have to be to know nothing of each other: the strides at which features are watched for drift."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_rai.policy import Drift, FeatureReference, InputRule, Policy
from edge_rai_converters.data import Rows, chunks
from edge_rai_converters.errors import DataError

# A detector of rows that correlate by this much alarms no oftener than of independent ones (docs/adr/0014-drift.md).
_RESIDUAL = 0.01
# In standard errors: one lag looked at alone, and the greatest of many.
_ALONE, _OF_MANY = 3.0, 5.0
_MOST_LAGS = 5000
# The mean of sixteen exponential numbers is above this once in ten thousand times.
_SLOW = 2.25
# Of long data the first rows are enough, and features are read so many at a time.
_MOST_ROWS, _AT_ONCE = 200_000, 64
# Of all rows a stride leaves at least so many, or the feature is not watched.
_LEAST_LEFT = 50


def watched(policy: Policy, strides: Mapping[str, int], average_run_length: float) -> Policy:
    """The policy with a drift rule.

    Args:
        policy: Rules of the features.
        strides: Of what can be watched, by name.
        average_run_length: Rows.

    Raises:
        DataError: All strides are 0.
    """
    if strides and not any(strides.values()):
        raise DataError(
            "nothing can be watched for drift: rows depend on each other however far apart they are; where they follow "
            "the hour of the day say when they were (--times), or leave the average run length out"
        )
    said = {rule.name for rule in policy.observe}
    unusual = {name: stride for name, stride in strides.items() if stride != 1 or name in said}
    return replace(policy, drift=Drift(average_run_length, strides=unusual))


def find_strides(policy: Policy, reference: Sequence[FeatureReference], rows: Rows) -> dict[str, int]:
    """By feature that can be watched, its stride; 0: rows depend on each other at every distance that was looked at.

    Args:
        policy: Rules of the features.
        reference: What is known of them; one with a single bin is not watched.
        rows: Per input (N, *call), in the order in which they came.
    """
    carried = {state.input for state in policy.states}
    known = {entry.name for entry in reference if len(entry.counts) > 1}
    found: dict[str, int] = {}
    for rule in policy.inputs:
        if rule.name in carried or not is_watchable(rule, policy.batched):
            continue
        for feature, column in zip(rule.features, _columns(rule, rows), strict=True):
            if feature.name in known:
                found[feature.name] = stride_of(column)
    return found


def is_watchable(rule: InputRule, batched: bool) -> bool:
    """Whether an input has one number a feature and row."""
    return rule.feature_axis is not None and rule.dtype != "string" and rule.has_one_value_a_feature(batched)


def stride_of(values: npt.NDArray[np.generic]) -> int:
    """The least number of rows after which the level and the spread of a feature know nothing of themselves.

    Both are told by autocorrelation, of the values' normal scores and of the squares of these. Where it is above its
    sampling error, it is taken to decay geometrically, at the rate of the lags at which it can be seen, down to
    0.01. A cycle and a trend do not decay: such a feature gets 0.

    Args:
        values: (N,) in order; NaN counts as the middle.
    """
    scores = _normal_scores(np.asarray(values, np.float64))
    strides = [_decorrelated(series - series.mean()) for series in (scores, scores**2)]
    stride = max(strides) if all(strides) else 0
    if not stride or len(scores) // stride < _LEAST_LEFT:
        return 0
    return stride if all(_is_white(series[stride - 1 :: stride]) for series in (scores, scores**2)) else 0


def _columns(rule: InputRule, rows: Rows) -> Iterator[npt.NDArray[np.generic]]:
    assert rule.feature_axis is not None
    array = rows[rule.name]
    used = np.arange(min(len(array), _MOST_ROWS))
    for first in range(0, len(rule.features), _AT_ONCE):
        places = slice(first, first + _AT_ONCE)
        parts = [np.moveaxis(part, rule.feature_axis + 1, 0)[places] for part in chunks(array, used)]
        yield from np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _normal_scores(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N,) normal quantiles of ranks, those of equal values their mean: no law of the values has heavy tails there."""
    kept = np.where(np.isnan(values), np.nanmedian(values) if not np.isnan(values).all() else 0.0, values)
    _, place, counts = np.unique(kept, return_inverse=True, return_counts=True)
    above = np.cumsum(counts)
    shares = (above - counts / 2) / len(kept)
    # Tukey's lambda of 0.14 is the normal quantile to 1 % between its 0.1st and 99.9th percentile.
    quantiles = (shares**0.135 - (1 - shares) ** 0.135) / 0.1975
    return np.asarray(quantiles[place.reshape(-1)], np.float64)


def _autocorrelation(series: npt.NDArray[np.float64], lags: int) -> npt.NDArray[np.float64]:
    """(lags + 1,) from lag 0 on, by way of the spectrum."""
    spectrum = np.abs(np.fft.rfft(series, 2 * len(series))) ** 2
    found = np.fft.irfft(spectrum)[: lags + 1]
    return np.asarray(found / found[0], np.float64)


def _decorrelated(series: npt.NDArray[np.float64]) -> int:
    rows = len(series)
    if not np.any(series):
        return 1  # a constant
    correlation = np.abs(_autocorrelation(series, min(rows // 4, _MOST_LAGS)))
    error = 1 / math.sqrt(rows)
    seen = _last_seen(correlation, max(_ALONE * error, 0.2))
    if seen == 0 and correlation[1] <= _ALONE * error:
        stride = 1
    else:
        lag = max(seen, 1)
        stride = math.ceil(lag * math.log(_RESIDUAL) / math.log(min(correlation[lag], 0.9999)))
    # Correlation makes its own estimates err more: by as many rows as one is worth. So do values that are seldom far
    # from the others: products of them are skewed, the greatest of many further out (Cornish and Fisher's first term).
    worth = 1 + 2 * float((correlation[1 : stride + 1] ** 2).sum())
    skewness = float((series**3).mean() / (series**2).mean() ** 1.5)
    bound = (_OF_MANY + (_OF_MANY**2 - 1) / 6 * skewness**2 * error) * error * math.sqrt(worth)
    if bound >= 1:
        return 0  # too few rows to tell
    stride = max(stride, int(np.flatnonzero(correlation > bound)[-1]) + 1)  # lag 0 at least is
    return stride if stride <= len(correlation) // 2 else 0


def _is_white(series: npt.NDArray[np.float64]) -> bool:
    """Whether no cycle, and nothing slow, stands out of the periodogram of what a stride leaves.

    Ordinates of independent rows are exponential: the chance that the greatest of them, or the mean of the sixteen
    slowest, is beyond its limit here is about one in ten thousand each.
    """
    ordinates = np.abs(np.fft.rfft(series - series.mean())[1:]) ** 2
    if not ordinates.any():
        return True
    ordinates /= ordinates.mean()
    return bool(ordinates.max() <= math.log(len(ordinates) * 1e4) and ordinates[:16].mean() <= _SLOW)


def _last_seen(correlation: npt.NDArray[np.float64], level: float) -> int:
    """The last lag, from 1 on without a gap, whose correlation is above the level; 0: not even the first."""
    below = np.flatnonzero(correlation[1:] <= level)
    return int(below[0]) if len(below) else len(correlation) - 1
