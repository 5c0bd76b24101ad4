"""ai.onnx.ml in plain operators: ONNX Runtime's own kernels are what the answers are held to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge_rai_converters.passes.contract import Material, NotApplicableError, apply
from edge_rai_converters.passes.lower import lower, lower_scalers

Array = npt.NDArray[Any]
ML = "ai.onnx.ml"
KINDS = {"float32": 1, "float64": 11, "int64": 7, "int32": 6, "object": 8}
NAN, INF = float("nan"), float("inf")
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
FEATURES = 5


def one(
    operator: str,
    rows: Array | Mapping[str, Array],
    outputs: Mapping[str, int],
    ml: int = 3,
    opset: int = 17,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node whose inputs have a free axis 0 and the rows' other extents."""
    rows = rows if isinstance(rows, Mapping) else {"x": rows}
    node = helper.make_node(operator, list(rows), list(outputs), domain=ML, **attributes)
    inputs = [
        helper.make_tensor_value_info(name, KINDS[array.dtype.name], ["rows", *array.shape[1:]])
        for name, array in rows.items()
    ]
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(ML, ml)]
    graph = helper.make_graph(
        [node], "one", inputs, [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    )
    model = helper.make_model(graph, opset_imports=imports[not opset :], ir_version=9)
    for value, answer in zip(list(graph.output), answers(model, rows), strict=True):
        model.graph.output.remove(value)
        model.graph.output.append(
            helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, [None] * answer.ndim)
        )
    return model


def answers(model: onnx.ModelProto, feed: Array | Mapping[str, Array]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feed) if isinstance(feed, Mapping) else {"x": feed})


def lowered(model: onnx.ModelProto, feed: Array | Mapping[str, Array]) -> onnx.ModelProto:
    feeds = dict(feed) if isinstance(feed, Mapping) else {"x": feed}
    material = Material(lambda: iter([feeds]), len(next(iter(feeds.values()))), batched=True)
    return apply([lower()], model, material)


def check(model: onnx.ModelProto, feed: Array | Mapping[str, Array], *, exactly: bool = False) -> onnx.ModelProto:
    """Nothing of ai.onnx.ml is left, and the answers are the same: to the bit, or to a few units in the last place."""
    result = lowered(model, feed)
    assert [node.op_type for node in result.graph.node if node.domain] == []
    assert [entry.domain for entry in result.opset_import] == [""]
    for before, after in zip(answers(model, feed), answers(result, feed), strict=True):
        assert (before.dtype, before.shape) == (after.dtype, after.shape)
        if exactly or before.dtype.kind in "iO":
            np.testing.assert_array_equal(after, before)
        else:
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    return result


def floats(seed: int, rows: int = 40, features: int = FEATURES) -> Array:
    generator = np.random.default_rng(seed)
    values = generator.normal(0, generator.choice([0.01, 1, 30], features), (rows, features)).astype(np.float32)
    values[generator.random(values.shape) < 0.2] = 0
    values[0] = 0
    return values


def hostile(rows: Array) -> Array:
    """With NaN and infinity in some of the rows."""
    rows = rows.copy()
    rows[1, 0], rows[2, -1], rows[3, 0], rows[4, :2], rows[5] = NAN, INF, -INF, (INF, -INF), NAN
    return rows


def labels(strings: bool, count: int) -> dict[str, Any]:
    if strings:
        return {"classlabels_strings": [f"class {index}" for index in reversed(range(count))]}
    return {"classlabels_ints": [7 * index - 3 for index in range(count)]}


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(1, 6),
    transform=st.sampled_from(TRANSFORMS),
    strings=st.booleans(),
    dtype=st.sampled_from(["float32", "float64", "int64", "int32"]),
    opset=st.sampled_from([11, 13, 18, 21, 0]),
)
def test_linear_classifier_answers_as_before(
    seed: int, classes: int, transform: str, strings: bool, dtype: str, opset: int
) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(classes, FEATURES)).astype(np.float32)
    weights[generator.random(weights.shape) < 0.2] = 0
    model = one(
        "LinearClassifier",
        rows := floats(seed).astype(dtype),
        {"label": TensorProto.STRING if strings else TensorProto.INT64, "scores": TensorProto.FLOAT},
        opset=opset,
        coefficients=weights.ravel().tolist(),
        intercepts=generator.normal(size=classes).astype(np.float32).tolist(),
        post_transform=transform,
        **labels(strings, max(classes, 2)),
    )
    check(model, rows)
    if dtype.startswith("float"):
        check(model, hostile(rows))
    check(model, rows[:0])


