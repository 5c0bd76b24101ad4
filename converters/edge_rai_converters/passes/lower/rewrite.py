"""The pass: every node of ai.onnx.ml that a rule can write in plain operators is replaced by them.

Requires: a model that opens. Ensures: the same inputs and outputs, and answers that differ by rounding at most; what no
rule can write exactly (strings, trees, what ONNX Runtime would refuse) stays. Shape inference, quantizers and pruners
then see through what they take for unknown operators.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass, Property
from edge_rai_converters.passes.lower import features, linear
from edge_rai_converters.passes.lower.sketch import Rules, Sketch, Tensor
from edge_rai_converters.passes.properties import EXACT, SAME_SIGNATURE, VALID, nodes

DOMAIN = "ai.onnx.ml"
_RULES: Rules = {**features.RULES, **linear.RULES}
# Imported where a model has operators of ai.onnx.ml alone, and the IR version that knows it.
_OPSET, _IR_VERSION = 12, 7
# Shape inference knows nothing of these: the first have the shape of their input, the others are a matrix of floats.
_SHAPED_AS_INPUT = frozenset({"Imputer", "Normalizer", "Scaler"})
_MATRICES = frozenset({"FeatureVectorizer", "LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor"})


def lower() -> Pass:
    """The pass; it is not applicable to a model that has nothing to lower."""

    def run(model: onnx.ModelProto, _: Material) -> onnx.ModelProto:
        result = _lowered(model, _RULES)
        if len(list(_foreign(result))) == len(list(_foreign(model))):
            raise NotApplicableError("it has no operator of ai.onnx.ml that plain ones could replace")
        return result

    return Pass("lower", run, requires=(VALID,), ensures=(VALID, SAME_SIGNATURE, EXACT, _LOWERED))


def lower_scalers(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model without Scalers, to the bit the same in what it answers; the argument is not modified."""
    return _lowered(model, {"Scaler": _RULES["Scaler"]})


def _lowered(model: onnx.ModelProto, rules: Rules) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    if not any(node.domain == DOMAIN and node.op_type in rules for node in graph.node):
        return result
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    known = _known(model)
    taken = {name for node in nodes(graph) for name in (*node.input, *node.output)} | known.keys()
    del graph.node[:]
    for node in model.graph.node:
        inputs = tuple(known.get(name, Tensor(name)) for name in node.input)
        sketch = Sketch(node, inputs, opset or _OPSET, taken)
        if node.domain == DOMAIN and node.op_type in rules and rules[node.op_type](sketch):
            graph.node.extend(sketch.nodes)
            graph.initializer.extend(sketch.constants)
        else:
            graph.node.append(node)
    _own_imports(result, opset)
    return result


def _own_imports(model: onnx.ModelProto, opset: int) -> None:
    """The operators' domains, and no others of the two."""
    model.ir_version = max(model.ir_version, _IR_VERSION)
    if not opset:
        model.opset_import.append(onnx.helper.make_opsetid("", _OPSET))
    if not any(True for _ in _foreign(model)) and not model.functions:
        kept = [entry for entry in model.opset_import if entry.domain != DOMAIN]
        del model.opset_import[:]
        model.opset_import.extend(kept)


def _foreign(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return (node for node in nodes(model.graph) if node.domain == DOMAIN)


def _known(model: onnx.ModelProto) -> dict[str, Tensor]:
    """What can be said of the tensors of the main graph."""
    scratch = onnx.ModelProto()
    scratch.CopyFrom(model)
    while True:
        scratch = onnx.shape_inference.infer_shapes(scratch)
        known = dict(_stated(scratch.graph))
        told = [value for value in (_told(node, known) for node in scratch.graph.node) if value is not None]
        if not told:
            return known
        scratch.graph.value_info.extend(told)


def _stated(graph: onnx.GraphProto) -> Iterator[tuple[str, Tensor]]:
    for value in (*graph.output, *graph.value_info, *graph.input):
        tensor = value.type.tensor_type
        shape = tuple(axis.dim_value or None for axis in tensor.shape.dim) if tensor.HasField("shape") else None
        yield value.name, Tensor(value.name, tensor.elem_type, shape)
    for constant in graph.initializer:
        yield constant.name, Tensor(constant.name, constant.data_type, tuple(constant.dims))


def _told(node: onnx.NodeProto, known: dict[str, Tensor]) -> onnx.ValueInfoProto | None:
    """What shape inference leaves out of a node of ai.onnx.ml."""
    name = node.output[0] if node.output else ""
    given = known.get(node.input[0]) if node.input else None
    if node.domain != DOMAIN or given is None or name in known:
        return None
    if node.op_type in _SHAPED_AS_INPUT:
        dtype = given.dtype if node.op_type == "Imputer" else TensorProto.FLOAT
        return onnx.helper.make_tensor_value_info(name, dtype, given.shape)
    if node.op_type in _MATRICES:
        return onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None])
    return None


def _left(_: onnx.ModelProto, model: onnx.ModelProto, __: Material) -> str:
    again = {node.output[0] for node in _foreign(_lowered(model, _RULES))}
    left = sorted({node.op_type for node in _foreign(model) if node.output[0] not in again})
    return f"it has {', '.join(left)} that could be replaced" if left else ""


_LOWERED = Property("what plain operators can replace is replaced", _left)
