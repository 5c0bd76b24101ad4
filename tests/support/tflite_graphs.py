"""Graphs of many small nodes, written as one TFLite model and compared output by output: a child starts once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]


class Nodes:
    """Nodes whose last output is an output of the graph each; the operands are the graph's inputs, drawn or given."""

    def __init__(self, **inputs: Array) -> None:
        self.inputs = inputs
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = np.asarray(value, dtype)
        return name

    def add(self, operator: str, *operands: str, **attributes: Any) -> str:
        """The output's name, which other nodes may take."""
        return self.add_all(operator, operands, 1, **attributes)[0]

    def add_all(self, operator: str, operands: Sequence[str], count: int, **attributes: Any) -> list[str]:
        made = [f"{operator}{len(self._nodes)}.{index}" for index in range(count)]
        self._nodes.append(helper.make_node(operator, operands, made, f"{operator}{len(self._nodes)}", **attributes))
        return made

    def model(self, opset: int = 19) -> onnx.ModelProto:
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in self.inputs.items()
        ]
        made = [helper.make_empty_tensor_value_info(name) for node in self._nodes for name in node.output]
        constants = [numpy_helper.from_array(array, name) for name, array in self._constants.items()]
        graph = helper.make_graph(self._nodes, "nodes", given, made, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        return onnx.shape_inference.infer_shapes(model)


def compared(nodes: Nodes, opset: int = 19, *, layout: str = "keep") -> tuple[str, ...]:
    """The operators that were written; every output is as ONNX Runtime's, to 1e-5 of its scale."""
    from edge_rai_converters.targets import tflite

    model = nodes.model(opset)
    written = tflite.write(model, layout=layout)
    checked = tflite.verify(model, written, [nodes.inputs])
    assert max(checked.differences.values()) <= 1e-5, checked.differences
    return written.operators
