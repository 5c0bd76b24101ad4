"""Small models whose robustness is known by formula: linear, monotone, and not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Floats = np.ndarray[Any, np.dtype[Any]]


def linear(
    path: Path, weights: Floats, bias: float = 0.0, *, bent: tuple[int, ...] = (), side: int = 0, quantity: bool = False
) -> Path:
    """Writes a model of two classes: the second where weights * x + bias is above 0.

    Args:
        path: Of the file.
        weights: (features,).
        bias: Added.
        bent: Features of which the absolute value counts, so that the answer is not monotone in them.
        side: Rows are square images of so many pixels a side, as many as there are weights; 0: they are flat.
        quantity: The model answers weights * x + bias.
    """
    count = len(weights)
    ways = [1.0] if quantity else [-1.0, 1.0]
    sign = np.ones(count, np.float32)
    sign[list(bent)] = 0
    given: list[int | str] = ["N", count]
    if side:
        given = ["N", 1, side, side]
    nodes = [
        helper.make_node("Reshape", ["x", "rows"], ["flat"]),
        helper.make_node("Abs", ["flat"], ["absolute"]),
        helper.make_node("Mul", ["absolute", "bent"], ["folded"]),
        helper.make_node("Mul", ["flat", "straight"], ["kept"]),
        helper.make_node("Add", ["folded", "kept"], ["used"]),
        helper.make_node("Gemm", ["used", "w", "b"], ["logits"]),
        helper.make_node("Identity", ["logits"], ["answer"])
        if quantity
        else helper.make_node("Softmax", ["logits"], ["answer"], axis=1),
    ]
    constants = {
        "rows": np.array([-1, count], np.int64),
        "bent": 1 - sign,
        "straight": sign,
        "w": np.outer(weights, ways).astype(np.float32),
        "b": np.multiply(bias, ways).astype(np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "known",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", len(ways)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def rows_for(weights: Floats, count: int, seed: int = 0, noise: float = 0.0) -> tuple[Floats, np.ndarray[Any, Any]]:
    """(count, features) rows of unlike spread, and what a linear model says of them, at times in error."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(count, len(weights))) * np.linspace(0.5, 3, len(weights))
    labels = rows @ weights + noise * generator.normal(size=count) > 0
    return rows.astype(np.float32), labels.astype(np.int64)


def leaning_on_its_batch(path: Path, weights: Floats) -> Path:
    """Writes a model whose answers depend on the mean of all rows of a call: as of ``linear`` where a call has one."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["apart"]),
        helper.make_node("Add", ["x", "apart"], ["moved"]),
        helper.make_node("MatMul", ["moved", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["answer"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "leaning",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", len(weights)])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.outer(weights, [-1.0, 1.0]).astype(np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def of_columns(path: Path, *, category: float = 0.0) -> Path:
    """Writes a model of four columns of unlike types, an input each: a float, a whole number, text, and a category.

    Args:
        path: Of the file.
        category: Weight of the last; the text counts for nothing.
    """
    types = {
        "amount": TensorProto.FLOAT,
        "count": TensorProto.INT64,
        "city": TensorProto.STRING,
        "flag": TensorProto.FLOAT,
    }
    nodes = [
        helper.make_node("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["amount", "number", "flag"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["answer"], axis=1),
    ]
    weights = np.outer([1.0, 0.25, category], [-1.0, 1.0]).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "columns",
        [helper.make_tensor_value_info(name, kind, ["N", 1]) for name, kind in types.items()],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
