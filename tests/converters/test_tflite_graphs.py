"""Random graphs in TFLite: whatever order axes lie in between operators, the answers are ONNX Runtime's."""

from __future__ import annotations

import pytest

from support.random_graphs import random_graph
from support.tflite_graphs import compared

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")


@pytest.mark.parametrize("layout", ["keep", "nhwc"])
@pytest.mark.parametrize("seed", range(4, 9))
def test_random_graph_answers_as_onnx_runtime(seed: int, layout: str) -> None:
    compared(random_graph(seed, 25), layout=layout)
