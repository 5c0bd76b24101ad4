"""Which channels of a group to keep.

magnitude: those whose weights are greatest. activation: those that their readers see most of, weights times root mean
square. redundancy: those that the others cannot stand in for, found by taking away one after another the channel whose
loss least squares would mend best (optimal brain surgeon: Hassibi and Stork, 1993, on channels instead of weights).
Groups are decided last to first, so that a reader that goes itself has no say. What a group's channels have to do with
each other is the square of their number: of groups too wide for that, only what each of them is by itself is known, and
they are decided by activation where redundancy is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from edge_rai_converters.passes.contract import NotApplicableError
from edge_rai_converters.passes.prune.channels import Channels, Group, Layer
from edge_rai_converters.passes.prune.layers import weight_of
from edge_rai_converters.passes.prune.sample import Probe, Sample, rows_a_call
from edge_rai_converters.passes.prune.surgery import Kept, keep_all, without

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Measure = Literal["magnitude", "activation", "redundancy"]

MEASURES: tuple[Measure, ...] = ("magnitude", "activation", "redundancy")
# Share of the mean square that a channel is taken to vary by on top, so that no channel is exactly another's copy.
_RIDGE = 1e-4
# Of the products of channels with each other, 34 MB; and of all that are held, 268 MB.
_MOST_SQUARES, _MOST_HELD = 2048**2, 1 << 25
# What is made of them at once.
_VALUES_AT_ONCE = 1 << 21


class Evidence:
    """What the readers of each group's channels see on the fitted rows of the sample, as mean products.

    Args:
        model: The tidied model.
        channels: Of it.
        sample: Rows to run.

    Raises:
        NotApplicableError: They lead to values that are not finite.
    """

    def __init__(self, model: onnx.ModelProto, channels: Channels, sample: Sample) -> None:
        self._channels = channels
        self._nodes = [model.graph.node[layer.node] for layer in channels.layers]
        self._weights = [weight_of(model.graph, node) for node in self._nodes]
        self._seen: dict[tuple[int, int], Array] = {}
        for group in range(len(channels.groups)):
            for position, layer in enumerate(channels.layers):
                places = _places(channels, channels.groups[group], layer)
                if places.size:
                    self._seen[group, position] = places
        self._squares = self._accumulated(model, sample)
        self._last: tuple[tuple[int, bytes], _Elimination] | None = None

    def keep(self, counts: Mapping[int, int], measure: Measure) -> Kept:
        """Decides, by channel, what stays.

        Args:
            counts: Of each group, by its index, how many classes stay; all of one that is not there.
            measure: By what.
        """
        groups, kept = self._channels.groups, keep_all(self._channels)
        choose: Callable[[int, Kept, int], Array] = {
            "magnitude": self._by_magnitude,
            "activation": self._by_activation,
            "redundancy": self._by_redundancy,
        }[measure]
        for index in reversed(range(len(groups))):
            count = counts.get(index, len(groups[index].classes))
            if count < len(groups[index].classes):
                stays = choose(index, kept, count)
                kept = without(self._channels, kept, groups[index].classes[~stays])
        return kept

    def _accumulated(self, model: onnx.ModelProto, sample: Sample) -> dict[tuple[int, int], Floats]:
        layers = self._channels.layers
        sums = {key: np.zeros(shape) for key, shape in self._shapes().items()}
        counts = dict.fromkeys(sums, 0)
        probe = Probe(model, sorted({layers[position].reads for _, position in self._seen}))
        for feed in sample.calls(sample.fitted, rows_a_call(probe, sample)):
            found = probe.run(feed)
            for key, places in self._seen.items():
                layer = layers[key[1]]
                values = np.moveaxis(found[layer.reads], layer.axis, -1)
                values = values.reshape(-1, values.shape[-1])
                for place, part in _parts(places, values):
                    rows = np.ones((len(part), len(place) + 1))
                    rows[:, :-1] = part[:, place]
                    counts[key] += len(rows)
                    with np.errstate(invalid="ignore", over="ignore"):  # told below
                        sums[key] += rows.T @ rows if sums[key].ndim == 2 else np.square(rows).sum(axis=0)
        wild = next((layers[key[1]].reads for key, total in sums.items() if not np.isfinite(total).all()), None)
        if wild is not None:
            raise NotApplicableError(f"calibration rows lead to values that are not finite, in {wild!r}")
        for key, total in sums.items():
            total /= max(counts[key], 1)
        return sums

    def _shapes(self) -> dict[tuple[int, int], tuple[int, ...]]:
        """Of the products that are held: of wide groups one with itself for each channel, and last for a one."""
        held, shapes = 0, dict[tuple[int, int], tuple[int, ...]]()
        for key, places in sorted(self._seen.items(), key=lambda item: item[1].shape[1]):
            wide = places.shape[1] + 1
            held += wide**2
            shapes[key] = (wide, wide) if wide**2 <= _MOST_SQUARES and held <= _MOST_HELD else (wide,)
        return shapes

    def _by_magnitude(self, index: int, _: Kept, count: int) -> Array:
        group = self._channels.groups[index]
        scores = np.zeros(len(group.classes))
        for position in group.makers:
            norms = np.square(self._weights[position]).sum(axis=(0, 2))
            roots = self._channels.roots[self._channels.layers[position].makes]
            each = np.sqrt([norms[roots == root].sum() for root in group.classes])
            scores += each / max(each.mean(), np.finfo(float).tiny)
        return _greatest(scores, count)

    def _by_activation(self, index: int, kept: Kept, count: int) -> Array:
        scores = np.zeros(len(self._channels.groups[index].classes))
        for key, weights in self._readers(index, kept):
            squares = self._squares[key]
            own = np.diag(squares) if squares.ndim == 2 else squares
            each = np.sqrt(own[:-1] * sum(np.square(some).sum(axis=1) for some in weights))
            scores += each / max(each.mean(), np.finfo(float).tiny)
        return _greatest(scores, count)

    def _by_redundancy(self, index: int, kept: Kept, count: int) -> Array:
        if any(self._squares[key].ndim == 1 for key in self._seen if key[0] == index):
            return self._by_activation(index, kept, count)
        # What is taken away first does not depend on how much goes in the end; the sensitivity sweep asks for more and
        # more of one group.
        made = b"".join(kept[self._channels.layers[position].makes].tobytes() for _, position in self._seen)
        if self._last is None or self._last[0] != (index, made):
            readers = [
                _Mender(self._squares[key], np.sum([some @ some.T for some in weights], axis=0))
                for key, weights in self._readers(index, kept)
            ]
            self._last = ((index, made), _Elimination(len(self._channels.groups[index].classes), readers))
        return self._last[1].left(count)

    def _readers(self, index: int, kept: Kept) -> Iterator[tuple[tuple[int, int], list[Floats]]]:
        """The readers of a group, each with its weights for what is made of it: (classes, weights) for each time."""
        for (group, position), places in self._seen.items():
            if group == index:
                made = kept[self._channels.layers[position].makes]
                weights = _by_channel(self._weights[position], self._channels.layers[position].groups, made)
                yield (group, position), [weights[place] for place in places]


class _Elimination:
    """Channels in the order in which they are taken away, each time the one whose loss costs its readers least."""

    def __init__(self, count: int, readers: Sequence[_Mender]) -> None:
        self._readers, self._taken = readers, list[int]()
        self._stays = np.ones(count, bool)

    def left(self, count: int) -> Array:
        """Which channels stay when so many do."""
        while self._stays.sum() > count:
            costs = sum((reader.costs() for reader in self._readers), np.zeros(len(self._stays)))
            costs[~self._stays] = np.inf
            least = int(np.argmin(costs))
            self._stays[least] = False
            self._taken.append(least)
            for reader in self._readers:
                reader.take(least)
        stays = np.ones(len(self._stays), bool)
        stays[self._taken[: len(stays) - count]] = False
        return stays


class _Mender:
    """The error a reader is left with when channels go and the rest is fitted to stand in for them.

    Taking a channel changes the inverse of what is seen by a product of one column with itself, and the products of the
    weights by two of two. The matrices stay as they were, and what was subtracted is a list of such columns: only
    diagonals and the rows of what goes are ever computed.
    """

    def __init__(self, squares: Floats, products: Floats) -> None:
        ridge = np.full(len(squares), _RIDGE * max(float(np.diag(squares)[:-1].mean()), np.finfo(float).tiny))
        ridge[-1] = np.finfo(float).eps
        self._inverse = np.linalg.inv(squares + np.diag(ridge))[:-1, :-1]
        self._products = products
        self._whole = max(float(np.sum(squares[:-1, :-1] * products)), np.finfo(float).tiny)
        self._inverses, self._weights = (np.array(np.diag(matrix)) for matrix in (self._inverse, products))
        self._scaled, self._shares, self._halves = (np.empty((0, len(products))) for _ in range(3))
        self._count = 0

    def costs(self) -> Floats:
        """Of the loss of each channel, as a share of what the reader sees."""
        return np.asarray(self._weights / self._inverses / self._whole)

    def take(self, channel: int) -> None:
        """The channel goes; its weights are spread over the others."""
        scaled, shares, halves = (rows[: self._count] for rows in (self._scaled, self._shares, self._halves))
        column = self._inverse[channel] - scaled[:, channel] @ scaled
        across = self._products[channel] - shares[:, channel] @ halves - halves[:, channel] @ shares
        column[channel] = self._inverses[channel]  # as it was kept, which rounds less
        share = column / column[channel]
        self._add(column / np.sqrt(column[channel]), share, across - across[channel] / 2 * share)
        self._inverses[channel] = 1.0
        self._weights[channel] = 0.0

    def _add(self, scaled: Floats, share: Floats, half: Floats) -> None:
        if self._count == len(self._scaled):
            room = np.empty((max(8, self._count), len(scaled)))
            self._scaled, self._shares, self._halves = (
                np.concatenate([rows, room]) for rows in (self._scaled, self._shares, self._halves)
            )
        self._scaled[self._count], self._shares[self._count], self._halves[self._count] = scaled, share, half
        self._count += 1
        self._inverses = self._inverses - scaled**2
        self._weights = self._weights - 2 * share * half


def _places(channels: Channels, group: Group, layer: Layer) -> Array:
    """Where a layer sees the classes of a group: (times, classes) places in what it reads; none where it does not."""
    if layer.sources is None or not layer.mixes:
        return np.empty((0, 0), np.int64)
    roots = channels.roots[layer.sources]
    if not np.isin(group.classes, roots).all():
        return np.empty((0, 0), np.int64)
    found = [np.flatnonzero(roots == root) for root in group.classes]
    times = min(map(len, found))
    return np.stack([places[:times] for places in found], axis=1)


def _parts(places: Array, values: Array) -> Iterator[tuple[Array, Array]]:
    """Each of the places with some rows of the values at a time."""
    most = max(1, _VALUES_AT_ONCE // (places.shape[1] + 1))
    for place in places:
        for start in range(0, len(values), most):
            yield place, values[start : start + most]


def _by_channel(weight: Floats, groups: int, made: Kept) -> Floats:
    """One row for each channel that is read, of its weights for the channels that are made and stay."""
    each, wide, places = weight.shape
    blocks = (weight * made[:, np.newaxis]).reshape(each, groups, wide // groups, places)
    return np.asarray(blocks.transpose(1, 0, 2, 3).reshape(each * groups, -1))


def _greatest(scores: Floats, count: int) -> Array:
    stays = np.zeros(len(scores), bool)
    stays[np.argsort(-scores, kind="stable")[:count]] = True
    return stays
