"""Fewer bits for a TFLite model in float, through ai-edge-quantizer: int8, int16, dynamic int8 and float16.

Ranges are the least and greatest values of all calibration rows: the quantizer's own calibration keeps a moving average
of them, and so clips. As in ONNX, only layers with constant weights and what passes their results on become integers,
so that a scaler on raw features stays float; a last matrix product answers in float; and the layers that int8 harms too
much return to float. Integer edges leave no choice: there, all is integers that the quantizer knows how to make so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, get_args

import numpy as np

from edge_rai.bundle import Quantization
from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.errors import missing
from edge_rai_converters.litert import Extremes, LiteRTRunner, quiet
from edge_rai_converters.passes.contract import Claim, Material, NotApplicableError, Rewrite
from edge_rai_converters.passes.quantize.judge import Judge, Sweep, divided
from edge_rai_converters.targets.tflite.structure import Operator, Structure

Edges = Literal["float", "int8"]
Ranges = dict[str, Extremes]

# What moves values without changing them, and what a layer's results go through on their way to the next one; of the
# latter XNNPACK has no AVERAGE_POOL_2D in int8.
_MOVES = frozenset({"PAD", "RESHAPE", "SLICE", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE"})
_PASSES_ON = _MOVES | {
    "ADD",
    "CONCATENATION",
    "MAX_POOL_2D",
    "MEAN",
    "RELU",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
}
_GREATEST_FLOAT16 = float(np.finfo(np.float16).max)


def tflite_int8(max_drop: float, edges: Edges = "float", keep_float: Sequence[str] = ()) -> Rewrite:
    """Weights s8 per channel, activations s8, of every layer that the budget allows.

    Args:
        max_drop: Judging rows whose class may change, percent; see ``judge.Judge``.
        edges: Type of the inputs and outputs of floats: "int8" where all that surrounds the model computes in it.
        keep_float: Layers that stay as they are, by the name of what they make; of those that share weights the first.

    Raises:
        ValueError: There are no such edges.
    """
    if edges not in get_args(Edges):
        raise ValueError(f"edges is {edges!r}; expected one of {', '.join(get_args(Edges))}")

    def run(model: bytes, material: Material) -> bytes:
        groups = _groups(model, keep_float)
        seen, judging = divided(material)
        judge = Judge(model, _runner, judging, material.batched, max_drop)
        ranges = measure_ranges(model, seen)

        def form(floats: set[str]) -> bytes:
            return _static(model, ranges, {name for group in floats for name in groups[group]}, edges, bits=8)

        swept = [name for name in groups if name not in keep_float]
        best, harm = Sweep(lambda floats: form({*floats, *keep_float}), judge, material).best(swept)
        material.note("int8_harm", harm)
        floats = _float_layers(best)
        if floats:
            material.note("float_layers", ", ".join(floats))
        return best

    return _rewrite("tflite_int8", run)


def tflite_int16() -> Rewrite:
    """Weights s8 per channel, activations s16; edges stay float. Many times slower than float on most CPUs."""

    def run(model: bytes, material: Material) -> bytes:
        _layers(model)
        return _static(model, measure_ranges(model, material), set(), "float", bits=16)

    return _rewrite("tflite_int16", run)


def tflite_dynamic_int8() -> Rewrite:
    """Weights s8 per channel; activations are quantized at each call, each row's by itself.

    Depthwise convolutions stay as they are: XNNPACK has no such kernel for them, and they hold few weights.
    """

    def run(model: bytes, _: Material) -> bytes:
        layers = [layer for layer in _layers(model) if layer.code != "DEPTHWISE_CONV_2D"]
        if not layers:
            raise NotApplicableError("its only layers are depthwise convolutions, for which XNNPACK has no such kernel")

        def configure(tool: Any, quantizer: Any) -> None:
            everything = quantizer.qtyping.TFLOperationName.ALL_SUPPORTED
            tool.add_dynamic_config(_scope(layers), everything, num_bits=8)

        return _quantized(model, configure)

    return _rewrite("tflite_dynamic_int8", run)


def tflite_float16() -> Rewrite:
    """Weights in float16, arithmetic in float32, as LiteRT widens them when it opens the model."""

    def run(model: bytes, _: Material) -> bytes:
        structure = Structure(model)
        fitting = [
            layer
            for layer in _layers(model)
            if layer.weights and np.abs(structure.floats(layer.weights)).max(initial=0) <= _GREATEST_FLOAT16
        ]
        if not fitting:
            raise NotApplicableError(f"its weights exceed {_GREATEST_FLOAT16:,.0f}, the greatest number of float16")

        def configure(tool: Any, quantizer: Any) -> None:
            everything = quantizer.qtyping.TFLOperationName.ALL_SUPPORTED
            casting = quantizer.AlgorithmName.FLOAT_CASTING
            tool.add_weight_only_config(_scope(fitting), everything, num_bits=16, algorithm_key=casting)

        return _quantized(model, configure)

    return _rewrite("tflite_float16", run)


def measure_ranges(model: bytes, material: Material) -> Ranges:
    """The least and greatest value of each tensor of floats that is computed, by name, over all calibration rows.

    Raises:
        NotApplicableError: There are no rows, or they lead to values that are not finite.
    """
    runner = LiteRTRunner(model, "the model under calibration", inner=True)
    wanted = {tensor.name: tensor.index for tensor in Structure(model).computed}
    found: Ranges = {}
    count = 0
    for feed in material.calibration():
        for row in runner.extremes(feed, wanted):
            for name, (least, greatest) in row.items():
                low, high = found.get(name, (least, greatest))
                found[name] = np.minimum(low, least), np.maximum(high, greatest)
            count += 1
        material.progress(count / max(material.rows, 1))
    if not found:
        raise NotApplicableError("there are no calibration rows")
    wild = next((name for name, ends in found.items() if not np.isfinite(ends).all()), None)
    if wild is not None:
        raise NotApplicableError(f"calibration rows lead to values that are not finite, in {wild!r}")
    return found


def quantization_of(model: bytes) -> Quantization:
    """How the weights and activations of a TFLite model are stored, as a manifest says it."""
    structure = Structure(model)
    layers = [operator for operator in structure.operators if operator.weights]
    activations = {tensor.dtype for layer in layers for tensor in layer.outputs}
    if "INT16" in activations:
        return "static_int16"
    if "INT8" in activations:
        return "static_int8"
    if any(layer.weights and layer.weights.dtype == "INT8" for layer in layers):
        return "dynamic_int8"
    return "float16" if any(tensor.dtype == "FLOAT16" for tensor in structure.tensors) else "none"


def _runner(model: bytes) -> LiteRTRunner:
    return LiteRTRunner(model, "the model to judge")


def _static(model: bytes, ranges: Ranges, floats: Collection[str], edges: Edges, bits: int) -> bytes:
    operators = Structure(model).operators
    chosen = _chosen(operators, floats, everything=edges == "int8")
    precise = edges == "int8" or bits > 8
    answering = set() if precise else _answering(_chosen(operators, (), everything=False))
    last = [entry for entry in chosen if entry.name in answering]
    if {entry.name for entry in chosen if entry.weights} <= answering:
        last = []  # with all of them it would be dynamic int8, which is another wish

    def configure(tool: Any, quantizer: Any) -> None:
        names = quantizer.qtyping.TFLOperationName
        tool.add_static_config(_scope(chosen), names.ALL_SUPPORTED, activation_num_bits=bits, weight_num_bits=8)
        if last:
            tool.add_dynamic_config(_scope(last), names.ALL_SUPPORTED, num_bits=8)
        for edge in (names.INPUT, names.OUTPUT):
            if edges == "int8":
                tool.add_static_config(".*", edge, activation_num_bits=bits, weight_num_bits=8)
            else:
                tool.update_quantization_recipe(".*", edge, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)

    return _quantized(model, configure, ranges)


def _answering(chosen: Sequence[Operator]) -> set[str]:
    """Names of the matrix products whose results nothing takes as integers, even where all layers are in int8.

    Their kernel adds up in 32 bits and gives floats as readily, so rounding the result buys nothing, and of a network's
    answers it is the greatest error: they get weights in int8, and round what they are given at each call.
    """
    read = {tensor.name for other in chosen for tensor in other.inputs}
    return {entry.name for entry in chosen if entry.code == "FULLY_CONNECTED" and entry.name not in read}


def _chosen(operators: Sequence[Operator], floats: Collection[str], *, everything: bool) -> list[Operator]:
    """Those that become integers; layers that are named in ``floats`` do not."""
    candidates = [operator for operator in operators if operator.name not in floats and not _is_odd(operator)]
    if everything:
        return candidates
    layers = {operator.name for operator in candidates if operator.weights}
    made = {tensor.name for operator in candidates if operator.name in layers for tensor in operator.outputs}
    chosen = set(layers)
    for operator in candidates:
        given = [tensor.name for tensor in operator.inputs if not tensor.constant]
        if operator.code in _PASSES_ON and given and made.issuperset(given):
            chosen.add(operator.name)
            made.update(tensor.name for tensor in operator.outputs)
    # Before a layer, values are as well moved as integers: they have one scale for all of them anyway.
    readers: dict[str, list[str]] = {}
    for operator in operators:
        for tensor in operator.inputs:
            readers.setdefault(tensor.name, []).append(operator.name)
    for operator in reversed(candidates):
        after = [reader for tensor in operator.outputs for reader in readers.get(tensor.name, ())]
        if operator.code in _MOVES and after and chosen.issuperset(after):
            chosen.add(operator.name)
    return [operator for operator in candidates if operator.name in chosen]


def _is_odd(operator: Operator) -> bool:
    """Whether the quantizer has no integers for it: a bias that is computed, a constant among what is put together."""
    if operator.code == "FULLY_CONNECTED":
        return len(operator.inputs) > 2 and not operator.inputs[2].constant
    return operator.code == "CONCATENATION" and any(tensor.constant for tensor in operator.inputs)


def _layers(model: bytes) -> list[Operator]:
    """Operators with constant weights of floats.

    Raises:
        NotApplicableError: There is none.
    """
    layers = [entry for entry in Structure(model).operators if entry.weights and entry.weights.dtype == "FLOAT32"]
    if not layers:
        raise NotApplicableError("it has no layer with constant weights of float32")
    return layers


def _groups(model: bytes, keep_float: Sequence[str]) -> dict[str, list[str]]:
    """Names of the layers that share their weights, as the steps of an unrolled recurrent layer do, by the first's."""
    found: dict[int, list[str]] = {}
    for layer in _layers(model):
        if layer.weights and not _is_odd(layer):
            found.setdefault(layer.weights.buffer, []).append(layer.name)
    groups = {names[0]: names for names in found.values()}
    unknown = [name for name in keep_float if name not in groups]
    if unknown:
        raise NotApplicableError(f"it has no layer {unknown[0]!r} to keep in float; it has {', '.join(groups)}")
    if groups.keys() <= set(keep_float):
        raise NotApplicableError("all its layers were to stay float")
    return groups


