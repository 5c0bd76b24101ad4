"""Weights of 4 bits for MatMul and Gemm, in blocks along the inputs that share a scale; activations stay float32.

Each block's value of greatest magnitude becomes -8, so that all 16 levels are in use. The layout is that of
MatMulNBits: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass
from edge_rai_converters.passes.properties import FLOAT, SAME_SIGNATURE, SINGLE_PRECISION, VALID
from edge_rai_converters.passes.quantize.prepare import add_constant, contains, finish, prepare, split_gemms

_DOMAIN = "com.microsoft"
_OPERATOR = "MatMulNBits"
# The kernels may round activations to int8 by block, each row by itself: several times as fast as without.
_ACCURACY_LEVEL = 4
_LEAST_BLOCK, _GREATEST_BLOCK = 16, 256


def int4_weights(block_size: int = 32) -> Pass:
    """Quantizes the constant weights of MatMul and Gemm.

    Args:
        block_size: Weights that share a scale: a power of two from 16 to 256.

    Raises:
        ValueError: The block has another size.
    """
    if not _LEAST_BLOCK <= block_size <= _GREATEST_BLOCK or block_size & (block_size - 1):
        raise ValueError(
            f"block_size is {block_size}; expected a power of two from {_LEAST_BLOCK} to {_GREATEST_BLOCK}"
        )

    def run(model: onnx.ModelProto, _: Material) -> onnx.ModelProto:
        result = prepare(model)
        split_gemms(result.graph)
        weights = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in result.graph.initializer
            if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
        }
        layers = [node for node in result.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
        if not layers:
            raise NotApplicableError("it has no MatMul or Gemm with constant weights, and 4 bits are for those only")
        for node in layers:
            _quantize(result.graph, node, weights[node.input[1]], block_size)
        result.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
        return finish(model, result)

    return Pass(
        "int4_weights",
        run,
        requires=(FLOAT, SINGLE_PRECISION),
        ensures=(VALID, SAME_SIGNATURE, contains(_OPERATOR, _DOMAIN)),
    )


def pack(weights: npt.NDArray[np.float32], block_size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Rounds to 4 bits.

    Args:
        weights: (inputs, outputs).
        block_size: Of the blocks along the inputs; the last one is filled up with zeros.

    Returns:
        Two values a byte, the first in the lower half and 8 for zero, (outputs, blocks, block_size / 2); and the
        scales, (outputs * blocks,).
    """
    inputs, outputs = weights.shape
    blocks = -(-inputs // block_size)
    padded = np.zeros((outputs, blocks * block_size), np.float32)
    padded[:, :inputs] = weights.T
    values = padded.reshape(outputs, blocks, block_size)
    greatest = np.take_along_axis(values, np.abs(values).argmax(axis=2, keepdims=True), axis=2)
    scales = (greatest / -8).astype(np.float32)
    steps = np.divide(values, scales, out=np.zeros_like(values), where=scales != 0)
    levels = np.clip(np.rint(steps) + 8, 0, 15).astype(np.uint8)
    return levels[..., 0::2] | (levels[..., 1::2] << 4), scales.reshape(-1)


def _quantize(graph: onnx.GraphProto, node: onnx.NodeProto, weights: npt.NDArray[np.float32], block_size: int) -> None:
    """Rewrites the node, in place."""
    packed, scales = pack(weights, block_size)
    names = [add_constant(graph, f"{node.name}/packed", packed), add_constant(graph, f"{node.name}/scales", scales)]
    inputs, outputs = weights.shape
    node.CopyFrom(
        helper.make_node(
            _OPERATOR,
            [node.input[0], *names],
            list(node.output),
            node.name,
            domain=_DOMAIN,
            K=inputs,
            N=outputs,
            bits=4,
            block_size=block_size,
            accuracy_level=_ACCURACY_LEVEL,
        )
    )
