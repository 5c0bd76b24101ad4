"""Types that a kernel of LiteRT does not take: small integers are computed in int32 and cut to their width again.

The 8- and 16-bit kernels of arithmetic are for quantized values: on plain ones they abort, or answer wrongly.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Builder, Code
from edge_rai_converters.targets.tflite.graph import Node

DType = np.dtype[Any]
# Most kernels of arithmetic take these.
NUMBERS = ("float32", "int32", "int64")

_SMALL = ("bool", "int8", "uint8", "int16")


def computed_in(node: Node, dtype: DType, kernels: Collection[str] = NUMBERS) -> DType:
    """The type in which a node's values are computed.

    Args:
        node: For the refusal.
        dtype: Of the values.
        kernels: Names of the types that TFLite's operator takes.

    Raises:
        UnsupportedModelError: Neither the type nor a wider one is among them.
    """
    if dtype.name in kernels:
        return dtype
    if dtype.name in _SMALL and "int32" in kernels:
        return np.dtype(np.int32)
    raise node.refused(f"it computes {dtype}, for which TFLite has no kernel", f"cast it to {' or '.join(kernels)}")


def cast(to: Builder, source: int, dtype: DType) -> int:
    """A tensor with the values of another one in another type: that one itself where it is of the type."""
    tensor = to.tensors[source]
    if tensor.dtype == dtype:
        return source
    if tensor.data is not None:
        return to.constant(tensor.data.astype(dtype), tensor.name)
    made = to.temporary(tensor.shape, dtype, tensor.name)
    to.add(Code.CAST, [source], [made], schema.CastOptionsT())
    return made


def run(to: Builder, code: int, sources: Sequence[int], made: int, options: Any = None) -> None:
    """Adds an operator whose result is of its operands' type, and casts that where the result's tensor is of another.

    Args:
        to: Where it is written to.
        code: Of schema.BuiltinOperator.
        sources: Its operands, all values of the type that it computes in but for shapes, axes and the like.
        made: The tensor of the result.
        options: Of the operator.
    """
    result, dtype = to.tensors[made], to.tensors[sources[0]].dtype
    if result.dtype == dtype:
        to.add(code, sources, [made], options)
        return
    wide = to.temporary(result.shape, dtype, result.name)
    to.add(code, sources, [wide], options)
    to.add(Code.CAST, [wide], [made], schema.CastOptionsT())


def step(to: Builder, code: int, sources: Sequence[int], like: int, options: Any = None) -> int:
    """Adds an operator whose result is a tensor of its own, of the shape and type of another one."""
    tensor = to.tensors[like]
    made = to.temporary(tensor.shape, tensor.dtype, tensor.name)
    to.add(code, sources, [made], options)
    return made