@pytest.mark.parametrize("classes", [1, 3])
def test_probit_stays_because_rounding_decides_it(classes: int) -> None:
    model = one(
        "LinearClassifier",
        rows := floats(0),
        {"label": TensorProto.INT64, "scores": TensorProto.FLOAT},
        coefficients=[0.1] * FEATURES * classes,
        intercepts=[0.5] * classes,
        post_transform="PROBIT",
        **labels(False, max(classes, 2)),
    )
    with pytest.raises(NotApplicableError, match="no operator of ai.onnx.ml that plain ones could replace"):
        lowered(model, rows)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    targets=st.integers(1, 4),
    intercepts=st.booleans(),
    transform=st.sampled_from(TRANSFORMS),
    opset=st.sampled_from([11, 18, 0]),
)
def test_linear_regressor_answers_as_before(
    seed: int, targets: int, intercepts: bool, transform: str, opset: int
) -> None:
    generator = np.random.default_rng(seed)
    extra = {"intercepts": generator.normal(size=targets).tolist()} if intercepts else {}
    model = one(
        "LinearRegressor",
        rows := floats(seed),
        {"y": TensorProto.FLOAT},
        opset=opset,
        coefficients=generator.normal(size=targets * FEATURES).tolist(),
        targets=targets,
        post_transform=transform,
        **extra,
    )
    check(model, rows)
    check(model, hostile(rows))


def test_intercepts_of_another_number_than_the_targets_are_passed_over() -> None:
    weights = {"coefficients": [0.5] * 2 * FEATURES, "targets": 2}
    model = one("LinearRegressor", rows := floats(0), {"y": TensorProto.FLOAT}, intercepts=[1.0, 2.0, 3.0], **weights)
    check(model, rows)


def test_coefficients_of_another_number_than_the_features_stay() -> None:
    rows = floats(0, features=4)
    model = one("LinearRegressor", rows, {"y": TensorProto.FLOAT}, coefficients=[0.5] * 5)
    with pytest.raises(NotApplicableError):
        lowered(model, rows)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    norm=st.sampled_from(["L1", "L2", "MAX"]),
    dtype=st.sampled_from(["float32", "float64", "int64", "int32"]),
    opset=st.sampled_from([11, 13, 18]),
    rank=st.sampled_from([1, 2]),
)
def test_normalizer_answers_as_before_also_of_rows_of_zeros(
    seed: int, norm: str, dtype: str, opset: int, rank: int
) -> None:
    rows = floats(seed).astype(dtype) if rank == 2 else floats(seed)[:, 1].astype(dtype)
    model = one("Normalizer", rows, {"y": TensorProto.FLOAT}, opset=opset, norm=norm)
    check(model, rows)
    if rank == 2 and dtype.startswith("float"):
        check(model, hostile(rows))


def test_length_that_underflows_is_taken_for_zero() -> None:
    rows = np.array([[1e-30, -1e-30], [0, 0], [1e-20, 3]], np.float32)
    check(one("Normalizer", rows, {"y": TensorProto.FLOAT}, norm="L2"), rows)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("count", [1, FEATURES])
def test_scaler_answers_to_the_bit(dtype: str, count: int) -> None:
    generator = np.random.default_rng(0)
    scale, offset = generator.normal(size=(2, count)).astype(np.float32).tolist()
    rows = (floats(1) * 100).astype(dtype)
    check(one("Scaler", rows, {"y": TensorProto.FLOAT}, scale=scale, offset=offset), rows, exactly=True)


def test_scaler_of_three_axes_stays_where_its_constants_are_not_of_the_last() -> None:
    rows = np.zeros((4, 3, 3), np.float32)
    constants = {"scale": [1.0, 2.0, 3.0], "offset": [0.0, 1.0, 2.0]}
    with pytest.raises(NotApplicableError):
        lowered(one("Scaler", rows, {"y": TensorProto.FLOAT}, **constants), rows)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("rank", [1, 2])
