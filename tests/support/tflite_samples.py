"""Tiny .tflite models, one of each kind of structure that a file may have; LiteRT runs all of them.

``python tests/support/tflite_samples.py native/fuzz/corpus/tflite`` (with ``tests`` on the path) writes them there, for
the fuzz target and the C tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from support.tflite_models import Graph, write


def dense() -> Graph:
    """(1, 4) "x" to (1, 3) "y", with other names in its signature, metadata and a description."""
    graph = Graph()
    x = graph.tensor("x_tensor", (1, 4), free=(-1, 4))
    weights = graph.tensor("weights", (3, 4), values=np.arange(12, dtype=np.float32))
    bias = graph.tensor("bias", (3,), values=np.ones(3, np.float32))
    y = graph.tensor("y_tensor", (1, 3), free=(-1, 3))
    graph.operator("FULLY_CONNECTED", [x, weights, bias], [y], "FullyConnectedOptions")
    entry: Any = schema.MetadataT()
    entry.name, entry.buffer = "note", 1
    graph.model.metadata = [entry]
    return graph.edges([x], [y]).signature({"x": x}, {"y": y})


def convolution() -> Graph:
    """int8, per channel: pad, convolution, depthwise convolution, pool, reshape, concatenation."""
    graph = Graph()
    scaled: dict[str, Any] = {"scale": [0.5], "zero_point": [3]}
    per_channel: dict[str, Any] = {"scale": [0.1, 0.2], "zero_point": [0, 0]}
    x = graph.tensor("x", (1, 2, 2, 2), "int8", **scaled)
    amounts = graph.tensor("amounts", (4, 2), "int32", values=np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    padded = graph.tensor("padded", (1, 4, 4, 2), "int8", **scaled)
    filters = graph.tensor("filters", (2, 3, 3, 2), "int8", values=np.ones((2, 3, 3, 2), np.int8), **per_channel)
    bias_scales = {"scale": [0.05, 0.1], "zero_point": [0, 0]}
    bias = graph.tensor("bias", (2,), "int32", values=np.zeros(2, np.int32), **bias_scales)
    convolved = graph.tensor("convolved", (1, 2, 2, 2), "int8", **scaled)
    deep = graph.tensor("deep", (1, 1, 1, 2), "int8", values=np.ones((1, 1, 1, 2), np.int8), axis=3, **per_channel)
    deepened = graph.tensor("deepened", (1, 2, 2, 2), "int8", **scaled)
    pooled = graph.tensor("pooled", (1, 1, 1, 2), "int8", **scaled)
    shape = graph.tensor("shape", (2,), "int32", values=np.array([1, 2], np.int32))
    flat = graph.tensor("flat", (1, 2), "int8", **scaled)
    y = graph.tensor("y", (1, 4), "int8", **scaled)
    steps = {"strideW": 1, "strideH": 1}
    graph.operator("PAD", [x, amounts], [padded], "PadOptions", 2)
    graph.operator("CONV_2D", [padded, filters, bias], [convolved], "Conv2DOptions", 3, padding=1, **steps)
    graph.operator(
        "DEPTHWISE_CONV_2D",
        [convolved, deep, bias],
        [deepened],
        "DepthwiseConv2DOptions",
        3,
        depthMultiplier=1,
        **steps,
    )
    pool = {"padding": 1, "filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2}
    graph.operator("MAX_POOL_2D", [deepened], [pooled], "Pool2DOptions", 2, **pool)
    graph.operator("RESHAPE", [pooled, shape], [flat], "ReshapeOptions", newShape=[1, 2])
    graph.operator("CONCATENATION", [flat, flat], [y], "ConcatenationOptions", 2, axis=-1)
    return graph.edges([x], [y])


def loop() -> Graph:
    """Counts "x" up to 3 with WHILE, then halves or keeps it with IF: four subgraphs are called."""
    graph = Graph()
    x, out = graph.tensor("x", (1,)), graph.tensor("out", (1,))
    y = graph.tensor("y", (1,))
    low = graph.tensor("low", (1,), values=np.zeros(1, np.float32))
    flags, flag = graph.tensor("flags", (1,), "bool"), graph.tensor("flag", (), "bool")
    axes = graph.tensor("axes", (1,), "int32", values=np.zeros(1, np.int32))
    graph.operator("WHILE", [x], [out], "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    graph.operator("GREATER", [out, low], [flags], "GreaterOptions")
    graph.operator("REDUCE_ANY", [flags, axes], [flag], "ReducerOptions")
    graph.operator("IF", [flag, out], [y], "IfOptions", thenSubgraphIndex=3, elseSubgraphIndex=4)
    graph.edges([x], [y])

    def branch(builtin: str, number: float, dtype: str = "float32", shape: tuple[int, ...] = (1,)) -> None:
        graph.subgraph()
        value, constant = graph.tensor("a", (1,)), graph.tensor("b", (1,), values=np.array([number], np.float32))
        result = graph.tensor("c", shape, dtype)
        options = {"LESS": "LessOptions", "ADD": "AddOptions", "MUL": "MulOptions"}
        graph.operator(builtin, [value, constant], [result], options[builtin])
        graph.edges([value], [result])

    branch("LESS", 3, "bool")
    branch("ADD", 1)
    branch("MUL", 0.5)
    branch("MUL", 1)
    return graph


def variable() -> Graph:
    """Adds "x" to a resource variable and returns it."""
    graph = Graph()
    x, handle = graph.tensor("x", (2,)), graph.tensor("handle", (), "resource")
    old, new = graph.tensor("old", (2,)), graph.tensor("new", (2,))
    handle_options: dict[str, Any] = {"container": "c", "sharedName": "state"}
    graph.operator("VAR_HANDLE", [], [handle], "VarHandleOptions", **handle_options)
    graph.operator("READ_VARIABLE", [handle], [old], "ReadVariableOptions")
    graph.operator("ADD", [x, old], [new], "AddOptions")
    graph.operator("ASSIGN_VARIABLE", [handle, new], [], "AssignVariableOptions")
    graph.operator("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    graph.graph.operators.insert(0, graph.graph.operators.pop())
    graph.edges([x], [new])
    graph.subgraph()
    handle = graph.tensor("handle", (), "resource")
    zeros = graph.tensor("zeros", (2,), values=np.zeros(2, np.float32))
    graph.operator("VAR_HANDLE", [], [handle], "VarHandleOptions", **handle_options)
    graph.operator("ASSIGN_VARIABLE", [handle, zeros], [], "AssignVariableOptions")
    return graph.edges([], [])


def sparse() -> Graph:
    """A (2, 4) constant in CSR form with 3 values, made dense and added to "x"."""
    graph = Graph()
    x, y = graph.tensor("x", (2, 4)), graph.tensor("y", (2, 4))
    packed = graph.tensor("packed", (2, 4), values=np.array([1, 2, 3], np.float32))
    full = graph.tensor("full", (2, 4))
    sparsity: Any = schema.SparsityParametersT()
    rows, columns = schema.DimensionMetadataT(), schema.DimensionMetadataT()
    rows.format, rows.denseSize = schema.DimensionType.DENSE, 2
    columns.format = schema.DimensionType.SPARSE_CSR
    segments, indices = schema.Int32VectorT(), schema.Uint8VectorT()
    segments.values, indices.values = [0, 2, 3], [0, 3, 1]
    columns.arraySegmentsType, columns.arraySegments = schema.SparseIndexVector.Int32Vector, segments
    columns.arrayIndicesType, columns.arrayIndices = schema.SparseIndexVector.Uint8Vector, indices
    sparsity.traversalOrder, sparsity.dimMetadata = [0, 1], [rows, columns]
    graph.graph.tensors[packed].sparsity = sparsity
    graph.operator("DENSIFY", [packed], [full], "DensifyOptions")
    graph.operator("ADD", [x, full], [y], "AddOptions")
    return graph.edges([x], [y])


def texts() -> Graph:
    """Whether the strings "x" are those of a constant."""
    graph = Graph()
    words = [b"yes", b"no", b"ja"]
    ends = np.cumsum([4 * (len(words) + 2), *map(len, words)])
    packed = np.frombuffer(np.array([len(words), *ends], np.int32).tobytes() + b"".join(words), np.uint8)
    x, known = graph.tensor("x", (3,), "string"), graph.tensor("known", (3,), "string", values=packed)
    y = graph.tensor("y", (3,), "bool")
    graph.operator("EQUAL", [x, known], [y], "EqualOptions")
    return graph.edges([x], [y])


def recurrent() -> Graph:
    """An LSTM over 2 steps, with optional inputs left out and states that are variables."""
    graph = Graph()
    draw = np.random.default_rng(0)

    def weights(*shape: int) -> int:
        return graph.tensor("w", shape, values=draw.normal(size=shape).astype(np.float32))

    x = graph.tensor("x", (1, 2, 3))
    inputs = [x, *(weights(2, 3) for _ in range(4)), *(weights(2, 2) for _ in range(4)), -1, -1, -1]
    inputs += [*(weights(2) for _ in range(4)), -1, -1]
    for name in ("activation", "cell"):
        state = graph.tensor(name, (1, 2))
        graph.graph.tensors[state].isVariable = True
        inputs.append(state)
    y = graph.tensor("y", (1, 2, 2))
    options = "UnidirectionalSequenceLSTMOptions"
    graph.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", [*inputs, -1, -1, -1, -1], [y], options, fusedActivationFunction=4)
    return graph.edges([x], [y])


SAMPLES: Mapping[str, Callable[[], Graph]] = {
    sample.__name__: sample for sample in (dense, convolution, loop, variable, sparse, texts, recurrent)
}


def outside(graph: Graph) -> bytes:
    """The same model with its weights behind the FlatBuffer, as large models have them."""
    data = {i: bytes(b.data) for i, b in enumerate(graph.model.buffers) if b.data is not None and len(b.data)}
    for i in data:
        graph.model.buffers[i].data, graph.model.buffers[i].offset, graph.model.buffers[i].size = None, 2, len(data[i])
    at = len(write(graph.model)) + 15 & ~15
    tail = b""
    for i, values in data.items():
        graph.model.buffers[i].offset = at + len(tail)
        tail += values + bytes(-len(values) % 16)
    head = write(graph.model)
    return head + bytes(at - len(head)) + tail


def main() -> None:
    """Writes every sample into a directory."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, sample in SAMPLES.items():
        (folder / f"{name}.tflite").write_bytes(write(sample().model))
    (folder / "outside.tflite").write_bytes(outside(dense()))


if __name__ == "__main__":
    main()
