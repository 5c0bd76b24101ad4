"""The networks that devices run, as TFLite: they agree with ONNX Runtime, and delegates take convolutions whole."""

from __future__ import annotations

import pytest

from edge_rai_converters.targets import tflite
from support.tiny_networks import BARS, CONVOLUTIONAL, rows_for

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")


@pytest.mark.parametrize("name", BARS)
def test_network_agrees_to_1e_5_in_its_partitions(name: str) -> None:
    model = BARS[name](0)
    written = tflite.write(model)
    checked = tflite.verify(model, written, [rows_for(model, 1, seed) for seed in range(3)])
    assert max(checked.differences.values()) <= 1e-5
    if name in CONVOLUTIONAL:
        assert (checked.delegated, checked.plain) == (1, ())


def test_the_same_network_gives_the_same_bytes() -> None:
    assert tflite.write(BARS["DS-CNN"](3)).model == tflite.write(BARS["DS-CNN"](3)).model
