"""Flattening before a matrix product without moving a value: the matrix's rows are put in the values' order instead."""

from __future__ import annotations

from math import prod

import numpy as np

from edge_rai_converters.targets.tflite.builder import Builder
from edge_rai_converters.targets.tflite.graph import Graph, Node
from edge_rai_converters.targets.tflite.layout import permuted


def flattened(node: Node, to: Builder) -> bool:
    """Writes a Reshape to (N, values) this way, if it can be: all that read it are products with constant matrices.

    Args:
        node: The Reshape, of a value that lies in another order than ONNX's.
        to: Where it is written to.

    Returns:
        Whether it was written.
    """
    source, made = node.inputs[0], node.outputs[0]
    if source in to.graph.constants or made in to.graph.outputs:
        return False
    shape, layout = to.graph.shape(source), to.held(source)
    if to.graph.shape(made) != (shape[0], prod(shape[1:])) or layout[0] != 0:
        return False
    readers = to.graph.readers(made)
    if not readers or not all(_is_product(to.graph, reader, made) for reader in readers):
        return False
    order = permuted(np.arange(prod(shape[1:])).reshape(1, *shape[1:]), layout).reshape(-1)
    to.unroll(made, to.reshaped(to.tensor(source, layout), to.graph.shape(made), made), order)
    return True


def _is_product(graph: Graph, node: Node, name: str) -> bool:
    """Whether a node multiplies the rows of a value with a constant matrix, and reads it for nothing else."""
    if node.operator not in ("Gemm", "MatMul") or node.inputs.count(name) != 1:
        return False
    matrix = graph.constant(node.inputs[1])
    return node.inputs[0] == name and matrix is not None and matrix.ndim == 2
