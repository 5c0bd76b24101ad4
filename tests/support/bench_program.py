"""The program erai-bench as it was built, and what the samples that it saved say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge_rai.backends.onnx import runtime_path
from edge_rai.bench.closed_loop import Run
from edge_rai.bench.result import ScenarioResult
from edge_rai.bench.series import Series

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120


def built() -> Path:
    """Where it is; skips the test where it is not."""
    found = Path(os.environ.get("EDGE_RAI_NATIVE_BUILD", ROOT / "build/native"), "erai-bench")
    if not found.exists():
        pytest.skip(f"{found} is not built: make ctest")
    return found


def ran(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ERAI_ONNXRUNTIME": runtime_path() or os.environ.get("ERAI_ONNXRUNTIME", "")}
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment
    )


def run_of(save: Path, scenario: ScenarioResult) -> Run:
    """What the saved samples say that was recorded."""
    with np.load(save.with_suffix(".npz")) as samples:

        def array(number: int, name: str) -> npt.NDArray[np.int64]:
            found: npt.NDArray[np.int64] = samples[f"{scenario.scenario}.{number}.{name}"]
            return found

        series = [
            Series(
                one.subject,
                one.rows,
                array(number, "block").astype(np.int32),
                *(array(number, name) for name in ("scheduled_ns", "began_ns", "ended_ns")),
            )
            for number, one in enumerate(scenario.series)
        ]
    return Run(series, scenario.warm_up, tuple(scenario.processes))
