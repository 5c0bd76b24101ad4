"""Lowering as a whole: names, constants, what is computed ahead, what is expanded, and what is refused by name."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite.lower import lower
from support.lowering import answers, lowered, model, node_model, operators, random


def test_names_and_order_of_inputs_and_outputs_are_kept() -> None:
    given = model("(float[2, 3] b, float[2, 3] a) => (float[2, 3] z, float[2, 3] y) { y = Relu(a) z = Add(b, y) }")
    result = lowered(given, {"a": random(2, 3), "b": random(2, 3, seed=1)})
    assert [value.name for value in result.graph.input] == ["b", "a"]
    assert [value.name for value in result.graph.output] == ["z", "y"]


def test_output_that_is_another_value_keeps_its_name() -> None:
    text = """(float[2, 3] x) => (float[2, 3] same, float[2, 3] first, float[2, 3] second, float[6] flat)
    { same = Identity(x) h = Relu(x) first = Identity(h) second = Identity(h) s = Constant<value_ints = [6]>()
      flat = Reshape(first, s) }"""
    lowered(model(text), {"x": random(2, 3)})


def test_output_that_is_constant_becomes_an_initializer() -> None:
    text = "(float[2, 3] x) => (float[2, 3] y, int64[2] shape) { y = Neg(x) shape = Shape(x) }"
    result = lowered(model(text), {"x": random(2, 3)})
    assert operators(result) == ["Neg"]
    assert {tensor.name for tensor in result.graph.initializer} == {"shape"}


def test_argument_is_not_modified() -> None:
    given = model("(float[2, 3] x) => (float[3, 2] y) { i = Identity(x) y = Transpose(i) }")
    before = given.SerializeToString(deterministic=True)
    lower(given)
    assert given.SerializeToString(deterministic=True) == before


def test_arithmetic_of_shapes_is_computed_ahead() -> None:
    text = """(float[2, 3, 4] x) => (float[2, 12] y)
    { s = Shape(x) zero = Constant<value_int = 0>() n = Gather<axis = 0>(s, zero) axes = Constant<value_ints = [0]>()
      u = Unsqueeze(n, axes) rest = Constant<value_ints = [-1]>() t = Concat<axis = 0>(u, rest) y = Reshape(x, t) }"""
    result = lowered(model(text), {"x": random(2, 3, 4)})
    assert operators(result) == ["Reshape"]


def test_arithmetic_of_constants_is_computed_ahead() -> None:
    text = "(float[2, 3] x) => (float[2, 3] y) { w = MatMul(a, b) e = Exp(w) y = Add(x, e) }"
    result = lowered(model(text, a=random(2, 4), b=random(4, 3)), {"x": random(2, 3)})
    assert operators(result) == ["Add"]


def test_chance_is_no_constant() -> None:
    text = "(float[2, 3] x) => (float[2, 3] y) { r = RandomNormal<shape = [2, 3]>() y = Add(x, r) }"
    assert "RandomNormal" in operators(lower(model(text)))


def test_branch_of_a_constant_condition_is_taken() -> None:
    text = """(float[2, 3] x) => (float[2, 3] y)
    { s = Size(x) n = Constant<value_int = 6>() c = Equal(s, n)
      y = If (c) <then_branch = a () => (float[2, 3] t) { t = Exp(x) },
                  else_branch = b () => (float[2, 3] e) { e = Neg(x) }> }"""
    assert operators(lowered(model(text), {"x": random(2, 3)})) == ["Exp"]


def test_functions_of_the_model_are_inlined() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
    graph (float[2, 3] x) => (float[2, 3] y) { h = own.twice(x) y = own.twice(h) }
    <domain: "own", opset_import: ["" : 17]> twice (a) => (b) { b = Add(a, a) }"""
    given = onnx.parser.parse_model(text)
    assert operators(lowered(given, {"x": random(2, 3)})) == ["Add", "Add"]


def test_operator_that_is_specified_by_others_is_written_in_them() -> None:
    feed = {name: random(2, 4, 8, seed=seed) for seed, name in enumerate("qkv")}
    given = node_model("Attention", feed, opset=23, q_num_heads=2, kv_num_heads=2, is_causal=1)
    result = lowered(given, feed)
    assert "Attention" not in operators(result)
    assert operators(result).count("MatMul") == 2


def test_operators_that_are_specified_by_others_may_be_many() -> None:
    text = """(float[2, 2, 3] x) => (float[2, 2, 4, 2] y)
    { a = AffineGrid(x, size) n = Neg(x) b = AffineGrid(n, size) y = Max(a, b) }"""
    result = lowered(model(text, size=np.array([2, 1, 2, 4])), {"x": random(2, 2, 3)})
    assert "AffineGrid" not in operators(result)


def test_names_of_nodes_are_their_own() -> None:
    text = "(float[2, 3] x) => (float[2, 3] y) { [a] h = Selu(x) [b] y = Selu(h) }"
    given = model(text)
    given.graph.node[1].name = "a/Max"
    names = [node.name for node in lowered(given, {"x": random(2, 3)}).graph.node]
    assert len(set(names)) == len(names)


def test_what_no_output_asks_for_is_left_out() -> None:
    text = "(float[2, 3] x) => (float[2, 3] y) { y = Neg(x) unused = Exp(x) more = Mul(unused, w) }"
    result = lowered(model(text, w=random(2, 3)), {"x": random(2, 3)})
    assert operators(result) == ["Neg"]
    assert not result.graph.initializer


