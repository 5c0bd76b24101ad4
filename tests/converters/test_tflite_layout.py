"""In which order tensors hold their axes, and how few are put in another one."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import onnx
import pytest

from edge_rai_converters.targets.tflite.layout import (
    UNIT,
    arranged,
    broadcast,
    channels_last,
    native,
    permuted,
    same_order,
    through_reshape,
    through_transpose,
)
from support.random_nodes import normal
from support.written import Array, agrees, network, node

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

RNG = np.random.default_rng(3)
X = normal(RNG, 1, 3, 8, 8)


# ---- The arithmetic of layouts ----


def test_a_constant_lies_in_a_tensor_as_its_layout_says() -> None:
    array = normal(RNG, 2, 3, 5)
    assert np.array_equal(permuted(array, channels_last(3)), array.transpose(0, 2, 1)[:, None])
    assert arranged(array.shape, channels_last(3), 1) == [2, 1, 5, 3]


@pytest.mark.parametrize("shape", [(3, 5), (5,), (), (4, 3, 5), (1, 4, 1, 5)])
def test_an_operand_of_fewer_axes_broadcasts_in_any_layout_as_in_onnx(shape: tuple[int, ...]) -> None:
    value, operand = normal(RNG, 2, 4, 3, 5), normal(RNG, *shape)
    for layout in permutations(range(4)):
        summed = permuted(value, layout) + permuted(operand, broadcast(layout, operand.ndim))
        assert np.array_equal(summed, permuted(value + operand, layout))


def test_a_tensor_of_a_value_is_one_of_the_transposed_value_in_another_layout() -> None:
    value = normal(RNG, 2, 3, 4, 5)
    for layout in permutations(range(4)):
        for order in permutations(range(4)):
            found = through_transpose(layout, order)
            assert np.array_equal(permuted(value, layout), permuted(value.transpose(order), found))


@pytest.mark.parametrize(
    ("shape", "target"),
    [((2, 6, 4), (2, 3, 2, 4)), ((2, 3, 4), (6, 4)), ((2, 1, 3, 4), (2, 12, 1)), ((4, 6), (8, 3)), ((1, 1), (1,))],
)
def test_a_tensor_is_reshaped_with_its_value_once_what_is_joined_lies_together(
    shape: tuple[int, ...], target: tuple[int, ...]
) -> None:
    value = normal(RNG, *shape)
    for layout in permutations(range(len(shape))):
        before, behind = through_reshape(shape, target, layout)
        assert sorted(before) == sorted(layout)
        reshaped = permuted(value, before).reshape(arranged(target, behind, 1))
        assert np.array_equal(reshaped, permuted(value.reshape(target), behind))


def test_what_splits_axes_only_moves_nothing() -> None:
    shape, target = (1, 8, 4, 4), (1, 2, 4, 4, 4)
    before, behind = through_reshape(shape, target, channels_last(4))
    assert same_order(shape, before, channels_last(4))
    assert [axis for axis in behind if target[axis] > 1] == [3, 4, 1, 2]


def test_layouts_that_differ_in_axes_of_length_one_lie_in_memory_alike() -> None:
    assert same_order((1, 1, 28, 28), native(4), channels_last(4))
    assert not same_order((1, 3, 28, 28), native(4), channels_last(4))
    assert same_order((1, 3, 5), channels_last(3), (0, 2, 1))
    assert UNIT in channels_last(3)


# ---- How few transposes there are ----


def transposes(nodes: list[onnx.NodeProto], outputs: str = "y", layout: str = "keep", **constants: Array) -> int:
    """Of a network of an image, which must agree with ONNX Runtime."""
    model = network(nodes, {"x": X}, outputs, constants)
    return agrees(model, {"x": X}, layout=layout).written.operators.count("TRANSPOSE")


W = normal(RNG, 4, 3, 3, 3)
V = normal(RNG, 4, 4, 3, 3)
CONV = [node("Conv", "x w", "a", pads=[1] * 4), node("Relu", "a", "b"), node("Conv", "b v", "c", pads=[1] * 4)]


def test_convolutions_with_a_residual_take_one_transpose_in_and_one_out() -> None:
    assert transposes([*CONV, node("Add", "c b", "y")], w=W, v=V) == 2


def test_with_channels_last_at_the_edges_there_is_none() -> None:
    nodes = [*CONV, node("Add", "c b", "y")]
    model = network(nodes, {"x": X}, "y", {"w": W, "v": V})
    written = agrees(model, {"x": X}, layout="nhwc").written
    assert "TRANSPOSE" not in written.operators
    assert [(edge.shape, edge.axes, edge.kept) for edge in (*written.inputs, *written.outputs)] == [
        ((1, 8, 8, 3), (0, 2, 3, 1), False),
        ((1, 8, 8, 4), (0, 2, 3, 1), False),
    ]


def test_an_input_that_is_scaled_before_the_convolution_has_its_channels_last_too() -> None:
    nodes = [node("Sub", "x mean", "m"), node("Mul", "m factor", "n"), node("Conv", "n w", "y")]
    constants = {"w": W, "mean": normal(RNG, 1, 3, 1, 1), "factor": normal(RNG, 3, 1, 1)}
    assert transposes(nodes, layout="nhwc", **constants) == 0


def test_inputs_of_matrix_products_keep_their_layout_when_channels_are_to_be_last() -> None:
    rows = normal(RNG, 2, 5, 6)
    model = network([node("MatMul", "x w", "y")], {"x": rows}, "y", {"w": normal(RNG, 6, 4)})
    written = agrees(model, {"x": rows}, layout="nhwc").written
    assert all(edge.kept for edge in (*written.inputs, *written.outputs))


def test_flattening_before_a_matrix_product_puts_the_weights_in_order_instead_of_the_values() -> None:
    nodes = [*CONV, node("Flatten", "c", "f"), node("Gemm", "f g h", "y")]
    assert transposes(nodes, w=W, v=V, g=normal(RNG, 256, 5), h=normal(RNG, 5)) == 1


def test_flattened_values_that_are_an_output_are_in_onnx_order() -> None:
    nodes = [*CONV, node("Flatten", "c", "f"), node("Gemm", "f g h", "y")]
    assert transposes(nodes, "y f", w=W, v=V, g=normal(RNG, 256, 5), h=normal(RNG, 5)) == 2


def test_squeeze_and_excitation_moves_nothing() -> None:
    nodes = [
        *CONV,
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f g", "s"),
        node("Sigmoid", "s", "t"),
        node("Reshape", "t shape", "u"),
        node("Mul", "c u", "y"),
    ]
    assert transposes(nodes, w=W, v=V, g=normal(RNG, 4, 4), shape=np.array([1, 4, 1, 1])) == 2


def test_a_shuffle_of_channels_takes_one_transpose() -> None:
    nodes = [
        *CONV,
        node("Reshape", "c five", "d"),
        node("Transpose", "d", "e", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "e four", "f"),
        node("Conv", "f v", "y"),
    ]
    shapes = {"five": np.array([1, 2, 2, 8, 8]), "four": np.array([1, 4, 8, 8])}
    assert transposes(nodes, layout="nhwc", w=W, v=V, **shapes) == 1


def test_pixels_in_a_row_behind_a_convolution_are_at_hand() -> None:
    nodes = [
        *CONV,
        node("Reshape", "c shape", "d"),
        node("Transpose", "d", "e", perm=[0, 2, 1]),
        node("MatMul", "e g", "y"),
    ]
    assert transposes(nodes, w=W, v=V, shape=np.array([1, 4, 64]), g=normal(RNG, 4, 6)) == 1


def test_one_dimensional_convolutions_in_a_row_are_reshaped_at_the_edges_only() -> None:
    x = normal(RNG, 1, 3, 20)
    nodes = [
        node("Conv", "x w", "a", pads=[1, 1]),
        node("Relu", "a", "b"),
        node("MaxPool", "b", "c", kernel_shape=[2], strides=[2]),
        node("Conv", "c v", "d"),
        node("Softmax", "d", "y", axis=1),
    ]
    constants = {"w": normal(RNG, 4, 3, 3), "v": normal(RNG, 4, 4, 3)}
    written = agrees(network(nodes, {"x": x}, "y", constants), {"x": x}, layout="nhwc").written
    assert written.operators == ("RESHAPE", "CONV_2D", "MAX_POOL_2D", "CONV_2D", "SOFTMAX", "RESHAPE")
    assert written.inputs[0].axes == (0, 2, 1)


def test_a_network_written_for_channels_last_in_onnx_has_no_transpose_left() -> None:
    x = normal(RNG, 1, 8, 8, 3)
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w", "a"),
        node("Softmax", "a", "b", axis=1),
        node("Transpose", "b", "y", perm=[0, 2, 3, 1]),
    ]
    written = agrees(network(nodes, {"x": x}, "y", {"w": W}), {"x": x}).written
    assert written.operators == ("CONV_2D", "SOFTMAX")
