"""What Resize does to one axis, as ONNX defines it and as LiteRT's kernels do it: which places, at which weights.

Coordinates are computed in float32, as both runtimes do, because the nearest of two places may hang on the last bit.
Source: the Resize operator of https://onnx.ai/onnx/operators (opset 19) with its reference implementation, and LiteRT's
``resize_bilinear.h`` and ``resize_nearest_neighbor.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

TRANSFORMATIONS = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"),
    "tf_half_pixel_for_nn",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")

# What is as near as this to the middle of two places is, to ONNX Runtime, in the middle.
_NEAR = 1e-6


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a Resize node.

    Attributes:
        given: Its length before.
        wanted: Its length after.
        scale: As the node states it, or the quotient of the lengths.
        first: Where tf_crop_and_resize begins, as a share of the axis.
        last: Where it ends.
    """

    given: int
    wanted: int
    scale: float
    first: float = 0.0
    last: float = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """How a Resize node finds and weighs places; names and defaults are ONNX's attributes."""

    mode: str
    coordinates: str
    nearest: str
    cubic: float
    exclude_outside: bool
    antialias: bool


def coordinates(axis: Axis, transformation: str) -> Floats:
    """(wanted,) where each place of the result lies on the axis before, by one of TRANSFORMATIONS."""
    one, half = np.float32(1), np.float32(0.5)
    x, scale = np.arange(axis.wanted, dtype=np.float32), np.float32(axis.scale)
    ends = np.float32(axis.given - 1)
    steps = np.float32(max(axis.wanted - 1, 1))
    centred = (x + half) / scale - half
    # Of a length that the scale does not give exactly, the middle stays in the middle.
    off = np.float32(axis.given) / 2 * (one - np.float32(axis.wanted) / (scale * np.float32(axis.given)))
    first, last = np.float32(axis.first), np.float32(axis.last)
    found: dict[str, Any] = {
        "half_pixel": centred,
        "half_pixel_symmetric": off + centred,
        "pytorch_half_pixel": centred if axis.wanted > 1 else 0 * x,
        "align_corners": x * ends / steps,
        "asymmetric": x / scale,
        "tf_half_pixel_for_nn": (x + half) / scale,
        "tf_crop_and_resize": first * ends + x * (last - first) * ends / steps
        if axis.wanted > 1
        else 0 * x + half * (first + last) * ends,
    }
    # Of an axis that keeps its length ONNX Runtime keeps the places, also where only a part of it is to be looked at.
    if scale == one and transformation.startswith("tf_"):
        return x
    return np.asarray(found[transformation], np.float32)


def nearest(axis: Axis, rule: Rule) -> Places:
    """(wanted,) the place that each place of the result copies."""
    at = coordinates(axis, rule.coordinates).astype(np.float64)
    rounded = {
        "round_prefer_floor": np.ceil(at - 0.5 - _NEAR),
        "round_prefer_ceil": np.floor(at + 0.5 + _NEAR),
        "floor": np.floor(at),
        "ceil": np.ceil(at),
    }[rule.nearest]
    return _within(rounded, axis)


def _within(places: npt.NDArray[Any], axis: Axis) -> Places:
    found: Places = np.clip(places, 0, axis.given - 1).astype(np.int64)
    return found


def weights(axis: Axis, rule: Rule) -> Floats:
    """(wanted, given) what each place of the result takes of each place before; rows sum to 1."""
    at = coordinates(axis, rule.coordinates)
    stretch = min(axis.scale, 1.0) if rule.antialias else 1.0
    reach = int(np.ceil((2 if rule.mode == "cubic" else 1) / stretch))
    places = np.floor(at).astype(np.int64)[:, np.newaxis] + np.arange(-reach, reach + 1)
    distance = np.abs(places - at.astype(np.float64)[:, np.newaxis]) * stretch
    shares = _cubic(distance, rule.cubic) if rule.mode == "cubic" else np.maximum(1 - distance, 0)
    if rule.exclude_outside:
        shares = np.where((places >= 0) & (places < axis.given), shares, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    return _matrix(np.clip(places, 0, axis.given - 1), shares, axis.given)


def _cubic(distance: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    """Keys' kernel (1981)."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def _matrix(places: Places, shares: npt.NDArray[np.float64], given: int) -> Floats:
    matrix = np.zeros((len(places), given))
    np.add.at(matrix, (np.arange(len(places))[:, np.newaxis], places), shares)
    return matrix.astype(np.float32)


# ---- LiteRT's ----


@dataclass(frozen=True, slots=True)
class Kernel:
    """The two switches of its resizing operators, of which one at most is on."""

    align_corners: bool
    half_pixel_centers: bool


KERNELS = (Kernel(False, True), Kernel(False, False), Kernel(True, False))


def kernel_nearest(axis: Axis, kernel: Kernel) -> Places:
    """(wanted,) the places that RESIZE_NEAREST_NEIGHBOR copies."""
    offset = np.float32(0.5 if kernel.half_pixel_centers else 0)
    at = (np.arange(axis.wanted, dtype=np.float32) + offset) * _step(axis, kernel)
    # C's round is away from zero at halves, and all of these are positive.
    rounded = np.floor(at + np.float32(0.5)) if kernel.align_corners else np.floor(at)
    return _within(rounded, axis)


def kernel_weights(axis: Axis, kernel: Kernel) -> Floats:
    """(wanted, given) what RESIZE_BILINEAR takes of each place."""
    x, half = np.arange(axis.wanted, dtype=np.float32), np.float32(0.5)
    at = (x + half) * _step(axis, kernel) - half if kernel.half_pixel_centers else x * _step(axis, kernel)
    at = np.clip(at, 0, axis.given - 1)
    low = np.floor(at).astype(np.int64)
    above = at.astype(np.float64) - low
    places = np.stack([low, np.minimum(low + 1, axis.given - 1)], axis=1)
    return _matrix(places, np.stack([1 - above, above], axis=1), axis.given)


def _step(axis: Axis, kernel: Kernel) -> np.float32:
    ends = kernel.align_corners and axis.wanted > 1
    step: np.float32 = np.float32((axis.given - ends) / (axis.wanted - ends))
    return step
