"""Real models: scikit-learn's, exported; and small graphs with the one trait that a test is about."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def tumours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with breast-cancer data.npz (X, y, feature_names), mlp.onnx (scaler and MLP) and forest.onnx."""
    folder = tmp_path_factory.mktemp("tumours")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import to_onnx
        from sklearn.datasets import load_breast_cancer
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        loaded = load_breast_cancer()
        rows = loaded.data.astype(np.float32)
        mlp = make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=100, random_state=0))
        forest = RandomForestClassifier(5, random_state=0)
        for name, model in (("mlp", mlp), ("forest", forest)):
            model.fit(rows[::2], loaded.target[::2])
            for zipmap in (False, True):
                exported = to_onnx(model, rows[:1], options={"zipmap": zipmap}, target_opset={"": 18, "ai.onnx.ml": 3})
                (folder / f"{name}{'.zipmap' * zipmap}.onnx").write_bytes(exported.SerializeToString())
    names = np.array([str(name) for name in loaded.feature_names])
    np.savez(folder / "data.npz", X=rows, y=loaded.target, feature_names=names)
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cnn.onnx, [N,1,8,8] to ten logits, and data.npz (image, y).

    Its convolution is random and its last layer is fitted by least squares: real accuracy without a training framework.
    """
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    loaded = load_digits()
    images = (loaded.images[:, np.newaxis] / 16).astype(np.float32)
    generator = np.random.default_rng(0)
    kernels = generator.normal(size=(16, 1, 3, 3)).astype(np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(images[:, 0], (3, 3), axis=(1, 2))
    hidden = np.maximum(np.einsum("nhwij,cij->nchw", patches, kernels[:, 0]), 0)
    pooled = hidden.reshape(-1, 16, 3, 2, 3, 2).max(axis=(3, 5)).reshape(len(images), -1)
    wanted = np.eye(10)[loaded.target]
    # So much of a ridge that rounding to int8 costs a few rows in a thousand, whatever kernels a processor rounds with.
    squares = pooled[::2].T @ pooled[::2] + 10 * np.eye(pooled.shape[1])
    weights = np.linalg.solve(squares, pooled[::2].T @ wanted[::2]).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "kernels"], ["convolved"]),
            helper.make_node("Relu", ["convolved"], ["hidden"]),
            helper.make_node("MaxPool", ["hidden"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights"], ["logits"]),
        ],
        "cnn",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [onnx.numpy_helper.from_array(kernels, "kernels"), onnx.numpy_helper.from_array(weights, "weights")],
    )
    _save(graph, folder / "cnn.onnx", 11)
    np.savez(folder / "data.npz", image=images, y=loaded.target)
    return folder


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a graph of the given nodes; inputs and outputs are (name, element type, shape)."""

    def make(
        nodes: list[onnx.NodeProto],
        inputs: list[tuple[str, int, list[int | str]]],
        outputs: list[tuple[str, int, list[int | str]]],
        initializers: dict[str, np.ndarray] | None = None,
        *,
        opset: int = 17,
    ) -> Path:
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info(*given) for given in inputs],
            [helper.make_tensor_value_info(*given) for given in outputs],
            [onnx.numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
        )
        return _save(graph, tmp_path / "model.onnx", opset)

    return make


def _save(graph: onnx.GraphProto, path: Path, opset: int) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
