"""Small ONNX models, each with the one trait that a test is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Value = tuple[str, int, Sequence[int | str]]
FLOAT = TensorProto.FLOAT


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    initializers: Mapping[str, npt.NDArray[np.generic]] | None = None,
    opset: int = 17,
) -> Path:
    """Writes a graph; inputs and outputs are (name, element type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*given) for given in inputs],
        [helper.make_tensor_value_info(*given) for given in outputs],
        [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def save_linear(path: Path, features: int = 3, outputs: int = 2) -> Path:
    """(N, features) "x" to (N, outputs) "y"; the weights are 0.5, 1, 1.5, ... and the bias is 1."""
    weights = (np.arange(features * outputs, dtype=np.float32) + 1).reshape(features, outputs) / 2
    return save(
        path,
        [helper.make_node("Gemm", ["x", "weights", "bias"], ["y"])],
        [("x", FLOAT, ["N", features])],
        [("y", FLOAT, ["N", outputs])],
        {"weights": weights, "bias": np.ones(outputs, np.float32)},
    )


def save_image_mean(path: Path, shape: Sequence[int]) -> Path:
    """y = mean of each image (N, *shape), as (N, 1)."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=list(range(1, len(shape) + 1)), keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["y"]),
    ]
    return save(path, nodes, [("x", FLOAT, ["N", *shape])], [("y", FLOAT, ["N", 1])], {"one": np.ones(1, np.int64)})


def save_identities(path: Path, ranks: Sequence[int]) -> Path:
    """Inputs "x0", "x1", ... of these ranks and any shape, each returned as "y0", "y1", ..."""
    shapes = [[f"axis{i}_{axis}" for axis in range(rank)] for i, rank in enumerate(ranks)]
    return save(
        path,
        [helper.make_node("Identity", [f"x{i}"], [f"y{i}"]) for i in range(len(ranks))],
        [(f"x{i}", FLOAT, shape) for i, shape in enumerate(shapes)],
        [(f"y{i}", FLOAT, shape) for i, shape in enumerate(shapes)],
    )


def save_lstm(path: Path) -> Path:
    """(2, N, 3) "x" to the last hidden state (1, N, 4) "y" of an LSTM."""
    generator = np.random.default_rng(0)
    return save(
        path,
        [helper.make_node("LSTM", ["x", "w", "r"], ["", "y"], hidden_size=4)],
        [("x", FLOAT, [2, "N", 3])],
        [("y", FLOAT, [1, "N", 4])],
        {
            "w": generator.normal(size=(1, 16, 3)).astype(np.float32),
            "r": generator.normal(size=(1, 16, 4)).astype(np.float32),
        },
    )


def save_zip_map(path: Path) -> Path:
    """(N, 2) "x" to a sequence "z" of maps, one a row, from the labels 7 and 8 to the row's values."""
    scores = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
    graph = helper.make_graph(
        [helper.make_node("ZipMap", ["x"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[7, 8])],
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 2])],
        [helper.make_value_info("z", helper.make_sequence_type_proto(scores))],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def reference_run(path: Path, inputs: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.generic]]:
    """The outputs of the bare runtime, in its default settings, by name."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))
