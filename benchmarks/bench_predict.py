"""Guarded predict against the bare runtime, in Python and in C: one row, one thread, full policy.

Each contender runs in blocks of 50 calls, in turn with the others, within one process a language; two threads at once
run for 0.1 s in turn. `make bench` runs this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import edge_rai
from edge_rai.backends.onnx import runtime_path
from edge_rai.bench.guarded import guard_cost

sys.path.insert(0, str(Path(__file__).parent))
from subjects import SUBJECTS, bundle, model_and_row

ROUNDS = 400
THREADED_ROUNDS, THREADED_SECONDS = 15, 0.1


@pytest.mark.parametrize("subject", SUBJECTS)
def test_guarded_predict_beside_the_bare_runtime(subject, figures, samples, capsys, tmp_path) -> None:
    model, row = model_and_row(subject, tmp_path)
    cost = guard_cost(bundle(subject), {"features": row}, threads=1, rounds=ROUNDS)
    assert not cost.rejected
    in_c = c_rounds(bundle(subject), model, row, tmp_path)
    ratio = cost.ratio
    figures[f"guarded over bare in Python, {subject}"] = {"p50": ratio.p50, "p10": ratio.p10, "p90": ratio.p90}
    samples.update({f"{subject}, {name}, ns": timing.samples_ns for name, timing in cost.timings.items()})
    if in_c is not None:
        samples[f"{subject}, C, bare and guarded, ns"] = in_c
        middle, low, high = np.percentile(in_c[:, 1] / in_c[:, 0], (50, 10, 90))
        figures[f"guarded over bare in C, {subject}"] = {"p50": middle, "p10": low, "p90": high}
    with capsys.disabled():
        print(f"\n{subject}, one row, one thread, us".ljust(44) + "p50     p90     p99")
        for name, timing in cost.timings.items():
            print(f"  python {name:33}" + "".join(f"{timing.percentile_ns(p) / 1000:8.2f}" for p in (50, 90, 99)))
        print(f"  python guarded / bare {ratio.p50:.2f} ({ratio.p10:.2f} to {ratio.p90:.2f})")
        if in_c is None:
            print("  C: not measured; `make bench` builds the driver benchmarks/bare_run.c")
            return
        for name, column in (("bare Run", 0), ("guarded predict", 1)):
            print(
                f"  C      {name:33}"
                + "".join(f"{np.percentile(in_c[:, column], p) / 1000:8.2f}" for p in (50, 90, 99))
            )
        print(f"  C      guarded / bare {middle:.3f} ({low:.3f} to {high:.3f})")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_two_threads_of_guarded_predict_beside_two_of_the_bare_runtime(subject, figures, capsys, tmp_path) -> None:
    model, row = model_and_row(subject, tmp_path)
    bare = bare_session(model)
    feed = {bare.get_inputs()[0].name: row}
    with edge_rai.load(bundle(subject), threads=1) as session:
        calls = {"bare": lambda: bare.run(None, feed), "guarded": lambda: session.predict(row)}
        rates = np.array(
            [
                [[calls_per_second(call, threads) for threads in (1, 2)] for call in calls.values()]
                for _ in range(THREADED_ROUNDS)
            ]
        )
        assert session.snapshot().rows_by_verdict[1:].sum() == 0
    middle, low, high = np.percentile(rates[:, 1, 1] / rates[:, 0, 1], (50, 10, 90))
    figures[f"two threads, guarded over bare calls a second, {subject}"] = {"p50": middle, "p10": low, "p90": high}
    with capsys.disabled():
        print(f"\n{subject}, one row, thousand calls a second".ljust(50) + "1 thread   2 threads")
        for name, column in zip(calls, np.median(rates, axis=0) / 1000, strict=True):
            print(f"  python {name:40}" + "".join(f"{rate:12.0f}" for rate in column))
        print(f"  python two threads, guarded / bare {middle:.2f} ({low:.2f} to {high:.2f})")


def calls_per_second(call: Callable[[], object], threads: int) -> float:
    """Of as many threads together, for THREADED_SECONDS."""
    counts, ready, stop = [0] * threads, threading.Barrier(threads + 1), threading.Event()

    def work(number: int) -> None:
        ready.wait()
        while not stop.is_set():
            for _ in range(50):
                call()
            counts[number] += 50

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    start = time.perf_counter()
    time.sleep(THREADED_SECONDS)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def bare_session(model: Path) -> onnxruntime.InferenceSession:
    """The model as onnxruntime alone runs it, with one thread within an operator."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def c_rounds(path: Path, model: Path, values: np.ndarray, folder: Path) -> np.ndarray | None:
    """(rounds, 2) mean ns of a bare C Run and of a guarded C predict."""
    driver, library = os.environ.get("EDGE_RAI_BARE_RUN"), runtime_path()
    if not driver or not library:
        return None
    row = folder / "row.f32"
    row.write_bytes(values.tobytes())
    command = [driver, library, model, path, row, "30", "features", "shares", "2", str(ROUNDS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return np.array([[float(value) for value in line.split()] for line in done.stdout.splitlines()])[ROUNDS // 10 :]
