"""Fusing a scaler's two operators."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.fuse import fuse_scalers

COLUMNS = 5
ROWS = np.random.default_rng(0).normal(3, 2, (16, COLUMNS)).astype(np.float32)


def scaled(shift: str, stretch: str, *, extra_use: bool = False, shape: tuple[object, ...] = ("rows", COLUMNS)):
    rng = np.random.default_rng(1)
    constants = {"c": rng.normal(3, 1, COLUMNS), "s": rng.uniform(0.5, 2, COLUMNS)}
    nodes = [helper.make_node(shift, ["x", "c"], ["centred"]), helper.make_node(stretch, ["centred", "s"], ["scaled"])]
    nodes.append(helper.make_node("Add" if extra_use else "Relu", ["scaled", "centred"][: 1 + extra_use], ["y"]))
    graph = helper.make_graph(
        nodes,
        "scaled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def answers(model: onnx.ModelProto, rows: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": rows})[0]


@pytest.mark.parametrize("shift", ["Sub", "Add"])
@pytest.mark.parametrize("stretch", ["Mul", "Div"])
def test_a_scaler_becomes_one_operator_with_the_same_answers(shift: str, stretch: str) -> None:
    model = scaled(shift, stretch)
    before = answers(model, ROWS)
    fuse_scalers(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["BatchNormalization", "Relu"]
    np.testing.assert_allclose(answers(model, ROWS), before, rtol=1e-5, atol=1e-6)


def test_an_intermediate_that_is_used_elsewhere_stays() -> None:
    model = scaled("Sub", "Mul", extra_use=True)
    fuse_scalers(model)
    assert [node.op_type for node in model.graph.node] == ["Sub", "Mul", "Add"]


def test_a_last_axis_that_is_not_the_channels_stays() -> None:
    model = scaled("Sub", "Mul", shape=("rows", 7, COLUMNS))
    fuse_scalers(model)
    assert [node.op_type for node in model.graph.node] == ["Sub", "Mul", "Relu"]
