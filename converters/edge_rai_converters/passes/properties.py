"""The properties that passes require and ensure, each with the check that decides it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

import numpy as np
import onnx

from edge_rai.bundle import Quantization
from edge_rai.errors import EdgeRaiError
from edge_rai_converters.passes.contract import Material, Property
from edge_rai_converters.runner import Runner, is_numeric
from edge_rai_converters.words import first_line

_CALLS_TRIED = 4
_QUANTIZED_DOMAINS = frozenset({"com.microsoft"})
_QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv"}
)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of subgraphs after the one they belong to."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)
            for subgraph in attribute.graphs:
                yield from nodes(subgraph)


def without(operators: Collection[str], domain: str = "") -> Property:
    """No node is one of the operators."""
    names = frozenset(operators)

    def check(_: onnx.ModelProto, model: onnx.ModelProto, __: Material) -> str:
        found = {node.op_type for node in nodes(model.graph) if node.op_type in names and node.domain == domain}
        return f"it has {', '.join(sorted(found))}" if found else ""

    return Property(f"there is no {', '.join(sorted(names))}", check)


def same_answers(rtol: float, atol: float) -> Property:
    """The model answers as the one it was made of, on the first calls of the calibration rows.

    Args:
        rtol: Relative tolerance.
        atol: Absolute tolerance, as a share of the greatest value of each output.
    """

    def check(before: onnx.ModelProto, after: onnx.ModelProto, material: Material) -> str:
        old, new = Runner(before.SerializeToString(), "before"), Runner(after.SerializeToString(), "after")
        for feed in islice(material.calibration(), _CALLS_TRIED):
            expected, found = old.call(feed), new.call(feed)
            for name, values in expected.items():
                if not is_numeric(values):
                    continue
                scale = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
                if not np.allclose(found[name], values, rtol=rtol, atol=atol * scale, equal_nan=True):
                    return f"output {name!r} differs"
        return ""

    return Property("the answers are the same", check)


def _valid(_: onnx.ModelProto, model: onnx.ModelProto, __: Material) -> str:
    try:
        onnx.checker.check_model(model)
        Runner(model.SerializeToString(), "the model")
    except (onnx.checker.ValidationError, EdgeRaiError) as error:
        return first_line(error)
    return ""


def _same_signature(before: onnx.ModelProto, after: onnx.ModelProto, _: Material) -> str:
    known = {tensor.name for model in (before, after) for tensor in model.graph.initializer}
    for kind in ("input", "output"):
        old, new = (
            {value.name: value.type for value in getattr(model.graph, kind) if value.name not in known}
            for model in (before, after)
        )
        if list(old) != list(new):
            return f"its {kind}s are {', '.join(new)}"
        for name, type_before in old.items():
            if not _is_like(type_before, new[name]):
                return f"{kind} {name!r} has another type"
    return ""


def _is_like(before: onnx.TypeProto, after: onnx.TypeProto) -> bool:
    """The same type, or for tensors one that says more: an extent that was free may have a name or be inferred."""
    kind = before.WhichOneof("value")
    if kind != "tensor_type":  # of what is inside the runtime's own writer says less than it was told
        return bool(kind == after.WhichOneof("value"))
    old, new = before.tensor_type, after.tensor_type
    if old.elem_type != new.elem_type:
        return False
    if not old.HasField("shape") or not new.HasField("shape"):
        return True
    fixed = [(o.dim_value, n.dim_value) for o, n in zip(old.shape.dim, new.shape.dim, strict=False)]
    return len(old.shape.dim) == len(new.shape.dim) and all(o <= 0 or o == n for o, n in fixed)


def _float(_: onnx.ModelProto, model: onnx.ModelProto, __: Material) -> str:
    quantized = any(node.op_type in _QUANTIZED or node.domain in _QUANTIZED_DOMAINS for node in nodes(model.graph))
    return "the model is quantized already" if quantized else ""


def _single_precision(_: onnx.ModelProto, model: onnx.ModelProto, __: Material) -> str:
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    halves = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    return "its weights have half precision already" if kinds & halves else ""


VALID = Property("it is valid and opens", _valid)
SAME_SIGNATURE = Property("inputs and outputs are the same", _same_signature)
FLOAT = Property("it is not quantized", _float)
SINGLE_PRECISION = Property("its weights are not of half precision", _single_precision)
EXACT = same_answers(rtol=1e-4, atol=1e-5)


def quantization_of(model: onnx.ModelProto) -> Quantization:
    """How the weights of a model are stored, as a manifest says it."""
    operators = {node.op_type for node in nodes(model.graph)}
    if "MatMulNBits" in operators:
        return "int4_weights"
    if operators & {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"}:
        return "dynamic_int8"
    if "QuantizeLinear" in operators:
        return "static_int8_qdq"
    halves = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    return "float16" if halves else "none"
