"""The file that is written: names, order, signature, versions, bytes; and the sentences of what is not written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite import write
from support.random_nodes import normal
from support.written import Array, agrees, answered, network, node

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

RNG = np.random.default_rng(5)
X = normal(RNG, 1, 3, 6, 6)
W = normal(RNG, 4, 3, 3, 3)


def parsed(model: bytes) -> Any:
    """The file as objects of the schema."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(bytearray(model), 0)


def perceptron() -> onnx.ModelProto:
    nodes = [node("Gemm", "x w b", "h", transB=1), node("Relu", "h", "r"), node("Gemm", "r v c", "y")]
    constants = {"w": normal(RNG, 8, 5), "b": normal(RNG, 8), "v": normal(RNG, 8, 3), "c": normal(RNG, 3)}
    return network(nodes, {"x": ["rows", 5]}, "y", constants)


def metadata(model: bytes) -> dict[str, bytes]:
    read = parsed(model)
    return {entry.name.decode(): bytes(read.buffers[entry.buffer].data) for entry in read.metadata}


# ---- What is in the file ----


def test_a_perceptron_is_two_operators_with_their_activation_inside() -> None:
    found = agrees(perceptron(), {"x": normal(RNG, 1, 5)})
    assert found.written.operators == ("FULLY_CONNECTED", "FULLY_CONNECTED")
    assert found.partitions == 1


def test_the_same_model_gives_the_same_bytes() -> None:
    model = perceptron()
    assert write(model).model == write(onnx.ModelProto.FromString(model.SerializeToString())).model


def test_the_model_that_is_written_is_not_modified() -> None:
    model = perceptron()
    before = model.SerializeToString(deterministic=True)
    write(model, layout="nhwc", rows=3)
    assert model.SerializeToString(deterministic=True) == before


def test_inputs_and_outputs_keep_names_and_order_in_tensors_and_signature() -> None:
    nodes = [node("Add", "second first", "sum/1:0"), node("Mul", "first second", "ünder;product")]
    feed = {"second": normal(RNG, 2, 3), "first": normal(RNG, 2, 3)}
    model = network(nodes, feed, "ünder;product sum/1:0", {})
    written = agrees(model, feed).written
    read = parsed(written.model)
    graph, (signature,) = read.subgraphs[0], read.signatureDefs
    assert signature.signatureKey == b"serving_default"
    for tensors, maps, names in (
        (graph.inputs, signature.inputs, ["second", "first"]),
        (graph.outputs, signature.outputs, ["ünder;product", "sum/1:0"]),
    ):
        assert [graph.tensors[index].name.decode() for index in tensors] == names
        assert [(entry.name.decode(), entry.tensorIndex) for entry in maps] == list(zip(names, tensors, strict=True))
    assert [edge.name for edge in (*written.inputs, *written.outputs)] == [
        *("second", "first"),
        *("ünder;product", "sum/1:0"),
    ]


def test_tensor_names_are_unique_and_constants_are_aligned_for_vector_units() -> None:
    model = network([node("Conv", "x w", "y", pads=[1] * 4), node("Relu", "y", "z")], {"x": X}, "z y", {"w": W})
    written = agrees(model, {"x": X}).written
    read = parsed(written.model)
    names = [tensor.name for tensor in read.subgraphs[0].tensors]
    assert len(set(names)) == len(names)
    (weights,) = (read.buffers[tensor.buffer].data for tensor in read.subgraphs[0].tensors if tensor.name == b"w")
    assert written.model.count(bytes(weights)) == 1
    assert written.model.index(bytes(weights)) % 16 == 0


def test_weights_that_several_layers_share_are_written_once() -> None:
    x = normal(RNG, 1, 64)
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "b"), node("MatMul", "b v", "y")]
    weights = normal(RNG, 64, 64)
    shared = agrees(network(nodes, {"x": x}, "y", {"w": weights, "v": weights}), {"x": x}).written
    apart = agrees(network(nodes, {"x": x}, "y", {"w": weights, "v": weights + 1}), {"x": x}).written
    assert len(apart.model) - len(shared.model) > weights.nbytes