def test_unknown_category_is_a_row_of_zeros(dtype: str, rank: int) -> None:
    rows = np.array([[1, 2], [3, 9], [-4, 1], [2, 2]], dtype)[:, : 2 if rank == 2 else 1]
    rows = rows[:, 0] if rank == 1 else rows
    if dtype.startswith("float"):
        rows = rows + np.array(0.75, dtype)
        rows[0] = NAN
    check(one("OneHotEncoder", rows, {"y": TensorProto.FLOAT}, cats_int64s=[3, 1, 2, -3]), rows, exactly=True)


@pytest.mark.parametrize(
    "attributes",
    [
        {"cats_int64s": [1, 2], "zeros": 0},  # an unknown one is an error
        {"cats_int64s": [1, 2, 1]},
    ],
)
def test_one_hot_encoder_that_plain_operators_cannot_repeat_stays(attributes: dict[str, Any]) -> None:
    rows = np.array([[1], [2]], np.int64)
    with pytest.raises(NotApplicableError):
        lowered(one("OneHotEncoder", rows, {"y": TensorProto.FLOAT}, **attributes), rows)


def test_operators_on_strings_stay() -> None:
    rows = np.array([["a"], ["b"]], object)
    for operator, attributes in (
        ("OneHotEncoder", {"cats_strings": ["a", "b"]}),
        ("LabelEncoder", {"keys_strings": ["a", "b"], "values_floats": [1.0, 2.0]}),
    ):
        with pytest.raises(NotApplicableError):
            lowered(one(operator, rows, {"y": TensorProto.FLOAT}, **attributes), rows)


@pytest.mark.parametrize("ml", [2, 3, 4])
@pytest.mark.parametrize("shape", [(6,), (3, 2), (1, 2, 3)])
@pytest.mark.parametrize(
    ("dtype", "attributes"),
    [
        ("int64", {"keys_int64s": [3, 1, -2, 1], "values_floats": [0.5, NAN, -0.25, 9.0], "default_float": 7.5}),
        ("int64", {"keys_int64s": [3, 1], "values_floats": [0.5, 1.5]}),
        ("float32", {"keys_floats": [0.0, 1.5, -2.0], "values_int64s": [2**62 + 1, -5, 6], "default_int64": -9}),
        ("float32", {"keys_floats": [1.5, 0.0], "values_int64s": [1, 2]}),
    ],
)
def test_label_encoder_answers_to_the_bit(
    dtype: str, attributes: dict[str, Any], shape: tuple[int, ...], ml: int
) -> None:
    rows = np.array([3, 1, -2, 0, 1.5, 8]).astype(dtype).reshape(shape)
    kind = TensorProto.FLOAT if "values_floats" in attributes else TensorProto.INT64
    check(one("LabelEncoder", rows, {"y": kind}, ml, **attributes), rows, exactly=True)


def test_label_encoder_with_tensors_answers_to_the_bit() -> None:
    rows = np.array([[3, 1], [-2, 0]], np.int64)
    tensors = {
        "keys_tensor": helper.make_tensor("keys", TensorProto.INT64, [2], [3, -2]),
        "values_tensor": helper.make_tensor("values", TensorProto.INT64, [2], [30, -20]),
        "default_tensor": helper.make_tensor("default", TensorProto.INT64, [1], [77]),
    }
    check(one("LabelEncoder", rows, {"y": TensorProto.INT64}, 4, **tensors), rows, exactly=True)


def test_label_encoder_with_a_key_of_nan_stays() -> None:
    rows = np.array([[NAN], [1]], np.float32)
    model = one("LabelEncoder", rows, {"y": TensorProto.FLOAT}, 4, keys_floats=[NAN], values_floats=[2.0])
    with pytest.raises(NotApplicableError):
        lowered(model, rows)


