"""Small .tflite models that run in LiteRT, each for one thing that a session does with such models."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from support.tflite_models import Graph, write

Array = np.ndarray[Any, Any]

# What ``linear`` computes: x @ WEIGHTS.T + BIAS.
WEIGHTS = np.array([[1, 2, 3], [-1, 0.5, 0]], np.float32)
BIAS = np.array([0.5, -0.5], np.float32)


def linear(
    *, free: bool = True, weights: Array = WEIGHTS, bias: Array = BIAS, names: tuple[str, str] | None = None
) -> bytes:
    """float32 x (rows or 1, 3) to y (rows or 1, 2); with ``names`` of a signature, which are not the tensors'."""
    graph = Graph()
    x = graph.tensor("x", (1, 3), free=(-1, 3) if free else ())
    w = graph.tensor("w", (2, 3), values=weights.astype(np.float32))
    b = graph.tensor("b", (2,), values=bias)
    y = graph.tensor("y", (1, 2), free=(-1, 2) if free else ())
    graph.operator("FULLY_CONNECTED", (x, w, b), (y,), "FullyConnectedOptions")
    graph.edges((x,), (y,))
    if names:
        graph.signature({names[0]: x}, {names[1]: y})
    return write(graph.model)


def scaled_total() -> bytes:
    """float32 x (1, 3) and k, a number without axes, to the number y = k times the sum of x, and p = k x (1, 3)."""
    graph = Graph()
    x, k, p, y = (graph.tensor(*given) for given in (("x", (1, 3)), ("k", ()), ("p", (1, 3)), ("y", ())))
    axes = graph.tensor("axes", (2,), "int32", values=np.array([0, 1], np.int32))
    graph.operator("MUL", (x, k), (p,), "MulOptions")
    graph.operator("SUM", (p, axes), (y,), "ReducerOptions", keepDims=False)
    return write(graph.edges((x, k), (y, p)).model)


def looked_up() -> bytes:
    """int32 i (1, 2), places from 0 to 2, to y (1, 2): 10, 11 or 12. Of another place LiteRT fails to run."""
    graph = Graph()
    table = graph.tensor("table", (3,), values=np.array([10, 11, 12], np.float32))
    i, y = graph.tensor("i", (1, 2), "int32"), graph.tensor("y", (1, 2))
    graph.operator("GATHER", (table, i), (y,), "GatherOptions")
    return write(graph.edges((i,), (y,)).model)


def stored_empty() -> bytes:
    """float32 x (rows, 3), stored as of no rows, to its absolute values y."""
    graph = Graph()
    x, y = (graph.tensor(name, (0, 3), free=(-1, 3)) for name in "xy")
    graph.operator("ABS", (x,), (y,), "AbsOptions")
    return write(graph.edges((x,), (y,)).model)


def difference(*, swapped: bool = False) -> bytes:
    """float32 p and q (1, 2) to d = p - q; with ``swapped``, q comes first."""
    graph = Graph()
    p, q, d = (graph.tensor(name, (1, 2)) for name in ("p", "q", "d"))
    graph.operator("SUB", (p, q), (d,), "SubOptions")
    return write(graph.edges((q, p) if swapped else (p, q), (d,)).model)


def requantized(*, free: bool = False) -> bytes:
    """int8 x (1, 4) of scale 0.5 and zero point 10 to the same values as uint8 y of scale 0.25 and zero point 128."""
    graph = Graph()
    x = graph.tensor("x", (1, 4), "int8", scale=(0.5,), zero_point=(10,), free=(-1, 4) if free else ())
    y = graph.tensor("y", (1, 4), "uint8", scale=(0.25,), zero_point=(128,), free=(-1, 4) if free else ())
    graph.operator("QUANTIZE", (x,), (y,), "QuantizeOptions", version=2)
    return write(graph.edges((x,), (y,)).model)


def running_sum(width: int = 2) -> bytes:
    """float32 x (1, width) to y, the sum of it and all before, which a resource variable holds."""
    graph = Graph()
    x, before, y = (graph.tensor(name, (1, width)) for name in ("x", "before", "y"))
    handle = graph.tensor("handle", (), "resource")
    graph.operator("CALL_ONCE", (), (), "CallOnceOptions", initSubgraphIndex=1)
    graph.operator("VAR_HANDLE", (), (handle,), "VarHandleOptions", container="", sharedName="sum")
    graph.operator("READ_VARIABLE", (handle,), (before,), "ReadVariableOptions")
    graph.operator("ADD", (x, before), (y,), "AddOptions")
    graph.operator("ASSIGN_VARIABLE", (handle, y), (), "AssignVariableOptions")
    graph.edges((x,), (y,))
    graph.subgraph()
    own, zeros = graph.tensor("own", (), "resource"), graph.tensor("0", (1, width), values=np.zeros(width, np.float32))
    graph.operator("VAR_HANDLE", (), (own,), "VarHandleOptions", container="", sharedName="sum")
    graph.operator("ASSIGN_VARIABLE", (own, zeros), (), "AssignVariableOptions")
    graph.edges((), ())
    return write(graph.model)


def reshaped(*, free: bool) -> bytes:
    """float32 x, stored as (1, 1), that LiteRT can plan with 6 elements alone, to y (2, 3), whatever its file says."""
    graph = Graph()
    x = graph.tensor("x", (1, 1), free=(1, -1) if free else ())
    shape = graph.tensor("shape", (2,), "int32", values=np.array([2, 3], np.int32))
    y = graph.tensor("y", (2, 3) if free else (1, 1))
    graph.operator("RESHAPE", (x, shape), (y,), "ReshapeOptions", newShape=[2, 3])
    return write(graph.edges((x,), (y,)).model)