def test_rows_are_fixed_where_they_are_free() -> None:
    written = agrees(perceptron(), {"x": normal(RNG, 7, 5)}, rows=7).written
    assert [edge.shape for edge in (*written.inputs, *written.outputs)] == [(7, 5), (7, 3)]


def test_shapes_fix_what_else_is_free() -> None:
    model = network([node("Relu", "x", "y")], {"x": ["rows", "length", 4]}, "y", {})
    assert agrees(model, {"x": normal(RNG, 2, 9, 4)}, shapes={"x": (2, 9, 4)}).written.inputs[0].shape == (2, 9, 4)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([node("Identity", "x", "y")], "y"),
        ([node("Identity", "x", "y"), node("Identity", "x", "z")], "y z"),
        ([node("Relu", "x", "y"), node("Identity", "k", "z")], "y z"),
        ([node("Relu", "x", "y"), node("Neg", "y", "z"), node("Abs", "y", "v")], "z y v"),
        ([node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Transpose", "t", "y", perm=[0, 3, 1, 2])], "y"),
        ([node("Conv", "x w", "y"), node("Relu", "y", "z")], "z y"),
    ],
    ids=["input", "input twice", "constant", "read again", "input transposed twice", "before its activation"],
)
def test_an_output_may_be_anything_that_a_graph_has(nodes: list[onnx.NodeProto], outputs: str) -> None:
    read = {name for one in nodes for name in one.input}
    constants = {name: array for name, array in (("k", normal(RNG, 3)), ("w", W)) if name in read}
    agrees(network(nodes, {"x": X}, outputs, constants), {"x": X})


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_may_come_in_through_a_cast(dtype: type) -> None:
    x = normal(RNG, 2, 3).astype(dtype)
    nodes = [node("Cast", "x", "a", to=onnx.TensorProto.FLOAT), node("Relu", "a", "y")]
    agrees(network(nodes, {"x": x}, "y", {}), {"x": x})


def test_an_input_that_nothing_reads_stays_an_input() -> None:
    model = network([node("Relu", "x", "y")], {"unused": X, "x": X}, "y", {})
    assert [edge.name for edge in agrees(model, {"x": X, "unused": X}).written.inputs] == ["unused", "x"]


# ---- Versions ----


@pytest.mark.parametrize(
    ("attributes", "weights", "operator", "version", "runtime"),
    [
        ({}, W, "CONV_2D", 1, "1.14.0"),
        ({"group": 3}, normal(RNG, 6, 1, 3, 3), "DEPTHWISE_CONV_2D", 1, "1.14.0"),
        ({"group": 3, "dilations": [2, 2]}, normal(RNG, 6, 1, 3, 3), "DEPTHWISE_CONV_2D", 2, "1.14.0"),
    ],
)
def test_an_operator_has_the_version_that_its_form_needs(
    attributes: Mapping[str, Any], weights: Array, operator: str, version: int, runtime: str
) -> None:
    model = network([node("Conv", "x w", "y", **attributes)], {"x": X}, "y", {"w": weights})
    found = agrees(model, {"x": X})
    codes = {
        name: code.version for name, code in zip(found.written.operators[1:2], _codes(found.written.model), strict=True)
    }
    assert codes == {operator: version}
    assert metadata(found.written.model)["min_runtime_version"].rstrip(b"\0").decode() == runtime


def _codes(model: bytes) -> list[Any]:
    read = parsed(model)
    return [read.operatorCodes[read.subgraphs[0].operators[1].opcodeIndex]]


def test_grouped_convolutions_name_the_runtime_that_first_had_them() -> None:
    x = normal(RNG, 1, 4, 6, 6)
    model = network([node("Conv", "x w", "y", group=2)], {"x": x}, "y", {"w": normal(RNG, 6, 2, 3, 3)})
    written = agrees(model, {"x": x}).written
    assert _codes(written.model)[0].version == 6
    assert metadata(written.model)["min_runtime_version"].rstrip(b"\0") == b"2.9.0"


# ---- What is not written ----


def refusal(model: onnx.ModelProto, **options: Any) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        write(model, **options)
    return str(caught.value)


