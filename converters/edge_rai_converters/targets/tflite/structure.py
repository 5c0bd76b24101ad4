"""What stands in a .tflite file: its operators, and which tensors they make; read without LiteRT running it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

LAYERS = ("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the first subgraph.

    Attributes:
        index: As LiteRT counts.
        buffer: Where its value is; several tensors may share one.
        name: As written.
        dtype: As TensorType calls it, such as FLOAT32.
        constant: Its value is in the file.
    """

    index: int
    buffer: int
    name: str
    dtype: str
    constant: bool


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of the first subgraph.

    Attributes:
        code: As BuiltinOperator calls it.
        inputs: Without those that are left out.
        outputs: What it makes.
    """

    code: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def name(self) -> str:
        """Of the operator: that of the first tensor that it makes."""
        return self.outputs[0].name

    @property
    def weights(self) -> Tensor | None:
        """Of a layer; None where they are computed, and of other operators."""
        held = self.inputs[1] if self.code in LAYERS else None
        return held if held is not None and held.constant else None


class Structure:
    """The first subgraph of a file that LiteRT can open."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._model = schema.Model.GetRootAs(model)
        self._graph = self._model.Subgraphs(0)
        self._types = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
        self._codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors."""
        return tuple(self._tensor(index) for index in range(self._graph.TensorsLength()))

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """In the order in which they run."""
        return tuple(self._operator(self._graph.Operators(index)) for index in range(self._graph.OperatorsLength()))

    @cached_property
    def computed(self) -> tuple[Tensor, ...]:
        """Inputs and what operators make, of floats: what has a range."""
        made = dict.fromkeys(output for operator in self.operators for output in operator.outputs)
        given = [self.tensors[index] for index in _indices(self._graph.InputsAsNumpy())]
        return tuple(tensor for tensor in dict.fromkeys((*given, *made)) if tensor.dtype == "FLOAT32")

    def floats(self, tensor: Tensor) -> npt.NDArray[np.float32]:
        """The values of a constant of float32, flat."""
        stored = self._model.Buffers(tensor.buffer)
        return np.frombuffer(stored.DataAsNumpy().tobytes(), np.float32)

    def _tensor(self, index: int) -> Tensor:
        tensor = self._graph.Tensors(index)
        stored = self._model.Buffers(tensor.Buffer())
        constant = stored.DataLength() > 0 or stored.Size() > 0
        return Tensor(index, tensor.Buffer(), tensor.Name().decode(), self._types[tensor.Type()], constant)

    def _operator(self, operator: Any) -> Operator:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        inputs, outputs = (
            tuple(self.tensors[index] for index in _indices(indices))
            for indices in (operator.InputsAsNumpy(), operator.OutputsAsNumpy())
        )
        return Operator(self._codes[number], inputs, outputs)


def _indices(values: npt.NDArray[np.int32] | int) -> list[int]:
    """Of a vector as flatbuffers gives it: an absent one is 0, and -1 stands for what is left out."""
    return [int(value) for value in np.atleast_1d(values) if value >= 0] if not isinstance(values, int) else []
