"""The ranges of activations over any number of calibration rows, in bounded memory.

ONNX Runtime's calibrators keep every row's activations until the last one came. Here a call hands out as many values
as fit in 16 MiB and is forgotten: one pass finds the extremes, a second one, where a method asks for it, a histogram.

Percentile leaves one value in 10,000 outside. Entropy takes the range within which the distribution of the values is
told best by the levels of int8 (S. Migacz, "8-bit inference with TensorRT", GTC 2017). Exact zeros are in neither
histogram: every scale has a zero, and behind a Relu they would outweigh all the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from edge_rai_converters.passes.contract import Feed, Material, NotApplicableError
from edge_rai_converters.runner import Runner

# Not ONNX Runtime's "distribution": it is meant for floats of 8 bits, and ruins int8.
Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[str, ...] = get_args(Method)

Array = npt.NDArray[Any]
Ranges = dict[str, tuple[np.float32, np.float32]]

_MOST_VALUES = 1 << 22
_BINS = 2048  # on each side of zero
_SHARE_OUTSIDE = 1e-4
_STEP = 16


def measure_ranges(model: onnx.ModelProto, names: Sequence[str], material: Material, method: Method) -> Ranges:
    """The range of each tensor, lowest and highest.

    Args:
        model: Prepared.
        names: Of its float tensors.
        material: Whose calibration rows are run, twice unless the method is "minmax".
        method: How a range is chosen.

    Raises:
        NotApplicableError: There are no rows, or they lead to values that are not finite.
    """
    taps = _Taps(model, names, material, passes=1 if method == "minmax" else 2)
    found: Ranges = {}
    for tensors in taps.each(0):
        for name, values in tensors.items():
            low, high = found.get(name, (np.float32(np.inf), np.float32(-np.inf)))
            found[name] = np.minimum(low, values.min()), np.maximum(high, values.max())
    if not found:
        raise NotApplicableError("there are no calibration rows")
    wild = next((name for name, ends in found.items() if not np.isfinite(ends).all()), None)
    if wild is not None:
        raise NotApplicableError(f"calibration rows lead to values that are not finite, in {wild!r}")
    return found if method == "minmax" else _narrowed(found, taps, method)


class _Taps:
    """A model that answers with its inner tensors."""

    def __init__(self, model: onnx.ModelProto, names: Sequence[str], material: Material, passes: int) -> None:
        given = {value.name for value in model.graph.input}
        tapped = onnx.ModelProto()
        tapped.CopyFrom(model)
        del tapped.graph.output[:]
        tapped.graph.output.extend(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names if name not in given
        )
        self._runner = Runner(tapped.SerializeToString(), "the model under calibration")
        self._names, self._material, self._passes = names, material, passes
        self._rows = 0

    def each(self, done: int) -> Iterator[dict[str, Array]]:
        """The tensors of one call after another, of all rows; the passes before this one are done."""
        count = 0
        for feed in self._material.calibration():
            for call in self._calls(feed):
                yield self._tensors(call)
            count += len(next(iter(feed.values()))) if self._material.batched else 1
            self._material.progress((done + count / max(self._material.rows, 1)) / self._passes)

    def _tensors(self, call: Feed) -> dict[str, Array]:
        values = {**call, **self._runner.call(call)}
        return {name: values[name] for name in self._names if values[name].size}

    def _calls(self, feed: Feed) -> Iterator[Feed]:
        """The rows, so many at a time that their tensors are not too much; one row tells what that is."""
        if not self._material.batched:
            yield feed
            return
        if not self._rows:
            alone = self._tensors({name: values[:1] for name, values in feed.items()})
            self._rows = max(1, _MOST_VALUES // max(sum(values.size for values in alone.values()), 1))
        for start in range(0, len(next(iter(feed.values()))), self._rows):
            yield {name: values[start : start + self._rows] for name, values in feed.items()}


def _narrowed(extremes: Ranges, taps: _Taps, method: Method) -> Ranges:
    reach = {name: max(-float(low), float(high), 0.0) for name, (low, high) in extremes.items()}
    reach = {name: end for name, end in reach.items() if end > 0}
    counts = {name: np.zeros(2 * _BINS, np.int64) for name in reach}
    for tensors in taps.each(1):
        for name in counts.keys() & tensors.keys():
            values = tensors[name]
            index = (values[values != 0] * np.float32(_BINS / reach[name]) + np.float32(_BINS)).astype(np.int32)
            counts[name] += np.bincount(index.clip(0, 2 * _BINS - 1), minlength=2 * _BINS)
    narrow = dict(extremes)
    for name, histogram in counts.items():
        low, high = extremes[name]
        below, above = (
            _within_share(histogram)
            if method == "percentile"
            else _least_divergent(histogram, levels=128 if low < 0 < high else 255)
        )
        width = reach[name] / _BINS
        narrow[name] = max(low, np.float32(-below * width)), min(high, np.float32(above * width))
    return narrow


def _within_share(histogram: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Bins below and above zero, outside of which half the share lies on each side."""
    reached = np.cumsum(histogram)
    cut = _SHARE_OUTSIDE / 2 * reached[-1]
    first = int(np.searchsorted(reached, cut, side="right"))
    last = int(np.searchsorted(reached, reached[-1] - cut))
    return _BINS - first, last + 1 - _BINS


def _least_divergent(histogram: npt.NDArray[np.int64], levels: int) -> tuple[int, int]:
    """As many bins on each side of zero as make the Kullback-Leibler divergence of the quantized values least."""
    sizes = (histogram[_BINS:] + histogram[:_BINS][::-1]).astype(np.float64)
    candidates = range(levels, _BINS + 1, _STEP)
    best = min((*candidates, _BINS), key=lambda kept: _divergence(sizes, kept, levels))
    return best, best


def _divergence(sizes: npt.NDArray[np.float64], kept: int, levels: int) -> float:
    """Of the first bins, to whose last one all beyond is clipped, from what the levels tell of them; inf: nothing."""
    clipped = sizes[:kept].copy()
    clipped[-1] += sizes[kept:].sum()
    level = np.arange(kept) * levels // kept
    filled = clipped > 0
    shared = np.bincount(level, sizes[:kept]) / np.maximum(np.bincount(level, filled), 1)
    told = shared[level][filled]
    wanted = clipped[filled]
    if not told.all():
        return float("inf")
    return float(np.sum(wanted * np.log(wanted / wanted.sum() / (told / told.sum()))) / wanted.sum())
