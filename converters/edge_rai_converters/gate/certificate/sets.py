"""Sets of classes that hold the true one, class by class: conformal prediction with Mondrian categories.

A set holds the classes whose share is at least that class's limit (least ambiguous sets; Sadinle, Lei and Wasserman,
2019). The limit is an order statistic of the true class's shares, low enough that the promise holds with the gate's
confidence for the rows to come, given these rows (a tolerance limit; Vovk, 2012), and not on average over all
calibrations only. Rows of one person or device are no binomial: there the limit is the highest that bets, cluster by
cluster, show to cover (``gate.betting``), which is one test after the other as misses can only grow with the limit.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_rai_converters.gate.clustered import Units
from edge_rai_converters.gate.exact import at_most
from edge_rai_converters.gate.rows import Floats


@dataclass(frozen=True, eq=False, slots=True)
class Limits:
    """By class, (C,) each.

    Attributes:
        rows: That the limit is of.
        at_least: A class with this share or more is in the set; 0: too few rows, so that it is in every set.
    """

    rows: npt.NDArray[np.int64]
    at_least: Floats

    def sets(self, shares: Floats) -> npt.NDArray[np.bool_]:
        """(n, C) which classes are in the set of each row."""
        return np.asarray(shares >= self.at_least)


def rank(rows: int, coverage: float, alpha: float) -> int:
    """The greatest k for which the k-th least share is a limit that covers, with confidence 1 - alpha; 0: none."""
    chances = at_most(np.arange(rows), rows, 1 - coverage)  # that fewer than k + 1 lie below the true quantile
    return int(np.searchsorted(chances, alpha, side="right"))


def limits(
    shares: Floats,
    labels: npt.NDArray[np.int64],
    coverage: float,
    alpha: float,
    clusters: npt.NDArray[np.int64] | None = None,
) -> Limits:
    """Of rows with a label.

    Args:
        shares: (n, C) of the classes.
        labels: (n,) 0 to C - 1.
        coverage: Of the rows of each class.
        alpha: Chance that the promise does not hold, of each class.
        clusters: (n,) the number of each row's cluster; None: each row is an observation by itself.
    """
    classes = shares.shape[1]
    least = np.zeros(classes)
    for place in range(classes):
        of_class = labels == place
        own = shares[of_class, place]
        if clusters is not None:
            least[place] = _by_clusters(own, clusters[of_class], coverage, alpha)
        elif k := rank(len(own), coverage, alpha):
            least[place] = np.sort(own)[k - 1]
    return Limits(np.bincount(labels, minlength=classes), least)


def _by_clusters(own: Floats, clusters: npt.NDArray[np.int64], coverage: float, alpha: float) -> float:
    """The highest of a class's own shares that is shown to cover; 0: none is."""
    if not len(own):
        return 0.0
    _, numbers = np.unique(clusters, return_inverse=True)
    rows = np.bincount(numbers).astype(np.float64)
    candidates = np.unique(own)

    def shown(limit: float) -> bool:
        units = Units(
            np.zeros(len(rows), np.int64), rows, rows, np.bincount(numbers, own < limit).astype(np.float64), 1
        )
        return bool(units.capital(np.array([1 - coverage]))[0] >= -np.log(alpha))

    count = bisect_left(range(len(candidates)), True, key=lambda place: not shown(float(candidates[place])))
    return float(candidates[count - 1]) if count else 0.0
