"""Resize: LiteRT's operator where it takes the same places at the same weights; else axis by axis.

The nearest place of each axis is a GATHER of constant places, any other interpolation a product with a constant matrix,
so every rounding and coordinate transformation of ONNX is written exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Node
from edge_rai_converters.targets.tflite.layout import Layout, channels_last, native
from edge_rai_converters.targets.tflite.operators import floats, operator
from edge_rai_converters.targets.tflite.operators.resampling import (
    KERNELS,
    ROUNDINGS,
    TRANSFORMATIONS,
    Axis,
    Kernel,
    Rule,
    kernel_nearest,
    kernel_weights,
    nearest,
    weights,
)


@operator("Resize")
def resize(node: Node, to: Builder) -> None:
    """RESIZE_NEAREST_NEIGHBOR, RESIZE_BILINEAR, or what does the same."""
    rule, axes = _rule(node), _axes(node, to)
    if rule.mode != "nearest":
        floats(node, to)
    changed = [at for at, axis in enumerate(axes) if axis.given != axis.wanted or not _still(axis, rule)]
    kernel = _kernel(axes, changed, rule)
    if kernel is not None:
        _whole(node, to, rule.mode, kernel)
    else:
        _by_axis(node, to, rule, axes, changed)


def _rule(node: Node) -> Rule:
    return Rule(
        mode=_one_of(node, "mode", ("nearest", "linear", "cubic")),
        coordinates=_one_of(node, "coordinate_transformation_mode", TRANSFORMATIONS),
        nearest=_one_of(node, "nearest_mode", ROUNDINGS),
        cubic=float(node.attribute("cubic_coeff_a", -0.75)),
        exclude_outside=bool(node.attribute("exclude_outside", 0)),
        antialias=bool(node.attribute("antialias", 0)),
    )


def _one_of(node: Node, name: str, known: Sequence[str]) -> str:
    """An attribute, the first of what is known where the node is silent."""
    found = str(node.attribute(name, known[0]))
    if found not in known:
        raise node.refused(f"its {name} is {found!r}", f"these are written: {', '.join(known)}")
    return found


def _axes(node: Node, to: Builder) -> list[Axis]:
    """Of each axis its lengths, and the scale as it is stated."""
    given, wanted = to.graph.shape(node.inputs[0]), to.graph.shape(node.outputs[0])
    found = [Axis(before, after, after / before) for before, after in zip(given, wanted, strict=True)]
    places = [axis % len(given) for axis in node.attribute("axes", range(len(given)))]
    for place, scale in zip(places, _scales(node, to, [given[place] for place in places]), strict=False):
        found[place] = replace(found[place], scale=scale)
    if node.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
        _crop(node, to, found, places)
    return found


def _scales(node: Node, to: Builder, given: Sequence[int]) -> list[float]:
    """The scales that are not quotients of lengths: stated ones, and the one for all that keeps an image's shape."""
    scales, sizes = to.graph.constant(node.input(2)), to.graph.constant(node.input(3))
    if scales is not None and scales.size:
        return [float(scale) for scale in scales]
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    if sizes is None or policy == "stretch":
        return []
    quotients = [float(size) / length for size, length in zip(sizes, given, strict=True)]
    return [min(quotients) if policy == "not_larger" else max(quotients)] * len(quotients)


def _crop(node: Node, to: Builder, axes: list[Axis], places: Sequence[int]) -> None:
    """Gives axes the region that the node looks at."""
    region = to.graph.constant(node.input(1))
    if region is None:
        raise node.refused("the region it crops is computed", "make it constant")
    for place, first, last in zip(places, *region.reshape(2, -1).tolist(), strict=True):
        if min(first, last) < 0 or max(first, last) > 1:
            raise node.refused("it looks outside of its image", "a region from 0 to 1 is written")
        axes[place] = replace(axes[place], first=first, last=last)


def _still(axis: Axis, rule: Rule) -> bool:
    """Whether an axis that keeps its length keeps its values."""
    if rule.mode == "nearest":
        return bool(np.array_equal(nearest(axis, rule), np.arange(axis.given)))
    return bool(np.allclose(weights(axis, rule), np.eye(axis.given), atol=1e-6))


def _kernel(axes: Sequence[Axis], changed: Sequence[int], rule: Rule) -> Kernel | None:
    """The switches of LiteRT's operator that make it do what the node does to images; None where none do."""
    if len(axes) != 4 or not set(changed) <= {2, 3}:
        return None
    for kernel in KERNELS:
        if all(_same(axis, rule, kernel) for axis in axes[2:]):
            return kernel
    return None


def _same(axis: Axis, rule: Rule, kernel: Kernel) -> bool:
    if rule.mode == "nearest":
        return bool(np.array_equal(nearest(axis, rule), kernel_nearest(axis, kernel)))
    return bool(np.allclose(weights(axis, rule), kernel_weights(axis, kernel), atol=1e-6))


def _whole(node: Node, to: Builder, mode: str, kernel: Kernel) -> None:
    layout, made = channels_last(4), node.outputs[0]
    switches: dict[str, Any] = {"alignCorners": kernel.align_corners, "halfPixelCenters": kernel.half_pixel_centers}
    sources = [to.tensor(node.inputs[0], layout), to.integers(to.graph.shape(made)[2:])]
    if mode == "nearest":
        options: Any = schema.ResizeNearestNeighborOptionsT(**switches)
        to.add(Code.RESIZE_NEAREST_NEIGHBOR, sources, [to.define(made, layout)], options)
    else:
        options = schema.ResizeBilinearOptionsT(**switches)
        to.add(Code.RESIZE_BILINEAR, sources, [to.define(made, layout)], options)


def _by_axis(node: Node, to: Builder, rule: Rule, axes: Sequence[Axis], changed: Sequence[int]) -> None:
    name, made = node.inputs[0], node.outputs[0]
    if rule.mode == "nearest":
        layout = to.held(name)
        source = to.tensor(name, layout)
        for axis in changed:
            source = _taken(to, source, layout.index(axis), nearest(axes[axis], rule).tolist(), made)
    else:
        layout, source = native(len(axes)), to.tensor(name)
        for axis in changed:
            source, layout = _mixed(to, source, layout, axis, weights(axes[axis], rule), made)
    to.alias(made, layout, source)


def _taken(to: Builder, source: int, place: int, places: list[int], name: str) -> int:
    """The places of one axis."""
    tensor = to.tensors[source]
    shape = [len(places) if at == place else length for at, length in enumerate(tensor.shape)]
    made = to.temporary(shape, tensor.dtype, name)
    to.add(Code.GATHER, [source, to.integers(places)], [made], schema.GatherOptionsT(axis=place))
    return made


def _mixed(to: Builder, source: int, layout: Layout, axis: int, matrix: Any, name: str) -> tuple[int, Layout]:
    """The product along one axis, which is moved to the end for it, and the layout that this leaves."""
    order = [*(at for at, other in enumerate(layout) if other != axis), layout.index(axis)]
    shape = to.tensors[source].shape
    if order != list(range(len(layout))):
        moved = to.temporary([shape[at] for at in order], np.float32, name)
        to.add(Code.TRANSPOSE, [source, to.integers(order)], [moved], schema.TransposeOptionsT())
        source = moved
    made = to.temporary([*to.tensors[source].shape[:-1], len(matrix)], np.float32, name)
    inputs = [source, to.constant(matrix, f"{name}/weights"), to.constant(np.zeros(len(matrix), np.float32))]
    to.add(Code.FULLY_CONNECTED, inputs, [made], schema.FullyConnectedOptionsT(keepNumDims=True))
    return made, tuple(layout[at] for at in order)
