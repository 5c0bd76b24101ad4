"""From any ONNX model to the writer's form of it: see the package."""

from __future__ import annotations

import onnx
from onnx import helper, inliner, numpy_helper

from edge_rai_converters.passes.lower import features, linear
from edge_rai_converters.passes.properties import nodes
from edge_rai_converters.sources.onnx import opset_of
from edge_rai_converters.targets.tflite.errors import refused
from edge_rai_converters.targets.tflite.lower import (
    activating,
    arithmetic,
    normalizing,
    pooling,
    products,
    recurrent,
    reducing,
    shaping,
)
from edge_rai_converters.targets.tflite.lower.draft import OPSET, Rules, fresh, static
from edge_rai_converters.targets.tflite.lower.folding import fold
from edge_rai_converters.targets.tflite.lower.pieces import read_pieces
from edge_rai_converters.targets.tflite.lower.recognizing import recognize
from edge_rai_converters.targets.tflite.lower.walk import Walk

_RULES: Rules = {
    **features.RULES,
    **linear.RULES,
    **activating.RULES,
    **arithmetic.RULES,
    **normalizing.RULES,
    **pooling.RULES,
    **products.RULES,
    **recurrent.RULES,
    **reducing.RULES,
    **shaping.RULES,
}
# What the specification makes of other operators, and TFLite has one for.
_DIRECT = frozenset(
    {
        *("Clip", "DepthToSpace", "Elu", "Gelu", "GreaterOrEqual", "HardSwish", "LeakyRelu", "LessOrEqual"),
        *("LogSoftmax", "PRelu", "Relu", "Softmax", "SpaceToDepth"),
    }
)
_IR_VERSION = 9


def lower(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in the writer's form.

    Args:
        model: Its inputs have fixed shapes; not modified.

    Returns:
        A model that ONNX Runtime answers the same with, but for rounding; inputs and outputs keep names and order.

    Raises:
        UnsupportedModelError: Something in it has no counterpart in TFLite; names the operator and the node.
    """
    opset = opset_of(model) or OPSET
    whole = inliner.inline_local_functions(model) if model.functions else model
    graph = whole.graph
    walk = Walk(_RULES, _DIRECT, {name for node in nodes(graph) for name in (*node.input, *node.output)})
    for sparse in graph.sparse_initializer:
        raise refused(f"initializer {sparse.values.name!r}", "it is sparse", "store it densely")
    for tensor in graph.initializer:
        walk.define(tensor.name, numpy_helper.to_array(tensor))
    for value in graph.input:
        if value.name not in walk.values:
            walk.accept(value)
    walk.run(graph.node, opset)
    recognize(walk)
    walk.again(activating.LATE_RULES)
    read_pieces(walk)
    _name_outputs(graph, walk)
    for value in graph.output:
        if value.name not in walk.known:
            raise refused(f"output {value.name!r}", "no node makes it", "leave it away")
        if 0 in static(walk.known[value.name]):
            raise refused(f"output {value.name!r}", "it holds no value", "leave it away")
    fold(walk, [value.name for value in graph.output])
    return _written(whole, walk)


def _written(given: onnx.ModelProto, walk: Walk) -> onnx.ModelProto:
    """What was walked as a model, without what no output asks for."""
    outputs = [value.name for value in given.graph.output]
    needed, kept, numbered, labels = set(outputs), list[onnx.NodeProto](), dict[str, int](), set[str]()
    for node in reversed(walk.nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    for node in reversed(kept):
        node.name = fresh(node.name or node.output[0], labels, numbered)
    graph = helper.make_graph(
        list(reversed(kept)),
        given.graph.name,
        [value for value in given.graph.input if value.name not in walk.values],
        [_described(walk, name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in walk.values.items() if name in needed],
        value_info=[_described(walk, name) for node in kept for name in node.output if name],
    )
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
    result.metadata_props.extend(given.metadata_props)
    return result


def _name_outputs(graph: onnx.GraphProto, walk: Walk) -> None:
    """Gives outputs that stand for other values their names back."""
    taken = {value.name for value in graph.output}
    makers = {name: node for node in walk.nodes for name in node.output}
    renamed: dict[str, str] = {}
    for name in sorted(taken & walk.aliases.keys()):
        source = walk.aliases[name]
        walk.known[name] = walk.known[source]
        if source in walk.values:
            walk.define(name, walk.values[source])
        elif source not in makers or source in taken or source in renamed:
            walk.nodes.append(helper.make_node("Identity", [renamed.get(source, source)], [name], name))
        else:
            renamed[source] = name
    for node in walk.nodes:
        node.input[:] = [renamed.get(given, given) for given in node.input]
        node.output[:] = [renamed.get(made, made) for made in node.output]


def _described(walk: Walk, name: str) -> onnx.ValueInfoProto:
    tensor = walk.known[name]
    return helper.make_tensor_value_info(name, tensor.dtype, tensor.shape)
