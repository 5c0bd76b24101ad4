"""Thousands of random models through the TFLite writer, a table of what became of them."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

from support.random_nodes import KINDS
from support.written import agrees

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

MODELS_EACH = 1500


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_random_models_agree_with_onnx_runtime(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2026)
    partitions: Counter[int] = Counter()
    worst, transposes = 0.0, 0
    for turn in range(MODELS_EACH):
        model, feed = KINDS[kind](rng)
        found = agrees(model, feed, layout=("keep", "nhwc")[turn % 2])
        worst = max(worst, found.difference)
        partitions[found.partitions] += 1
        transposes += found.written.operators.count("TRANSPOSE")
    with capsys.disabled():
        shares = ", ".join(f"{count} with {number}" for number, count in sorted(partitions.items()))
        sys.stdout.write(
            f"\n{kind}: {MODELS_EACH} agree, worst {worst:.1e} of the scale; partitions: {shares}; "
            f"{transposes / MODELS_EACH:.2f} transposes each"
        )
