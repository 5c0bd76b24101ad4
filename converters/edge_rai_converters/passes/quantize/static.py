"""Static int8 in QDQ form: weights s8 per channel, activations u8 for x86 and s8 for ARM, scales found beforehand.

Only layers with constant weights and what passes their results on are quantized, so that a scaler on raw features
stays float: one scale for a whole row of unscaled features would erase the small ones. On x86 both of type s8 would
make convolutions slower than float, and weights have 7 bits (``has_narrow_sums``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx
from onnx import helper

from edge_rai_converters.passes.contract import Material, NotApplicableError, Pass, Target
from edge_rai_converters.passes.properties import FLOAT, SAME_SIGNATURE, SINGLE_PRECISION, VALID
from edge_rai_converters.passes.quantize.prepare import (
    LAYERS,
    contains,
    finish,
    has_narrow_sums,
    layers_of,
    note,
    prepare,
    quiet,
)
from edge_rai_converters.passes.quantize.ranges import METHODS, Method, Ranges, measure_ranges
from edge_rai_converters.words import first_line

PASSED_THROUGH = frozenset(
    {"Add", "AveragePool", "Clip", "Flatten", "GlobalAveragePool", "MaxPool", "Relu", "Reshape", "Squeeze", "Transpose"}
)
QDQ = contains("DequantizeLinear")


def static_int8(calibration: Method = "minmax", keep_float: Sequence[str] = ()) -> Pass:
    """Quantizes every layer but those named.

    Args:
        calibration: How the range of an activation is chosen from the calibration rows.
        keep_float: Names of layers (nodes) that stay as they are.

    Raises:
        ValueError: There is no such calibration.
    """
    check_method(calibration)

    def run(model: onnx.ModelProto, material: Material) -> onnx.ModelProto:
        prepared = prepare(model)
        floats = named_layers(prepared.graph, keep_float)
        ranges = measure_ranges(prepared, activations(prepared.graph), material, calibration)
        return finish_int8(model, to_qdq(prepared, ranges, floats, material.target))

    return Pass("static_int8", run, requires=(FLOAT, SINGLE_PRECISION), ensures=(VALID, SAME_SIGNATURE, QDQ))


def check_method(calibration: str) -> None:
    """Raises ValueError when there is no such calibration."""
    if calibration not in METHODS:
        raise ValueError(f"calibration is {calibration!r}; expected one of {', '.join(METHODS)}")


def named_layers(graph: onnx.GraphProto, names: Sequence[str]) -> set[str]:
    """The names, each of which is a layer's, and which are not all.

    Raises:
        NotApplicableError: One is not, or none is left to be quantized.
    """
    layers = [node.name for node in layers_of(graph)]
    unknown = [name for name in names if name not in layers]
    if unknown:
        raise NotApplicableError(f"it has no layer {unknown[0]!r} to keep in float; it has {', '.join(layers)}")
    if set(names) == set(layers):
        raise NotApplicableError("all its layers were to stay float")
    return set(names)


def mixed_layers(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the layers that stayed float in a model that is quantized otherwise."""
    constants = {initializer.name for initializer in model.graph.initializer}
    return tuple(node.name for node in model.graph.node if node.op_type in LAYERS and node.input[1] in constants)


def activations(graph: onnx.GraphProto) -> list[str]:
    """Tensors whose ranges may be needed, in the order of the graph."""
    chosen = set(_nodes_to_quantize(graph, ()))
    constants = {initializer.name for initializer in graph.initializer}
    names = [name for node in graph.node if node.name in chosen for name in (*node.input, *node.output)]
    return [name for name in dict.fromkeys(names) if name and name not in constants]


