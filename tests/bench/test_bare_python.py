"""Bare runtimes as contenders: the same rows a call as beside the guard, in as many runs as the model wants."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rai.bench.bare import litert_contender
from support import litert_models

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")


def test_a_tflite_model_that_declares_one_row_is_never_resized_to_several() -> None:
    """Six values a run is all that it can: of two rows at once LiteRT would make one run, and fail."""
    call = litert_contender(litert_models.reshaped(free=False), 1, [{"x": np.ones((2, 6), np.float32)}] * 3)
    for number in range(4):
        call(number)


def test_a_tflite_model_of_any_number_of_rows_takes_them_in_one_run() -> None:
    call = litert_contender(litert_models.linear(), 1, [{"x": np.ones((4, 3), np.float32)}])
    call(0)
    call(1)