def test_an_operator_without_a_form_is_named_with_its_node_and_what_comes_nearest() -> None:
    grid = normal(RNG, 1, 2, 2, 2)
    model = network([node("GridSample", "x g", "y")], {"x": X, "g": grid}, "y", {})
    assert refusal(model) == (
        "TFLite: GridSample node 'GridSample_y': there is no TFLite form of this operator; "
        "the nearest that is written: Resize"
    )


@pytest.mark.parametrize(
    ("one", "feed", "constants", "reason"),
    [
        (
            node("Conv", "x w", "y"),
            {"x": normal(RNG, 1, 2, 3, 4, 4)},
            {"w": normal(RNG, 2, 2, 1, 1, 1)},
            "TFLite: Conv node 'Conv_y': it has 3 dimensions; one or two are written",
        ),
        (
            node("Conv", "x w", "y"),
            {"x": X, "w": W},
            {},
            "TFLite: Conv node 'Conv_y': its kernels or its bias are computed; constant ones are written",
        ),
        (
            node("Relu", "x", "y"),
            {"x": np.ones((2, 3))},
            {},
            "TFLite: Relu node 'Relu_y': 'x' is of type float64, for which TFLite has no kernels; cast it to float32",
        ),
        (
            node("GlobalMaxPool", "x", "y"),
            {"x": normal(RNG, 1, 2, 3, 4, 4)},
            {},
            "TFLite: GlobalMaxPool node 'GlobalMaxPool_y': it has 3 dimensions; one or two are written",
        ),
    ],
)
def test_a_form_that_is_not_written_is_named(
    one: onnx.NodeProto, feed: Mapping[str, Array], constants: Mapping[str, Array], reason: str
) -> None:
    assert refusal(network([one], feed, "y", constants)) == reason


def test_an_axis_that_is_left_free_is_named() -> None:
    model = network([node("Relu", "x", "y")], {"x": ["rows", "length", 4]}, "y", {})
    assert refusal(model) == "TFLite: input 'x': axis 1 (length) is free; export the model with a fixed length there"
    assert refusal(model, shapes={"x": (1, 2, 3)}) == "TFLite: input 'x': its axis 2 is 4 long, not 3"
    assert refusal(model, shapes={"x": (1, 4)}) == "TFLite: input 'x': it has 3 axes, the shape that was given 2"


def test_a_missing_package_is_named_with_the_versions_that_will_do(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(perceptron().SerializeToString())
    program = """
import sys
sys.modules["ai_edge_litert"] = None
import onnx
from edge_rai_converters.errors import MissingExtraError
from edge_rai_converters.targets.tflite import write
try:
    write(onnx.load("model.onnx"))
except MissingExtraError as error:
    print(error.name, error, sep=": ")
"""
    child = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == (
        "ai_edge_litert: ai-edge-litert is not installed: pip install 'ai-edge-litert<2.4,>=2.3'"
    )


def test_a_model_above_two_gigabytes_is_refused_before_anything_is_copied() -> None:
    from edge_rai_converters.targets.tflite.builder import Code, Operator, Tensor
    from edge_rai_converters.targets.tflite.convert import Converted
    from edge_rai_converters.targets.tflite.serialize import serialized

    huge = np.broadcast_to(np.float32(0), (1 << 29,))
    tensors = [Tensor("k", huge.shape, huge.dtype, huge), Tensor("y", huge.shape, huge.dtype)]
    graph = Converted(tensors, [Operator(Code.ABS, (0,), (1,), None)], {}, {"y": 1}, {"y": (0,)})
    with pytest.raises(UnsupportedModelError, match="a flatbuffer holds 2 GB; quantize or prune it"):
        serialized(graph, "huge")


def test_what_comes_back_differs_where_the_weights_do() -> None:
    """The comparison that the other tests rest on finds a difference."""
    feed = {"x": normal(RNG, 1, 5)}
    model = perceptron()
    other = onnx.ModelProto.FromString(model.SerializeToString())
    other.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(normal(RNG, 8, 5), other.graph.initializer[0].name)
    )
    given, theirs = answered(model, feed), answered(other, feed)
    assert given.difference < 1e-6
    assert not np.allclose(given.outputs["y"], theirs.outputs["y"])
