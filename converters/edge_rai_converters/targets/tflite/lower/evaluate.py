"""The value of a node whose inputs are all constants, by ONNX Runtime: what the model itself would have computed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edge_rai_converters.passes.lower.sketch import Array

# Chance is no constant.
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_ONNX_RUNTIME_ERROR = 3
_IR_VERSION = 10


def evaluate(node: onnx.NodeProto, opset: int, values: Mapping[str, Array]) -> list[Array] | None:
    """The node's outputs, in order; None when it is not constant, or ONNX Runtime cannot compute it."""
    given = {name for name in node.input if name}
    subgraphs = any(field.type == onnx.AttributeProto.GRAPH for field in node.attribute)
    if node.domain or node.op_type in _RANDOM or subgraphs or not given <= values.keys():
        return None
    if node.op_type == "Constant" and any(field.name == "value" for field in node.attribute):
        return [numpy_helper.to_array(node.attribute[0].t)]
    feed = {name: values[name] for name in given}
    graph = helper.make_graph(
        [node],
        "constant",
        [_described(name, value) for name, value in feed.items()],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _ONNX_RUNTIME_ERROR
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(None, feed)
    except Exception:  # noqa: BLE001 - ONNX Runtime's own exceptions share no base but this one
        return None
    outputs = iter(found)
    return [np.asarray(next(outputs)) if name else np.empty(0) for name in node.output]


def _described(name: str, value: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
