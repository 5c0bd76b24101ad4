"""Layers that read many features are refitted too, by rows instead of features."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.contract import Material, apply
from edge_rai_converters.passes.prune import prune, reconstruct
from edge_rai_converters.passes.prune.squares import ByFeatures, ByRows
from edge_rai_converters.runner import Runner
from support.children import run_python
from support.wide_networks import CHILD, environment

Array = np.ndarray[Any, Any]
ROWS = 160


def flattened(side: int) -> tuple[onnx.ModelProto, Array]:
    """A convolution of 16 channels whose whole answer a matrix reads, and images of six shapes in all strengths."""
    rng = np.random.default_rng(0)
    weights = {
        "k": rng.normal(size=(16, 1, 3, 3)),
        "b": rng.normal(size=16),
        "w": rng.normal(size=(16 * side**2, 3)) / (4 * side),
        "c": np.zeros(3),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "c"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "flattened",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    rows = rng.normal(size=(ROWS + 60, 6)) @ rng.normal(size=(6, side**2))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, rows.reshape(-1, 1, side, side).astype(np.float32)


def halved(model: onnx.ModelProto, rows: Array) -> onnx.ModelProto:
    return apply([prune(0.5, "magnitude")], model, Material(lambda: iter([{"x": rows[:ROWS]}]), ROWS, batched=True))


def answers(model: onnx.ModelProto, rows: Array) -> Array:
    return np.asarray(Runner(model.SerializeToString(), "m").call({"x": rows[ROWS:]})["y"])


@pytest.mark.parametrize("constant", [1.0, 0.0])
@pytest.mark.parametrize(("count", "features"), [(40, 90), (300, 20)])
def test_both_ways_find_the_same_weights_whatever_there_is_more_of(constant: float, count: int, features: int) -> None:
    rng = np.random.default_rng(0)
    old = rng.normal(size=(2, features + 1, 5))
    old[:, -1] *= constant
    read = np.full((2, count, features + 1), constant)
    read[..., :-1] = rng.normal(1, 1, (2, count, features)).astype(np.float32)
    solvers = ByFeatures(old), ByRows(old)
    for made in rng.normal(size=(2, 2, count, 5)):
        parts = [(read[:, part], made[:, part]) for part in (slice(0, 17), slice(17, None))]
        one, other = (solver.solved(iter(parts)) for solver in solvers)
        assert other == pytest.approx(one, rel=1e-3, abs=1e-4)
        assert np.abs(one - old).max() > 0.1


def test_network_is_refitted_alike_in_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = flattened(4)
    by_features = answers(halved(model, rows), rows)
    monkeypatch.setattr(reconstruct, "ByFeatures", ByRows)
    by_rows = answers(halved(model, rows), rows)
    assert 0 < np.abs(by_features - by_rows).max() < 1e-3 * np.ptp(by_features)


def test_layer_of_more_features_than_sums_have_room_for_is_refitted() -> None:
    model, rows = flattened(28)  # 8 x 28 x 28 = 6,272 features are left
    wanted = answers(model, rows)
    apart = np.abs(answers(halved(model, rows), rows) - wanted).mean()
    assert apart < 0.1 * wanted.std(), "0.05; without refitting it is 0.40"


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_of_a_wide_group_is_no_multiple_of_its_square() -> None:
    """The products of its 5,200 channels with each other alone would be 216 MB, and of those of their weights too."""
    child = run_python(CHILD, "hidden", "2600", "192", "redundancy", environment=environment())
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) < 160e6, "71 MB; 1,470 MB when such products are held"
