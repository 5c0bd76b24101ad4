"""A model whose number of rows is fixed: TFLite's kernels are planned for one shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from edge_rai_converters.targets.tflite.errors import refused


def frozen(model: onnx.ModelProto, rows: int, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """A copy with static input shapes; shapes written elsewhere in it are forgotten.

    Args:
        model: Not modified.
        rows: The length of axis 0 of inputs that leave it free.
        shapes: Whole shapes of inputs by name, for what else is free.

    Raises:
        UnsupportedModelError: A free axis is left, or a shape does not fit the input's declared one.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {initializer.name for initializer in copy.graph.initializer}
    for value in copy.graph.input:
        if value.name not in constants:
            _freeze(value, rows, shapes.get(value.name))
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    return copy


def _freeze(value: onnx.ValueInfoProto, rows: int, shape: Sequence[int] | None) -> None:
    where = f"input {value.name!r}"
    least = min([rows, *(shape or ())])
    if least < 1:
        raise refused(where, f"a length of {least} holds no value", "give lengths from 1 on")
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise refused(where, "it is no tensor of a known rank", "give the model an input with a shape")
    dimensions = value.type.tensor_type.shape.dim
    if shape is not None and len(shape) != len(dimensions):
        raise refused(where, f"it has {len(dimensions)} axes, the shape that was given {len(shape)}")
    for axis, dimension in enumerate(dimensions):
        # Some exporters write -1 where a length is free.
        if dimension.HasField("dim_value") and dimension.dim_value >= 0:
            if shape is not None and shape[axis] != dimension.dim_value:
                raise refused(where, f"its axis {axis} is {dimension.dim_value} long, not {shape[axis]}")
        elif shape is not None:
            dimension.dim_value = shape[axis]
        elif axis == 0:
            dimension.dim_value = rows
        else:
            name = f" ({dimension.dim_param})" if dimension.dim_param else ""
            raise refused(where, f"axis {axis}{name} is free", "export the model with a fixed length there")
