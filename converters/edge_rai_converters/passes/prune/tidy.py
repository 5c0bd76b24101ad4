"""Brings a model into the form the pruner reads: constants as initializers, normalisations folded into their layers.

A normalisation behind a layer would hide how much a channel weighs: a small kernel with a great scale is no small one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]

# The first in which an initializer need not be an input.
_IR_VERSION = 4


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The node's attribute, or the default."""
    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default


def captured(node: onnx.NodeProto) -> Iterable[str]:
    """Names that the node's subgraphs may take from outside."""
    for found in node.attribute:
        for graph in (found.g, *found.graphs):
            for inner in graph.node:
                yield from inner.input
                yield from captured(inner)
            yield from (value.name for value in graph.output)


def constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Initializers by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def uses(graph: onnx.GraphProto) -> Counter[str]:
    """How often each tensor is read, an output of the graph being one more reader."""
    found = Counter(name for node in graph.node for name in (*node.input, *captured(node)))
    found.update(value.name for value in graph.output)
    return found


def shapes_of(model: onnx.ModelProto) -> dict[str, Shape]:
    """Extents by tensor, None where free, as far as ONNX can infer them."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if value.type.tensor_type.HasField("shape"):
            extents = value.type.tensor_type.shape.dim
            found[value.name] = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in extents)
    return found


def replace(graph: onnx.GraphProto, node: onnx.NodeProto, index: int, values: Array) -> None:
    """Gives one input of a node a constant of its own; whoever else reads the old one keeps it."""
    # torch counts the answers of its layers so: linear, linear_1.
    taken = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    taken.update(name for other in graph.node for name in other.output)
    name = f"{node.output[0]}_{index}"
    while name in taken:
        name += "_"
    node.input.extend([""] * (index + 1 - len(node.input)))
    node.input[index] = name
    graph.initializer.append(numpy_helper.from_array(np.asarray(values, order="C"), name))


def drop_dead_constants(graph: onnx.GraphProto) -> None:
    """Removes initializers that nothing reads."""
    alive = uses(graph)
    living = [tensor for tensor in graph.initializer if alive[tensor.name]]
    if len(living) < len(graph.initializer):
        copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in living]
        del graph.initializer[:]
        graph.initializer.extend(copies)


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that answers the same but for rounding."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    known = constants(graph)
    for value in [value for value in graph.input if value.name in known]:
        graph.input.remove(value)
    result.ir_version = max(result.ir_version, _IR_VERSION)
    _constants_as_initializers(graph)
    _products_as_gemm(graph, shapes_of(result))
    _fold_into_layers(graph)
    drop_dead_constants(graph)
    return result


def _constants_as_initializers(graph: onnx.GraphProto) -> None:
    outputs = {value.name for value in graph.output}
    known = constants(graph)
    for node in list(graph.node):
        if not node.output or node.output[0] in outputs:
            continue
        value = attribute(node, "value", None) if node.op_type == "Constant" else None
        if node.op_type == "Identity":
            value = known.get(node.input[0])
        if value is not None:
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
            known[tensor.name] = tensor
            graph.node.remove(node)


def _products_as_gemm(graph: onnx.GraphProto, shapes: dict[str, Shape]) -> None:
    """A MatMul of rows, which has no place for a bias, becomes a Gemm, with the constant that is added behind it."""
    known, count = constants(graph), uses(graph)
    readers = {name: node for node in graph.node for name in node.input}
    for node in list(graph.node):
        given = shapes.get(node.input[0]) if node.op_type == "MatMul" else None
        weight = known.get(node.input[1]) if given is not None and len(given) == 2 else None
        if weight is None or len(weight.dims) != 2 or weight.data_type != onnx.TensorProto.FLOAT:
            continue
        width = shapes[node.input[1]][1]
        reader = readers.get(node.output[0])
        node.op_type = "Gemm"
        if reader is None or reader.op_type != "Add" or count[node.output[0]] != 1:
            continue
        other = next(name for name in reader.input if name != node.output[0])
        if other in known and shapes[other] in ((width,), (1, width)):
            node.input.append(other)
            node.output[0] = reader.output[0]
            graph.node.remove(reader)


def _fold_into_layers(graph: onnx.GraphProto) -> None:
    makers = {name: node for node in graph.node for name in node.output}
    count = uses(graph)
    for node in list(graph.node):
        maker = makers.get(node.input[0]) if node.op_type == "BatchNormalization" and len(node.output) == 1 else None
        if maker is not None and count[node.input[0]] == 1 and _fold(graph, maker, node):
            maker.output[0] = node.output[0]
            makers[node.output[0]] = maker
            graph.node.remove(node)


def _fold(graph: onnx.GraphProto, layer: onnx.NodeProto, norm: onnx.NodeProto) -> bool:
    """Puts a normalisation into the Conv or Gemm before it; False where that is not to be had."""
    known = constants(graph)
    read = [name for name in (*layer.input[1:3], *norm.input[1:5]) if name]
    learning = attribute(norm, "training_mode", 0)
    if layer.op_type not in ("Conv", "Gemm") or learning or any(name not in known for name in read):
        return False
    if any(known[name].data_type != onnx.TensorProto.FLOAT for name in read):
        return False
    scale, shift, mean, variance = (numpy_helper.to_array(known[name]).astype(float) for name in norm.input[1:5])
    factor = scale / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    weight = numpy_helper.to_array(known[layer.input[1]]).astype(float)
    bias = numpy_helper.to_array(known[layer.input[2]]) if len(layer.input) > 2 and layer.input[2] else np.zeros(1)
    if layer.op_type == "Gemm" and (attribute(layer, "beta", 1.0) != 1 or bias.size not in (1, scale.size)):
        return False
    along_rows = layer.op_type == "Conv" or attribute(layer, "transB", 0)
    stretched = weight * (factor.reshape(-1, *[1] * (weight.ndim - 1)) if along_rows else factor)
    replace(graph, layer, 1, stretched.astype(np.float32))
    replace(graph, layer, 2, ((bias.reshape(-1) - mean) * factor + shift).astype(np.float32))
    return True