def to_qdq(prepared: onnx.ModelProto, ranges: Ranges, floats: Collection[str], target: Target) -> onnx.ModelProto:
    """A copy in QDQ form; the layers named in ``floats`` stay as they are.

    Raises:
        NotApplicableError: ONNX Runtime's quantizer fails.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.ModelProto()
    model.CopyFrom(prepared)
    names = _nodes_to_quantize(model.graph, floats)
    _state_types(model.graph, names)
    try:
        with quiet():
            quantizer = QDQQuantizer(
                model,
                per_channel=True,
                reduce_range=has_narrow_sums(target),
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8 if target == "x86" else QuantType.QInt8,
                tensors_range=TensorsData(CalibrationMethod.MinMax, dict(ranges)),
                nodes_to_quantize=names,
                nodes_to_exclude=[],
                op_types_to_quantize=[*LAYERS, *sorted(PASSED_THROUGH)],
                extra_options={},
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
    except Exception as error:  # the quantizer raises whatever its parts raise
        raise NotApplicableError(f"ONNX Runtime's quantizer failed: {first_line(error)}") from error
    result: onnx.ModelProto = quantizer.model.model
    _answer_in_float(result.graph, prepared.graph)
    return result


def finish_int8(source: onnx.ModelProto, result: onnx.ModelProto) -> onnx.ModelProto:
    """As ``finish``, and says which layers stayed float."""
    finish(source, result)
    floats = mixed_layers(result)
    if floats:
        note(result, "float_layers", ", ".join(floats))
    return result


def _answer_in_float(graph: onnx.GraphProto, prepared: onnx.GraphProto) -> None:
    """Takes away, in place, the rounding of what a Gemm or MatMul gives to float operators or to the caller.

    ONNX Runtime's kernels for both add up in 32 bits and give floats as readily as int8, so the rounding buys nothing,
    and of a network's answers to a classifier it is the greatest error. It stays where the quantizer left a Relu or
    Clip to it, because the range ends there.
    """
    names = {node.name for node in graph.node}
    clipped = {name for node in prepared.node if node.name not in names for name in node.output}
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for layer in [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]:
        rounding = readers.get(layer.output[0], [])
        restoring = readers.get(rounding[0].output[0], []) if len(rounding) == 1 else []
        if len(restoring) != 1 or restoring[0].op_type != "DequantizeLinear" or layer.output[0] in clipped:
            continue
        answer = restoring[0].output[0]
        if not any(_is_int8(node, makers, readers) for node in readers.get(answer, [])):
            layer.output[0] = answer
            graph.node.remove(rounding[0])
            graph.node.remove(restoring[0])


def _is_int8(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto], readers: dict[str, list[onnx.NodeProto]]) -> bool:
    """Whether the node will run in int8: its weights are rounded, or what it makes is."""
    weights = makers.get(node.input[1]) if node.op_type in LAYERS else None
    rounds = (reader.op_type == "QuantizeLinear" for name in node.output for reader in readers.get(name, []))
    return (weights is not None and weights.op_type == "DequantizeLinear") or any(rounds)


def _nodes_to_quantize(graph: onnx.GraphProto, floats: Collection[str]) -> list[str]:
    """Names of the layers to be quantized, and of those nodes that only pass on what such layers made."""
    layers = {node.name for node in layers_of(graph)} - set(floats)
    constants = {initializer.name for initializer in graph.initializer}
    quantized: set[str] = set()
    names = []
    for node in graph.node:
        given = [name for name in node.input if name and name not in constants]
        passes = node.op_type in PASSED_THROUGH and bool(given) and all(name in quantized for name in given)
        if node.name in layers or passes:
            names.append(node.name)
            quantized.update(node.output)
    return names


def _state_types(graph: onnx.GraphProto, names: list[str]) -> None:
    """The quantizer leaves out, in silence, tensors whose type shape inference did not find; here all are float32."""
    known = {value.name for value in (*graph.value_info, *graph.input, *graph.output)}
    known |= {initializer.name for initializer in graph.initializer}
    chosen = set(names)
    for node in graph.node:
        if node.name in chosen:
            for name in dict.fromkeys((node.input[0], *node.output)):
                if name not in known:
                    graph.value_info.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
                    known.add(name)
