"""Operators that move and shape values: one form of each, the same answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite.lower import lower
from support.lowering import Array, lowered, model, node_model, operators, random


def constant(result: onnx.ModelProto, node: int, index: int) -> Array:
    """An input of a node that is an initializer."""
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in result.graph.initializer}
    return values[result.graph.node[node].input[index]]


@pytest.mark.parametrize(
    ("operator", "more"),
    [
        ("Reshape", {"shape": np.array([0, -1])}),
        ("Flatten", {"axis": -1}),
        ("Squeeze", {}),
        ("Squeeze", {"axes": np.array([-3])}),
        ("Unsqueeze", {"axes": np.array([0, -1])}),
    ],
)
def test_what_only_shapes_is_one_reshape(operator: str, more: dict[str, Any]) -> None:
    feed = {"x": random(2, 1, 3, 4)}
    assert operators(lowered(node_model(operator, feed, **more), feed)) == ["Reshape"]


@pytest.mark.parametrize(
    ("operator", "more"),
    [
        ("Reshape", {"shape": np.array([2, 3])}),
        ("Transpose", {"perm": [0, 1]}),
        ("Slice", {"starts": np.array([0]), "ends": np.array([9])}),
        ("Pad", {"pads": np.zeros(4, np.int64)}),
        ("Tile", {"repeats": np.array([1, 1])}),
        ("Expand", {"shape": np.array([1, 3])}),
        ("Concat", {"axis": 0}),
        ("Cast", {"to": onnx.TensorProto.FLOAT}),
    ],
)
def test_what_changes_nothing_is_left_out(operator: str, more: dict[str, Any]) -> None:
    feed = {"x": random(2, 3)}
    assert operators(lowered(node_model(operator, feed, **more), feed)) == ["Identity"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    start=st.integers(-9, 9),
    end=st.integers(-9, 9),
    step=st.sampled_from([-3, -2, -1, 1, 2, 3]),
    axis=st.integers(-2, 1),
)
def test_any_slice_is_within_bounds_and_forwards(start: int, end: int, step: int, axis: int) -> None:
    feed = {"x": random(5, 6)}
    ranges = {"starts": start, "ends": end, "axes": axis, "steps": step}
    slicing = node_model("Slice", feed, **{name: np.array([number]) for name, number in ranges.items()})
    if len(range((5, 6)[axis])[start:end:step]) == 0:
        with pytest.raises(UnsupportedModelError, match="holds no value"):
            lower(slicing)
        return
    result = lowered(slicing, feed)
    for place, operator in enumerate(operators(result)):
        if operator == "Slice":
            starts, ends, axes, steps = (constant(result, place, index) for index in range(1, 5))
            assert axes.tolist() == [0, 1]
            assert (steps > 0).all()
            assert (starts >= 0).all()
            assert (ends <= [5, 6]).all()


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [[0, 1, 2, 0], [2, 0, 0, 2], [-1, 1, 1, -2], [0, -2, 0, -1]])
def test_paddings_are_written_for_every_axis(mode: str, pads: list[int]) -> None:
    feed = {"x": random(4, 5)}
    result = lowered(node_model("Pad", feed, pads=np.array(pads), mode=mode), feed)
    assert set(operators(result)) <= {"Pad", "Slice", "Concat"}


@pytest.mark.parametrize("pads", [[4, 0, 0, 0], [0, 0, 0, 5], [-2, 0, 2, 0]])
def test_reflection_of_more_than_there_is_is_refused(pads: list[int]) -> None:
    padding = node_model("Pad", {"x": random(4, 5)}, pads=np.array(pads), mode="reflect")
    with pytest.raises(UnsupportedModelError, match="Pad node .*: it reflects more than there is; pad by less"):
        lower(padding)


def test_paddings_of_some_axes_are_written_for_all() -> None:
    feed = {"x": random(4, 5, 6)}
    more = {"pads": np.array([1, 2]), "value": np.float32(7), "axes": np.array([-2])}
    result = lowered(node_model("Pad", feed, **more), feed)
    assert constant(result, 0, 1).tolist() == [0, 1, 0, 0, 2, 0]


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_split_has_its_sizes(opset: int) -> None:
    feed = {"x": random(7, 4)}
    more: dict[str, Any] = {"split": [3, 4]} if opset < 13 else {"split": np.array([3, 4])}
    result = lowered(node_model("Split", feed, opset=opset, outputs=2, axis=-2, **more), feed)
    assert constant(result, 0, 1).tolist() == [3, 4]


def test_split_of_a_number_of_outputs_has_a_smaller_last_piece() -> None:
    feed = {"x": random(7, 4)}
    result = lowered(node_model("Split", feed, outputs=3, axis=0, num_outputs=3), feed)
    assert constant(result, 0, 1).tolist() == [3, 3, 1]


def test_places_that_gather_computes_are_counted_from_the_front() -> None:
    feed = {"x": random(5, 3), "places": np.array([[-1, 0], [4, -5]])}
    result = lowered(node_model("Gather", feed, axis=0), feed)
    assert operators(result) == ["Add", "Less", "Where", "Gather"]


def test_places_of_greatest_values_need_no_counting() -> None:
    text = "(float[4, 3] x) => (int64[4] y) { i = ArgMax<axis = 1, keepdims = 0>(x) y = Gather(t, i) }"
    assert operators(lowered(model(text, t=np.array([7, 3, 5])), {"x": random(4, 3)})) == ["ArgMax", "Gather"]
    assert operators(lowered(model(text, t=np.arange(3)), {"x": random(4, 3)})) == ["ArgMax"]


def test_gather_of_one_constant_place_is_a_slice() -> None:
    feed = {"x": random(5, 3)}
    result = lowered(node_model("Gather", feed, places=np.array(-2), axis=0), feed)
    assert operators(result) == ["Slice", "Reshape"]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_has_one_order_of_channels(mode: str) -> None:
    feed = {"x": random(1, 8, 3, 5)}
    result = lowered(node_model("DepthToSpace", feed, blocksize=2, mode=mode), feed)
    assert result.graph.node[-1].attribute[1].s == b"DCR"


def test_channels_in_another_order_are_the_convolution_s() -> None:
    text = """(float[1, 3, 4, 4] x) => (float[1, 2, 8, 8] y)
    { c = Conv(x, w, b) y = DepthToSpace<blocksize = 2, mode = "CRD">(c) }"""
    given_model = model(text, w=random(8, 3, 1, 1), b=random(8))
    assert operators(lowered(given_model, {"x": random(1, 3, 4, 4)})) == ["Conv", "DepthToSpace"]


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("shift", [-1, 0, 2])
def test_triangles_are_masks(upper: int, shift: int) -> None:
    feed = {"x": random(2, 4, 5)}
    assert operators(lowered(node_model("Trilu", feed, k=np.array(shift), upper=upper), feed)) == ["Where"]


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot_is_a_comparison(axis: int) -> None:
    feed = {"x": np.array([[0, -1, 2], [3, 1, -4]])}
    result = lowered(node_model("OneHot", feed, depth=np.array(4), values=np.float32([-1, 5]), axis=axis), feed)
    assert operators(result) == ["Reshape", "Equal", "Equal", "Or", "Where"]


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("operator", "opset"), [("Resize", 10), ("Upsample", 9)])
def test_resize_before_opset_11_places_values_as_then(operator: str, opset: int, mode: str) -> None:
    feed = {"x": random(1, 2, 4, 5)}
    given_model = node_model(operator, feed, opset=opset, scales=np.float32([1, 1, 2, 3]), mode=mode)
    assert operators(lowered(given_model, feed)) == ["Resize"]


@pytest.mark.parametrize("opset", [9, 10])
def test_slice_and_padding_may_be_attributes(opset: int) -> None:
    feed = {"x": random(4, 5)}
    ranges: dict[str, Any] = {"starts": [1], "ends": [-1], "axes": [1]}
    if opset > 9:
        ranges = {name: np.array(numbers) for name, numbers in ranges.items()}
    assert operators(lowered(node_model("Slice", feed, opset=opset, **ranges), feed)) == ["Slice"]
    padding = node_model("Pad", feed, opset=opset, pads=[0, 1, 2, 0], value=3.0)
    assert operators(lowered(padding, feed)) == ["Pad"]
    assert operators(lowered(node_model("Clip", feed, opset=opset, max=0.5), feed)) == ["Clip"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_range_of_what_was_put_together_is_what_it_was(data: st.DataObject) -> None:
    """Pieces of one axis, moved and shaped, and a range of some axis: read from its piece where it lies in one."""
    number = st.integers(1, 3)
    shape, joined = data.draw(st.tuples(number, number, number)), data.draw(st.integers(0, 2))
    sizes = data.draw(st.lists(number, min_size=2, max_size=4))
    feed = {
        f"p{i}": random(*shape[:joined], size, *shape[joined + 1 :], seed=i).round(3) for i, size in enumerate(sizes)
    }
    values = np.concatenate([*feed.values()], axis=joined)
    nodes, constants = [onnx.helper.make_node("Concat", [*feed], ["v0"], axis=joined)], dict[str, Array]()
    for step in range(1, 1 + data.draw(st.integers(0, 3))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(values.ndim)))
            nodes.append(onnx.helper.make_node("Transpose", [f"v{step - 1}"], [f"v{step}"], perm=order))
            values = values.transpose(order)
        else:
            wanted = data.draw(
                st.sampled_from([(-1,), (1, *values.shape), (values.shape[0], -1), (-1, values.shape[-1])])
            )
            values = values.reshape(wanted)
            constants[f"s{step}"] = np.array(values.shape)
            nodes.append(onnx.helper.make_node("Reshape", [f"v{step - 1}", f"s{step}"], [f"v{step}"]))
    axis = data.draw(st.integers(0, values.ndim - 1))
    start = data.draw(st.integers(0, values.shape[axis] - 1))
    stop = data.draw(st.integers(start + 1, values.shape[axis]))
    constants |= {name: np.array([place]) for name, place in (("start", start), ("stop", stop), ("axis", axis))}
    nodes.append(onnx.helper.make_node("Slice", [nodes[-1].output[0], "start", "stop", "axis"], ["y"]))
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [onnx.helper.make_tensor_value_info(name, float32, part.shape) for name, part in feed.items()],
        [onnx.helper.make_tensor_value_info("y", float32, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    lowered(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), feed, 0)
