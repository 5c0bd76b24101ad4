"""Guarded predict of TFLite models against the bare interpreter: one row, one thread, each input within limits.

Each contender runs in blocks of 50 calls, in turn with the other, within one process. The bare one is what LiteRT's
manual shows: set_tensor, invoke, get_tensor. `make bench` runs this.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai.bench.guarded import guard_cost
from edge_rai_converters.targets.tflite import write

ROUNDS = 400
NETWORKS = {"MLP 64-256-256-10": (64, 256, 256, 10), "MLP 30-64-32": (30, 64, 32)}


@pytest.mark.parametrize("name", NETWORKS)
def test_guarded_litert_beside_the_bare_interpreter(name, figures, capsys, tmp_path) -> None:
    path = tmp_path / "network.tflite"
    path.write_bytes(write(network(NETWORKS[name])).model)
    row = np.random.default_rng(1).normal(size=(1, NETWORKS[name][0])).astype(np.float32)
    cost = guard_cost(path, {"x": row}, threads=1, rounds=ROUNDS)
    assert not cost.rejected
    guarded, bare = (cost.timings[contender].samples_ns for contender in ("guarded", "bare"))
    apart = np.median(guarded, axis=1) - np.median(bare, axis=1)
    middle, low, high = np.percentile(apart, (50, 10, 90)) / 1000
    figures[f"LiteRT, guarded less bare, us, {name}"] = {"p50": middle, "p10": low, "p90": high}
    with capsys.disabled():
        print(f"\n{name} (LiteRT), one row, one thread, us".ljust(44) + "p50     p90     p99")
        for contender, timing in cost.timings.items():
            print(f"  python {contender:33}" + "".join(f"{timing.percentile_ns(p) / 1000:8.2f}" for p in (50, 90, 99)))
        print(f"  python guarded - bare {middle:.2f} ({low:.2f} to {high:.2f}); the bar is 1.5")


def network(widths: tuple[int, ...]) -> onnx.ModelProto:
    """A perceptron of these widths, "x" to "y", float32."""
    generator = np.random.default_rng(0)
    nodes, constants, last = [], [], "x"
    for i, (inside, outside) in enumerate(pairwise(widths)):
        weights = (generator.normal(size=(inside, outside)) / np.sqrt(inside)).astype(np.float32)
        constants += [numpy_helper.from_array(weights, f"w{i}"), numpy_helper.from_array(weights[0], f"b{i}")]
        is_last = i == len(widths) - 2
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], ["y" if is_last else f"sum{i}"]))
        if not is_last:
            nodes.append(helper.make_node("Relu", [f"sum{i}"], [f"hidden{i}"]))
        last = f"hidden{i}"
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
        for name, width in (("x", widths[0]), ("y", widths[-1]))
    ]
    graph = helper.make_graph(nodes, "network", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
