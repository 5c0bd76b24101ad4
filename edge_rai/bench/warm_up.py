"""When a series has warmed up: found by looking at it, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

# Still warming up: the last third of the rounds so far took this much less than the third before.
_STILL_FALLING = 0.02
FEWEST_ROUNDS = 12


def settled(medians: Sequence[Sequence[float]]) -> bool:
    """Whether no subject is still getting faster.

    The thirds grow with the time waited, so that a slow settling is seen as well as a fast one. Getting slower is no
    warming up: it is left in, for `throttling` to find.

    Args:
        medians: Of each subject's blocks so far, in time order.
    """
    return all(len(series) >= FEWEST_ROUNDS and not _falling(series) for series in medians)


def _falling(series: Sequence[float]) -> bool:
    third = len(series) // 3
    return median(series[-third:]) < (1 - _STILL_FALLING) * median(series[-2 * third : -third])
