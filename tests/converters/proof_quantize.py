"""What quantizing is worth on the digits networks, and calibration with 10,000 images: minutes, so no test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_rai.bench.interleave import interleave, ratio
from edge_rai_converters.passes.contract import NotApplicableError, Pass, apply
from edge_rai_converters.passes.quantize import dynamic_int8, float16, int4_weights, mixed_int8, static_int8
from edge_rai_converters.runner import Runner
from support.calibrating import material, peak_of_calibration
from support.networks import Digits, digits_cnn, digits_mlp

pytestmark = pytest.mark.proof

CALIBRATION_ROWS = 400
VARIANTS: dict[str, tuple[Pass, str]] = {
    "static minmax": (static_int8(), "x86"),
    "static percentile": (static_int8("percentile"), "x86"),
    "static entropy": (static_int8("entropy"), "x86"),
    "static s8s8": (static_int8(), "arm"),
    "mixed": (mixed_int8(max_drop=0.5), "x86"),
    "dynamic": (dynamic_int8(), "x86"),
    "float16": (float16(), "x86"),
    "int4": (int4_weights(), "x86"),
}
# Prints nothing; the first output of the model at argv[1] for the rows at argv[2] goes to argv[3].
ANSWER = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
numpy.save(sys.argv[3], session.run(None, {"x": numpy.load(sys.argv[2])})[0])
"""
WORST_LOSS = {"int4": 1.0}  # points; of the others
LOSS = 0.6


@pytest.mark.parametrize("train", [digits_cnn, digits_mlp])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_variant_keeps_the_accuracy(train: Callable[[int], Digits], seed: int) -> None:
    digits = train(seed)
    models = {"float": digits.model, **{name: made for name in VARIANTS if (made := variant(name, digits))}}
    accuracy = {name: 100 * float(np.mean(classes(model, digits) == digits.y_test)) for name, model in models.items()}
    sys.stdout.write(table(f"{train.__name__} {seed}", models, accuracy, digits))  # shown by pytest -rP
    for name, found in accuracy.items():
        assert found >= accuracy["float"] - WORST_LOSS.get(name, LOSS)


def variant(name: str, digits: Digits) -> onnx.ModelProto | None:
    step, target = VARIANTS[name]
    try:
        return apply([step], digits.model, material(digits.x_train[:CALIBRATION_ROWS], target=target))
    except NotApplicableError as reason:
        sys.stdout.write(f"{name}: not to be had, because {reason}\n")
        return None


def classes(model: onnx.ModelProto, digits: Digits) -> np.ndarray:
    return Runner(model.SerializeToString(), "a variant").call({"x": digits.x_test})["scores"].argmax(axis=1)


def table(title: str, models: dict[str, onnx.ModelProto], accuracy: dict[str, float], digits: Digits) -> str:
    """Size, accuracy, and latency with 1 and with 64 rows: median in microseconds and its share of float's."""
    runners = {name: Runner(model.SerializeToString(), name) for name, model in models.items()}
    columns: dict[str, list[str]] = {name: [] for name in models}
    for rows, rounds, block in ((1, 60, 20), (64, 30, 4)):
        feed = {"x": digits.x_test[:rows]}
        timings = interleave(
            {name: lambda _, runner=runner, feed=feed: runner.call(feed) for name, runner in runners.items()},
            rounds=rounds,
            block=block,
        )
        for name, timing in timings.items():
            share = ratio(timing, timings["float"])
            columns[name].append(
                f"{timing.percentile_ns(50) / 1e3:8.1f} us ({share.p50:.2f}, {share.p10:.2f} to {share.p90:.2f})"
            )
    lines = [f"{title}: bytes, accuracy, 1 row, 64 rows (share of float: median, middle 80 % of the rounds)"]
    for name, model in models.items():
        lines.append(f"{name:18}{model.ByteSize():9,}{accuracy[name]:8.2f}  {'  '.join(columns[name])}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_calibration_with_ten_thousand_images_stays_under_a_gibibyte(method: str) -> None:
    most = peak_of_calibration(10_000, method)
    sys.stdout.write(f"{method}: {most} MiB resident at most\n")
    assert most < 1024


@pytest.mark.parametrize("train", [digits_cnn, digits_mlp])
def test_int8_answers_the_same_on_an_x86_without_vnni(train: Callable[[int], Digits], tmp_path: Path) -> None:
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("needs qemu-x86_64, of Debian's qemu-user")
    digits = train(0)
    onnx.save(apply([static_int8()], digits.model, material(digits.x_train[:CALIBRATION_ROWS])), tmp_path / "int8.onnx")
    np.save(tmp_path / "rows.npy", digits.x_test)
    found = []
    for name, prefix in (("here", []), ("haswell", [emulator, "-cpu", "Haswell"])):
        answer = tmp_path / f"{name}.npy"
        arguments = [*prefix, sys.executable, "-c", ANSWER, tmp_path / "int8.onnx", tmp_path / "rows.npy", answer]
        subprocess.run(arguments, check=True, capture_output=True)
        found.append(np.load(answer))
    assert np.abs(found[0] - found[1]).max() < 0.02 * found[0].std()
