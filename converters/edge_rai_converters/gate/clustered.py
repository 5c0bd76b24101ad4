"""Slices whose rows are not independent: those of one person or device are one observation, taken together.

The unit is a cluster, with all its rows in the slice. The mean over rows is m or more exactly where the mean over
clusters of (sum of its values - m (number of its rows)) is 0 or more, and these sums are bounded, so that the
test of betting.py is theirs too, over the greatest number of rows of a cluster. It asks nothing of how the rows of a
cluster resemble each other. What is shown is shown of clusters of the sizes that there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.betting import BETS, as_p, log_mean_exp
from edge_rai_converters.gate.cells import Method
from edge_rai_converters.gate.counted import Counted, Proof, some
from edge_rai_converters.gate.exact import crossing, first_rows
from edge_rai_converters.gate.metrics import Events, Means, Measure, Paired, Precision
from edge_rai_converters.gate.paired import Floats, Mask
from edge_rai_converters.gate.rows import Rows
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.gate.slices import Index, Slices


@dataclass(frozen=True, eq=False, slots=True)
class Units:
    """The clusters of some slices, one after the other.

    Attributes:
        places: (U,) place of each one's slice.
        sizes: (U,) rows of the cluster in the slice.
        rows: (U,) of these, over which the mean is.
        losses: (U,) sums of these rows' losses, over their span.
        count: Of the slices.
    """

    places: Index
    sizes: Floats
    rows: Floats
    losses: Floats
    count: int

    def at(self, places: Index) -> Units:
        """Those of some slices."""
        order = np.full(self.count, -1, np.int64)
        chosen = np.arange(self.count)[places]
        order[chosen] = np.arange(len(chosen))
        kept = order[self.places] >= 0
        return Units(order[self.places[kept]], self.sizes[kept], self.rows[kept], self.losses[kept], len(chosen))

    def growth(self, means: Floats) -> Floats:
        """(S, bets) the capital's logarithm of who bets that the mean is below means; -1 to below 1."""
        most = np.zeros(self.count)
        np.maximum.at(most, self.places, self.sizes)
        scale = 1 / (np.maximum(most, 1) * (1 - means))
        steps = (means[self.places] * self.rows - self.losses) * scale[self.places]
        grown = [np.bincount(self.places, np.log1p(bet * steps), self.count) for bet in BETS]
        return np.stack(grown, axis=1)

    def capital(self, means: Floats) -> Floats:
        """(S,) the same, split over all bets."""
        return log_mean_exp(self.growth(means))

    def turned(self) -> Units:
        """Gains as losses."""
        return replace(self, losses=-self.losses)


@dataclass(frozen=True, eq=False, slots=True)
class Clusters:
    """Which rows are one observation, slice by slice.

    Attributes:
        places: (U,) as of ``Units``.
        sizes: (U,) likewise.
        inverses: By family of slices (rows,) place of the cluster that each row is in.
        count: Of the slices.
    """

    places: Index
    sizes: Floats
    inverses: tuple[Index, ...]
    count: int

    def units(self, losses: Floats, counting: Mask | None = None) -> Units:
        """What the clusters lost.

        Args:
            losses: (rows,) 0 in those that do not count.
            counting: (rows,) over which the mean is; None: all of them.
        """
        rows = self.sizes if counting is None else self._sums(counting)
        return Units(self.places, self.sizes, rows, self._sums(losses), self.count)

    def _sums(self, values: npt.ArrayLike) -> Floats:
        parts = [np.bincount(inverse, values, len(self.places)) for inverse in self.inverses]
        return np.asarray(np.sum(parts, axis=0))


