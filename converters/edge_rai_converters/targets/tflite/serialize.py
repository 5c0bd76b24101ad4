"""From a TFLite graph to the bytes of a .tflite file: a flatbuffer of LiteRT's schema with the identifier TFL3.

Equal graphs give equal bytes: nothing in them depends on time, place or hashing. Data of constants begins at multiples
of 16 bytes, where a runtime that maps the file may compute on it in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_rai_converters.targets.tflite.builder import Operator, Tensor
from edge_rai_converters.targets.tflite.convert import Converted
from edge_rai_converters.targets.tflite.errors import refused
from edge_rai_converters.targets.tflite.versions import runtime, version

SIGNATURE = "serving_default"

_ALIGNMENT = 16
_MOST_BYTES = 1 << 31
# What a tensor or an operator takes beside constants, generously: names, shapes, options.
_BYTES_EACH = 1 << 10


class _Buffer(schema.BufferT):  # type: ignore[misc] # the schema is generated and has no types
    """A buffer whose data is aligned, which the schema asks for and its Python writer does not do."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - as the schema calls it
        if self.data is not None:
            builder.Prep(_ALIGNMENT, len(self.data))
        return int(super().Pack(builder))


def code_names(graph: Converted) -> tuple[str, ...]:
    """Names of the operators that are written, in their order."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
    return tuple(names[operator.code] for operator in graph.operators)


def serialized(graph: Converted, description: str) -> bytes:
    """The file.

    Args:
        graph: What to write.
        description: Of the model.

    Raises:
        UnsupportedModelError: It would be larger than the 2 GB that a flatbuffer can address.
    """
    operators = graph.operators
    indices = sorted({*graph.inputs.values(), *graph.outputs.values(), *_touched(operators)} - {-1})
    tensors = [graph.tensors[index] for index in indices]
    bytes_about = sum(tensor.data.nbytes for tensor in tensors if tensor.data is not None)
    bytes_about += _BYTES_EACH * (len(tensors) + len(operators) + 1)
    if bytes_about >= _MOST_BYTES:
        raise refused(
            "the model", f"it takes {bytes_about:,} bytes and a flatbuffer holds 2 GB", "quantize or prune it"
        )
    place = {index: at for at, index in enumerate(indices)} | {-1: -1}
    names = _names(graph, indices)
    model, buffers = schema.ModelT(), [_Buffer()]
    codes = list(dict.fromkeys((operator.code, version(operator, graph.tensors)) for operator in operators))
    subgraph = schema.SubGraphT(
        tensors=[_tensor(tensor, name, buffers) for tensor, name in zip(tensors, names, strict=True)],
        inputs=_vector(place[index] for index in graph.inputs.values()),
        outputs=_vector(place[index] for index in graph.outputs.values()),
        operators=[_operator(operator, graph.tensors, codes, place) for operator in operators],
        name="main",
    )
    model.version, model.description, model.subgraphs, model.buffers = 3, description, [subgraph], buffers
    model.operatorCodes = [_code(code, number) for code, number in codes]
    model.signatureDefs = [_signature(graph, place)]
    model.metadata = [schema.MetadataT(name="min_runtime_version", buffer=len(buffers))]
    buffers.append(_Buffer(data=np.frombuffer(runtime(codes).encode().ljust(16, b"\0"), dtype=np.uint8)))
    builder = flatbuffers.Builder(bytes_about)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _touched(operators: Sequence[Operator]) -> Iterable[int]:
    return (index for operator in operators for index in (*operator.inputs, *operator.outputs))


def _names(graph: Converted, indices: Sequence[int]) -> list[str]:
    """Unique names; inputs and outputs have those of the ONNX graph, others give way."""
    given = {index: name for ends in (graph.inputs, graph.outputs) for name, index in ends.items()}
    used, names = set(given.values()), []
    for index in indices:
        wanted = given.get(index) or graph.tensors[index].name or "tensor"
        name, number = wanted, 1
        while index not in given and name in used:
            name, number = f"{wanted}/{number}", number + 1
        used.add(name)
        names.append(name)
    return names


def _tensor(tensor: Tensor, name: str, buffers: list[_Buffer]) -> Any:
    kind = getattr(schema.TensorType, tensor.dtype.name.upper())
    made = schema.TensorT(shape=_vector(tensor.shape), type=kind, name=name, hasRank=True)
    if tensor.data is not None:
        made.buffer = len(buffers)
        buffers.append(_Buffer(data=tensor.data.reshape(-1).view(np.uint8)))
    return made


def _operator(
    operator: Operator, tensors: Sequence[Tensor], codes: list[tuple[int, int]], place: dict[int, int]
) -> Any:
    made = schema.OperatorT(
        opcodeIndex=codes.index((operator.code, version(operator, tensors))),
        inputs=_vector(place[index] for index in operator.inputs),
        outputs=_vector(place[index] for index in operator.outputs),
    )
    if operator.options is not None:
        kind = type(operator.options).__name__[:-1]
        second = hasattr(schema.BuiltinOptions2, kind)
        union = schema.BuiltinOptions2 if second else schema.BuiltinOptions
        setattr(made, "builtinOptions2Type" if second else "builtinOptionsType", getattr(union, kind))
        setattr(made, "builtinOptions2" if second else "builtinOptions", operator.options)
    return made


def _code(code: int, number: int) -> Any:
    """Codes up to 126 are written in the old field too, for runtimes that read only that."""
    highest = int(schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    return schema.OperatorCodeT(deprecatedBuiltinCode=min(code, highest), builtinCode=code, version=number)


def _signature(graph: Converted, place: dict[int, int]) -> Any:
    maps = [
        [schema.TensorMapT(name=name, tensorIndex=place[index]) for name, index in ends.items()]
        for ends in (graph.inputs, graph.outputs)
    ]
    return schema.SignatureDefT(inputs=maps[0], outputs=maps[1], signatureKey=SIGNATURE, subgraphIndex=0)


def _vector(values: Iterable[int]) -> Any:
    return np.array(list(values), dtype=np.int32)
