"""Resize in TFLite: whatever ONNX lets it do, exactly; by LiteRT's own operator where that does the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edge_rai.errors import UnsupportedModelError
from support.tflite_graphs import Nodes, compared

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
# Where lengths divide, symmetric coordinates are whole but for the last bit of a float, on which these hang.
HANGING = {("half_pixel_symmetric", "floor"), ("half_pixel_symmetric", "ceil")}
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SIZES = ((10, 14), (3, 4), (8, 9), (15, 21), (1, 1), (5, 13), (2, 3))


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("transformation", COORDINATES)
def test_every_mode_to_every_size_takes_the_places_that_onnx_takes(transformation: str) -> None:
    nodes = Nodes(x=drawn(1, 2, 5, 7))
    for size in SIZES:
        sizes = nodes.constant((1, 2, *size))
        for rounding in ROUNDINGS:
            if (transformation, rounding) in HANGING:
                continue
            modes = {"mode": "nearest", "nearest_mode": rounding, "coordinate_transformation_mode": transformation}
            nodes.add("Resize", "x", "", "", sizes, **modes)
        for mode in ("linear", "cubic"):
            nodes.add("Resize", "x", "", "", sizes, mode=mode, coordinate_transformation_mode=transformation)
    compared(nodes)


def test_places_that_opset_11_takes_for_tensorflow_are_taken() -> None:
    nodes = Nodes(x=drawn(1, 2, 5, 7))
    nothing, modes = nodes.constant((), np.float32), {"coordinate_transformation_mode": "tf_half_pixel_for_nn"}
    for scale in ((2, 3), (0.6, 0.5), (1, 1.7)):
        scales = nodes.constant((1, 1, *scale), np.float32)
        for rounding in ROUNDINGS:
            nodes.add("Resize", "x", nothing, scales, mode="nearest", nearest_mode=rounding, **modes)
        for mode in ("linear", "cubic"):
            nodes.add("Resize", "x", nothing, scales, mode=mode, **modes)
    compared(nodes, 11)


def test_mode_that_is_none_is_refused_with_those_that_are() -> None:
    nodes = Nodes(x=drawn(1, 2, 5, 7))
    nodes.add("Resize", "x", "", "", nodes.constant((1, 2, 3, 3)), mode="bicubic")
    with pytest.raises(UnsupportedModelError, match="Resize node 'Resize0': its mode is 'bicubic'; .* linear, cubic"):
        compared(nodes)


def test_scales_that_are_no_ratio_of_lengths_count_as_they_are_stated() -> None:
    nodes = Nodes(x=drawn(1, 2, 5, 7))
    for scale in ((0.6, 0.6), (2.3, 2.94), (0.8, 1.0), (1.0, 0.6)):
        scales = nodes.constant((1, 1, *scale), np.float32)
        for transformation in COORDINATES:
            for mode in ("nearest", "linear", "cubic"):
                nodes.add("Resize", "x", "", scales, mode=mode, coordinate_transformation_mode=transformation)
        swapped = nodes.constant(scale[::-1], np.float32)
        nodes.add("Resize", "x", "", swapped, mode="linear", axes=[3, 2])
    compared(nodes)


def test_antialiased_and_exclusive_weights_are_onnxs() -> None:
    nodes = Nodes(x=drawn(1, 2, 9, 12))
    for size in ((4, 6), (3, 5), (8, 11)):
        sizes = nodes.constant((1, 2, *size))
        for mode in ("linear", "cubic"):
            nodes.add("Resize", "x", "", "", sizes, mode=mode, antialias=1)
        nodes.add("Resize", "x", "", "", sizes, mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1)
    compared(nodes)


def test_kept_shapes_and_regions_of_images_are_onnxs() -> None:
    nodes = Nodes(x=drawn(1, 2, 6, 9))
    for policy in ("not_larger", "not_smaller"):
        for mode in ("nearest", "linear"):
            sizes = nodes.constant((8, 10))
            nodes.add("Resize", "x", "", "", sizes, mode=mode, axes=[2, 3], keep_aspect_ratio_policy=policy)
    region = nodes.constant((0, 0, 0.25, 0.1, 1, 1, 0.75, 0.9), np.float32)
    for mode in ("nearest", "linear", "cubic"):
        crop = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize"}
        nodes.add("Resize", "x", region, "", nodes.constant((1, 2, 5, 4)), **crop)
    compared(nodes)


def test_any_axes_of_any_number_are_resized() -> None:
    nodes = Nodes(line=drawn(2, 3, 10), volume=drawn(1, 2, 3, 4, 5))
    for mode in ("nearest", "linear"):
        nodes.add("Resize", "line", "", "", nodes.constant((2, 3, 25)), mode=mode)
        nodes.add("Resize", "volume", "", "", nodes.constant((1, 2, 6, 8, 3)), mode=mode)
    nodes.add("Resize", "line", "", "", nodes.constant((2, 6, 20)), mode="nearest")
    compared(nodes)


def test_usual_forms_are_one_operator_on_images_and_others_gather_or_multiply() -> None:
    nodes = Nodes(x=drawn(1, 4, 6, 8))
    sizes = nodes.constant((1, 4, 12, 16))
    for transformation in ("half_pixel", "align_corners", "asymmetric"):
        nodes.add("Resize", "x", "", "", sizes, mode="linear", coordinate_transformation_mode=transformation)
    floor = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes.add("Resize", "x", "", "", sizes, mode="nearest", **floor)
    nodes.add("Resize", "x", "", "", sizes, mode="nearest")
    used = Counter(compared(nodes))
    assert (used["RESIZE_BILINEAR"], used["RESIZE_NEAREST_NEIGHBOR"]) == (3, 2)
    assert not {"GATHER", "FULLY_CONNECTED"} & set(used)

    nodes = Nodes(x=drawn(1, 4, 6, 8))
    nodes.add("Resize", "x", "", "", nodes.constant((1, 4, 12, 16)), mode="nearest", nearest_mode="ceil")
    nodes.add("Resize", "x", "", "", nodes.constant((1, 4, 12, 16)), mode="cubic")
    used = Counter(compared(nodes))
    assert (used["GATHER"], used["FULLY_CONNECTED"]) == (2, 2)
