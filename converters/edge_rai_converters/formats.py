"""The formats in which a bundle holds its model, what TFLite cannot hold, and the layout of inputs that are images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from edge_rai.bundle import Format
from edge_rai.errors import UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters.data import ChangedRows, Rows, StoredRows
from edge_rai_converters.errors import missing
from edge_rai_converters.sources import SourceModel
from edge_rai_converters.sources.trees import trees_of

Layout = Literal["keep", "nhwc"]

# Where axes 0 to 3 of an input with its channels last are in one with its channels on axis 1, and the other way round.
_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def parsed(text: str) -> tuple[Format, ...]:
    """The targets that a text with commas between them names, each once; ONNX comes first.

    Raises:
        TypeError: It is no text.
        ValueError: There is another one.
    """
    if not isinstance(text, str):
        raise TypeError(f"target is of type {type(text).__name__}; expected 'onnx', 'tflite' or 'onnx,tflite'")
    names = text.split(",")
    unknown = [name for name in names if name not in get_args(Format)]
    if unknown:
        raise ValueError(f"target is {text!r}; expected onnx, tflite or onnx,tflite")
    return tuple(target for target in get_args(Format) if target in names)


def check_installed(targets: Sequence[Format], *, quantizes: bool) -> None:
    """Refuses early what would be missing after minutes of work.

    Raises:
        MissingExtraError: A package is not there; says how to install it.
    """
    needed = ["ai_edge_litert", *["ai_edge_quantizer"] * quantizes]
    for module in needed if "tflite" in targets else ():
        if find_spec(module) is None:
            raise missing(module)


def check(source: SourceModel, targets: Sequence[Format]) -> None:
    """Refuses early what has no form in a target's format at all.

    Raises:
        UnsupportedModelError: Says what is in the way.
    """
    if "tflite" not in targets:
        return
    why = _not_tflite(source)
    if why:
        raise UnsupportedModelError(f"the target tflite cannot be met: {why}; --target onnx keeps the model as it is")


def _not_tflite(source: SourceModel) -> str:
    trees = trees_of(source.proto)
    if trees:
        return f"the model is an ensemble of trees ({', '.join(trees)}), for which TFLite has no operator"
    text = next((spec.name for spec in (*source.inputs, *source.outputs) if spec.dtype == "string"), None)
    if text is not None:
        return f"{text!r} is text, for which TFLite has no kernels"
    other = next((spec.name for spec in source.outputs if spec.dtype == "object"), None)
    if other is not None:
        return f"output {other!r} is no tensor, and TFLite has nothing else"
    return ""


def with_channels_last(source: SourceModel, without: Collection[str]) -> tuple[SourceModel, tuple[str, ...]]:
    """The same model with the channels of its images on the last axis, and the names of these inputs.

    Each is transposed back at once, which the writer of TFLite undoes: there it costs nothing.

    Args:
        source: Not modified.
        without: Inputs that stay as they are.

    Raises:
        UnsupportedModelError: No input is an image with its channels on axis 1, or the model has no TFLite form.
    """
    from edge_rai_converters.targets import tflite

    edges = tflite.write(source.proto, layout="nhwc").inputs
    changed = tuple(edge.name for edge in edges if edge.axes == _LAST and edge.name not in without)
    if not changed:
        raise UnsupportedModelError(
            "layout nhwc: no input of the model is an image with its channels on axis 1; leave --layout out"
        )
    proto = onnx.ModelProto()
    proto.CopyFrom(source.proto)
    for name in changed:
        _transpose(proto.graph, name)
    inputs = tuple(
        TensorSpec(spec.name, spec.dtype, tuple(spec.shape[axis] for axis in _LAST)) if spec.name in changed else spec
        for spec in source.inputs
    )
    data = bytes(proto.SerializeToString(deterministic=True))
    return replace(source, proto=proto, data=data, inputs=inputs), changed


def rows_with_channels_last(rows: Rows, names: Collection[str]) -> Rows:
    """Rows, (N, *call) each, of the model as it was, for the changed one; nothing is read yet."""
    return {name: _moved(array) if name in names else array for name, array in rows.items()}


def channels_first(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What broadcasts to a call of the changed model, for the model as it was."""
    return np.transpose(mask, _FIRST)


def _transpose(graph: onnx.GraphProto, name: str) -> None:
    """Puts the channels of an input last, in place."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    inner = f"{name}/nchw"
    while inner in taken:
        inner += "_"
    for node in graph.node:
        node.input[:] = [inner if given == name else given for given in node.input]
    graph.node.insert(0, helper.make_node("Transpose", [name], [inner], inner, perm=_FIRST))
    shape = next(value for value in graph.input if value.name == name).type.tensor_type.shape
    dimensions = [onnx.TensorShapeProto.Dimension.FromString(shape.dim[axis].SerializeToString()) for axis in _LAST]
    del shape.dim[:]
    shape.dim.extend(dimensions)


def _moved(array: StoredRows) -> StoredRows:
    call = len(array.shape) - len(_LAST)  # the axes before those of a call
    order = (*range(call), *(call + axis for axis in _LAST))
    shape = tuple(array.shape[axis] for axis in order)
    return ChangedRows(array, partial(np.transpose, axes=order), shape, array.dtype)
