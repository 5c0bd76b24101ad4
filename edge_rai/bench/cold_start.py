"""Cold start: from a fresh process to its first answer, as an application begins; and what a call allocates there.

Allocations are counted in a process of their own, by glibc's trace (mtrace(3), in libc_malloc_debug.so since 2.34):
those of `malloc` and its kin by anybody, where objects of Python that are small enough for its own pools are none.
"""

from __future__ import annotations

import json
import os
import platform
import re
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

_TRACED_CALLS = 64
# The library to be traced with has these functions for old programs alone, so that they are asked for by version.
_MTRACE_VERSIONS = {"x86_64": "GLIBC_2.2.5", "aarch64": "GLIBC_2.17"}
_ALLOCATION = re.compile(r"^.* [+>] 0x", re.MULTILINE)  # malloc and calloc, and what realloc gives

# A fresh interpreter that does what an application does until its first answer, and then says when each step ended.
_CHILD = """
import ctypes, json, os, sys, time
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
    call = lambda: session.predict(given)
    loaded = time.monotonic_ns()
    call()
elif runtime == "onnxruntime":
    import onnxruntime
    imported = time.monotonic_ns()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    call = lambda: session.run(None, feed)
    loaded = time.monotonic_ns()
    call()
answered = time.monotonic_ns()
def kilobytes(key):
    try:
        lines = [line.split() for line in open("/proc/self/status")]
    except OSError:
        return None
    return next((int(words[1]) for words in lines if words[0] == key), None)
times = {"interpreter_ended": prepared, "import_ended": imported, "load_ended": loaded, "answered": answered}
print(json.dumps({**times, "resident": kilobytes("VmRSS:"), "peak": kilobytes("VmHWM:")}))
if "MALLOC_TRACE" in os.environ:
    find = getattr(ctypes.CDLL(None), "dlvsym", lambda *_: None)
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    version = os.environ["MTRACE_VERSION"].encode()
    begin, end = (find(None, name, version) for name in (b"mtrace", b"muntrace"))
    calls = range(int(os.environ["TRACED_CALLS"]))
    if begin and end:
        for _ in calls:
            call()
        ctypes.CFUNCTYPE(None)(begin)()
        for _ in calls:
            call()
        ctypes.CFUNCTYPE(None)(end)()
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
        "resident_bytes" and "peak_bytes" of memory after the first answer; "allocations_per_call", None where they
        cannot be traced.

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
        allocations = {name: _allocations_per_call(name, start) for name, start in starts.items()}
    return {name: {**_summary(runs), "allocations_per_call": allocations[name]} for name, runs in found.items()}


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
    began = time.monotonic_ns()
    return _durations(json.loads(_child(name, start, {})), began)


def _allocations_per_call(name: str, start: _Start) -> float | None:
    """After as many calls that are not counted; None: they cannot be traced."""
    trace = Path(start.rows).with_name("trace")
    environment = {
        "LD_PRELOAD": "libc_malloc_debug.so.0",
        "MALLOC_TRACE": str(trace),
        "MTRACE_VERSION": _MTRACE_VERSIONS.get(platform.machine(), ""),
        "TRACED_CALLS": str(_TRACED_CALLS),
    }
    try:
        _child(name, start, environment)
    except InferenceError:  # glibc's trace is not made for a runtime's own threads, which may end the process
        return None
    if not trace.exists():
        return None
    found = len(_ALLOCATION.findall(trace.read_text(errors="replace")))
    trace.unlink()
    return found / _TRACED_CALLS


def _child(name: str, start: _Start, environment: dict[str, str]) -> str:
    """What a fresh process of it says."""
    told = [start.path, start.rows, start.runtime, start.guarded, str(start.threads)]
    # Away from whatever lies in this directory under the name of a module.
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *told],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(start.rows).parent,
        env={**os.environ, **environment},
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise InferenceError(f"{name}: a fresh process of it failed: {said[-1]}")
    return done.stdout.splitlines()[-1]


def _durations(told: Mapping[str, Any], began: int) -> dict[str, float]:
    ends = [began, *(told[key] for key in ("interpreter_ended", "import_ended", "load_ended", "answered"))]
    steps = {f"{step}_ns": after - before for step, before, after in zip(_STEPS, ends, ends[1:], strict=False)}
    memory = {f"{key}_bytes": told[key] * 1024 for key in ("resident", "peak") if told[key] is not None}
    return {**steps, "total_ns": ends[-1] - began, **memory}


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    medians = {key: median(run[key] for run in runs) for key in runs[0]}
    totals = [run["total_ns"] for run in runs]
    return {"rounds": len(runs), **medians, "total_low_ns": min(totals), "total_high_ns": max(totals)}
