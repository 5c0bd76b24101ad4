"""Dynamic int8: the weights of MatMul and Gemm are s8, activations are quantized at each call with a scale of its own.

There is no calibration to go wrong, but that scale is the whole call's, so a row's answer depends on its batch mates.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass
from edge_rai_converters.passes.properties import FLOAT, SAME_SIGNATURE, SINGLE_PRECISION, VALID
from edge_rai_converters.passes.quantize.prepare import (
    contains,
    finish,
    has_narrow_sums,
    layers_of,
    prepare,
    quiet,
    split_gemms,
)
from edge_rai_converters.words import first_line


def dynamic_int8() -> Pass:
    """Quantizes models whose layers are MatMul and Gemm only.

    Convolutions are refused: with dynamic scales they are slower than float on x86, and have ruined networks with
    depthwise ones, which static int8 per channel leaves intact.
    """
    return Pass("dynamic_int8", _run, (FLOAT, SINGLE_PRECISION), (VALID, SAME_SIGNATURE, contains("MatMulInteger")))


def _run(model: onnx.ModelProto, material: Material) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    prepared = prepare(model)
    if any(node.op_type.startswith("Conv") for node in prepared.graph.node):
        raise NotApplicableError(
            "it has convolutions, which are slower in dynamic int8 than in float, and less exact than in static int8"
        )
    layers_of(prepared.graph)
    split_gemms(prepared.graph)
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder, quiet():
        path = Path(folder, "dynamic.onnx")
        try:
            quantize_dynamic(
                prepared,
                path,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=has_narrow_sums(material.target),
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # the quantizer raises whatever its parts raise
            raise NotApplicableError(f"ONNX Runtime's quantizer failed: {first_line(error)}") from error
        return finish(model, onnx.load(path))
