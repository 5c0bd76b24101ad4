"""Rewrites an ai.onnx.ml Scaler as Sub and Mul.

Requires: a checked model. Ensures: the same answers to the bit, because a Scaler is (x - offset) * scale; shape
inference, which knows no ai.onnx.ml, then sees through it, and MatMul with Add behind it becomes a Gemm.
"""

from __future__ import annotations

import onnx

_DOMAIN = "ai.onnx.ml"


def lower_scalers(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model without Scalers; the argument is not modified."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    taken |= {initializer.name for initializer in model.graph.initializer}
    del result.graph.node[:]
    for node in model.graph.node:
        if node.op_type == "Scaler" and node.domain == _DOMAIN:
            result.graph.node.extend(_lowered(node, result.graph, taken))
        else:
            result.graph.node.append(node)
    return result


def _lowered(node: onnx.NodeProto, graph: onnx.GraphProto, taken: set[str]) -> list[onnx.NodeProto]:
    parts = {"offset": [0.0], "scale": [1.0]}
    parts.update({attribute.name: list(attribute.floats) for attribute in node.attribute if attribute.floats})
    # Not "…_scale": the quantizer gives that name to the scale of the tensor before it.
    names = {part: _fresh(f"{node.output[0]}_scaler_{part}s", taken) for part in parts}
    for part, values in parts.items():
        graph.initializer.append(onnx.helper.make_tensor(names[part], onnx.TensorProto.FLOAT, [len(values)], values))
    centred = _fresh(f"{node.output[0]}_scaler_centred", taken)
    return [
        onnx.helper.make_node("Sub", [node.input[0], names["offset"]], [centred]),
        onnx.helper.make_node("Mul", [centred, names["scale"]], [node.output[0]]),
    ]


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
