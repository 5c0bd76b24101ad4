"""Int8 as TFLite against int8 as ONNX, both calibrated on the same rows: three networks, three seeds each."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from edge_rai.bench.interleave import interleave
from edge_rai_converters.litert import LiteRTRunner
from edge_rai_converters.passes.contract import apply
from edge_rai_converters.passes.quantize import mixed_int8
from edge_rai_converters.runner import Runner, Running
from edge_rai_converters.targets.tflite import write
from edge_rai_converters.targets.tflite.quantize import (
    tflite_dynamic_int8,
    tflite_float16,
    tflite_int8,
    tflite_int16,
)
from support.calibrating import material, peak_of_calibration
from support.networks import Digits, digits_cnn, digits_mlp, digits_separable

pytestmark = pytest.mark.proof

CALIBRATION_ROWS = 400
MOST_POINTS = 0.5
IMAGES = 10_000
FORMS = {
    "int8": tflite_int8(max_drop=1.0),
    "int8, edges too": tflite_int8(max_drop=1.0, edges="int8"),
    "dynamic int8": tflite_dynamic_int8(),
    "float16": tflite_float16(),
    "int16": tflite_int16(),
}


@pytest.mark.parametrize("train", [digits_cnn, digits_mlp, digits_separable])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_int8_is_as_good_in_tflite_as_in_onnx(train: Callable[[int], Digits], seed: int) -> None:
    digits = train(seed)
    rows = digits.x_train[:CALIBRATION_ROWS]
    written = write(digits.model).model
    onnx_int8 = apply([mixed_int8(max_drop=1.0)], digits.model, material(rows)).SerializeToString()
    models = {name: apply([step], written, material(rows)) for name, step in FORMS.items()}
    runners: dict[str, Running] = {
        "float, ONNX": Runner(digits.model.SerializeToString(), "float"),
        "int8, ONNX": Runner(onnx_int8, "int8"),
        "float": LiteRTRunner(written, "float"),
        **{name: LiteRTRunner(model, name) for name, model in models.items()},
    }
    sizes = {"float, ONNX": digits.model.ByteSize(), "int8, ONNX": len(onnx_int8), "float": len(written)}
    sizes |= {name: len(model) for name, model in models.items()}
    found = {name: points(runner, digits) for name, runner in runners.items()}
    sys.stdout.write(table(f"{train.__name__} {seed}", runners, sizes, found, digits))
    assert found["int8"] >= found["int8, ONNX"] - MOST_POINTS
    for name in FORMS:
        assert found[name] >= found["float, ONNX"] - MOST_POINTS, name


def test_calibration_with_many_images_stays_under_a_gibibyte() -> None:
    most = peak_of_calibration(IMAGES, "tflite")
    sys.stdout.write(f"{IMAGES:,} images of 224x224: {most} MiB resident at most\n")
    assert most < 1024


def points(runner: Running, digits: Digits) -> float:
    """Accuracy on the test rows, percent."""
    return 100 * float(np.mean(runner.call({"x": digits.x_test})["scores"].argmax(axis=1) == digits.y_test))


def table(
    title: str, runners: dict[str, Running], sizes: dict[str, int], found: dict[str, float], digits: Digits
) -> str:
    feed = {"x": digits.x_test[:1]}
    calls = {name: runner.bare(feed) for name, runner in runners.items()}
    timings = interleave({name: lambda _, call=call: call() for name, call in calls.items()}, rounds=30, block=10)
    expected = runners["float, ONNX"].call({"x": digits.x_test})["scores"]
    lines = [f"{title}: bytes, accuracy, largest difference from float, us a call of one row"]
    for name, runner in runners.items():
        apart = np.abs(runner.call({"x": digits.x_test})["scores"] - expected).max()
        taken = timings[name].percentile_ns(50) / 1e3
        lines.append(f"{name:18}{sizes[name]:9,}{found[name]:8.2f}{apart:10.3g}{taken:8.1f}")
    return "\n".join(lines) + "\n"
