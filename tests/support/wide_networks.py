"""Networks with a layer that reads many features, and the memory that refitting it takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.contract import Material, apply
from edge_rai_converters.passes.prune import prune

Array = np.ndarray[Any, Any]
# Prints what ``added`` says of its arguments.
CHILD = """
from support.wide_networks import added
print(added(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
"""


def hidden(features: int) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """Two Gemm, the second of which reads so many features when half of the first are gone; and the shape of a row."""
    rng = np.random.default_rng(0)
    wide = 2 * features
    weights = {
        "a": rng.normal(size=(64, wide)) / 8,
        "b": np.zeros(wide),
        "w": rng.normal(size=(wide, 64)) / np.sqrt(wide),
        "c": np.zeros(64),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "a", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w", "c"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    return _model(nodes, weights, (64,), (64,)), (64,)


def convolved(features: int) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """Likewise two convolutions, the second of 3x3."""
    rng = np.random.default_rng(0)
    wide = 2 * features // 9
    weights = {
        "a": rng.normal(size=(wide, 8, 1, 1)) / 3,
        "b": np.zeros(wide),
        "w": rng.normal(size=(16, wide, 3, 3)) / np.sqrt(9 * wide),
        "c": np.zeros(16),
    }
    nodes = [
        helper.make_node("Conv", ["x", "a", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "w", "c"], ["s"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["s"], ["t"]),
        helper.make_node("GlobalAveragePool", ["t"], ["y"]),
    ]
    return _model(nodes, weights, (8, 8, 8), (16, 1, 1)), (8, 8, 8)


def _model(
    nodes: list[onnx.NodeProto], weights: dict[str, Array], given: tuple[int, ...], made: tuple[int, ...]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *given])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *made])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _peak() -> int:
    """The kernel's of this process: what getrusage says of a child begins with its parent's."""
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))


def added(kind: str, features: int, rows: int, importance: str) -> int:
    """Bytes that pruning half of the network adds to the peak of this process."""
    model, row = {"hidden": hidden, "convolved": convolved}[kind](features)
    values = np.random.default_rng(1).normal(size=(rows, *row)).astype(np.float32)
    parts = [{"x": values[start : start + 64]} for start in range(0, rows, 64)]
    before = _peak()
    apply([prune(0.5, importance)], model, Material(lambda: iter(parts), rows, batched=True))  # type: ignore[arg-type]
    return _peak() - before


def environment() -> dict[str, str]:
    """Of a child that finds this module."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))}
