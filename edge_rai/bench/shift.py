"""How much two groups of values differ, by ranks: exact for few values of any law.

The test is Mann and Whitney's. Hodges and Lehmann (Estimates of Location Based on Rank Tests, 1963) turn it into an
interval: of all differences between a value of one group and one of the other, as many are left out at each end as the
law of the test's statistic allows. A process that was unlucky hardly moves it.
"""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def shift_interval(first: Values, second: Values, confidence: float) -> tuple[float, float]:
    """How much greater the values of the second law are, at least with that confidence.

    Args:
        first: (m,) At 99 % the interval is what it says from 5 values on each side on.
        second: (n,)
        confidence: For example 0.99.
    """
    m, n = len(first), len(second)
    ways = np.zeros((m + 1, m * n + 1))  # by how many of the first are placed: pairs in which it is the greater
    ways[0, 0] = 1
    for below in range(1, n + m + 1):
        for placed in range(min(m, below), 0, -1):
            pairs = below - placed
            if pairs <= n:
                ways[placed, pairs:] += ways[placed - 1, : m * n + 1 - pairs]
    differences = (second[:, None] - first[None, :]).ravel()
    chances = ways[m] / comb(m + n, m)
    left_out = int(np.searchsorted(np.cumsum(chances), (1 - confidence) / 2, side="right"))
    ordered = np.sort(differences)
    drop = max(0, min(left_out, (len(ordered) + 1) // 2) - 1)
    return float(ordered[drop]), float(ordered[len(ordered) - 1 - drop])