def _float_layers(model: bytes) -> list[str]:
    """Names of the layers that stayed float, of those that share weights the first."""
    found: dict[int, str] = {}
    for operator in Structure(model).operators:
        if operator.weights and operator.weights.dtype == "FLOAT32":
            found.setdefault(operator.weights.buffer, operator.name)
    return list(found.values())


def _scope(operators: Sequence[Operator]) -> str:
    """Matches these operators alone, by what the quantizer calls an operator: its results, each with a semicolon."""
    scopes = ("".join(f"{tensor.name};" for tensor in operator.outputs) for operator in operators)
    return f"^(?:{'|'.join(map(re.escape, scopes))})$"


def _quantized(model: bytes, configure: Callable[[Any, Any], None], ranges: Ranges | None = None) -> bytes:
    try:
        from ai_edge_quantizer import quantizer
    except ModuleNotFoundError as error:
        raise missing("ai_edge_quantizer") from error
    statistics = {
        name: {"min": np.array([low]), "max": np.array([high])} for name, (low, high) in (ranges or {}).items()
    }
    try:
        with quiet():
            tool = quantizer.Quantizer(model)
            configure(tool, quantizer)
            result = tool.quantize(statistics or None, enable_progress_bar=False, enable_progress_report=False)
    except Exception as error:  # the quantizer raises whatever its parts raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NotApplicableError(f"ai-edge-quantizer failed: {lines[0]}") from error
    return _agreeing(bytearray(result.quantized_model))


