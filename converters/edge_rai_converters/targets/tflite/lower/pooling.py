"""Pools as TFLite has them: a window without gaps, that never counts padding, and pads as SAME does or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from edge_rai_converters.passes.lower.sketch import Array
from edge_rai_converters.targets.tflite.lower.draft import Draft, Rules, static


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a pool's window goes along one axis.

    Attributes:
        extent: Of the axis.
        size: How many values it sees.
        stride: How far it moves.
        dilation: How far its values lie apart.
        before: Padding before the axis.
        behind: Padding behind it, as the node says it.
        places: How many there are.
    """

    extent: int
    size: int
    stride: int
    dilation: int
    before: int
    behind: int
    places: int

    @property
    def span(self) -> int:
        """From its first value to behind its last one, over all places."""
        return (self.places - 1) * self.stride + (self.size - 1) * self.dilation + 1

    @property
    def reach(self) -> int:
        """How far behind the axis the last window ends, not negative."""
        return max(self.span - self.before - self.extent, 0)

    @property
    def is_same(self) -> bool:
        """Whether TFLite's padding SAME puts the windows at the same places."""
        total = max(self.span - self.extent, 0)
        return self.places == -(-self.extent // self.stride) and self.before == total // 2

    def counts(self, padding: bool) -> list[int]:
        """How many of its values each window counts, those of the padding too where it is counted."""
        low, high = (-self.before, self.extent + self.behind) if padding else (0, self.extent)
        starts = [index * self.stride - self.before for index in range(self.places)]
        steps = [step * self.dilation for step in range(self.size)]
        return [sum(low <= start + step < high for step in steps) for start in starts]


def _pool(draft: Draft) -> bool:
    if draft.wants(1):
        raise draft.refusal("it gives the places of the greatest values", "leave that output away")
    windows = _windows(draft)
    largest = draft.node.op_type == "MaxPool"
    counted = not largest and bool(draft.attribute("count_include_pad", 0))
    inside = all(window.reach == 0 and window.before == 0 for window in windows)
    if any(window.dilation > 1 for window in windows):
        _step_by_step(draft, windows, counted)
    elif largest or inside or (not counted and all(window.is_same for window in windows)):
        draft.op(draft.node.op_type, draft.node.input[0], named=draft.node.output[0], **_options(windows))
    else:
        _mean_of_padded(draft, windows, counted)
    return True


def _mean_of_padded(draft: Draft, windows: Sequence[_Window], counted: bool) -> None:
    """Zeros around, the mean of whole windows, and a constant that makes of it the mean of what counts."""
    inner = [replace(window, extent=window.before + window.extent + window.reach, before=0) for window in windows]
    mean = draft.op("AveragePool", _padded(draft, windows, 0.0), **_options(inner))
    shares = (_shares(windows, counted) * np.prod([window.size for window in windows])).astype(np.float32)
    if (shares == 1).all():
        draft.same(mean)
    else:
        draft.op("Mul", mean, shares, named=draft.node.output[0])


def _step_by_step(draft: Draft, windows: Sequence[_Window], counted: bool) -> None:
    """A window with gaps: what all windows see at each of its places, joined."""
    largest = draft.node.op_type == "MaxPool"
    padded = _padded(draft, windows, -np.inf if largest else 0.0)
    total = ""
    for steps in product(*(range(window.size) for window in windows)):
        starts = [step * window.dilation for step, window in zip(steps, windows, strict=True)]
        ends = [start + (w.places - 1) * w.stride + 1 for start, w in zip(starts, windows, strict=True)]
        strides = [window.stride for window in windows]
        axes = range(2, len(windows) + 2)
        seen = draft.op("Slice", padded, *(np.array(numbers, np.int64) for numbers in (starts, ends, axes, strides)))
        total = draft.op("Max" if largest else "Add", total, seen) if total else seen
    if largest:
        draft.same(total)
    else:
        draft.op("Mul", total, _shares(windows, counted).astype(np.float32), named=draft.node.output[0])


def _padded(draft: Draft, windows: Sequence[_Window], value: float) -> str:
    around = [0, 0, *(window.before for window in windows), 0, 0, *(window.reach for window in windows)]
    return draft.op("Pad", draft.node.input[0], np.array(around, np.int64), draft.scalar(value))


def _shares(windows: Sequence[_Window], counted: bool) -> Array:
    """One through the number of values that each window counts, (1, 1, places of each axis)."""
    along = [1 / np.array(window.counts(counted), np.float64) for window in windows]
    return np.asarray(reduce(np.multiply.outer, along))[np.newaxis, np.newaxis]


def _options(windows: Sequence[_Window]) -> dict[str, Any]:
    return {
        "kernel_shape": [window.size for window in windows],
        "strides": [window.stride for window in windows],
        "pads": [*(window.before for window in windows), *(window.reach for window in windows)],
    }


def _windows(draft: Draft) -> list[_Window]:
    sizes, shape, out = draft.attribute("kernel_shape"), draft.shape(), static(draft.outputs[0])
    strides = draft.attribute("strides") or [1] * len(sizes)
    dilations = draft.attribute("dilations") or [1] * len(sizes)
    automatic = draft.attribute("auto_pad", "NOTSET")
    pads = (draft.attribute("pads") if automatic == "NOTSET" else None) or [0] * (2 * len(sizes))
    before, behind = pads[: len(sizes)], pads[len(sizes) :]
    axes = zip(shape[2:], sizes, strides, dilations, before, behind, out[2:], strict=True)
    windows = [_Window(*axis) for axis in axes]
    if automatic in ("NOTSET", "VALID"):
        return [_begun_inside(window) for window in windows]
    windows = [replace(window, places=-(-window.extent // window.stride)) for window in windows]
    if any(window.span < window.extent - 1 for window in windows):
        raise draft.refusal("its strides pass over values that auto_pad has to place", "give it pads")
    return [_same(window, automatic) for window in windows]


def _begun_inside(window: _Window) -> _Window:
    """Without a last place that begins behind the axis, which rounding up would count and no kernel does."""
    last = -(-(window.extent + window.before) // window.stride)
    return replace(window, places=min(window.places, last))


def _same(window: _Window, automatic: str) -> _Window:
    """With as much padding as its places need, the odd one behind for SAME_UPPER."""
    total = max(window.span - window.extent, 0)
    less, more = total // 2, total - total // 2
    before, behind = (less, more) if automatic == "SAME_UPPER" else (more, less)
    return replace(window, before=before, behind=behind)


RULES: Rules = {"AveragePool": _pool, "MaxPool": _pool}
