"""Networks as the TFLite writer and as onnx2tf write them, side by side: the same interpreter, one row, one thread.

onnx2tf has an environment of its own, whose program EDGE_RAI_ONNX2TF names; without it nothing is measured. It is given
the network of one row, and writes by itself (flatbuffer_direct) or through TensorFlow's converter (tf_converter, where
TensorFlow is installed). Of two files each gets fresh interpreters PAIRS times, because where memory happens to lie
makes some percent, and within a pair they take turns in blocks. Both files take images with their channels last.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_rai.bench.interleave import interleave, ratio
from edge_rai_converters.targets import tflite
from edge_rai_converters.targets.tflite.freeze import frozen
from support.tiny_networks import BARS

ONNX2TF = os.environ.get("EDGE_RAI_ONNX2TF")
PAIRS, ROUNDS, BLOCK = 7, 30, 20
BAR = 1.10


@pytest.mark.skipif(not ONNX2TF, reason="EDGE_RAI_ONNX2TF does not name a program onnx2tf")
@pytest.mark.parametrize("name", BARS)
@pytest.mark.parametrize("backend", ["flatbuffer_direct", "tf_converter"])
def test_written_network_takes_no_longer_than_onnx2tf_s(name, backend, figures, capsys, tmp_path) -> None:
    model = frozen(BARS[name](0), 1, {})
    ours = tflite.write(model, layout="nhwc").model
    theirs = by_onnx2tf(model, backend, tmp_path)
    try:
        call(theirs)
    except RuntimeError as error:
        pytest.skip(f"LiteRT does not run what onnx2tf writes: {error}")
    medians, ratios = [], []
    for _ in range(PAIRS):
        contenders = {"ours": call(ours), "onnx2tf": call(theirs)}
        timings = interleave(contenders, rounds=ROUNDS, block=BLOCK)
        medians.append([timings[contender].percentile_ns(50) / 1000 for contender in contenders])
        ratios.append(ratio(timings["ours"], timings["onnx2tf"]).p50)
    (us, us_theirs), middle = np.median(medians, axis=0), float(np.median(ratios))
    found = {"ours_us": us, "onnx2tf_us": us_theirs, "ratio": middle, "least": min(ratios), "most": max(ratios)}
    other = f"onnx2tf {version()}, {backend}"
    figures[f"TFLite as written beside {other}, {name}"] = found
    with capsys.disabled():
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"\n{name:20}{us:8.1f} us, {other} {us_theirs:8.1f} us, ratio {middle:.2f} ({spread})")
    assert middle <= BAR


def by_onnx2tf(model: onnx.ModelProto, backend: str, folder: Path) -> bytes:
    """The file that it writes: of a copy of the model, which it changes."""
    onnx.save(model, folder / "in.onnx")
    asked = [ONNX2TF, "-i", "in.onnx", "-o", ".", "-tb", backend, "-n"]
    run = subprocess.run(asked, cwd=folder, check=False, capture_output=True, text=True)
    if run.returncode:
        pytest.skip(f"onnx2tf does not write it: {(run.stderr + run.stdout).splitlines()[-1]}")
    return (folder / "in_float32.tflite").read_bytes()


def version() -> str:
    return subprocess.run([ONNX2TF, "--version"], check=True, capture_output=True, text=True).stdout.strip()


def call(data: bytes):
    """One run of a fresh interpreter, whose inputs are there."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    draw = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        drawn = (
            draw.normal(size=detail["shape"]) if detail["dtype"] is np.float32 else draw.integers(0, 9, detail["shape"])
        )
        interpreter.set_tensor(detail["index"], drawn.astype(detail["dtype"]))
    return lambda _: interpreter.invoke()
