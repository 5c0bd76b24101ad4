"""Laws of latency of which the percentiles are known: each is its own inverse distribution function, in nanoseconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from support.simulated_machine import Law

Quantile = Callable[[np.ndarray], np.ndarray]

# So short that a block holds some calls, which makes simulating it cheap; so long that nanoseconds are fine enough.
TYPICAL = 3e5


def exactly_constant(u: np.ndarray) -> np.ndarray:
    return np.full_like(u, TYPICAL)


def constant(u: np.ndarray) -> np.ndarray:
    """A constant as a clock sees it: up to a tenth late."""
    return TYPICAL * (1 + 0.1 * u)


def bimodal(u: np.ndarray) -> np.ndarray:
    """Seven tenths of the calls take 0.3 ms, the others 0.9 ms."""
    return np.where(u < 0.7, TYPICAL * (1 + 0.02 * u), 3 * TYPICAL * (1 + 0.02 * u))


def stalling(u: np.ndarray) -> np.ndarray:
    """15 calls in 1,000 stall, for 6 ms on average."""
    stall = 20 * TYPICAL * -np.log(np.maximum(1 - u, 1e-12) / 0.015)
    return TYPICAL * (1 + 0.05 * u) + np.where(u < 0.985, 0.0, np.maximum(stall, 0.0))


def drawn_from(quantile: Quantile) -> Law:
    return lambda rng, n: quantile(rng.random(n))
