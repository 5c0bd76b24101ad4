"""A layer as the linear map it is: its weights as matrices, and what it reads as rows for them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edge_rai_converters.passes.prune.tidy import attribute, constants, replace

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def channel_axis(node: onnx.NodeProto) -> int:
    """Of the layer's answer."""
    return 1 if node.op_type in _CONVOLUTIONS else -1


def weight_of(graph: onnx.GraphProto, node: onnx.NodeProto) -> Floats:
    """By what the layer multiplies, (channels read a group, channels made, places of the kernel)."""
    weight = numpy_helper.to_array(constants(graph)[node.input[1]]).astype(np.float64)
    if node.op_type == "Gemm":
        weight = weight * attribute(node, "alpha", 1.0)
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0)):
        weight = np.moveaxis(weight, 1, 0)
    return weight.reshape(*weight.shape[:2], -1)


def matrix_of(graph: onnx.GraphProto, node: onnx.NodeProto) -> Floats:
    """Weights and, last, the bias: (groups, features + 1, channels made a group). Of a MatMul the bias is zero."""
    weight, groups = weight_of(graph, node), attribute(node, "group", 1)
    made = weight.shape[1]
    matrix = weight.transpose(1, 0, 2).reshape(groups, made // groups, -1).transpose(0, 2, 1)
    bias = np.zeros(1)
    if len(node.input) > 2 and node.input[2]:
        bias = numpy_helper.to_array(constants(graph)[node.input[2]]) * attribute(node, "beta", 1.0)
    row = np.broadcast_to(bias.reshape(-1), (made,)).reshape(groups, 1, -1)
    return np.concatenate([matrix, row], axis=1)


def set_matrix(graph: onnx.GraphProto, node: onnx.NodeProto, matrix: Floats) -> None:
    """The reverse of ``matrix_of``; the bias of a MatMul goes to what is added behind it."""
    weight, bias = matrix[:, :-1], matrix[:, -1].reshape(-1)
    dims = tuple(constants(graph)[node.input[1]].dims)
    if node.op_type == "Conv":
        weight = weight.transpose(0, 2, 1).reshape(dims)
    elif node.op_type == "ConvTranspose":
        weight = weight.reshape(dims[0], -1, dims[1]).transpose(0, 2, 1).reshape(dims)
    else:
        weight = weight[0].T if attribute(node, "transB", 0) else weight[0]
    for name in ("alpha", "beta"):
        for found in [found for found in node.attribute if found.name == name]:
            node.attribute.remove(found)
    replace(graph, node, 1, weight.astype(np.float32))
    if node.op_type != "MatMul":
        replace(graph, node, 2, bias.astype(np.float32))
        return
    place = added_behind(graph, node)
    if place is not None:
        adder, index = place
        old = numpy_helper.to_array(constants(graph)[adder.input[index]])
        replace(graph, adder, index, (old + bias).astype(np.float32))


def has_bias(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether there is a place for one."""
    return node.op_type != "MatMul" or added_behind(graph, node) is not None


def added_behind(graph: onnx.GraphProto, node: onnx.NodeProto) -> tuple[onnx.NodeProto, int] | None:
    """The Add, and which of its inputs, by which a MatMul gets its bias."""
    readers = [other for other in graph.node if node.output[0] in other.input]
    if len(readers) != 1 or readers[0].op_type != "Add" or list(readers[0].input).count(node.output[0]) != 1:
        return None
    index = 1 - list(readers[0].input).index(node.output[0])
    known = constants(graph)
    tensor = known.get(readers[0].input[index])
    width = known[node.input[1]].dims[1]
    return None if tensor is None or tuple(tensor.dims) != (width,) else (readers[0], index)


def places(node: onnx.NodeProto, answer: Array) -> int:
    """How many rows of the linear map an answer of the layer is."""
    return int(answer.size // answer.shape[channel_axis(node)])


def rows_made(node: onnx.NodeProto, answer: Array, groups: int, chosen: Array) -> Floats:
    """Chosen rows of the answer, (groups, rows, channels a group)."""
    flat = np.moveaxis(answer, channel_axis(node), -1)
    rows = flat[np.unravel_index(chosen, flat.shape[:-1])].astype(np.float64)
    return np.asarray(rows.reshape(len(rows), groups, -1).transpose(1, 0, 2))


def rows_read(graph: onnx.GraphProto, node: onnx.NodeProto, given: Array, groups: int, chosen: Array) -> Floats:
    """What makes those rows, and last a one for the bias, (groups, rows, features + 1)."""
    if node.op_type in _CONVOLUTIONS:
        kernel = tuple(constants(graph)[node.input[1]].dims[2:])
        seen = _windows(node, given, kernel)
        rows = seen[np.unravel_index(chosen, seen.shape[: 1 + len(kernel)])]
    else:
        rows = given[np.unravel_index(chosen, given.shape[:-1])]
    found = np.ones((groups, len(rows), prod(rows.shape[1:]) // groups + 1))
    found[..., :-1] = rows.reshape(len(rows), groups, -1).transpose(1, 0, 2)
    return found


def _windows(node: onnx.NodeProto, given: Array, kernel: tuple[int, ...]) -> Array:
    """A view of a convolution's input, padded: (N, *places, C, *kernel); of a transposed one, of its input spread."""
    rank = len(kernel)
    strides, dilations = attribute(node, "strides", [1] * rank), attribute(node, "dilations", [1] * rank)
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    transposed = node.op_type == "ConvTranspose"
    padded = _spread(node, given, strides, reach) if transposed else _padded(node, given, strides, reach)
    seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + rank)))
    places = [slice(None, None, 1 if transposed else stride) for stride in strides]
    # A kernel that is spread over the answer is read against its direction.
    inside = [slice(None, None, -dilation if transposed else dilation) for dilation in dilations]
    chosen = (slice(None), slice(None), *places, *inside)
    return np.moveaxis(seen[chosen], 1, 1 + rank)


