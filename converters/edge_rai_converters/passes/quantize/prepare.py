"""What every quantization begins and ends with: a graph of few operators with constant weights, and the signature.

ONNX Runtime's own basic optimization folds constants and BatchNormalization and makes Gemm of MatMul and Add, so that
what is quantized is what will run. ``quant_pre_process`` of its tools does the same, but insists on sympy.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.passes.contract import Material, NotApplicableError, Property, Target
from edge_rai_converters.passes.fuse import fuse_scalers
from edge_rai_converters.passes.properties import nodes
from edge_rai_converters.passes.prune.tidy import captured
from edge_rai_converters.runner import Runner
from edge_rai_converters.sources.onnx import opset_of
from edge_rai_converters.words import first_line

LAYERS = ("Conv", "Gemm", "MatMul")
# Scales per channel came with opset 13.
_MIN_OPSET = 13
# Before it, each constant had to be an input too.
_MIN_IR = 4
# What ONNX Runtime adds to the name of the MatMul that it makes a Gemm.
_FUSED = "/MatMulAddFusion"
# ONNX Runtime's severities; warning is its default.
_WARNING_AND_WORSE, _ERROR_AND_WORSE = 2, 3
# Where candidates look for what passes say of their work.
_NOTE = "edge_rai."


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy, fused and folded, shapes inferred; every node has a name of its own, the model's where it gave one.

    Raises:
        NotApplicableError: ONNX Runtime cannot open it, or its opset cannot be raised.
    """
    named = onnx.ModelProto()
    named.CopyFrom(_with_opset(model))
    named.ir_version = max(named.ir_version, _MIN_IR)
    constants = {initializer.name for initializer in named.graph.initializer}
    given = [value for value in named.graph.input if value.name not in constants]
    del named.graph.input[:]  # a constant that a caller might override is folded into nothing
    named.graph.input.extend(given)
    _name_nodes(named.graph)
    prepared = onnx.shape_inference.infer_shapes(_optimized(named))
    fuse_scalers(prepared)
    for node in prepared.graph.node:
        node.name = node.name.split(_FUSED)[0]
    _name_nodes(prepared.graph)
    _own_biases(prepared.graph)
    _own_weights(prepared.graph)
    return prepared