def test_nodes_keep_their_names_and_new_ones_say_what_they_stand_for() -> None:
    feed = {"x": random(2, 4, 6)}
    given = node_model("LayerNormalization", feed, scale=random(6), bias=random(6))
    names = [node.name for node in lowered(given, feed).graph.node]
    assert len(set(names)) == len(names)
    assert all(name.startswith("node/") for name in names)


def test_every_value_has_a_fixed_shape() -> None:
    feed = {"x": random(2, 4, 6)}
    result = lowered(node_model("LayerNormalization", feed, scale=random(6)), feed)
    described = {value.name for value in (*result.graph.value_info, *result.graph.output)}
    assert {name for node in result.graph.node for name in node.output} <= described


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18, 20, 21, 23])
def test_every_opset_gives_the_same_form(opset: int) -> None:
    axes = "s = Squeeze<axes = [1]>(x)" if opset < 13 else "a = Constant<value_ints = [1]>() s = Squeeze(x, a)"
    total = "t = ReduceSum<axes = [1], keepdims = 0>(c)" if opset < 13 else "t = ReduceSum<keepdims = 0>(c, a)"
    text = f"(float[2, 1, 3] x) => (float[2] t) {{ {axes} c = Clip(s, low, high) {total} }}"
    given = model(text, opset=opset, low=np.float32(-1), high=np.float32(1))
    result = lowered(given, {"x": random(2, 1, 3)})
    assert operators(result) == ["Reshape", "Clip", "ReduceSum"]
    assert [entry.version for entry in result.opset_import] == [20]


def test_softmax_before_opset_13_runs_over_all_axes_behind() -> None:
    feed = {"x": random(2, 3, 4)}
    old, new = (node_model("Softmax", feed, opset=opset, axis=1) for opset in (12, 13))
    assert not np.allclose(answers(old, feed)["y0"], answers(new, feed)["y0"])
    assert operators(lowered(old, feed)) == ["Reshape", "Softmax", "Reshape"]
    assert operators(lowered(new, feed)) == ["Softmax"]


def test_shape_that_depends_on_values_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match="NonZero node 'node': the shape of 'y0' depends on values"):
        lower(node_model("NonZero", {"x": random(2, 3)}))


def test_computed_axes_are_refused_by_the_name_of_the_input() -> None:
    feed = {"x": random(2, 3), "repeats": np.array([1, 2])}
    with pytest.raises(UnsupportedModelError, match="Tile node 'node': its input 'repeats' is computed"):
        lower(node_model("Tile", feed))


def test_operator_of_another_domain_is_refused_by_name() -> None:
    given = model("(float[2, 3] x) => (float[2, 3] y) { y = Neg(x) }")
    given.graph.node[0].domain = "com.example"
    with pytest.raises(UnsupportedModelError, match="com.example.Neg node 'y'"):
        lower(given)


def test_output_of_text_is_refused_by_the_node_that_makes_it() -> None:
    given = model("(int64[2] x) => (string[2] y) { y = Gather(labels, x) }", labels=np.array(["a", "b"], object))
    with pytest.raises(UnsupportedModelError, match="Gather node 'y.*' makes text|it makes text"):
        lower(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            """(float[2, 3] x, bool c) => (float[2, 3] y)
            { y = If (c) <then_branch = a () => (float[2, 3] t) { t = Exp(x) },
                          else_branch = b () => (float[2, 3] e) { e = Neg(x) }> }""",
            "If node 'y': it chooses or repeats a part of the graph",
        ),
        (
            """(float[2, 3] x) => (float[2, 3] y)
            { n = Constant<value_int = 3>() c = Constant<value = bool {1}>()
              y = Loop (n, c, x) <body = b (int64 i, bool d, float[2, 3] v) => (bool e, float[2, 3] w)
              { e = Identity(d) w = Exp(v) }> }""",
            "Loop node 'y': it chooses or repeats a part of the graph",
        ),
        (
            """(float[4, 3] x) => (float[2, 3] y)
            { s = Constant<value_int = 2>() q = SplitToSequence<axis = 0>(x, s) i = Constant<value_int = 1>()
              y = SequenceAt(q, i) }""",
            "SplitToSequence node 'q': 'q' is no tensor",
        ),
        (
            "(float[4, 3] x, float[5, 2] z) => (float[4, 3] y) { y = MatMul(x, z) }",
            "MatMul node 'y': it does not fit its inputs",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        lower(model(text))


def test_sparse_constant_is_refused_by_name() -> None:
    given = model("(float[2, 3] x) => (float[2, 3] y) { y = Add(x, s) }")
    sparse = given.graph.sparse_initializer.add()
    sparse.values.CopyFrom(onnx.numpy_helper.from_array(np.float32([1]), "s"))
    with pytest.raises(UnsupportedModelError, match="initializer 's': it is sparse; store it densely"):
        lower(given)


def test_what_holds_no_value_is_left_out_of_what_is_joined() -> None:
    text = """(float[2, 6] x) => (float[2, 8] y)
    { a, none, b = Split<axis = 1>(x, sizes) n = Exp(none) y = Concat<axis = 1>(b, n, a, b) }"""
    result = lowered(model(text, opset=13, sizes=np.array([4, 0, 2])), {"x": random(2, 6)})
    assert operators(result) == ["Split", "Concat"]
    assert len(result.graph.node[1].input) == 3


def test_tensor_without_values_is_refused() -> None:
    text = "(float[2, 3] x) => (float[0, 3] y) { y = Slice(x, two, two, zero) }"
    given = model(text, two=np.array([2]), zero=np.array([0]))
    with pytest.raises(UnsupportedModelError, match="holds no value"):
        lower(given)
