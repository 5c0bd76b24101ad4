"""Models at the edges of what ONNX allows: answered as ONNX Runtime does, or refused by one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_rai.errors import UnsupportedModelError
from support.written import agrees, network, node

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

INFINITE = np.float32(np.inf)
LIMITS = {
    "Clip": [node("Clip", "c least most", "y")],
    "Max, Min": [node("Max", "c least", "m"), node("Min", "m most", "y")],
    "Min, Max": [node("Min", "c most", "m"), node("Max", "m least", "y")],
}


def drawn(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def refusal(model: onnx.ModelProto, **options: Any) -> str:
    from edge_rai_converters.targets.tflite import write

    with pytest.raises(UnsupportedModelError) as refused:
        write(model, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("limits", LIMITS)
def test_infinite_limits_behind_a_layer_are_none(limits: str) -> None:
    x, constants = drawn(1, 3, 4, 4), {"w": drawn(3, 3, 1, 1), "least": -INFINITE, "most": INFINITE}
    model = network([node("Conv", "x w", "c"), *LIMITS[limits]], {"x": x}, "y", constants)
    assert agrees(model, {"x": x}, layout="nhwc").written.operators == ("CONV_2D",)


def test_infinity_that_gives_the_answer_its_shape_stays() -> None:
    x = drawn(3)
    model = network([node("Max", "x least", "y")], {"x": x}, "y", {"least": np.full((1, 1), -INFINITE)})
    assert agrees(model, {"x": x}).outputs["y"].shape == (1, 3)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_crop_leaves_an_axis_that_keeps_its_length_whole_as_onnx_runtime_does(mode: str) -> None:
    x = drawn(1, 2, 7, 6)
    constants = {"roi": np.float32([0, 0, 0.1, 0.2, 1, 1, 0.9, 0.8]), "scales": np.float32([1, 1, 3, 1])}
    resize = node("Resize", "x roi scales", "y", mode=mode, coordinate_transformation_mode="tf_crop_and_resize")
    agrees(network([resize], {"x": x}, "y", constants, 19), {"x": x})


def test_normalization_over_axes_that_are_not_there_is_refused() -> None:
    model = network([node("MeanVarianceNormalization", "x", "y", axes=[0, 2, 3])], {"x": (2, 3, 4, 5)}, "y", {})
    del model.graph.input[0].type.tensor_type.shape.dim[2:]
    assert refusal(model) == (
        "TFLite: MeanVarianceNormalization node 'MeanVarianceNormalization_y': it normalizes axes [0, 2, 3] of 2; "
        "name axes that its input has"
    )


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("Concat", {"axis": 0}), ("ReduceMean", {}), ("Softmax", {}), ("LayerNormalization", {})],
)
def test_more_axes_than_xnnpack_has_are_refused_where_it_runs(operator: str, attributes: dict[str, int]) -> None:
    inputs = {"Concat": "x x", "LayerNormalization": "x k"}.get(operator, "x")
    model = network([node(operator, inputs, "y", **attributes)], {"x": (1, 2, 1, 2, 1, 2, 2)}, "y", {"k": drawn(2)})
    said = refusal(model)
    assert f"node '{operator}_y" in said
    assert said.endswith("': its values have 7 axes, where LiteRT takes 6; join some of them by a Reshape")


@pytest.mark.parametrize("operator", ["Add", "Relu", "Transpose", "Where"])
def test_eight_axes_are_written_of_what_takes_them_and_nine_are_refused(operator: str) -> None:
    inputs = {"Add": "x k", "Where": "c x k"}.get(operator, "x")

    def model(*shape: int) -> onnx.ModelProto:
        return network([node(operator, inputs, "y")], {"x": shape}, "y", {"k": drawn(2), "c": drawn(2) > 0})

    agrees(model(2, 1, 2, 1, 2, 1, 1, 2), {"x": drawn(2, 1, 2, 1, 2, 1, 1, 2)})
    assert refusal(model(2, 1, 2, 1, 2, 1, 1, 1, 2)) == (
        "TFLite: input 'x': its values have 9 axes, where LiteRT takes 8; join some of them by a Reshape"
    )


def test_axes_put_before_eight_are_refused_before_litert_aborts() -> None:
    model = network([node("Unsqueeze", "x a", "u"), node("Relu", "u", "y")], {"x": [2] * 8}, "y", {"a": np.array([0])})
    assert "9 axes, where LiteRT takes 8" in refusal(model)


def test_nodes_out_of_order_are_refused_with_what_is_missing() -> None:
    model = network([node("Relu", "x", "a"), node("Neg", "a", "y")], {"x": (2, 3)}, "y", {})
    model.graph.node.reverse()
    assert refusal(model) == "TFLite: Neg node 'Neg_y': no node before it makes 'a'; put the graph's nodes in order"


def test_output_that_nothing_makes_is_refused_by_name() -> None:
    model = network([node("Relu", "x", "y")], {"x": (2, 3)}, "y", {})
    model.graph.output.append(onnx.ValueInfoProto(name="z"))
    assert refusal(model) == "TFLite: output 'z': no node makes it; leave it away"


@pytest.mark.parametrize("options", [{"rows": 0}, {"shapes": {"x": (1, 3, 0, 5)}}, {"shapes": {"x": (1, 3, 4, -5)}}])
def test_lengths_below_one_are_refused(options: dict[str, Any]) -> None:
    model = network([node("Relu", "x", "y")], {"x": ("rows", 3, "high", "wide")}, "y", {})
    assert "input 'x': a length of " in refusal(model, **options)


def test_text_is_refused_as_text() -> None:
    model = network([node("Identity", "x", "y")], {"x": (1, 2)}, "y", {})
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.STRING
    assert refusal(model) == "TFLite: input 'x': it is text; give classes numbers"


@pytest.mark.parametrize(
    ("operator", "inputs", "nearest"),
    [
        ("Sinh", "x", "Exp"),
        ("GatherElements", "x i", "Gather"),
        ("MatMulInteger", "q q", "the float model, quantized on the way to TFLite"),
    ],
)
def test_refusals_name_what_is_near_in_kind_and_not_in_name(operator: str, inputs: str, nearest: str) -> None:
    given = {"x": drawn(2, 2), "q": np.zeros((2, 2), np.int8)}
    model = network([node(operator, inputs, "y")], given, "y", {"i": np.zeros((2, 2), np.int64)})
    assert refusal(model).endswith(
        f"node '{operator}_y': there is no TFLite form of this operator; the nearest that is written: {nearest}"
    )


def test_answers_in_no_order_are_refused_and_what_does_not_hang_on_it_is_written() -> None:
    largest, count = node("TopK", "x k", "v i", sorted=0), {"k": np.array([3])}
    assert refusal(network([largest], {"x": (2, 8)}, "v", count)) == (
        "TFLite: TopK node 'TopK_v': it answers in no order, so in another than the model's here; set sorted to 1"
    )
    total = network([largest, node("ReduceSum", "v", "y")], {"x": (2, 8)}, "y", count)
    agrees(total, {"x": drawn(2, 8)})


def test_operator_that_onnx_defines_as_a_loop_is_refused_under_its_own_name() -> None:
    given = {"end": np.array(3)}
    model = network([node("Range", "zero end one", "y")], given, "y", {"zero": np.array(0), "one": np.array(1)})
    assert refusal(model) == (
        "TFLite: Range node 'Range_y': the shape of 'y' depends on values; end the model before it and do it after"
    )


def test_product_of_whole_numbers_is_refused_under_its_own_name() -> None:
    model = network([node("MatMul", "x k", "y")], {"x": np.zeros((2, 3), int)}, "y", {"k": np.zeros((3, 2), int)})
    assert refusal(model).startswith("TFLite: MatMul node 'MatMul_y': it takes int64")


def test_outputs_that_are_inputs_or_constants_are_copies() -> None:
    x = drawn(2, 3)
    model = network([node("Relu", "x", "y")], {"x": x, "unused": x}, "y", {"k": x})
    model.graph.output.extend([model.graph.input[0], helper.make_tensor_value_info("k", 1, x.shape)])
    assert sorted(agrees(model, {"x": x, "unused": x}).written.operators) == ["RELU", "RESHAPE", "RESHAPE"]


def test_graph_without_nodes_copies_its_input() -> None:
    x = drawn(2, 3)
    model = network([node("Relu", "x", "y")], {"x": x}, "y", {})
    del model.graph.node[:]
    model.graph.output[0].CopyFrom(model.graph.input[0])
    assert agrees(model, {"x": x}).written.operators == ("RESHAPE",)
