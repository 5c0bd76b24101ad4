"""Trains a small network on the Wisconsin breast-cancer data and exports it: raw features in, two shares out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

LABELS = ("malignant", "benign")


def train(directory: Path) -> tuple[Path, Path, np.ndarray, np.ndarray, np.ndarray]:
    """Writes model.onnx and calibration.npz; returns their paths, the unseen rows, their labels, and all rows."""
    data = load_breast_cancer()
    rows = data.data.astype(np.float32)
    known, unseen, known_labels, unseen_labels = train_test_split(
        rows, data.target, test_size=0.25, random_state=0, stratify=data.target
    )
    scaler = StandardScaler().fit(known)
    network = MLPClassifier((64, 32), alpha=1e-2, max_iter=400, random_state=0)
    network.fit(scaler.transform(known), known_labels)
    model = directory / "model.onnx"
    onnx.save(export(scaler, network), model)
    calibration = directory / "calibration.npz"
    np.savez(calibration, features=known, y=known_labels, feature_names=data.feature_names)
    return model, calibration, unseen, unseen_labels, rows


def export(scaler: StandardScaler, network: MLPClassifier) -> onnx.ModelProto:
    """The scaler, the hidden layers, and the logistic output as a softmax over (0, z): malignant, benign."""
    weights = [(matrix.astype(np.float32), bias.astype(np.float32)) for matrix, bias in _layers(network)]
    constants = {"mean": scaler.mean_.astype(np.float32), "scale": (1 / scaler.scale_).astype(np.float32)}
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["hidden_0"]),
    ]
    for i, (matrix, bias) in enumerate(weights):
        constants |= {f"weight_{i}": matrix, f"bias_{i}": bias}
        last = i == len(weights) - 1
        nodes.append(
            helper.make_node("Gemm", [f"hidden_{i}", f"weight_{i}", f"bias_{i}"], ["logits" if last else f"sum_{i}"])
        )
        if not last:
            nodes.append(helper.make_node("Relu", [f"sum_{i}"], [f"hidden_{i + 1}"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["shares"], axis=1))
    graph = helper.make_graph(
        nodes,
        "breast_cancer",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 30])],
        [helper.make_tensor_value_info("shares", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _layers(network: MLPClassifier) -> list[tuple[np.ndarray, np.ndarray]]:
    *hidden, (matrix, bias) = zip(network.coefs_, network.intercepts_, strict=True)
    return [*hidden, (np.hstack([np.zeros_like(matrix), matrix]), np.concatenate([[0.0], bias]))]