@pytest.mark.parametrize("count", [1, FEATURES])
@pytest.mark.parametrize("replaced", [NAN, 0.0, INF])
def test_imputer_answers_to_the_bit(count: int, replaced: float) -> None:
    rows = hostile(floats(3))
    imputed = np.arange(1.0, count + 1).tolist()
    model = one("Imputer", rows, {"y": TensorProto.FLOAT}, imputed_value_floats=imputed, replaced_value_float=replaced)
    check(model, rows, exactly=True)


def test_imputer_of_integers_answers_to_the_bit() -> None:
    rows = np.arange(12, dtype=np.int64).reshape(4, 3) % 5
    model = one("Imputer", rows, {"y": TensorProto.INT64}, imputed_value_int64s=[7, 8, 9], replaced_value_int64=2)
    check(model, rows, exactly=True)


def test_binarizer_answers_to_the_bit_and_nan_where_the_kernel_fails() -> None:
    rows = floats(4)
    rows[1] = INF, -INF, 0.25, 0.2500001, 0
    result = check(one("Binarizer", rows, {"y": TensorProto.FLOAT}, threshold=0.25), rows, exactly=True)
    assert np.isnan(answers(result, np.full((1, FEATURES), NAN, np.float32))[0]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_feature_vectorizer_joins_columns(dtype: str) -> None:
    generator = np.random.default_rng(0)
    widths = {"a": 2, "b": 1, "c": 3}
    rows = {name: (generator.normal(size=(6, width)) * 9).astype(dtype) for name, width in widths.items()}
    check(one("FeatureVectorizer", rows, {"y": TensorProto.FLOAT}, inputdimensions=[2, 1, 3]), rows, exactly=True)


@pytest.mark.parametrize("dimensions", [[3], [1]])
def test_feature_vectorizer_that_cuts_or_pads_stays(dimensions: list[int]) -> None:
    rows = floats(0, features=2)
    with pytest.raises(NotApplicableError):
        lowered(one("FeatureVectorizer", rows, {"y": TensorProto.FLOAT}, inputdimensions=dimensions), rows)


@pytest.mark.parametrize("shape", [(40,), (8, 5), (2, 4, 5)])
def test_extractor_takes_places_of_the_last_axis(shape: tuple[int, ...]) -> None:
    rows = {"x": floats(0, 8, 5).reshape(shape), "places": np.array([[3, 0], [3, 1]], np.int64)}
    model = one("ArrayFeatureExtractor", rows, {"y": TensorProto.FLOAT})
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "places"
    check(model, rows, exactly=True)


def test_scaler_behind_an_operator_that_shape_inference_does_not_know_is_lowered() -> None:
    rows = floats(0)
    model = one("Imputer", rows, {"y": TensorProto.FLOAT}, imputed_value_floats=[2.0], replaced_value_float=0.0)
    model.graph.node[0].output[0] = "imputed"
    model.graph.node.append(helper.make_node("Scaler", ["imputed"], ["y"], domain=ML, offset=[1.0], scale=[2.0]))
    assert [node.op_type for node in lower_scalers(model).graph.node] == ["Imputer", "Sub", "Mul"]
    check(model, rows, exactly=True)


def test_names_of_the_model_are_not_taken() -> None:
    rows = floats(0)
    model = one("Scaler", rows, {"y": TensorProto.FLOAT}, offset=[1.0], scale=[2.0])
    names = {name for node in lowered(model, rows).graph.node for name in (*node.input, *node.output)} - {"x", "y"}
    unused, *made = sorted(names)
    model.graph.initializer.append(helper.make_tensor(unused, TensorProto.FLOAT, [1], [9.0]))
    for taken in made:
        model.graph.node.append(helper.make_node("Identity", ["x"], [taken]))
    check(model, rows, exactly=True)


def test_model_of_a_time_before_constants_of_their_own_is_lowered() -> None:
    rows = floats(0)
    model = one("Scaler", rows, {"y": TensorProto.FLOAT}, opset=0, offset=[1.0], scale=[2.0])
    model.ir_version = 3
    check(model, rows, exactly=True)


def test_equal_models_are_lowered_to_equal_bytes() -> None:
    rows = floats(0)
    model = one("Normalizer", rows, {"y": TensorProto.FLOAT}, norm="L2")
    assert lowered(model, rows).SerializeToString() == lowered(model, rows).SerializeToString()