def _agreeing(model: bytearray) -> bytes:
    """The file, with the outputs of its graph being those of its signature, which are in the same order.

    Of an output that an operator in float reads too, the quantizer leaves the signature the integers, as it was asked,
    and gives the graph the floats behind them; what is no output of the graph cannot be had.
    """
    from ai_edge_litert import schema_py_generated as schema

    file = schema.Model.GetRootAs(model)
    signature, outputs = file.SignatureDefs(0), file.Subgraphs(0).OutputsAsNumpy()
    outputs[:] = [signature.Outputs(index).TensorIndex() for index in range(signature.OutputsLength())]
    return bytes(model)


def _rewrite(name: str, run: Callable[[bytes, Material], bytes]) -> Rewrite:
    return Rewrite(name, run, requires=(_FLOAT,), ensures=(_SAME_EDGES, _FEWER_BITS))


def _float(_: bytes, model: bytes, __: Material) -> str:
    return "" if quantization_of(model) == "none" else "the model is quantized already"


def _same_edges(before: bytes, after: bytes, _: Material) -> str:
    try:
        old, new = LiteRTRunner(before, "before").signature, LiteRTRunner(after, "after").signature
    except UnsupportedModelError as error:
        return str(error)
    return "" if list(old.items()) == list(new.items()) else f"its inputs and outputs are {', '.join(new)}"


def _fewer_bits(_: bytes, model: bytes, __: Material) -> str:
    return "no layer has fewer bits" if quantization_of(model) == "none" else ""


_FLOAT: Claim[bytes] = Claim("it is not quantized", _float)
_SAME_EDGES: Claim[bytes] = Claim("it opens, and inputs and outputs are the same", _same_edges)
_FEWER_BITS: Claim[bytes] = Claim("something is stored in fewer bits", _fewer_bits)
