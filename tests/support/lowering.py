"""Small models written as text, lowered, and both asked the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser

from edge_rai_converters.targets.tflite.lower import lower

Array = np.ndarray[Any, Any]


def model(text: str, *, opset: int = 20, **constants: Array) -> onnx.ModelProto:
    """A model of ONNX's text form: ``(float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }``, with initializers."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}, "ai.onnx.ml" : 3]>\n'
    made = parser.parse_model(f"{head}graph {text}")
    made.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return made


def node_model(
    operator: str, feed: dict[str, Array], *, opset: int = 20, outputs: int = 1, inputs: Sequence[str] = (), **more: Any
) -> onnx.ModelProto:
    """A model of one node; arrays among ``more`` are its constants, the rest its attributes."""
    constants = {name: np.asarray(value) for name, value in more.items() if isinstance(value, (np.ndarray, np.generic))}
    attributes = {name: value for name, value in more.items() if name not in constants}
    names = [f"y{index}" for index in range(outputs)]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, list(inputs) or [*feed, *constants], names, "node", **attributes)],
        "graph",
        [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in feed.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in names],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)


def answers(given: onnx.ModelProto, feed: dict[str, Array]) -> dict[str, Array]:
    """Of ONNX Runtime, by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(given.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    taken = {value.name: feed[value.name] for value in session.get_inputs()}
    return dict(zip(names, session.run(names, taken), strict=True))


def lowered(given: onnx.ModelProto, feed: dict[str, Array], tolerance: float = 1e-6) -> onnx.ModelProto:
    """The lowered model, which answers as the given one but for ``tolerance`` of each output's greatest value."""
    result = lower(given)
    onnx.checker.check_model(result, full_check=True)
    before, after = answers(given, feed), answers(result, feed)
    assert list(after) == list(before)
    for name, expected in before.items():
        found = after[name]
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        finite = np.abs(expected[np.isfinite(expected)]).max(initial=0) if expected.dtype.kind == "f" else 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(finite, 1e-30), equal_nan=True)
    return result


def operators(given: onnx.ModelProto) -> list[str]:
    """Of the nodes, in their order."""
    return [node.op_type for node in given.graph.node]


def random(*shape: int, seed: int = 0) -> Array:
    """Standard normal values of float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
