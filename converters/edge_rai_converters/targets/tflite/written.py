"""What comes of writing: the file, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass

from edge_rai_converters.targets.tflite.layout import native


@dataclass(frozen=True, slots=True)
class Edge:
    """An input or output of a written model.

    Attributes:
        name: As in the ONNX model; the tensor and the signature have it too.
        shape: Of the TFLite tensor.
        axes: Which axis of the ONNX value each axis of the tensor is: (0, 1, 2, 3) where the layout was kept,
            (0, 2, 3, 1) where channels were put last.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def kept(self) -> bool:
        """Whether the axes are in ONNX's order."""
        return self.axes == native(len(self.axes))


@dataclass(frozen=True, slots=True)
class Written:
    """A .tflite file.

    Attributes:
        model: Its bytes.
        inputs: In the ONNX model's order.
        outputs: In the ONNX model's order.
        operators: Names of its operators, as in BuiltinOperator, in the order in which they run.
    """

    model: bytes
    inputs: tuple[Edge, ...]
    outputs: tuple[Edge, ...]
    operators: tuple[str, ...]
