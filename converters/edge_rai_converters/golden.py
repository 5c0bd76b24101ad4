"""Golden vectors: a few clean rows with the plain runtime's answers, replayed whenever the bundle is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import numpy.typing as npt

from edge_rai.bundle import (
    SMALLEST_ATOL,
    Golden,
    GoldenTensor,
    Quantization,
    golden_bytes,
    golden_dtype,
    largest_finite,
)
from edge_rai.errors import PolicyError
from edge_rai.policy import Policy
from edge_rai_converters.data import Array, Rows
from edge_rai_converters.profile import rows_within
from edge_rai_converters.runner import Running, feeds, is_numeric

MAX_ROWS = 4
# They are replayed at every load: wide rows are fewer.
_MAX_VALUES = 1 << 16
# Shares of the largest output that another CPU may differ by; int8 rounds, so one step of its output can flip.
_TOLERANCE: Mapping[Quantization, float] = {
    "none": 1e-3,
    "float16": 1e-2,
    "static_int8_qdq": 2e-2,
    "static_int8": 2e-2,
    "static_int16": 2e-2,
    "dynamic_int8": 2e-2,
    "int4_weights": 2e-2,
}


def golden(
    runner: Running,
    policy: Policy,
    rows: Rows,
    held_back: npt.NDArray[np.int64],
    quantization: Quantization,
    outputs: str = "output",
) -> tuple[Golden, dict[str, bytes]]:
    """Chooses the first held-back rows within all limits and answers them; outputs of numbers are recorded.

    Args:
        runner: Of the model that goes into the bundle.
        policy: Of the bundle.
        rows: Per input (N, *call).
        held_back: Indices of rows to choose from.
        quantization: Of the model; sets the tolerance.
        outputs: What the files of its answers are called; a number follows.

    Returns:
        What the manifest says of the vectors, and their files.

    Raises:
        PolicyError: No held-back row lies within the limits.
    """
    clean = held_back[rows_within(policy, rows, held_back)]
    if not len(clean):
        raise PolicyError(f"none of the {len(held_back)} held-back rows lies within the policy's limits; widen them")
    per_row = sum(prod(array.shape[1:]) for array in rows.values())
    count = max(1, min(MAX_ROWS, _MAX_VALUES // per_row)) if policy.batched else 1
    feed = next(feeds(rows, clean[:count], batched=policy.batched))
    answers = runner.call(feed)
    largest = largest_finite(array for array in answers.values() if is_numeric(array) and array.dtype.kind == "f")
    atol = max(SMALLEST_ATOL, float(f"{_TOLERANCE[quantization] * largest:.3g}"))
    files: dict[str, bytes] = {}
    inputs = _tensors("input", {rule.name: feed[rule.name] for rule in policy.inputs}, files)
    numeric = {rule.name: answers[rule.name] for rule in policy.outputs if is_numeric(answers[rule.name])}
    answered = _tensors(outputs, numeric, files)
    return Golden(atol=atol, inputs=inputs, outputs=answered), files


def _tensors(kind: str, arrays: Mapping[str, Array], files: dict[str, bytes]) -> tuple[GoldenTensor, ...]:
    tensors = []
    for index, (name, array) in enumerate(arrays.items()):
        path = f"reference/golden/{kind}_{index}.bin"
        files[path] = golden_bytes(array)
        tensors.append(GoldenTensor(name=name, path=path, dtype=golden_dtype(array), shape=array.shape))
    return tuple(tensors)
