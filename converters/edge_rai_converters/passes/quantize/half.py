"""Weights in float16, arithmetic in float32: half the size, at the speed of the original.

ONNX Runtime has hardly any float16 kernels for CPUs: a graph in float16 runs in float32 between casts that it adds
itself, at the same speed, but may have lost an activation above 65,504 on the way. So only the weights are kept in
float16, each behind a Cast that the runtime folds when it opens the model; no activation can overflow.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass
from edge_rai_converters.passes.properties import FLOAT, SAME_SIGNATURE, SINGLE_PRECISION, VALID
from edge_rai_converters.passes.quantize.prepare import contains, finish, fresh, prepare

# Which inputs hold weights: values that are multiplied and added up, so that a rounded one costs no more than that.
_WEIGHTS = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gather": (0,),
    "Gemm": (0, 1),
    "GRU": (1, 2),
    "LSTM": (1, 2),
    "MatMul": (0, 1),
    "RNN": (1, 2),
}
_GREATEST = float(np.finfo(np.float16).max)


def float16() -> Pass:
    """Stores every weight in float16 that has a place there; biases, scales and answers stay float32."""
    return Pass("float16", _run, (FLOAT, SINGLE_PRECISION), (VALID, SAME_SIGNATURE, contains("Cast")))


def _run(model: onnx.ModelProto, _: Material) -> onnx.ModelProto:
    result = prepare(model)
    graph = result.graph
    used = {
        node.input[place]
        for node in graph.node
        for place in _WEIGHTS.get(node.op_type, ())
        if node.domain == "" and place < len(node.input)
    }
    weights = [tensor for tensor in graph.initializer if tensor.name in used and tensor.data_type == TensorProto.FLOAT]
    if not weights:
        raise NotApplicableError("it has no weights of float32")
    fitting = [tensor for tensor in weights if np.abs(numpy_helper.to_array(tensor)).max(initial=0) <= _GREATEST]
    if not fitting:
        raise NotApplicableError(f"its weights exceed {_GREATEST:,.0f}, the greatest number of float16")
    casts = [_halve(graph, tensor) for tensor in fitting]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *rest])
    return finish(model, result)


def _halve(graph: onnx.GraphProto, tensor: TensorProto) -> onnx.NodeProto:
    """Stores the tensor in float16, under another name, and returns the Cast that gives it back."""
    name, halved = tensor.name, fresh(f"{tensor.name}_float16", graph)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), halved))
    return helper.make_node("Cast", [halved], [name], f"{name}_Cast", to=TensorProto.FLOAT)
