"""Tree ensembles: kept as they are, because nothing in them can be pruned or quantized."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

_TREES = frozenset({"TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"})
_DOMAIN = "ai.onnx.ml"


def kind_of_trees(model: onnx.ModelProto) -> bool:
    """Whether a tree ensemble is in the model."""
    return bool(trees_of(model))


def trees_of(model: onnx.ModelProto) -> list[str]:
    """Names of the operators in the model that are tree ensembles."""
    parts: tuple[onnx.GraphProto | onnx.FunctionProto, ...] = (model.graph, *model.functions)
    return sorted({node.op_type for part in parts for node in _nodes(part) if is_trees(node)})


def is_trees(node: onnx.NodeProto) -> bool:
    """Whether an operator is a tree ensemble."""
    return node.domain == _DOMAIN and node.op_type in _TREES


def refusal(model: onnx.ModelProto) -> str:
    """Why the model is neither quantized nor pruned, as one sentence; "" when no tree ensemble is in it."""
    found = trees_of(model)
    if not found:
        return ""
    return (
        f"the model is an ensemble of trees ({', '.join(found)}), which has thresholds and no weights: nothing in it "
        "can be quantized or pruned, and it is kept as it is"
    )


def _nodes(part: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    for node in part.node:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph)
