"""What ONNX's versions spell in different ways, as attributes once and as inputs later, comes out the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from support.random_nodes import normal
from support.written import Array, agrees, network, node

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

RNG = np.random.default_rng(13)
X = normal(RNG, 1, 4, 4, 6)
OPSETS = (7, 9, 10, 11, 12, 13, 17, 18, 20, 22)


class Spelling(NamedTuple):
    """An operator's settings, which are attributes below an opset and inputs from there on.

    Attributes:
        inputs_since: The opset.
        settings: By name; arrays in the order of the inputs.
        fixed: What stays an attribute.
        outputs: Names.
    """

    inputs_since: int
    settings: Mapping[str, Array]
    fixed: Mapping[str, Any] = {}
    outputs: str = "y"


SPELLINGS = {
    "Clip": Spelling(11, {"min": np.float32(-0.5), "max": np.float32(1.5)}),
    "Pad": Spelling(11, {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 2]), "value": np.float32(3)}),
    "ReduceMean": Spelling(18, {"axes": np.array([2, 3])}, {"keepdims": 0}),
    "ReduceSum": Spelling(13, {"axes": np.array([1, -1])}),
    "Slice": Spelling(10, {"starts": np.array([1, -4]), "ends": np.array([3, 99]), "axes": np.array([1, 3])}),
    "Split": Spelling(13, {"split": np.array([1, 3])}, {"axis": 1}, "y z"),
    "Squeeze": Spelling(13, {"axes": np.array([0])}),
    "Unsqueeze": Spelling(13, {"axes": np.array([0, 3])}),
}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("operator", SPELLINGS)
def test_attributes_of_older_opsets_count_as_the_inputs_of_newer_ones(operator: str, opset: int) -> None:
    spelling = SPELLINGS[operator]
    if opset >= spelling.inputs_since:
        one = node(operator, " ".join(["x", *spelling.settings]), spelling.outputs, **spelling.fixed)
        constants = spelling.settings
    else:
        attributes = {name: array.tolist() for name, array in spelling.settings.items()}
        one = node(operator, "x", spelling.outputs, **attributes, **spelling.fixed)
        constants = {}
    agrees(network([one], {"x": X}, spelling.outputs, constants, opset), {"x": X})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_softmax_before_opset_13_is_over_all_axes_from_its_own(operator: str, opset: int) -> None:
    for attributes in ({}, {"axis": 2}):
        agrees(network([node(operator, "x", "y", **attributes)], {"x": X}, "y", {}, opset), {"x": X})


@pytest.mark.parametrize(
    ("opset", "operator", "inputs"),
    [(7, "Upsample", "x"), (9, "Upsample", "x scales"), (10, "Resize", "x scales"), (13, "Resize", "x - scales")],
)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_images_grow_as_their_opset_says(opset: int, operator: str, inputs: str, mode: str) -> None:
    scales = [1.0, 1.0, 2.0, 2.0]
    attributes = {"scales": scales} if opset == 7 else {}
    constants = {} if opset == 7 else {"scales": np.array(scales, np.float32)}
    agrees(network([node(operator, inputs, "y", mode=mode, **attributes)], {"x": X}, "y", constants, opset), {"x": X})
