"""Blocks as exporters write them: attention, GELU and HardSwish in operators, classifiers of scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite.freeze import frozen
from edge_rai_converters.targets.tflite.lower import lower
from support.lowering import Array, answers, lowered, model, operators, random

_NUMBERS = {"zero": 0, "half": 0.5, "one": 1, "two": 2, "three": 3, "six": 6, "near": 0.1, "sharp": 1.702}
_FACTORS = {"cubic": 0.044715, "scale": np.sqrt(2 / np.pi), "root": np.sqrt(2), "inverse": np.sqrt(0.5)}
NUMBERS = {name: np.array(value, np.float32) for name, value in {**_NUMBERS, **_FACTORS}.items()}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a = Div(x, root) e = Erf(a) b = Add(e, one) c = Mul(x, b) y = Mul(c, half)", "Gelu"),
        ("a = Mul(x, inverse) e = Erf(a) b = Add(one, e) c = Mul(half, x) y = Mul(c, b)", "Gelu"),
        ("a = Mul(x, inverse) e = Erf(a) b = Add(one, e) c = Mul(b, x) y = Div(c, two)", "Gelu"),
        (
            """p = Pow(x, three) q = Mul(p, cubic) r = Add(x, q) s = Mul(r, scale) t = Tanh(s) u = Add(t, one)
            v = Mul(x, half) y = Mul(v, u)""",
            "Gelu",
        ),
        (
            """p = Mul(x, x) q = Mul(p, cubic) r = Add(q, one) m = Mul(x, scale) s = Mul(m, r) t = Tanh(s)
            u = Add(t, one) v = Mul(x, half) y = Mul(v, u)""",
            "Gelu",
        ),
        ("a = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x) y = Mul(x, a)", "HardSwish"),
        ("a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six)", "HardSwish"),
    ],
)
def test_activation_that_was_written_out_is_recognized(written: str, expected: str) -> None:
    given = model(f"(float[2, 3, 8] x) => (float[2, 3, 8] y) {{ {written} }}", opset=17, **NUMBERS)
    assert operators(lowered(given, {"x": 3 * random(2, 3, 8)})) == [expected]


@pytest.mark.parametrize(
    "written",
    [
        "a = Div(x, root) e = Erf(a) b = Add(e, one) c = Mul(x, b) y = Mul(c, near)",
        "a = Div(x, root) e = Erf(a) b = Add(e, one) c = Mul(z, b) y = Mul(c, half)",
        "a = Mul(x, sharp) e = Tanh(a) b = Add(e, one) c = Mul(x, b) y = Mul(c, half)",
        "a = HardSigmoid<alpha = 0.2, beta = 0.5>(x) y = Mul(x, a)",
    ],
)
def test_what_only_looks_like_an_activation_is_none(written: str) -> None:
    given = model(f"(float[2, 8] x, float[2, 8] z) => (float[2, 8] y) {{ {written} }}", opset=17, **NUMBERS)
    found = operators(lowered(given, {"x": 3 * random(2, 8), "z": random(2, 8, seed=1)}))
    assert not {"Gelu", "HardSwish"} & set(found)


def test_value_inside_of_a_recognized_activation_may_be_an_output() -> None:
    written = "a = Div(x, root) e = Erf(a) b = Add(e, one) c = Mul(x, b) y = Mul(c, half)"
    given = model(f"(float[2, 8] x) => (float[2, 8] y, float[2, 8] e) {{ {written} }}", opset=17, **NUMBERS)
    assert "Gelu" in operators(lowered(given, {"x": random(2, 8)}))


def attention_weights() -> dict[str, Array]:
    """Of 2 heads of width 4, as constants of both exports below."""
    matrices = {name: random(8, 8, seed=seed) / 3 for seed, name in enumerate(("wq", "wk", "wv", "wo"))}
    numbers = {"depth": np.array(2, np.float32), "mask": np.triu(np.full((5, 5), -1e9, np.float32), 1)}
    return {
        **matrices,
        **numbers,
        "bias": random(8, seed=7),
        "heads": np.array([0, -1, 2, 4]),
        "all": np.array([0, -1, 8]),
    }


PYTORCH = """(float[N, 5, 8] x) => (float[N, 5, 8] y)
{ qm = MatMul(x, wq) km = MatMul(x, wk) vm = MatMul(x, wv) q0 = Add(qm, bias)
  q4 = Reshape(q0, heads) k4 = Reshape(km, heads) v4 = Reshape(vm, heads)
  q = Transpose<perm = [0, 2, 1, 3]>(q4) k = Transpose<perm = [0, 2, 3, 1]>(k4) v = Transpose<perm = [0, 2, 1, 3]>(v4)
  s0 = MatMul(q, k) s1 = Div(s0, depth) s2 = Add(s1, mask) p = Softmax<axis = -1>(s2) o4 = MatMul(p, v)
  o3 = Transpose<perm = [0, 2, 1, 3]>(o4) o = Reshape(o3, all) y = MatMul(o, wo) }"""
KERAS = """(float[N, 5, 8] x) => (float[N, 5, 8] y)
{ q0 = MatMul(x, wq) km = MatMul(x, wk) vm = MatMul(x, wv) qm = Add(q0, bias)
  q4 = Reshape(qm, heads) k4 = Reshape(km, heads) v4 = Reshape(vm, heads) q = Div(q4, depth)
  s = Einsum<equation = "aecd,abcd->acbe">(k4, q) m = Add(s, mask) p = Softmax<axis = 3>(m)
  o4 = Einsum<equation = "acbe,aecd->abcd">(p, v4) o = Reshape(o4, all) y = MatMul(o, wo) }"""
# One head, as it is written by hand: three axes, and the shape computed from the input's.
THREE_AXES = """(float[N, 5, 8] x) => (float[N, 5, 8] y)
{ q0 = MatMul(x, wq) q = Add(q0, bias) k0 = MatMul(x, wk) v = MatMul(x, wv) k = Transpose<perm = [0, 2, 1]>(k0)
  s0 = MatMul(q, k) s1 = Div(s0, depth) s2 = Add(s1, mask) p = Softmax<axis = -1>(s2) o = MatMul(p, v)
  shape = Shape(x) r = Reshape(o, shape) y = MatMul(r, wo) }"""


@pytest.mark.parametrize("text", [PYTORCH, KERAS, THREE_AXES])
@pytest.mark.parametrize("rows", [1, 3])
def test_attention_is_products_and_one_softmax(text: str, rows: int) -> None:
    given = frozen(model(text, opset=17, **attention_weights()), rows, {})
    result = lowered(given, {"x": random(rows, 5, 8)}, 2e-6)
    assert set(operators(result)) <= {"Add", "Div", "MatMul", "Reshape", "Softmax", "Transpose"}
    assert operators(result).count("Softmax") == 1


def test_attention_of_both_exports_is_the_same() -> None:
    feed = {"x": random(2, 5, 8)}
    first, second = (
        answers(lower(frozen(model(text, opset=17, **attention_weights()), 2, {})), feed)["y"]
        for text in (PYTORCH, KERAS)
    )
    np.testing.assert_allclose(first, second, atol=2e-6)


@pytest.mark.parametrize("name", ["logistic", "network", "regression", "prepared"])
def test_pipeline_of_scikit_learn_has_no_operator_of_its_own(name: str) -> None:
    exported, rows = pipeline(name)
    for row in rows:
        result = lowered(frozen(exported, 1, {}), {"X": row[np.newaxis]}, 2e-6)
    assert not [node for node in result.graph.node if node.domain]
    assert not {"Scaler", "Scan", "Loop", "GatherElements"} & set(operators(result))


def test_trees_are_refused_by_name() -> None:
    exported, _ = pipeline("forest")
    with pytest.raises(UnsupportedModelError, match="ai.onnx.ml.TreeEnsembleClassifier node .*keep the model as ONNX"):
        lower(frozen(exported, 1, {}))


def pipeline(name: str) -> tuple[onnx.ModelProto, Array]:
    """An exported pipeline of tumours or diabetes, and some of its rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import to_onnx
        from sklearn.datasets import load_breast_cancer, load_diabetes
        from sklearn.decomposition import PCA
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LinearRegression, LogisticRegression
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer, StandardScaler

        network = MLPClassifier((16, 8), max_iter=20, random_state=0)
        trained = {
            "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
            "network": make_pipeline(StandardScaler(), PCA(5, random_state=0), network),
            "regression": make_pipeline(StandardScaler(), LinearRegression()),
            "prepared": make_pipeline(SimpleImputer(), Normalizer(), LogisticRegression()),
            "forest": RandomForestClassifier(2, random_state=0),
        }[name]
        loaded = load_diabetes() if name == "regression" else load_breast_cancer()
        rows = loaded.data.astype(np.float32)
        trained.fit(rows, loaded.target)
        options = {} if name == "regression" else {id(trained): {"zipmap": False}}
        exported = to_onnx(trained, rows[:1], options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    return exported, rows[:4]
