"""Types and static shapes of one node's outputs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import defs, helper, numpy_helper, shape_inference

from edge_rai_converters.passes.lower.sketch import Array, Tensor
from edge_rai_converters.targets.tflite.errors import refused
from edge_rai_converters.targets.tflite.lower.draft import named

# Shapes follow from whole numbers, at most a size of a split a step; and from a few scales.
_MOST_INTEGERS, _MOST_SCALES = 4096, 16
_IR_VERSION = 10


def infer(
    node: onnx.NodeProto, opset: int, known: Mapping[str, Tensor], values: Mapping[str, Array]
) -> dict[str, Tensor]:
    """What can be said of the outputs; an extent that depends on values is None.

    Raises:
        UnsupportedModelError: The operator is not a standard one, or the node is not valid.
    """
    try:
        schema = defs.get_schema(node.op_type, opset, node.domain)
    except defs.SchemaError as error:
        raise refused(named(node), "TFLite has no such operator", "export with older or more general ones") from error
    if schema.deprecated:
        return {}  # as GroupNormalization of opset 18: there is a rule for it, and shape inference gives none
    given = {name for name in node.input if name}
    types = {name: _type(known[name]) for name in given}
    data = {name: numpy_helper.from_array(values[name]) for name in given if _is_small(values.get(name))}
    imports = [helper.make_opsetid(node.domain, opset)]
    try:
        found = shape_inference.infer_node_outputs(schema, node, types, data, None, imports, _IR_VERSION)
    except (onnx.checker.ValidationError, shape_inference.InferenceError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise refused(named(node), f"it does not fit its inputs: {reason}") from error
    return {name: _tensor(name, found[name]) for name in node.output if name and name in found}


def _is_small(value: Array | None) -> bool:
    return value is not None and value.size <= (_MOST_INTEGERS if value.dtype.kind in "iu" else _MOST_SCALES)


def _type(tensor: Tensor) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(tensor.dtype, tensor.shape)


def _tensor(name: str, found: onnx.TypeProto) -> Tensor:
    tensor = found.tensor_type
    if not tensor.HasField("shape"):
        return Tensor(name, tensor.elem_type)
    extents = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim)
    return Tensor(name, tensor.elem_type, extents)
