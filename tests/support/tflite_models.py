"""Small .tflite models, each with the one trait that a test is about, in the schema's object form.

A test changes what it is about and writes the model again: ``write(model)`` is what flatbuffers makes of it, whatever
it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": 0,
    "float16": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "string": 5,
    "bool": 6,
    "int16": 7,
    "int8": 9,
    "resource": 13,
}


def write(model: Any) -> bytes:
    """The file of a ``schema.ModelT``."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def read(data: bytes) -> Any:
    """A ``schema.ModelT`` of a file."""
    return schema.ModelT.InitFromPackedBuf(bytearray(data), 0)


class Graph:
    """A model of one subgraph, or, by ``subgraph()``, of several, grown tensor by tensor."""

    def __init__(self) -> None:
        self.model: Any = schema.ModelT()
        self.model.version = 3
        self.model.description = "test"
        self.model.operatorCodes, self.model.subgraphs = [], []
        self.model.buffers = [schema.BufferT()]
        self.subgraph()

    def subgraph(self) -> Any:
        """Begins a further subgraph, to which everything belongs from now on."""
        self.graph: Any = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.model.subgraphs.append(self.graph)
        return self.graph

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        values: npt.NDArray[Any] | None = None,
        scale: Sequence[float] = (),
        zero_point: Sequence[int] = (),
        axis: int = 0,
        free: Sequence[int] = (),
    ) -> int:
        """Adds a tensor; with ``values`` a constant, with ``scale`` a quantized one."""
        tensor: Any = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), TYPES[dtype], 0
        if free:
            tensor.shapeSignature = list(free)
        if values is not None:
            buffer: Any = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if scale:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = list(scale), list(zero_point)
            tensor.quantization.quantizedDimension = axis
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def code(self, builtin: str, version: int = 1, custom: str | None = None) -> int:
        """Adds an operator code."""
        code: Any = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, builtin)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version, code.customCode = version, custom
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def operator(
        self,
        builtin: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str | None = None,
        version: int = 1,
        **fields: Any,
    ) -> Any:
        """Adds an operator with a code of its own; ``fields`` are its options' attributes."""
        operator: Any = schema.OperatorT()
        operator.opcodeIndex = self.code(builtin, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, options + "T")()
            for name, value in fields.items():
                setattr(operator.builtinOptions, name, value)
        self.graph.operators.append(operator)
        return operator

    def edges(self, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        """What the subgraph takes and gives."""
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        return self

    def signature(self, inputs: Mapping[str, int], outputs: Mapping[str, int], key: str = "serving_default") -> Graph:
        """Names for the first subgraph's inputs and outputs."""
        signature: Any = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, 0
        signature.inputs, signature.outputs = [], []
        for side, names in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for name, tensor in names.items():
                entry: Any = schema.TensorMapT()
                entry.name, entry.tensorIndex = name, tensor
                side.append(entry)
        self.model.signatureDefs = [*(self.model.signatureDefs or []), signature]
        return self
