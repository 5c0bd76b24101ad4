"""Cold start: from a fresh process to its first answer, as an application begins."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edge_rai.bench.contenders import Model, bare_name, inputs_of, with_states
from edge_rai.errors import InferenceError

_STEPS = ("interpreter", "import", "load", "first_answer")

# A fresh interpreter that does what an application does until its first answer, and then says when each step ended.
_CHILD = """
import json, sys, time
path, rows, runtime, guarded, threads = sys.argv[1:]
threads = int(threads)
import numpy
feed = dict(numpy.load(rows, allow_pickle=True))
prepared = time.monotonic_ns()
if guarded == "yes":
    import edge_rai
    imported = time.monotonic_ns()
    session = edge_rai.load(path, threads=threads, runtime=runtime)
    names = [spec.name for spec in session.inputs]
    given = feed[names[0]] if len(names) == 1 else {name: feed[name] for name in names}
    loaded = time.monotonic_ns()
    session.predict(given)
elif runtime == "onnxruntime":
    import onnxruntime
    imported = time.monotonic_ns()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    loaded = time.monotonic_ns()
    session.run(None, feed)
answered = time.monotonic_ns()
def kilobytes(key):
    lines = (line.split() for line in open("/proc/self/status"))
    return next((int(words[1]) for words in lines if words[0] == key), None)
times = {"interpreter_ended": prepared, "import_ended": imported, "load_ended": loaded, "answered": answered}
print(json.dumps({**times, "resident": kilobytes("VmRSS:"), "peak": kilobytes("VmHWM:")}))
"""


@dataclass(frozen=True, slots=True)
class _Start:
    """One way to begin: what the child is told."""

    path: str
    rows: str
    runtime: str
    guarded: str
    threads: int


def cold_starts(models: list[Model], *, threads: int, rounds: int, bare: bool) -> dict[str, dict[str, Any]]:
    """Starts a process of each model in turn, guarded and, where ONNX Runtime runs it, bare.

    Args:
        models: Open.
        threads: Threads within an operator.
        rounds: Processes of each that count; one before them fills the page cache.
        bare: Also without the guard.

    Returns:
        By subject: "rounds", medians of "interpreter_ns" (with numpy, which all need), "import_ns", "load_ns",
        "first_answer_ns" and "total_ns" with "total_low_ns" and "total_high_ns", the least and the greatest;
        "resident_bytes" and "peak_bytes" of memory after the first answer.

    Raises:
        InferenceError: A process failed; with its last line.
    """
    found: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        starts: dict[str, _Start] = {}
        for model in models:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="edge-rai-bench-")))
            starts |= _starts_of(model, folder, threads, bare=bare)
        for turn in range(rounds + 1):
            for name, start in starts.items():
                once = _start(name, start)
                if turn:
                    found.setdefault(name, []).append(once)
    return {name: _summary(runs) for name, runs in found.items()}


def _starts_of(model: Model, folder: Path, threads: int, *, bare: bool) -> dict[str, _Start]:
    feed = inputs_of(model.session, model.rows, 0, 1)
    feed = feed if isinstance(feed, dict) else {model.session.inputs[0].name: feed}
    rows = str(folder / "rows.npz")
    runtime = model.session.runtime
    np.savez(rows, **with_states(feed, model.session, 1))  # type: ignore[arg-type]
    starts = {model.name: _Start(str(model.path.absolute()), rows, runtime, "yes", threads)}
    if bare and runtime == "onnxruntime":
        found = model.file_of(runtime)
        path = Path(found).absolute() if isinstance(found, str) else folder / "model.onnx"
        if isinstance(found, bytes):
            path.write_bytes(found)
        starts[bare_name(model, "bare-python")] = _Start(str(path), rows, runtime, "no", threads)
    return starts


def _start(name: str, start: _Start) -> dict[str, float]:
    told = [start.path, start.rows, start.runtime, start.guarded, str(start.threads)]
    began = time.monotonic_ns()
    # Away from whatever lies in this directory under the name of a module.
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *told], capture_output=True, text=True, check=False, cwd=Path(start.rows).parent
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise InferenceError(f"{name}: a fresh process of it failed: {said[-1]}")
    return _durations(json.loads(done.stdout.splitlines()[-1]), began)


def _durations(told: Mapping[str, Any], began: int) -> dict[str, float]:
    ends = [began, *(told[key] for key in ("interpreter_ended", "import_ended", "load_ended", "answered"))]
    steps = {f"{step}_ns": after - before for step, before, after in zip(_STEPS, ends, ends[1:], strict=False)}
    memory = {f"{key}_bytes": told[key] * 1024 for key in ("resident", "peak") if told[key] is not None}
    return {**steps, "total_ns": ends[-1] - began, **memory}


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    medians = {key: median(run[key] for run in runs) for key in runs[0]}
    totals = [run["total_ns"] for run in runs]
    return {"rounds": len(runs), **medians, "total_low_ns": min(totals), "total_high_ns": max(totals)}