@dataclass(frozen=True, eq=False, slots=True)
class _Proof:
    """The clusters; the span of a row's loss; whether harm is what is beyond the margin, and not beyond 0."""

    units: Units
    rows: Floats
    span: float
    two_sided: bool
    events: bool
    alpha: float

    def at(self, places: Index) -> Proof:
        return replace(some(self, places), units=self.units.at(places))

    def _sides(self) -> list[Units]:
        return [self.units, self.units.turned()] if self.two_sided else [self.units]

    def methods(self) -> list[Method]:
        return ["clustered_betting"] * self.units.count

    def not_worse(self, margin: Floats) -> Floats:
        return as_p(np.asarray(np.min([side.capital(margin / self.span) for side in self._sides()], axis=0)))

    def worse(self, margin: Floats) -> Floats:
        p_values = [as_p(side.turned().capital(-self._harmless(margin))) for side in self._sides()]
        return np.asarray(np.minimum(np.min(p_values, axis=0) * len(p_values), 1.0))

    def limits(self) -> tuple[Floats, Floats]:
        sides = self._sides()
        low = np.max([-_upper(side.turned(), self.alpha) for side in sides], axis=0)
        high = np.max([_upper(side, self.alpha) for side in sides], axis=0)
        return np.asarray(low * self.span), np.asarray(high * self.span)

    def can_pass(self, margin: Floats) -> Mask:
        unchanged = replace(self.units, losses=np.zeros(len(self.units.rows)))
        return np.asarray(unchanged.capital(margin / self.span) >= -np.log(self.alpha))

    def rows_needed(self, margin: Floats, cells: int) -> Floats:
        sides = self._sides()
        passing = np.max([self._needed(side, margin / self.span, self.alpha) for side in sides], axis=0)
        harmless, level = -self._harmless(margin), self.alpha / cells / len(sides)
        failing = np.min([self._needed(side.turned(), harmless, level) for side in sides], axis=0)
        return np.asarray(np.where(np.isfinite(passing), passing, failing))

    def _harmless(self, margin: Floats) -> Floats:
        return margin / self.span if self.events else np.zeros(self.units.count)

    def _needed(self, units: Units, means: Floats, alpha: float) -> Floats:
        """Rows, in clusters of the sizes that there are."""
        growth = units.growth(means) / np.maximum(self.rows, 1)[:, np.newaxis]

        def too_few(rows: Floats) -> Mask:
            return np.asarray(log_mean_exp(rows[:, np.newaxis] * growth) < -np.log(alpha))

        return np.where(growth.max(axis=1) > 0, first_rows(too_few, means.shape), np.inf)


def clusters_of(rows: Rows, policy: GatePolicy) -> Index | None:
    """(n,) number of each row's cluster, a row without one being alone; None: the policy has no clusters.

    Raises:
        DataError: The column is not there.
    """
    if policy.clusters is None:
        return None
    if policy.clusters not in rows.columns:
        raise DataError(f"there is no column {policy.clusters!r} of clusters in the data")
    column = rows.columns[policy.clusters]
    alone = np.array([entry != entry for entry in column.tolist()])
    values = np.array([str(entry) for entry in column.tolist()])
    _, numbers = np.unique(values, return_inverse=True)
    _, dense = np.unique(np.where(alone, numbers.max() + 1 + np.arange(len(column)), numbers), return_inverse=True)
    return np.asarray(dense, np.int64)


def _upper(units: Units, alpha: float) -> Floats:
    """(S,) upper limits of the mean over rows."""
    edge = 1 - 1e-9

    def below(means: Floats) -> Mask:
        return np.asarray(units.capital(means) < -np.log(alpha))

    return crossing(below, -1.0, edge, (units.count,))


def with_clusters(counted: Counted, measure: Measure, clusters: Index, slices: Slices, alpha: float) -> Counted:
    """The same figures, proved by clusters.

    Args:
        counted: By rows.
        measure: The metric.
        clusters: (n,) the number of each row's cluster.
        slices: What is looked at.
        alpha: Of each statement.

    Raises:
        DataError: The metric is no mean over rows.
    """
    if isinstance(measure, Precision) or (isinstance(measure, Means) and measure.root):
        instead = "tpr and fpr" if isinstance(measure, Precision) else "mae"
        raise DataError(f"{measure.metric!r} is no mean over rows, which clusters need; declare {instead} instead")
    span, two_sided, events = 1.0, False, isinstance(measure, Events)
    if isinstance(measure, Events):
        losses = measure.happened.astype(np.float64)
    elif isinstance(measure, Paired):
        two_sided = measure.better == 0
        losses = (measure.original.astype(np.float64) - measure.candidate) * (measure.better or 1)
        if measure.presumed is not None:
            losses = np.where(measure.presumed, np.abs(losses), losses)
    else:
        span, two_sided = measure.span, measure.better == 0
        losses = (measure.original - measure.candidate) / span * (measure.better or 1)
    units = clustered(measure.chosen, clusters, slices).units(losses)
    return replace(counted, proof=_Proof(units, counted.rows, span, two_sided, events, alpha))


def clustered(chosen: Mask, clusters: Index, slices: Slices) -> Clusters:
    """The clusters of every slice.

    Args:
        chosen: (n,) rows that are looked at.
        clusters: (n,) the number of each row's cluster.
        slices: Of all n rows.
    """
    places, sizes, inverses, first = [], [], [], 0
    numbers, most = clusters[chosen], int(clusters.max()) + 1
    for family in slices.families:
        keys, inverse, counts = np.unique(
            family.codes[chosen] * most + numbers, return_inverse=True, return_counts=True
        )
        places.append(keys // most + family.first)
        sizes.append(counts.astype(np.float64))
        inverses.append(first + inverse)
        first += len(keys)
    return Clusters(np.concatenate(places), np.concatenate(sizes), tuple(inverses), len(slices))
