"""Matrix products: FULLY_CONNECTED where the right side is a constant matrix, else BATCH_MATMUL."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Array, Graph, Node
from edge_rai_converters.targets.tflite.layout import native
from edge_rai_converters.targets.tflite.operators import floats, operator


@operator("Gemm")
def gemm(node: Node, to: Builder) -> None:
    """FULLY_CONNECTED: of a lowered graph's, the weights are constant and transposed, the bias is a vector or a row."""
    floats(node, to)
    left, right, added = node.inputs
    _connected(node, to, left, (to.graph.constants[right], right), (to.graph.constant(added), added))


@operator("MatMul")
def matmul(node: Node, to: Builder) -> None:
    """FULLY_CONNECTED for a constant matrix, with the constant row that is added behind; else BATCH_MATMUL."""
    floats(node, to, *node.inputs)
    left, right = node.inputs
    matrix = to.graph.constant(right)
    if matrix is None or matrix.ndim != 2 or left in to.graph.constants:
        (row, turned_row), (column, turned_column) = _operand(to, left), _operand(to, right)
        options = schema.BatchMatMulOptionsT(adjX=turned_row, adjY=turned_column)
        to.add(Code.BATCH_MATMUL, [row, column], [to.define(node.outputs[0])], options)
        return
    last, bias = node, (np.zeros(matrix.shape[1], np.float32), f"{node.name}/bias")
    after = to.graph.only_reader(node.outputs[0])
    if after is not None and after.operator == "Add":
        other = after.inputs[1 - after.inputs.index(node.outputs[0])]
        row_added = _row(to.graph, other, matrix.shape[1])
        if row_added is not None and to.graph.shape(after.outputs[0]) == to.graph.shape(node.outputs[0]):
            last, bias = after, (row_added, other)
            to.skip(after)
    _connected(last, to, left, (matrix.T, right), bias)


def _connected(last: Node, to: Builder, left: str, weights: tuple[Array, str], bias: tuple[Array | None, str]) -> None:
    """FULLY_CONNECTED along the last axis, with the activation that follows.

    Args:
        last: The node that it computes, or the last of them.
        to: Where it is written to.
        left: The value on the left side.
        weights: (outputs, values), and a name.
        bias: (outputs,), None where it is computed; and a name.
    """
    rank, rows = to.graph.rank(left), to.rows_of(left)
    layout, matrix = native(rank), weights[0]
    if rows is None:
        # The other axes may lie in any order, and so they do in the result.
        layout = next((other for other in to.layouts(left) if other[-1] == rank - 1), layout)
        source = to.tensor(left, layout)
    else:
        source, matrix = rows[0], matrix[:, rows[1]]
    activation, made = to.fused(last)
    added, name = bias
    inputs = [source, to.constant(matrix, weights[1]), to.tensor(name) if added is None else to.constant(added, name)]
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=activation, keepNumDims=len(layout) > 2)
    to.add(Code.FULLY_CONNECTED, inputs, [to.define(made, layout)], options)


def _operand(to: Builder, name: str) -> tuple[int, bool]:
    """A tensor of a stack of matrices, and whether they are transposed in it."""
    rank = to.graph.rank(name)
    plain = native(rank)
    turned = (*plain[:-2], rank - 1, rank - 2)
    at_hand = to.layouts(name)
    if plain not in at_hand and turned in at_hand:
        return to.tensor(name, turned), True
    return to.tensor(name), False


def _row(graph: Graph, name: str, width: int) -> Array | None:
    """A constant that is the same in every row, as a vector; None where it is none."""
    array = graph.constant(name)
    if array is None or array.size not in (1, width) or (array.ndim and array.shape[-1] != array.size):
        return None
    return np.broadcast_to(array.reshape(-1), (width,))