def layers_of(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes whose weights are constants of float32.

    Raises:
        NotApplicableError: There is none.
    """
    if not any(node.op_type in LAYERS for node in graph.node):
        raise NotApplicableError(f"the model has none of {', '.join(LAYERS)}")
    constants = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    layers = [node for node in graph.node if node.op_type in LAYERS and node.input[1] in constants]
    if not layers:
        raise NotApplicableError(f"none of its {', '.join(LAYERS)} has constant weights of float32")
    return layers


def finish(source: onnx.ModelProto, result: onnx.ModelProto) -> onnx.ModelProto:
    """The result with the source's signature and notes, and nothing that it does not use; modifies it.

    Raises:
        NotApplicableError: ONNX Runtime cannot open it.
    """
    graph = result.graph
    _sort(graph)
    used = {name for node in nodes(graph) for name in node.input} | {value.name for value in source.graph.output}
    kept = [initializer for initializer in graph.initializer if initializer.name in used]
    constants = {initializer.name for initializer in (*kept, *source.graph.initializer)}
    for field in (graph.initializer, graph.input, graph.output, graph.value_info, result.metadata_props):
        del field[:]
    graph.initializer.extend(kept)
    graph.input.extend(value for value in source.graph.input if value.name not in constants)
    graph.output.extend(source.graph.output)
    result.metadata_props.extend(source.metadata_props)
    domains = {node.domain for node in nodes(graph)} | {""}
    opsets = {entry.domain: entry.version for entry in result.opset_import}
    del result.opset_import[:]
    result.opset_import.extend(helper.make_opsetid(name, opsets.get(name, 1)) for name in sorted(domains))
    try:
        Runner(result.SerializeToString(), "the result")
    except UnsupportedModelError as error:
        raise NotApplicableError(f"what was written does not open: {first_line(error)}") from error
    return result


def note(model: onnx.ModelProto, topic: str, text: str) -> None:
    """Leaves in the model what is worth knowing of the work; replaces what an earlier step said."""
    kept = [entry for entry in model.metadata_props if entry.key != _NOTE + topic]
    del model.metadata_props[:]
    model.metadata_props.extend([*kept, onnx.StringStringEntryProto(key=_NOTE + topic, value=text)])


def contains(operator: str, domain: str = "") -> Property:
    """At least one node is the operator."""

    def check(_: onnx.ModelProto, model: onnx.ModelProto, __: Material) -> str:
        found = any(node.op_type == operator and node.domain == domain for node in nodes(model.graph))
        return "" if found else f"there is no {operator}"

    return Property(f"something became {operator}", check)


def split_gemms(graph: onnx.GraphProto) -> None:
    """Rewrites, in place, each Gemm with constant weights as MatMul and Add: there are no kernels else.

    MatMulNBits and MatMulInteger know no Gemm, and their tools leave one as it is without a word.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    rewritten = []
    for node in graph.node:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        fixed = all(name in constants for name in node.input[1:])
        if node.op_type != "Gemm" or not fixed or attributes.get("transA"):
            rewritten.append(node)
            continue
        weights = numpy_helper.to_array(constants[node.input[1]]) * np.float32(attributes.get("alpha", 1.0))
        weights = np.ascontiguousarray(weights.T if attributes.get("transB") else weights)
        added = len(node.input) == 3
        product = fresh(f"{node.name}/product", graph) if added else node.output[0]
        name = add_constant(graph, f"{node.name}/weights", weights)
        rewritten.append(helper.make_node("MatMul", [node.input[0], name], [product], node.name))
        if added:
            bias = numpy_helper.to_array(constants[node.input[2]]) * np.float32(attributes.get("beta", 1.0))
            name = add_constant(graph, f"{node.name}/bias", bias)
            rewritten.append(helper.make_node("Add", [product, name], node.output, f"{node.name}/Add"))
    del graph.node[:]
    graph.node.extend(rewritten)


@contextmanager
def quiet() -> Iterator[None]:
    """ONNX Runtime's quantizers warn, through the root logger and its own, of what was decided on purpose."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(_ERROR_AND_WORSE)
    try:
        yield
    finally:
        root.setLevel(before)
        onnxruntime.set_default_logger_severity(_WARNING_AND_WORSE)


def add_constant(graph: onnx.GraphProto, wanted: str, values: npt.NDArray[Any]) -> str:
    """Adds an initializer and returns its name, which is the wanted one but for what keeps it apart from others."""
    name = fresh(wanted, graph)
    graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def fresh(wanted: str, graph: onnx.GraphProto) -> str:
    """A name like the wanted one that no tensor of the graph has."""
    taken = {tensor.name for tensor in graph.initializer}
    taken |= {name for node in nodes(graph) for name in (*node.input, *node.output)}
    while wanted in taken:
        wanted += "_"
    return wanted


def has_narrow_sums(target: Target) -> bool:
    """Whether products of u8 and s8 may be added in pairs in 16 bits, which is too few for those of two whole bytes.

    x86 without VNNI does so (vpmaddubsw), and what overflows is clipped in silence: the digits CNN of the tests, on an
    emulated Haswell, errs by 16 % of its answers' standard deviation where a CPU with VNNI errs by 1.3 %. With weights
    of 7 bits nothing overflows, and every x86 gives the same 2.1 %.
    """
    return target == "x86"


def _optimized(model: onnx.ModelProto) -> onnx.ModelProto:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = _ERROR_AND_WORSE
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        path = Path(folder, "optimized.onnx")
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
            raise NotApplicableError(f"ONNX Runtime could not prepare it: {first_line(error)}") from error
        return onnx.load(path)


def _with_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = opset_of(model)
    if opset is None or opset >= _MIN_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _MIN_OPSET)
    except (RuntimeError, ValueError) as error:
        raise NotApplicableError(f"its opset {opset} cannot be raised to {_MIN_OPSET}: {first_line(error)}") from error


def _sort(graph: onnx.GraphProto) -> None:
    """Puts each node behind what it and its subgraphs read; quantizers overlook the latter."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    wants = [{makers[name] for name in (*node.input, *captured(node)) if name in makers} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for place, wanted in enumerate(wants):
        for maker in wanted:
            readers.setdefault(maker, []).append(place)
    ready, order = [place for place, wanted in enumerate(wants) if not wanted], list[int]()
    while ready:
        order.append(heappop(ready))
        for place in readers.get(order[-1], ()):
            wants[place].discard(order[-1])
            if not wants[place]:
                heappush(ready, place)
    if order != list(range(len(wants))):
        ordered = [onnx.NodeProto.FromString(graph.node[place].SerializeToString()) for place in order]
        del graph.node[:]
        graph.node.extend(ordered)


def _name_nodes(graph: onnx.GraphProto) -> None:
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_{index}"
        taken.add(node.name)


def _own_biases(graph: onnx.GraphProto) -> None:
    """Gives every Conv and Gemm a bias of its own with one axis.

    The quantizer fails on biases of two axes, which scikit-learn's exports have, and writes a model that does not load
    when two nodes share one.
    """
    constants = {initializer.name: initializer for initializer in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or node.input[2] not in constants:
            continue
        bias = numpy_helper.to_array(constants[node.input[2]])
        if bias.shape not in ((bias.size,), (1, bias.size)):
            continue
        node.input[2] = add_constant(graph, f"{node.name}/bias", bias.reshape(bias.size))


def _own_weights(graph: onnx.GraphProto) -> None:
    """Gives weights that layers use along different axes, as an autoencoder's tied ones, to each such layer.

    They have a scale for each channel that a layer makes, and the quantizer fails where that is not one axis.
    """
    constants = {initializer.name: initializer for initializer in graph.initializer}
    axes: dict[str, bool] = {}
    for node in graph.node:
        if node.op_type not in LAYERS or node.input[1] not in constants:
            continue
        along = node.op_type == "Conv" or any(found.name == "transB" and found.i for found in node.attribute)
        if axes.setdefault(node.input[1], along) != along:
            weights = numpy_helper.to_array(constants[node.input[1]])
            node.input[1] = add_constant(graph, f"{node.name}/weights", weights)