def positives() -> bytes:
    """float32 x (1, 4) to y, int64 (as many as there are, 2): where it is more than zero."""
    graph = Graph()
    x, zero = graph.tensor("x", (1, 4)), graph.tensor("zero", (), values=np.zeros((), np.float32))
    more, y = graph.tensor("more", (1, 4), "bool"), graph.tensor("y", (1, 2), "int64", free=(-1, 2))
    graph.operator("GREATER", (x, zero), (more,), "GreaterOptions")
    graph.operator("WHERE", (more,), (y,), "WhereOptions")
    return write(graph.edges((x,), (y,)).model)


def slow(layers: int, side: int = 512) -> bytes:
    """float32 x (1, side, side) through as many matrix products, to y of the same shape."""
    graph = Graph()
    weights = np.eye(side, dtype=np.float32)
    tensors = [graph.tensor("x", (1, side, side))]
    w = graph.tensor("w", (side, side), values=weights)
    for layer in range(layers):
        name = "y" if layer == layers - 1 else f"h{layer}"
        tensors.append(graph.tensor(name, (1, side, side)))
        graph.operator(
            "FULLY_CONNECTED", (tensors[-2], w, -1), (tensors[-1],), "FullyConnectedOptions", keepNumDims=True
        )
    return write(graph.edges(tensors[:1], tensors[-1:]).model)


def versioned(version: int) -> bytes:
    """``linear`` of a version of its operator."""
    graph = Graph()
    x, y = graph.tensor("x", (1, 3)), graph.tensor("y", (1, 2))
    w = graph.tensor("w", (2, 3), values=WEIGHTS)
    graph.operator("FULLY_CONNECTED", (x, w, -1), (y,), "FullyConnectedOptions", version=version)
    return write(graph.edges((x,), (y,)).model)


def custom(name: str) -> bytes:
    """A model of one custom operator."""
    graph = Graph()
    x, y = graph.tensor("x", (1, 3)), graph.tensor("y", (1, 3))
    operator = graph.operator("CUSTOM", (x,), (y,))
    graph.model.operatorCodes[operator.opcodeIndex].customCode = name
    return write(graph.edges((x,), (y,)).model)


def through_two_kernels(*, both: bool) -> bytes:
    """float32 x (1, 3) through two operators, XNNPACK having ``both`` or the first alone, to y."""
    graph = Graph()
    x, h, y = (graph.tensor(name, (1, 3)) for name in ("x", "h", "y"))
    graph.operator("ABS", (x,), (h,), "AbsOptions")
    if both:
        graph.operator("NEG", (h,), (y,), "NegOptions")
    else:
        axis = graph.tensor("axis", (1,), "int32", values=np.array([1], np.int32))
        graph.operator("REVERSE_V2", (h, axis), (y,), "ReverseV2Options")
    return write(graph.edges((x,), (y,)).model)


def doubled(times: int) -> bytes:
    """float32 x (rows, 3) to y, doubled so many times, each by an ADD."""
    graph = Graph()
    tensors = [graph.tensor(name, (1, 3), free=(-1, 3)) for name in ("x", *(f"h{i}" for i in range(1, times)), "y")]
    for given, made in pairwise(tensors):
        graph.operator("ADD", (given, given), (made,), "AddOptions")
    return write(graph.edges(tensors[:1], tensors[-1:]).model)


def named_alike() -> bytes:
    """float32 x (1, 3) to two outputs that its signature gives one name."""
    graph = Graph()
    x, y, z = (graph.tensor(name, (1, 3)) for name in "xyz")
    graph.operator("ABS", (x,), (y,), "AbsOptions")
    graph.operator("NEG", (x,), (z,), "NegOptions")
    graph.signature({"x": x}, {"y": y, "z": z})
    graph.model.signatureDefs[0].outputs[1].name = "y"
    return write(graph.edges((x,), (y, z)).model)


def chain(length: int) -> bytes:
    """float32 x (1, 3) through as many operators that XNNPACK has, and one that it has not, to y."""
    graph = Graph()
    last = graph.tensor("x", (1, 3))
    for layer in range(length):
        after = graph.tensor(f"h{layer}", (1, 3))
        graph.operator("ABS", (last,), (after,), "AbsOptions")
        last = after
    axis = graph.tensor("axis", (1,), "int32", values=np.array([1], np.int32))
    y = graph.tensor("y", (1, 3))
    graph.operator("REVERSE_V2", (last, axis), (y,), "ReverseV2Options")
    return write(graph.edges((0,), (y,)).model)


def of_nothing() -> bytes:
    """A constant to y: no inputs."""
    graph = Graph()
    x, y = graph.tensor("x", (1, 3), values=np.zeros((1, 3), np.float32)), graph.tensor("y", (1, 3))
    graph.operator("ABS", (x,), (y,), "AbsOptions")
    return write(graph.edges((), (y,)).model)


def interpreter_run(path: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What a bare interpreter answers, by the names of its tensors."""
    interpreter = Interpreter(model_path=str(path))
    details = interpreter.get_input_details()
    for detail in details:
        interpreter.resize_tensor_input(detail["index"], inputs[detail["name"]].shape, strict=True)
    interpreter.allocate_tensors()
    for detail in details:
        interpreter.set_tensor(detail["index"], inputs[detail["name"]])
    interpreter.invoke()
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}
