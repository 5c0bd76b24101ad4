"""How far the fleet has left its references, and which of its devices have, with the error of saying so.

The population stability index is the native library's, the same that a device computes for itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from edge_rai.telemetry.drift import feature_drift

Counts = npt.NDArray[np.uint64]
_Name = TypeVar("_Name", str, tuple[tuple[str, ...], str, str])


class Psi(NamedTuple):
    """A population stability index.

    Attributes:
        value: Of the window against the reference.
        expected: What it would be on average without any change, for counts are finite.
        error: Its standard error, values being independent.
    """

    value: float
    expected: float
    error: float


def measure(reference: Counts, window: Counts) -> Psi | None:
    """The index of merged counts; None where there is nothing to compare.

    n m / (n + m) times the index is, near no change, a noncentral chi-square with bins - 1 degrees of freedom. So its
    variance is that of the central one, and that of the delta method for as much of it as chance does not explain.

    Args:
        reference: (bins,) counts.
        window: (bins,) counts.
    """
    values, reference_values = int(window.sum()), int(reference.sum())
    if len(reference) < 2 or not values or not reference_values:
        return None
    drift = feature_drift("", reference, window)
    # Shares with half a count more in each bin, as the index has them.
    p = (window + 0.5) / (values + len(window) / 2)
    q = (reference + 0.5) / (reference_values + len(reference) / 2)
    logarithm: npt.NDArray[np.float64] = np.log(p / q)
    by_p, by_q = logarithm + 1 - q / p, 1 - logarithm - p / q
    variance = _variance(p, by_p) / values + _variance(q, by_q) / reference_values
    unchanged = 2 * (len(reference) - 1) * (1 / values + 1 / reference_values) ** 2
    beyond_chance = max(1 - drift.expected / drift.psi, 0.0) if drift.psi else 0.0
    return Psi(drift.psi, drift.expected, math.sqrt(variance * beyond_chance + unchanged))


def _variance(shares: npt.NDArray[Any], of: npt.NDArray[Any]) -> float:
    return float((shares * of**2).sum() - (shares * of).sum() ** 2)


def drifted(e_values: Mapping[_Name, float], rate: float) -> tuple[_Name, ...]:
    """Whose e-values speak against "nothing has changed", so that at most a share of `rate` of those named is wrong.

    e-BH (Wang and Ramdas, 2022): the k greatest, for the greatest k whose k-th is at least n / (rate k). The rate is an
    expectation, and holds whatever they have to do with each other.

    Args:
        e_values: By name.
        rate: False discovery rate, in (0, 1).
    """
    falling = sorted(e_values, key=lambda name: (-e_values[name], name))
    named = 0
    for k, name in enumerate(falling, 1):
        if e_values[name] >= len(falling) / (rate * k):
            named = k
    return tuple(falling[:named])


def latency_percentile(slots: Sequence[int], share: float) -> float | None:
    """Nanoseconds within which that share of the calls ended: the upper end of a slot, so at most 9 % too much.

    Args:
        slots: Calls by duration, as in types.Snapshot.
        share: Of the calls, in (0, 1].
    """
    wanted, reached = math.ceil(sum(slots) * share), 0
    for slot, count in enumerate(slots):
        reached += count
        if count and reached >= wanted:
            return float(2.0 ** (slot / 8))
    return None
