"""What the guard costs: predict against the bare inference runtime, same model, same rows, same threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.backends.opening import FORMATS
from edge_rai.bench.bare import litert_contender, onnxruntime_contender
from edge_rai.bench.interleave import Ratio, Timing, interleave, ratio
from edge_rai.bundle import golden_array, read
from edge_rai.session import load


@dataclass(frozen=True, slots=True)
class GuardCost:
    """Timings of one-row calls.

    Attributes:
        timings: "guarded" (Session.predict), "bare" (onnxruntime.InferenceSession.run, or an Interpreter's set_tensor,
            invoke and get_tensor) and "empty" (the harness alone).
        ratio: guarded over bare.
        rejected: Calls of "guarded" that were rejected and so skipped the model; a fair run has none.
    """

    timings: dict[str, Timing]
    ratio: Ratio
    rejected: int


def guard_cost(
    path: str | os.PathLike[str],
    rows: Mapping[str, npt.NDArray[Any]] | None = None,
    *,
    threads: int = 1,
    rounds: int = 200,
    runtime: str | None = None,
) -> GuardCost:
    """Measures a bundle, or an .onnx or .tflite model with the default policy, with one row a call.

    Args:
        path: The bundle or model.
        rows: (n, ...) arrays by input name, used in turn; None: the bundle's golden inputs.
        threads: Threads within an operator, for both.
        rounds: See interleave.
        runtime: See load.

    Raises:
        ValueError: A bare model was given without rows.
    """
    with load(path, threads=threads, runtime=runtime) as session:
        model, golden = _model_and_golden(Path(path), FORMATS[session.runtime])
        rows = golden if rows is None else rows
        if not rows:
            raise ValueError(f"{path}: a bare model has no golden inputs; give rows to measure with")
        feeds = _single_rows(rows) if session.batched else [dict(rows)]
        single = session.inputs[0].name if len(session.inputs) == 1 else None
        given = [spec.name for spec in session.inputs]  # without recurrent states, which the session gives
        calls = [feed[single] if single else {name: feed[name] for name in given} for feed in feeds]
        bare = onnxruntime_contender if session.runtime == "onnxruntime" else litert_contender
        count = len(feeds)
        timings = interleave(
            {
                "guarded": lambda i: session.predict(calls[i % count]),
                "bare": bare(model, threads, feeds),
                "empty": lambda _: None,
            },
            rounds=rounds,
        )
        rejected = int(session.snapshot().rows_by_verdict[2])
    return GuardCost(timings, ratio(timings["guarded"], timings["bare"]), rejected)


def _single_rows(rows: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    count = min(len(values) for values in rows.values())
    return [{name: np.ascontiguousarray(values[i : i + 1]) for name, values in rows.items()} for i in range(count)]


def _model_and_golden(path: Path, file_format: str) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """What the bare runtime loads, and the golden inputs where there are any."""
    if path.suffix.lower() == ".onnx":
        return str(path), {}  # which may have weights in files beside it
    if path.suffix.lower() == ".tflite":
        return path.read_bytes(), {}
    bundle = read(path)
    golden = {tensor.name: golden_array(tensor, bundle.files[tensor.path]) for tensor in bundle.manifest.golden.inputs}
    model = next(model for model in bundle.manifest.of_role("primary") if model.format == file_format)
    return bundle.files[model.path], golden
