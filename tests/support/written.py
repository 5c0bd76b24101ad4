"""Models of a few nodes through the TFLite writer, LiteRT in this process, and what it answers beside ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edge_rai_converters.targets.tflite import Written, write

Array = np.ndarray[Any, Any]

# Of an output's scale, in float32: sums in another order.
CLOSE = 5e-6


class Answered(NamedTuple):
    """A written model and what LiteRT made of it."""

    written: Written
    outputs: dict[str, Array]
    partitions: int
    difference: float


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node; names are separated by blanks, "-" is an input that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(operator, names, outputs.split(), f"{operator}_{outputs.split()[0]}", **attributes)


def network(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array | Sequence[int | str]],
    outputs: str,
    constants: Mapping[str, Array],
    opset: int = 17,
) -> onnx.ModelProto:
    """A model whose inputs have the shapes and types of arrays, or the shapes given and float32."""
    given = []
    for name, value in inputs.items():
        array = value if isinstance(value, np.ndarray) else None
        dtype = np.dtype(np.float32) if array is None else array.dtype
        shape = list(value) if array is None else array.shape
        given.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape))
    made = [onnx.ValueInfoProto(name=name) for name in outputs.split()]
    kept = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(list(nodes), "network", given, made, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model)
    return model


def expected(model: onnx.ModelProto, feed: Mapping[str, Array]) -> dict[str, Array]:
    """The answers of ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([value.name for value in model.graph.output], session.run(None, dict(feed)), strict=True))


def answered(model: onnx.ModelProto, feed: Mapping[str, Array], **options: Any) -> Answered:
    """Writes a model and calls it once, in its own layouts; outputs come back in ONNX's."""
    from ai_edge_litert.interpreter import Interpreter

    written = write(model, **options)
    interpreter = Interpreter(model_content=written.model, num_threads=1)
    interpreter.allocate_tensors()
    given = {edge.name: np.asarray(feed[edge.name]).transpose(edge.axes) for edge in written.inputs}
    found = interpreter.get_signature_runner("serving_default")(**given)
    outputs = {edge.name: found[edge.name].transpose(np.argsort(edge.axes)) for edge in written.outputs}
    partitions = sum(operator["op_name"] == "DELEGATE" for operator in interpreter._get_ops_details())
    return Answered(written, outputs, partitions, _difference(expected(model, feed), outputs))


def agrees(model: onnx.ModelProto, feed: Mapping[str, Array], **options: Any) -> Answered:
    """The same, held to what ONNX Runtime answers."""
    found = answered(model, feed, **options)
    assert found.difference <= CLOSE, f"{found.difference:.1e} of the scale: {found.written.operators}"
    return found


def _difference(wanted: Mapping[str, Array], given: Mapping[str, Array]) -> float:
    """The largest of all outputs, each as a share of its scale; infinite where shapes or types differ."""
    worst = 0.0
    for name, array in wanted.items():
        if array.shape != given[name].shape or array.dtype != given[name].dtype:
            return float("inf")
        gap = np.max(np.abs(array.astype(np.float64) - given[name]), initial=0.0)
        # A sum that cancels out is no scale: then it is that of what was summed, near 1 in all of these models.
        worst = max(worst, float(gap / max(np.max(np.abs(array), initial=0.0), 0.1)))
    return worst
