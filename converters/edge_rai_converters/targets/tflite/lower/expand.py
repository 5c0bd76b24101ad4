"""What an operator is made of, where ONNX's specification defines it by others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import defs, helper, inliner

from edge_rai_converters.passes.lower.sketch import Tensor

# Of the function, while it stands for the operator.
_DOMAIN = "specification"
_IR_VERSION = 10


def expand(node: onnx.NodeProto, opset: int, known: Mapping[str, Tensor]) -> tuple[onnx.GraphProto, int]:
    """The nodes that stand for a node of the standard domain, and the opset they are written in.

    Args:
        node: The one.
        opset: In which it is written.
        known: Its inputs, among others.

    Returns:
        A graph without nodes when the operator is a primitive.
    """
    if not defs.has(node.op_type, opset):
        return onnx.GraphProto(), opset
    schema: Any = defs.get_schema(node.op_type, opset)  # whose stub leaves out what it says of functions
    call = onnx.NodeProto()
    call.CopyFrom(node)
    given = {field.name for field in node.attribute}
    defaults = {name: field.default_value for name, field in schema.attributes.items() if name not in given}
    call.attribute.extend(value for value in defaults.values() if value.type != onnx.AttributeProto.UNDEFINED)
    if schema.has_function:
        versions = [version for version in schema.function_opset_versions if version <= opset]
        function = schema.get_function_with_opset_version(max(versions))
    elif schema.has_context_dependent_function:
        function = schema.get_context_dependent_function(call.SerializeToString(), _types(node, known))
    else:
        return onnx.GraphProto(), opset
    return _inlined(call, onnx.FunctionProto.FromString(function))


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Gives values other names, in subgraphs as well."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for field in node.attribute:
            if field.type == onnx.AttributeProto.GRAPH:
                rename(field.g, names)
    for value in graph.output:
        value.name = names.get(value.name, value.name)


def _types(node: onnx.NodeProto, known: Mapping[str, Tensor]) -> list[bytes]:
    """Of the inputs; an empty one where an input is left out."""
    types = (
        helper.make_tensor_type_proto(known[name].dtype, known[name].shape) if name else onnx.TypeProto()
        for name in node.input
    )
    return [value.SerializeToString() for value in types]


def _inlined(call: onnx.NodeProto, function: onnx.FunctionProto) -> tuple[onnx.GraphProto, int]:
    opset = next(entry.version for entry in function.opset_import if entry.domain == "")
    call.domain = function.domain = _DOMAIN
    inputs, outputs = (
        [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name] for names in (call.input, call.output)
    )
    model = helper.make_model(
        helper.make_graph([call], "operator", inputs, outputs),
        functions=[function],
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(_DOMAIN, 1)],
        ir_version=_IR_VERSION,
    )
    return inliner.inline_local_functions(model).graph, opset
