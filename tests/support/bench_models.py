"""Untrained networks to be timed, small and large, and what real runs of the bench make of one of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

import edge_rai
from edge_rai.bench.clock import SystemClock
from edge_rai.bench.closed_loop import Run, closed_loop
from edge_rai.bench.processes import PROCESSES
from edge_rai.bench.series import YARDSTICK, Subject
from edge_rai.bench.yardstick import products

# Predictions a query: "slower" is slower by exactly a twentieth.
PREDICTIONS = {"model": 20, "same": 20, "slower": 21}


def perceptron(path: Path, *widths: int) -> Path:
    """From "x" to "y", with ReLU between the layers."""
    generator = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for i, (inside, outside) in enumerate(pairwise(widths)):
        weights.append(numpy_helper.from_array(_drawn(generator, (inside, outside), inside), f"w{i}"))
        end = i == len(widths) - 2
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], ["y" if end else f"m{i}"]))
        if not end:
            nodes.append(helper.make_node("Relu", [f"m{i}"], [f"r{i}"]))
        last = f"r{i}"
    return _saved(path, nodes, weights, [widths[0]], [widths[-1]])


def convolutional(path: Path, side: int = 32) -> Path:
    """Four convolutions over images of 3 by `side` by `side`, and ten shares."""
    generator = np.random.default_rng(0)
    channels, nodes, weights, last = (3, 16, 32, 32, 32), [], [], "x"
    for i, (inside, outside) in enumerate(pairwise(channels)):
        weights.append(numpy_helper.from_array(_drawn(generator, (outside, inside, 3, 3), inside * 9), f"w{i}"))
        nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], pads=[1] * 4, strides=[1 + i % 2] * 2))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        last = f"r{i}"
    weights.append(numpy_helper.from_array(_drawn(generator, (32, 10), 32), "w"))
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["y"]))
    return _saved(path, nodes, weights, [3, side, side], [10])


def measured(number: int, path: Path, seed: int, duration_s: float) -> Run:
    """What one of several processes records of the model beside itself, itself 5 % slower, and the yardstick.

    Args:
        number: Of the process.
        path: A model of 30 features.
        seed: Of the run.
        duration_s: Of all processes together.
    """
    names = np.random.default_rng((seed, number)).permutation(list(PREDICTIONS)).tolist()
    sessions = {name: edge_rai.load(path, threads=1) for name in names}
    row = np.zeros((1, 30), np.float32)

    def subject(name: str, times: int) -> Subject:
        predict = sessions[name].predict

        def call(_: int) -> None:
            for _ in range(times):
                predict(row)

        return Subject(name, call)

    subjects = [*(subject(*given) for given in PREDICTIONS.items()), Subject(YARDSTICK, products())]
    return closed_loop(subjects, duration_s=duration_s / PROCESSES, seed=1000 * seed + number)


def slowing(path: Path, predictions: int, duration_s: float) -> Run:
    """What this process records of the model, of which a query is 20 predictions and halfway becomes so many."""
    with edge_rai.load(path, threads=1) as session:
        predict, row = session.predict, np.zeros((1, 30), np.float32)
        halfway_ns = SystemClock.now_ns() + duration_s * 0.5e9

        def call(_: int) -> None:
            for _ in range(predictions if SystemClock.now_ns() > halfway_ns else PREDICTIONS["model"]):
                predict(row)

        return closed_loop([Subject("model", call), Subject(YARDSTICK, products())], duration_s=duration_s)


def _drawn(generator: np.random.Generator, shape: tuple[int, ...], inputs: int) -> np.ndarray:
    return (generator.normal(size=shape) / np.sqrt(inputs)).astype(np.float32)


def _saved(path: Path, nodes: list, weights: list, x: list[int], y: list[int]) -> Path:
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", *shape]) for name, shape in (("x", x), ("y", y))
    ]
    graph = helper.make_graph(nodes, "network", tensors[:1], tensors[1:], weights)
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, path)
    return path
