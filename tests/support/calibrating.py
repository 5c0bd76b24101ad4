"""What tests of quantization begin with: rows to calibrate with, and small convolutional models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.contract import Material, Target

Array = np.ndarray[Any, Any]
FLOAT = TensorProto.FLOAT
# 2.3 MiB of activations an image.
_CALIBRATION = """
import sys
import numpy as np
from edge_rai_converters.passes.contract import Material, apply
from edge_rai_converters.passes.quantize import static_int8
from edge_rai_converters.targets.tflite import write
from edge_rai_converters.targets.tflite.quantize import measure_ranges
from support.calibrating import two_convolutions

images, method = int(sys.argv[1]), sys.argv[2]

def calibration():
    rng = np.random.default_rng(0)
    for start in range(0, images, 16):
        yield {"x": rng.random((min(16, images - start), 3, 224, 224), np.float32)}

model, material = two_convolutions(224, 16), Material(calibration, images, True)
if method == "tflite":
    measure_ranges(write(model).model, material)
else:
    apply([static_int8(method)], model, material)
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) >> 10)
"""


def material(rows: Array, name: str = "x", *, batched: bool = True, target: Target = "x86", **others: Any) -> Material:
    """The rows, 64 a call, or one a call where the model answers no batch."""

    def calibration() -> Iterator[dict[str, Array]]:
        step = 64 if batched else 1
        for start in range(0, len(rows), step):
            yield {name: rows[start : start + step]}

    return Material(calibration, len(rows), batched, target, **others)


def answers(model: onnx.ModelProto, rows: Array, name: str = "x") -> Array:
    """The first output."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: rows})[0]


def graph_model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Array],
    x: Sequence[int | str],
    y: Sequence[int | str],
    opset: int = 17,
) -> onnx.ModelProto:
    """float32 "x" to float32 "y"."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, x)],
        [helper.make_tensor_value_info("y", FLOAT, y)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def delicate(classes: int = 8) -> onnx.ModelProto:
    """Three Gemms, of which "wide" has two inputs a million times as great as the other sixteen, and cancels them.

    One scale for its whole input leaves nothing of the rest, so in int8 every answer is noise.
    """
    rng = np.random.default_rng(1)
    into = np.zeros((16, 18), np.float32)
    into[:, :16] = rng.normal(size=(16, 16)) / 4
    into[:, 16] = into[:, 17] = 3e4
    out = np.zeros((18, 16), np.float32)
    out[:16] = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    out[16], out[17] = 1, -1
    head = rng.normal(size=(16, classes)).astype(np.float32)
    return graph_model(
        [
            helper.make_node("Gemm", ["x", "into"], ["a"], "into"),
            helper.make_node("Gemm", ["a", "out"], ["b"], "wide"),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("Gemm", ["c", "head"], ["y"], "head"),
        ],
        {"into": into, "out": out, "head": head},
        ["N", 16],
        ["N", classes],
    )


def two_convolutions(side: int = 16, channels: int = 8) -> onnx.ModelProto:
    """Random: "x" (N, 3, side, side), Conv "first", Relu, strided Conv "second", mean, Gemm "last", "y" (N, 4)."""
    rng = np.random.default_rng(0)
    shapes = {"k1": (channels, 3, 3, 3), "k2": (channels, channels, 3, 3), "w": (channels, 4)}
    return graph_model(
        [
            helper.make_node("Conv", ["x", "k1"], ["a"], "first", strides=[2, 2]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "k2"], ["c"], "second", strides=[2, 2]),
            helper.make_node("GlobalAveragePool", ["c"], ["d"]),
            helper.make_node("Flatten", ["d"], ["e"]),
            helper.make_node("Gemm", ["e", "w"], ["y"], "last"),
        ],
        {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()},
        ["N", 3, side, side],
        ["N", 4],
    )


def peak_of_calibration(images: int, method: str) -> int:
    """Peak resident memory of a process of its own that calibrates with images of 224x224, MiB.

    Args:
        images: How many.
        method: Of ONNX; or "tflite".
    """
    done = subprocess.run(
        [sys.executable, "-c", _CALIBRATION, str(images), method],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
