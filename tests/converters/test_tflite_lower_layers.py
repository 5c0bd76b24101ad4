"""Normalizations, pools and products as TFLite has them, and what goes into the weights of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite.lower import lower
from support.lowering import Array, answers, lowered, model, node_model, operators, random

IMAGE = {"x": random(2, 4, 7, 9)}


def normal(width: int, seed: int = 0) -> dict[str, Array]:
    """Constants of a batch normalization."""
    rng = np.random.default_rng(seed)
    scale, variance = rng.uniform(0.5, 2, (2, width)).astype(np.float32)
    return {"scale": scale, "shift": random(width, seed=1), "mean": random(width, seed=2), "variance": variance}


def test_normalization_of_a_batch_is_a_product_and_a_sum() -> None:
    result = lowered(node_model("BatchNormalization", IMAGE, epsilon=1e-3, **normal(4)), IMAGE)
    assert operators(result) == ["Mul", "Add"]


def test_normalization_of_a_batch_may_have_computed_constants() -> None:
    feed = {**IMAGE, **normal(4)}
    lowered(node_model("BatchNormalization", feed), feed)


def test_normalization_in_training_is_refused() -> None:
    training = node_model("BatchNormalization", IMAGE, outputs=3, training_mode=1, **normal(4))
    with pytest.raises(UnsupportedModelError, match="it normalizes as in training; export the model for inference"):
        lower(training)


@pytest.mark.parametrize(
    ("operator", "more"),
    [
        ("InstanceNormalization", {"scale": random(4), "bias": random(4, seed=1)}),
        ("GroupNormalization", {"scale": random(4), "bias": random(4, seed=1), "num_groups": 2}),
        ("LayerNormalization", {"scale": random(9)}),
        ("LayerNormalization", {"scale": random(7, 9), "bias": random(7, 9), "axis": 2, "epsilon": 1e-3}),
        ("LpNormalization", {"axis": 1, "p": 2}),
        ("LpNormalization", {"axis": -1, "p": 1}),
        ("LRN", {"size": 3, "alpha": 0.01, "beta": 0.6, "bias": 2.0}),
        ("LRN", {"size": 5}),
        ("MeanVarianceNormalization", {"axes": [0, 2]}),
    ],
)
def test_normalization_is_written_in_plain_operators(operator: str, more: dict[str, Any]) -> None:
    opset = 21 if operator == "GroupNormalization" else 20
    result = lowered(node_model(operator, IMAGE, opset=opset, **more), IMAGE)
    assert not any("Normalization" in name or name == "LRN" for name in operators(result))


def test_group_normalization_of_opset_18_has_a_factor_a_group() -> None:
    more = {"scale": random(2), "bias": random(2, seed=1), "num_groups": 2}
    lowered(node_model("GroupNormalization", IMAGE, opset=18, **more), IMAGE)


def test_layer_normalization_gives_its_mean_and_deviation() -> None:
    lowered(node_model("LayerNormalization", IMAGE, outputs=3, scale=random(9)), IMAGE)


def test_normalization_by_root_mean_square_is_written_in_plain_operators() -> None:
    result = lower(node_model("RMSNormalization", IMAGE, opset=23, scale=random(9), epsilon=1e-4))
    x = IMAGE["x"].astype(np.float64)
    expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-4) * random(9)
    np.testing.assert_allclose(answers(result, IMAGE)["y0"], expected, atol=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["AveragePool", "MaxPool"]),
    size=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 1), (1, 3)]),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    automatic=st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
    counted=st.booleans(),
    ceil=st.booleans(),
)
def test_any_pool_is_one_without_gaps_that_counts_no_padding(
    kind: str,
    size: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    automatic: str,
    counted: bool,
    ceil: bool,
) -> None:
    assume(automatic == "NOTSET" or dilations == (1, 1))
    assume(all(pad < extent for pad, extent in zip(pads, size * 2, strict=True)))
    more: dict[str, Any] = {"kernel_shape": size, "strides": strides, "dilations": dilations, "ceil_mode": int(ceil)}
    more |= {"pads": pads} if automatic == "NOTSET" else {"auto_pad": automatic}
    if kind == "AveragePool":
        more["count_include_pad"] = int(counted)
    pool = node_model(kind, IMAGE, **more)
    try:
        answers(pool, IMAGE)
        result = lowered(pool, IMAGE)
    except (UnsupportedModelError, RuntimeException):
        assume(False)  # strides over more than the window: ONNX Runtime's own places depend on the operator
    for node in result.graph.node:
        if node.op_type == kind:
            assert {field.name for field in node.attribute} == {"kernel_shape", "strides", "pads"}


def test_places_of_greatest_values_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="MaxPool node 'node': it gives the places of the greatest values"):
        lower(node_model("MaxPool", IMAGE, outputs=2, kernel_shape=[2, 2]))


@pytest.mark.parametrize("turned", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("added", [None, (), (5,), (1, 5), (3, 1), (3, 5)])
@pytest.mark.parametrize("fixed", [True, False])
def test_gemm_has_constant_weights_or_is_a_product_and_a_sum(
    turned: tuple[int, int], added: tuple[int, ...] | None, fixed: bool
) -> None:
    feed = {"a": random(*((4, 3) if turned[0] else (3, 4)))}
    more: dict[str, Array] = {"b": random(*((5, 4) if turned[1] else (4, 5)))}
    if added is not None:
        more["c"] = random(*added)
    feed, more = (feed, more) if fixed else ({**feed, **more}, {})
    result = lowered(
        node_model("Gemm", feed, transA=turned[0], transB=turned[1], alpha=0.5, beta=2.0, **more), feed, 1e-5
    )
    for node in result.graph.node:
        if node.op_type == "Gemm":
            assert fixed
            assert [(field.name, field.i) for field in node.attribute] == [("transB", 1)]
    assert fixed or "Gemm" not in operators(result)


@pytest.mark.parametrize(("left", "right"), [((4,), (4,)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)), ((3, 4), (4, 5))])
def test_product_of_vectors_is_one_of_matrices(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    feed = {"a": random(*left), "b": random(*right)}
    result = lowered(node_model("MatMul", feed), feed, 1e-5)
    known = {value.name: len(value.type.tensor_type.shape.dim) for value in result.graph.value_info}
    known |= {name: value.ndim for name, value in feed.items()}
    product = next(node for node in result.graph.node if node.op_type == "MatMul")
    assert all(known[name] > 1 for name in product.input)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bqhd,bkhd->bhqk", [(2, 3, 4, 5), (2, 6, 4, 5)]),
        ("bhqk,bkhd->bqhd", [(2, 4, 3, 6), (2, 6, 4, 5)]),
        ("i,j->ij", [(3,), (4,)]),
        ("i,i->", [(3,), (3,)]),
        ("ij->ji", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ijk->j", [(2, 3, 4)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
        ("ba,b", [(3, 2), (3,)]),
        ("bij,bjk", [(2, 3, 4), (2, 4, 5)]),
    ],
)
def test_einsum_is_written_in_products(equation: str, shapes: list[tuple[int, ...]]) -> None:
    feed = {f"x{index}": random(*shape, seed=index) for index, shape in enumerate(shapes)}
    result = lowered(node_model("Einsum", feed, equation=equation), feed, 1e-5)
    assert "Einsum" not in operators(result)


def test_diagonal_of_an_einsum_is_refused() -> None:
    feed = {"x": random(3, 3)}
    with pytest.raises(UnsupportedModelError, match="Einsum node 'node': it takes a diagonal"):
        lower(node_model("Einsum", feed, equation="ii->i"))


def layer_of(operator: str, groups: int = 1) -> tuple[str, dict[str, Array], dict[str, Array]]:
    """A call of a layer with 4 channels in its answer, its constants, and what it is asked."""
    if operator == "Gemm":
        return "c = Gemm(x, w, b)", {"w": random(6, 4), "b": random(4, seed=1)}, {"x": random(3, 6)}
    if operator == "MatMul":
        return "c = MatMul(x, w)", {"w": random(6, 4)}, {"x": random(3, 6)}
    each = (4, 6 // groups) if operator == "Conv" else (6, 4 // groups)
    constants = {"w": random(*each, 3, 2), "b": random(4, seed=1)}
    return f"c = {operator}<group = {groups}>(x, w, b)", constants, {"x": random(2, 6, 7, 5)}


@pytest.mark.parametrize(
    ("operator", "groups"),
    [("Conv", 1), ("Conv", 2), ("ConvTranspose", 1), ("ConvTranspose", 2), ("Gemm", 1), ("MatMul", 1)],
)
@pytest.mark.parametrize(
    "after",
    [
        "y = Add(c, k)",
        "y = Mul(k, c)",
        "y = Sub(k, c)",
        "y = Sub(c, k)",
        "y = Div(c, k)",
        "m = Mul(c, k) y = Add(m, k)",
    ],
)
def test_factors_and_offsets_by_channel_go_into_the_layer(operator: str, groups: int, after: str) -> None:
    call, constants, feed = layer_of(operator, groups)
    images = "Conv" in operator
    k = np.random.default_rng(3).uniform(0.5, 2, (4, 1, 1) if images else 4).astype(np.float32)
    ranks = ("float[2, 6, 7, 5]", "float[N, 4, H, W]") if images else ("float[3, 6]", "float[N, 4]")
    given_model = model(f"({ranks[0]} x) => ({ranks[1]} y) {{ {call} {after} }}", k=k, **constants)
    result = lowered(given_model, feed, 2e-6)
    assert operators(result) == ["Gemm" if operator == "MatMul" else operator]


def test_normalization_of_a_batch_goes_into_the_convolution() -> None:
    text = """(float[2, 4, 7, 9] x) => (float[N, 5, H, W] y)
    { c = Conv(x, w) n = BatchNormalization(c, scale, shift, mean, variance) y = Relu(n) }"""
    result = lowered(model(text, w=random(5, 4, 3, 3), **normal(5)), IMAGE, 2e-6)
    assert operators(result) == ["Conv", "Relu"]


@pytest.mark.parametrize(
    "text",
    [
        "(float[2, 4, 7, 9] x) => (float[N, 5, H, W] y, float[N, 5, H, W] c) { c = Conv(x, w) y = Mul(c, k) }",
        "(float[2, 4, 7, 9] x) => (float[N, 5, H, W] y) { c = Conv(x, w) m = Mul(c, k) y = Add(m, c) }",
        "(float[2, 4, 7, 9] x, float[5, 1, 1] k2) => (float[N, 5, H, W] y) { c = Conv(x, w) y = Mul(c, k2) }",
    ],
)
def test_layer_that_something_else_reads_keeps_its_weights(text: str) -> None:
    feed = {**IMAGE, "k2": random(5, 1, 1)}
    result = lowered(model(text, w=random(5, 4, 3, 3), k=random(5, 1, 1)), feed)
    assert "Mul" in operators(result)


def test_factors_along_another_axis_stay_apart() -> None:
    text = "(float[2, 4, 7, 9] x) => (float[N, 5, H, W] y) { c = Conv(x, w) y = Mul(c, k) }"
    result = lowered(model(text, w=random(5, 4, 3, 3), k=random(7)), IMAGE)
    assert operators(result) == ["Conv", "Mul"]


def test_weights_that_two_layers_share_are_changed_for_one() -> None:
    text = """(float[2, 4, 7, 9] x) => (float[N, 5, H, W] y, float[N, 5, H, W] z)
    { c = Conv(x, w) y = Mul(c, k) z = Conv(x, w) }"""
    result = lowered(model(text, w=random(5, 4, 3, 3), k=random(5, 1, 1)), IMAGE)
    assert operators(result) == ["Conv", "Conv"]
    assert len(result.graph.initializer) == 2


@pytest.mark.parametrize(("alpha", "written"), [(1 / 6, ["Conv", "Clip", "Mul"]), (0.2, ["Conv", "Clip", "Mul"])])
def test_hard_sigmoid_goes_into_the_layer_before_it_but_for_its_limits(alpha: float, written: list[str]) -> None:
    text = f"""(float[2, 4, 7, 9] x) => (float[N, 5, H, W] y)
    {{ c = Conv(x, w) y = HardSigmoid<alpha = {alpha}, beta = 0.5>(c) }}"""
    assert operators(lowered(model(text, w=random(5, 4, 3, 3)), IMAGE, 2e-6)) == written


def test_shape_of_a_shape_is_one() -> None:
    text = "(float[2, 3, 4] x) => (float[6, 4] y) { a = Reshape(x, flat) y = Reshape(a, wide) }"
    given_model = model(text, flat=np.array([24]), wide=np.array([6, -1]))
    assert operators(lowered(given_model, {"x": random(2, 3, 4)})) == ["Reshape"]


def test_constant_that_a_caller_might_override_is_no_input() -> None:
    given_model = model("(float[2, 3] x, float[3] w) => (float[2, 3] y) { y = Add(x, w) }", w=random(3))
    assert [value.name for value in lower(given_model).graph.input] == ["x"]
