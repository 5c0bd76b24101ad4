"""Random nodes of the kinds that have many forms, in TFLite and in ONNX: the same answers, and one partition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.random_nodes import KINDS
from support.written import agrees

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

MODELS_EACH = 40
# What XNNPACK does not compute; and it has no transposed convolution whose stride is above the size of its kernel.
NOT_DELEGATED = {"LOG_SOFTMAX", "TRANSPOSE_CONV"}


@pytest.mark.parametrize("kind", KINDS)
def test_random_models_agree_with_onnx_runtime_in_one_partition(kind: str) -> None:
    rng = np.random.default_rng(7)
    codes: list[tuple[Any, ...]] = []
    for turn in range(MODELS_EACH):
        model, feed = KINDS[kind](rng)
        found = agrees(model, feed, layout=("keep", "nhwc")[turn % 2])
        codes.append(found.written.operators)
        assert found.partitions == 1 or NOT_DELEGATED.intersection(found.written.operators), found.written.operators
    assert len(set(codes)) >= 5, codes
