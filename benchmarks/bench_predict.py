"""Guarded predict against the bare runtime, in Python and in C: small tabular models, one row, one thread.

Each contender runs in blocks of 50 calls, in turn with the others, within one process a language. `make bench` runs
this and writes machine, versions and samples to build/bench.json.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import edge_rai
from edge_rai.backends.onnx import runtime_path
from edge_rai.bench.guarded import guard_cost
from edge_rai.bundle import read
from edge_rai_converters import convert

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "breast_cancer"))
from train import train

ROUNDS = 400


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demonstration's network (30-64-32-2) as float and int8 bundles, with a learned guard."""
    folder = tmp_path_factory.mktemp("bench")
    model, calibration, *_ = train(folder)
    paths = {}
    for form, mode in (("float", "none"), ("int8", "int8")):
        paths[form] = folder / f"{form}.erai"
        convert(model, calibration, paths[form], labels="y", mode=mode)
    return paths


@pytest.mark.parametrize("form", ["float", "int8"])
def test_guarded_predict_beside_the_bare_runtime(form, bundles, benchmark, capsys, tmp_path) -> None:
    cost = guard_cost(bundles[form], threads=1, rounds=ROUNDS)
    assert not cost.rejected
    in_c = c_rounds(bundles[form], tmp_path)
    row = golden_row(bundles[form])
    with edge_rai.load(bundles[form], threads=1) as session:
        benchmark(session.predict, row)
    benchmark.extra_info |= {
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "machine": platform.processor() or platform.machine(),
        "guarded_over_bare": cost.ratio.p50,
        "samples_ns": {name: timing.samples_ns.ravel().tolist() for name, timing in cost.timings.items()},
        "c_rounds_ns": None if in_c is None else in_c.tolist(),
    }
    with capsys.disabled():
        print(f"\n{form}, 30-64-32-2, one row, one thread, us   p50     p90     p99")
        for name, timing in cost.timings.items():
            print(f"  python {name:33}" + "".join(f"{timing.percentile_ns(p) / 1000:8.2f}" for p in (50, 90, 99)))
        print(f"  python guarded / bare {cost.ratio.p50:.2f} ({cost.ratio.p10:.2f} to {cost.ratio.p90:.2f})")
        if in_c is None:
            print("  C: not measured; `make bench` builds the driver benchmarks/bare_run.c")
            return
        for name, column in (("bare Run", 0), ("guarded predict", 1)):
            print(
                f"  C      {name:33}"
                + "".join(f"{np.percentile(in_c[:, column], p) / 1000:8.2f}" for p in (50, 90, 99))
            )
        ratios = np.percentile(in_c[:, 1] / in_c[:, 0], (50, 10, 90))
        print("  C      guarded / bare {:.3f} ({:.3f} to {:.3f})".format(*ratios))


def golden_row(path: Path) -> np.ndarray:
    """The first golden input."""
    bundle = read(path)
    tensor = bundle.manifest.golden.inputs[0]
    return np.frombuffer(bundle.files[tensor.path], tensor.dtype).reshape(tensor.shape)[:1].copy()


def c_rounds(path: Path, folder: Path) -> np.ndarray | None:
    """(rounds, 2) mean ns of a bare C Run and of a guarded C predict."""
    driver, library = os.environ.get("EDGE_RAI_BARE_RUN"), runtime_path()
    if not driver or not library:
        return None
    bundle = read(path)
    model, row = folder / "model.onnx", folder / "row.f32"
    model.write_bytes(bundle.files[bundle.manifest.primary.path])
    row.write_bytes(golden_row(path).tobytes())
    command = [driver, library, model, path, row, "30", "features", "shares", "2", str(ROUNDS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return np.array([[float(value) for value in line.split()] for line in done.stdout.splitlines()])[ROUNDS // 10 :]
