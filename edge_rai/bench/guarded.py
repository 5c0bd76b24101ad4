"""What the guard costs: predict against the bare inference runtime, same model, same rows, same threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.bench.interleave import Ratio, Timing, interleave, ratio
from edge_rai.bundle import golden_array, read
from edge_rai.session import load


@dataclass(frozen=True, slots=True)
class GuardCost:
    """Timings of one-row calls.

    Attributes:
        timings: "guarded" (Session.predict), "bare" (onnxruntime.InferenceSession.run) and "empty" (the harness alone).
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
) -> GuardCost:
    """Measures a bundle, or an .onnx model with the default policy, with one row a call.

    Args:
        path: The bundle or model.
        rows: (n, ...) arrays by input name, used in turn; None: the bundle's golden inputs.
        threads: Threads within an operator, for both.
        rounds: See interleave.

    Raises:
        ValueError: A bare model was given without rows.
    """
    import onnxruntime

    model, golden = _model_and_golden(Path(path))
    if rows is None:
        rows = golden
    if not rows:
        raise ValueError(f"{path}: a bare model has no golden inputs; give rows to measure with")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    bare = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    with load(path, threads=threads) as session:
        feeds = _single_rows(rows) if session.batched else [dict(rows)]
        single = session.inputs[0].name if len(session.inputs) == 1 else None
        given = [spec.name for spec in session.inputs]  # without recurrent states, which the session gives
        calls = [feed[single] if single else {name: feed[name] for name in given} for feed in feeds]
        count = len(feeds)
        timings = interleave(
            {
                "guarded": lambda i: session.predict(calls[i % count]),
                "bare": lambda i: bare.run(None, feeds[i % count]),
                "empty": lambda _: None,
            },
            rounds=rounds,
        )
        rejected = int(session.snapshot().rows_by_verdict[2])
    return GuardCost(timings, ratio(timings["guarded"], timings["bare"]), rejected)


def _single_rows(rows: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    count = min(len(values) for values in rows.values())
    return [{name: np.ascontiguousarray(values[i : i + 1]) for name, values in rows.items()} for i in range(count)]


def _model_and_golden(path: Path) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """What the bare runtime loads, and the golden inputs where there are any."""
    if path.suffix == ".onnx":
        return str(path), {}
    bundle = read(path)
    golden = {tensor.name: golden_array(tensor, bundle.files[tensor.path]) for tensor in bundle.manifest.golden.inputs}
    return bundle.files[bundle.manifest.primary.path], golden
