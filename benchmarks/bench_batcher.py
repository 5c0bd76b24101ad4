"""Rows a second of 16 client threads: each asking the session itself, and through a Batcher; one thread in the model.

A small network, one whose weights fit the processor's caches, and one whose weights do not. `make bench` runs this.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge_rai

CLIENTS, ROUNDS, SECONDS = 16, 5, 0.4


def network(path: Path, widths: tuple[int, ...]) -> Path:
    """A perceptron of these widths, float32."""
    generator = np.random.default_rng(0)
    nodes, weights, name = [], [], "x"
    for i, (inside, outside) in enumerate(pairwise(widths)):
        weight = (generator.normal(size=(inside, outside)) / np.sqrt(inside)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
        last = i == len(widths) - 2
        nodes.append(helper.make_node("MatMul", [name, f"w{i}"], ["y" if last else f"m{i}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"m{i}"], [f"r{i}"]))
        name = f"r{i}"
    values = [
        helper.make_tensor_value_info(*form)
        for form in (("x", TensorProto.FLOAT, ["N", widths[0]]), ("y", TensorProto.FLOAT, ["N", widths[-1]]))
    ]
    graph = helper.make_graph(nodes, "network", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def rows_per_second(call: Callable[[np.ndarray], object], rows: list[np.ndarray]) -> float:
    """Of all clients together, for SECONDS."""
    counts, ready, stop = [0] * CLIENTS, threading.Barrier(CLIENTS + 1), threading.Event()

    def work(number: int) -> None:
        ready.wait()
        while not stop.is_set():
            call(rows[number])
            counts[number] += 1

    clients = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    ready.wait()
    start = time.perf_counter()
    time.sleep(SECONDS)
    stop.set()
    for client in clients:
        client.join()
    return sum(counts) / (time.perf_counter() - start)


@pytest.mark.parametrize("widths", [(30, 64, 32, 2), (256, 1024, 1024, 16), (512, 2048, 2048, 2048, 10)])
def test_batcher_beside_single_calls(widths, figures, tmp_path, capsys) -> None:
    generator = np.random.default_rng(1)
    rows = [generator.normal(size=(1, widths[0])).astype(np.float32) for _ in range(CLIENTS)]
    with (
        edge_rai.load(network(tmp_path / "m.onnx", widths), threads=1) as session,
        edge_rai.Batcher(session, max_batch=CLIENTS) as batcher,
    ):
        rates = np.array(
            [[rows_per_second(call, rows) for call in (session.predict, batcher.predict)] for _ in range(ROUNDS)]
        )
    single, batched = np.median(rates, axis=0)
    name = "-".join(map(str, widths))
    figures[f"batcher, 16 clients, rows a second, {name}"] = {"single": single, "batcher": batched}
    with capsys.disabled():
        print(
            f"\n{name}, {CLIENTS} clients, rows a second: single calls {single:.0f}, "
            f"Batcher {batched:.0f}, ratio {np.median(rates[:, 1] / rates[:, 0]):.2f}"
        )
