"""Fits what a pruned model kept so that its layers answer as the original's: least squares, layer by layer.

Each layer that a cut reaches gets new weights and a bias: of all linear maps of what the layer now reads, in the pruned
model repaired so far, to what the same channels were in the original, the one with the least squared error on
calibration rows, see squares.py. The ridge draws towards the weights that were there, so that what the rows do not
determine stays. Where a Relu or Clip follows, a value that it cuts off on both sides is no error: such targets are
moved to what the fit answers, and the fit repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edge_rai_converters.passes.contract import Feed
from edge_rai_converters.passes.prune.channels import Channels, Layer
from edge_rai_converters.passes.prune.layers import (
    channel_axis,
    has_bias,
    matrix_of,
    places,
    rows_made,
    rows_read,
    set_matrix,
)
from edge_rai_converters.passes.prune.sample import Probe, Sample, rows_a_call
from edge_rai_converters.passes.prune.squares import ByFeatures, ByRows, Pairs, Solver
from edge_rai_converters.passes.prune.surgery import Kept
from edge_rai_converters.passes.prune.tidy import captured, constants, drop_dead_constants

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_REPETITIONS = 3
# Of the one large matrix of a fit, 210 MB, which solving copies: beyond, or where there are fewer rows than features,
# rows are solved by. So many values of theirs are held, 134 MB, and no fewer rows than the last.
_MOST_SQUARES, _MOST_VALUES, _LEAST_WIDE = 5120**2, 1 << 25, 64
# Of the places of images some are enough: so many for each feature, and no fewer than that.
_ROWS_A_FEATURE, _LEAST_ROWS = 16, 1 << 14
# What is multiplied at once, and what is held so as not to be made again for each repetition.
_VALUES_AT_ONCE, _VALUES_HELD = 1 << 21, 1 << 23


def repair(
    original: onnx.ModelProto,
    pruned: onnx.ModelProto,
    channels: Channels,
    kept: Kept,
    sample: Sample,
    rows: Sequence[Feed],
    only: Sequence[int] | None = None,
) -> None:
    """Refits, in place, the layers that cuts reach, first to last.

    Args:
        original: The tidied model.
        pruned: What ``cut`` made of it.
        channels: Of the original.
        kept: As they were cut.
        sample: Whose calls to make.
        rows: Of the sample, those to fit on.
        only: Indices of layers that are enough; None: all.
    """
    changed = _changed(pruned.graph, channels, kept)
    for index, layer in enumerate(channels.layers):
        wanted = only is None or index in only
        if wanted and layer.reads in changed:
            _Fit(original, pruned, layer, kept[layer.makes], sample, rows).write()
    drop_dead_constants(pruned.graph)


def _changed(graph: onnx.GraphProto, channels: Channels, kept: Kept) -> set[str]:
    """Tensors that are not what they were."""
    touched = {one.node for one in channels.cuts if not kept[one.ids].all()}
    found: set[str] = set()
    for index, node in enumerate(graph.node):
        if index in touched or found.intersection((*node.input, *captured(node))):
            found.update(node.output)
    return found


class _Fit:
    """Least squares for one layer."""

    def __init__(
        self,
        original: onnx.ModelProto,
        pruned: onnx.ModelProto,
        layer: Layer,
        kept: Kept,
        sample: Sample,
        rows: Sequence[Feed],
    ) -> None:
        self._graph, self._node, self._layer, self._kept = pruned.graph, pruned.graph.node[layer.node], layer, kept
        self._sample, self._rows = sample, rows
        self._target = self._node.output[0]
        self._before, self._after = Probe(original, [self._target]), Probe(pruned, [layer.reads])
        self._old = matrix_of(self._graph, self._node)
        self._constant = float(has_bias(self._graph, self._node))
        groups, features, _ = self._old.shape
        self._groups = groups
        wide = groups * features**2 > _MOST_SQUARES or self._places_of(rows) < features
        self._solver: Solver = ByRows(self._old) if wide else ByFeatures(self._old)
        most = max(_LEAST_ROWS, _ROWS_A_FEATURE * features)
        if wide:
            most = max(_LEAST_WIDE, min(isqrt(_MOST_SQUARES // groups), _MOST_VALUES // (groups * features)))
            self._rows = rows[:: -(-len(rows) // most)]
        self._places = max(1, most // max(1, len(self._rows)))

    def _places_of(self, rows: Sequence[Feed]) -> int:
        """Rows of the linear map that so many calls of one row make."""
        one = self._before.run(next(self._sample.calls(rows, 1)))[self._target]
        return len(rows) * places(self._node, one)

    def write(self) -> None:
        """Replaces the layer's weights."""
        low, high = _limits(self._graph, self._node)
        cut = (low, high) != (-np.inf, np.inf)
        pairs = self._held() if cut else self._pairs
        fitted = self._solver.solved(pairs())
        for _ in range(_REPETITIONS if cut else 0):
            fitted = self._solver.solved(_moved(pairs(), fitted, low, high))
        set_matrix(self._graph, self._node, fitted)

    def _held(self) -> Callable[[], Iterable[tuple[Floats, Floats]]]:
        """What gives the pairs again: from memory, where they are few."""
        held, values = [], 0
        for pair in self._pairs():
            held.append(pair)
            values += pair[0].size
            if values > _VALUES_HELD:
                return self._pairs
        return lambda: held

    def _pairs(self) -> Iterator[tuple[Floats, Floats]]:
        """What is read and what is to be made of it, (groups, rows, features + 1) and (groups, rows, channels)."""
        drawn = np.random.default_rng([self._sample.seed, self._layer.node])
        axis = channel_axis(self._node)
        at_once = max(1, _VALUES_AT_ONCE // (self._groups * self._old.shape[1]))
        for feed in self._sample.calls(self._rows, rows_a_call(self._after, self._sample)):
            given = self._after.run(feed)[self._layer.reads]
            wanted = np.compress(self._kept, self._before.run(feed)[self._target], axis=axis)
            count = places(self._node, wanted)
            most = self._places * (len(given) if self._sample.batched else 1)
            chosen = np.sort(drawn.permutation(count)[:most]) if count > most else np.arange(count)
            for start in range(0, len(chosen), at_once):
                part = chosen[start : start + at_once]
                read = rows_read(self._graph, self._node, given, self._groups, part)
                read[..., -1] = self._constant  # zeros where a bias would be lost, so that none is found
                yield read, rows_made(self._node, wanted, self._groups, part)


def _moved(pairs: Pairs, fitted: Floats, low: float, high: float) -> Pairs:
    """With targets beyond the limits put where the fit answers, if that is beyond them too."""
    for read, made in pairs:
        answer = read @ fitted
        within = np.where(made <= low, np.minimum(answer, low), made)
        yield read, np.where(within >= high, np.maximum(answer, high), within)


def _limits(graph: onnx.GraphProto, node: onnx.NodeProto) -> tuple[float, float]:
    """Between what values the layer's answers differ for its only reader."""
    readers = [other for other in graph.node if node.output[0] in other.input]
    if len(readers) != 1 or node.output[0] in {value.name for value in graph.output}:
        return -np.inf, np.inf
    reader, known = readers[0], constants(graph)
    if reader.op_type == "Relu":
        return 0.0, np.inf
    bounds = [-np.inf, np.inf]
    for place in (1, 2):
        tensor = known.get(reader.input[place]) if reader.op_type == "Clip" and len(reader.input) > place else None
        if tensor is not None:
            bounds[place - 1] = numpy_helper.to_array(tensor).item()
    return bounds[0], bounds[1]
