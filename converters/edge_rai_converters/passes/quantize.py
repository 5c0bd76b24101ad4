"""Static int8 in QDQ form: u8 activations, s8 weights per channel, MinMax calibration.

Requires: a checked model of opset 11 or newer. Ensures: the same inputs and outputs; only Conv, Gemm and MatMul and
what passes their results through are quantized, so that a scaler on raw features stays float: one scale for a whole
row of unscaled features would erase the small ones.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from edge_rai_converters.passes.fuse import fuse_scalers
from edge_rai_converters.passes.lower import lower_scalers
from edge_rai_converters.sources.onnx import opset_of

QUANTIZED = frozenset({"Conv", "Gemm", "MatMul"})
PASSED_THROUGH = frozenset(
    {"Add", "AveragePool", "Clip", "Flatten", "GlobalAveragePool", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose"}
)
_QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})
# Scales per channel came with opset 13.
_MIN_OPSET = 13
# ONNX Runtime's severities; warning is its default.
_WARNING_AND_WORSE, _ERROR_AND_WORSE = 2, 3

Feed = dict[str, npt.NDArray[Any]]


class NotQuantizableError(Exception):
    """int8 is not to be had for this model; the message is the reason."""


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantize(model: onnx.ModelProto, calibration: Iterable[Feed]) -> bytes:
    """The int8 model; equal arguments give equal bytes.

    Args:
        model: Not modified.
        calibration: Arguments of calls of the float model; consumed one by one.

    Raises:
        NotQuantizableError: Nothing in it can be quantized, or ONNX Runtime's quantizer refuses it.
    """
    if not any(node.op_type in QUANTIZED for node in model.graph.node):
        raise NotQuantizableError(f"the model has none of {', '.join(sorted(QUANTIZED))}")
    if any(node.op_type in _QDQ for node in model.graph.node):
        raise NotQuantizableError("the model is quantized already")
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        prepared = _prepared(_with_opset(lower_scalers(model)), Path(folder))
        nodes = nodes_to_quantize(prepared.graph)
        if not nodes:
            raise NotQuantizableError(f"none of its {', '.join(sorted(QUANTIZED))} has constant weights")
        _state_types(prepared.graph, nodes)
        path = Path(folder, "int8.onnx")
        try:
            with _quiet():
                quantize_static(
                    prepared,
                    path,
                    _Calibration(calibration),
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=sorted(QUANTIZED | PASSED_THROUGH),
                    nodes_to_quantize=nodes,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.MinMax,
                )
        except Exception as error:  # the quantizer raises whatever its parts raise
            raise NotQuantizableError(f"ONNX Runtime's quantizer failed: {_first_line(error)}") from error
        result = onnx.load(path)
    del result.graph.value_info[:]
    return bytes(result.SerializeToString(deterministic=True))


def nodes_to_quantize(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes with constant weights, and of those that only pass on what such nodes made."""
    constant = {initializer.name: initializer.data_type for initializer in graph.initializer}
    quantized: set[str] = set()
    names = []
    for node in graph.node:
        given = [name for name in node.input if name and name not in constant]
        weighted = node.op_type in QUANTIZED and constant.get(node.input[1]) == onnx.TensorProto.FLOAT
        passes = node.op_type in PASSED_THROUGH and bool(given) and all(name in quantized for name in given)
        if weighted or passes:
            names.append(node.name)
            quantized.update(node.output)
    return names


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer warns, through the root logger and ONNX Runtime's default one, of what was decided on purpose."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(_ERROR_AND_WORSE)
    try:
        yield
    finally:
        root.setLevel(before)
        onnxruntime.set_default_logger_severity(_WARNING_AND_WORSE)


def _with_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = opset_of(model)
    if opset is None or opset >= _MIN_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _MIN_OPSET)
    except (RuntimeError, ValueError) as error:
        raise NotQuantizableError(
            f"its opset {opset} cannot be raised to {_MIN_OPSET}: {_first_line(error)}"
        ) from error


def _state_types(graph: onnx.GraphProto, names: list[str]) -> None:
    """The quantizer leaves out, in silence, tensors whose type shape inference did not find; here all are float32."""
    known = {value.name for value in (*graph.value_info, *graph.input, *graph.output)}
    known |= {initializer.name for initializer in graph.initializer}
    chosen = set(names)
    for node in graph.node:
        if node.name in chosen:
            for name in dict.fromkeys((node.input[0], *node.output)):
                if name not in known:
                    graph.value_info.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
                    known.add(name)


def _prepared(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Fused and folded as ONNX Runtime would at load, so that what is calibrated is what will run; nodes are named."""
    target = folder / "prepared.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = _ERROR_AND_WORSE
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
        raise NotQuantizableError(f"ONNX Runtime could not prepare it: {_first_line(error)}") from error
    prepared = onnx.shape_inference.infer_shapes(onnx.load(target))
    fuse_scalers(prepared)
    for index, node in enumerate(prepared.graph.node):
        node.name = f"{node.op_type}_{index}"
    _own_biases(prepared.graph)
    return prepared


def _own_biases(graph: onnx.GraphProto) -> None:
    """Gives every Conv and Gemm a bias of its own with one axis.

    The quantizer fails on biases of two axes, which scikit-learn's exports have, and writes a model that does not load
    when two nodes share one.
    """
    constants = {initializer.name: initializer for initializer in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or node.input[2] not in constants:
            continue
        bias = onnx.numpy_helper.to_array(constants[node.input[2]])
        if bias.shape not in ((bias.size,), (1, bias.size)):
            continue
        own = onnx.numpy_helper.from_array(bias.reshape(bias.size), f"{node.name}/bias")
        graph.initializer.append(own)
        node.input[2] = own.name


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