def _padded(node: onnx.NodeProto, given: Array, strides: list[int], reach: list[int]) -> Array:
    begin, end = _pads(node, given.shape[2:], strides, reach)
    return np.pad(given, [(0, 0), (0, 0), *zip(begin, end, strict=True)])


def _spread(node: onnx.NodeProto, given: Array, strides: list[int], reach: list[int]) -> Array:
    """Each value a stride behind the one before, and zeros between and around them for each place of the answer."""
    rank, whole = len(strides), (slice(None), slice(None))
    pads, more = _transposed_pads(node, given.shape[2:], strides, reach)
    sizes = [(size - 1) * stride + 1 for size, stride in zip(given.shape[2:], strides, strict=True)]
    spread = np.zeros((*given.shape[:2], *sizes), given.dtype)
    apart = (*whole, *(slice(None, None, stride) for stride in strides))
    spread[apart] = given
    # As far as the kernel reaches, and then without what the padding takes away.
    around = [(length - 1, length - 1 + extra) for length, extra in zip(reach, more, strict=True)]
    wide = np.pad(spread, [(0, 0), (0, 0), *around])
    ends = zip(pads[:rank], pads[rank:], wide.shape[2:], strict=True)
    left = (*whole, *(slice(begin, size - end) for begin, end, size in ends))
    return wide[left]


def _transposed_pads(
    node: onnx.NodeProto, extents: tuple[int, ...], strides: list[int], reach: list[int]
) -> tuple[list[int], list[int]]:
    """What is cut off at the begin and end of each axis, and what is added behind; as ONNX Runtime finds them."""
    rank = len(extents)
    mode, asked = attribute(node, "auto_pad", b"NOTSET"), attribute(node, "output_shape", None)
    more = list(attribute(node, "output_padding", [0] * rank))
    if asked is None and mode in (b"NOTSET", b"VALID"):
        return list(attribute(node, "pads", [0] * (2 * rank))) if mode == b"NOTSET" else [0] * (2 * rank), more
    wanted = [extent * stride for extent, stride in zip(extents, strides, strict=True)] if asked is None else asked
    sizes = [
        (extent - 1) * stride + size + extra
        for extent, stride, size, extra in zip(extents, strides, reach, more, strict=True)
    ]
    total = [size - length for size, length in zip(sizes, wanted[-rank:], strict=True)]
    less = [max(0, pad) // 2 for pad in total]
    rest = [max(0, pad) - half for pad, half in zip(total, less, strict=True)]
    if asked is not None:
        more = [extra + max(0, -pad) for extra, pad in zip(more, total, strict=True)]
    return ([*less, *rest] if mode == b"SAME_UPPER" else [*rest, *less]), more


def _pads(
    node: onnx.NodeProto, extents: tuple[int, ...], strides: list[int], reach: list[int]
) -> tuple[list[int], list[int]]:
    mode = attribute(node, "auto_pad", b"NOTSET").decode()
    rank = len(extents)
    if mode == "NOTSET":
        pads = list(attribute(node, "pads", [0] * (2 * rank)))
        return pads[:rank], pads[rank:]
    if mode == "VALID":
        return [0] * rank, [0] * rank
    total = [
        max(0, (-(-extent // stride) - 1) * stride + size - extent)
        for extent, stride, size in zip(extents, strides, reach, strict=True)
    ]
    less, more = [pad // 2 for pad in total], [pad - pad // 2 for pad in total]
    return (less, more) if mode == "SAME_UPPER" else (more, less)
