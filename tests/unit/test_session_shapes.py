"""Models that declare no shape, and bare models whose rows are known to depend on their batch mates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_rai import Batcher, ReasonCode, Verdict, load
from edge_rai.policy import Decision, FallbackRule, FeatureRule, InputRule, LastGood, OutputRule, Policy
from support.bundles import write_bundle
from support.models import FLOAT, save


@pytest.fixture
def shapeless(tmp_path: Path) -> Path:
    node = helper.make_node("Neg", ["x"], ["y"])
    return save(tmp_path / "shapeless.onnx", [node], [("x", FLOAT, None)], [("y", FLOAT, None)])


def test_input_without_a_declared_shape_takes_every_rank(shapeless: Path) -> None:
    with load(shapeless) as session:
        assert not session.batched
        for shape in ((), (3,), (2, 3), (4, 2, 3), (2, 3), (1,) * 8):
            for _ in range(2):  # known, the second time
                x = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
                answer = session.predict(x)
                assert answer.verdict is Verdict.ACCEPT, answer.reasons
                np.testing.assert_array_equal(answer.outputs["y"], -x)
        answer = session.predict(np.full((2, 3), np.nan, np.float32))
        assert [(reason.code, reason.element) for reason in answer.reasons] == [(ReasonCode.NOT_FINITE, 0)]


def test_policy_says_what_shape_such_an_input_has(shapeless: Path, tmp_path: Path) -> None:
    rule = InputRule("x", "float32", (-1, 3), (50, 3)), OutputRule("y", "float32", (-1, 3))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    policy = Policy(1, True, rule[:1], rule[1:])
    with load(write_bundle(tmp_path / "shaped.erai", shapeless, policy, {"x": x})) as session:
        answer = session.predict(x)
        assert (answer.verdict, answer.rows) == (Verdict.ACCEPT, 2)
        np.testing.assert_array_equal(answer.outputs["y"], -x)
        answer = session.predict(x[0])
        assert ([reason.code for reason in answer.reasons], answer.rows) == ([ReasonCode.RANK], 1)
        assert sum(session.snapshot().rows_by_verdict) == 2 + 1
        assert [reason.code for reason in session.predict(x[:, :2].copy()).reasons] == [ReasonCode.SHAPE]


def test_scalar_is_not_taken_for_an_input_without_a_shape(tmp_path: Path) -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    model = save(tmp_path / "scalar.onnx", [node], [("x", FLOAT, [])], [("y", FLOAT, [])])
    with load(model) as session:
        assert session.predict(np.array(2, np.float32)).outputs["y"] == -2
        (reason,) = session.predict(np.ones(2, np.float32)).reasons
        assert (reason.code, reason.value, reason.limit) == (ReasonCode.RANK, 1, 0)


def test_rows_of_a_model_that_quantizes_dynamically_depend_on_their_mates(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    model = save(tmp_path / "dynamic.onnx", nodes, [("x", FLOAT, [None, 3])], [("y", FLOAT, [None, 3])])
    rows = np.array([[1, 2, 3], [np.nan, 0, 0], [-1, 0, 1]], np.float32)
    with load(model) as session:
        assert not session.rows_independent
        assert session.predict(rows[:1]).verdict is Verdict.ACCEPT
        answer = session.predict(rows)
        assert answer.row_verdicts.tolist() == [Verdict.REJECT] * 3
        assert (answer.reasons[-1].code, answer.reasons[-1].subject) == (ReasonCode.ROWS_DEPEND, "model")
        with pytest.raises(ValueError, match="rows of its model depend on their batch mates"):
            Batcher(session)
    with pytest.raises(ValueError, match="rows depend on their batch mates"):
        load(model, cache_bytes=1 << 20)


def save_rows_above_zero(path: Path) -> Path:
    """(N, 2) "x" to "y", declared as (N, 2): those rows of x whose first number is above 0."""
    nodes = [
        helper.make_node("Slice", ["x", "0", "1", "1"], ["first"]),
        helper.make_node("Greater", ["first", "zero"], ["above"]),
        helper.make_node("Reshape", ["above", "-1"], ["which"]),
        helper.make_node("Compress", ["x", "which"], ["y"], axis=0),
    ]
    constants = {name: np.array([int(name)]) for name in ("0", "1", "-1")}
    return save(path, nodes, TWO, [("y", FLOAT, ["N", 2])], {**constants, "zero": np.float32(0)})


def save_flat_below_zero(path: Path) -> Path:
    """(N, 2) "x" to "y", declared as (N, 2): x, or where a number of it is not above 0 all numbers on one axis."""
    same, flat = helper.make_node("Identity", ["x"], ["y1"]), helper.make_node("Reshape", ["x", "-1"], ["y2"])
    branches = {
        f"{branch}_branch": helper.make_graph([node], branch, [], [onnx.ValueInfoProto(name=node.output[0])])
        for branch, node in (("then", same), ("else", flat))
    }
    nodes = [
        helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0),
        helper.make_node("Greater", ["least", "zero"], ["above"]),
        helper.make_node("If", ["above"], ["y"], **branches),
    ]
    return save(path, nodes, TWO, [("y", FLOAT, ["N", 2])], {"zero": np.float32(0), "-1": np.array([-1])})


TWO = [("x", FLOAT, ["N", 2])]


@pytest.mark.parametrize("save_model", [save_rows_above_zero, save_flat_below_zero])
@pytest.mark.parametrize("step", ["default", "model", "last_good", "reject"])
def test_answer_of_another_shape_is_replaced_row_by_row(
    tmp_path: Path, save_model: Callable[[Path], Path], step: str
) -> None:
    double = helper.make_node("Add", ["x", "x"], ["y"])
    fallback = save(tmp_path / "double.onnx", [double], TWO, [("y", FLOAT, ["N", 2])])
    policy = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 2), (50, 2), features=(FeatureRule("x", -100, 100),)),),
        (OutputRule("y", "float32", (-1, 2), default=(7.0, 8.0)),),
        fallback=(FallbackRule((step, "default") if step in ("model", "last_good") else (step,)),),  # type: ignore[arg-type]
        decision=Decision(last_good=LastGood(60.0) if step == "last_good" else None),
    )
    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    model = save_model(tmp_path / "m.onnx")
    bundle = write_bundle(tmp_path / "m.erai", model, policy, {"x": x}, fallback=fallback if step == "model" else None)
    odd = x * np.array([[1, 1], [-1, 1], [1, 1]], np.float32)
    answers = {"default": [[7, 8]] * 3, "model": 2 * odd, "last_good": [x[2]] * 3, "reject": [[np.nan] * 2] * 3}
    with load(bundle) as session:
        for _ in range(2):
            answer = session.predict(x, key="k")
            assert (answer.verdict, answer.outputs["y"].tolist()) == (Verdict.ACCEPT, x.tolist())
            answer = session.predict(odd, key="k")
            assert [reason.subject for reason in answer.reasons] == ["y"]
            np.testing.assert_array_equal(answer.outputs["y"], answers[step])
            answer = session.predict(np.full((2, 2), 1e9, np.float32), key="k")  # no model runs, nor may be asked
            refused = answers["default" if step == "model" else step][:2]
            np.testing.assert_array_equal(answer.outputs["y"], refused)


@pytest.mark.parametrize("free", [False, True], ids=["bare", "bundle"])
def test_rejected_row_costs_no_other_where_each_rows_answer_has_a_length_of_its_own(tmp_path: Path, free: bool) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["above"]),
        helper.make_node("Reshape", ["above", "-1"], ["which"]),
        helper.make_node("Compress", ["x", "which"], ["y"], axis=1),
    ]
    constants = {"zero": np.float32(0), "-1": np.array([-1])}
    model = save(tmp_path / "m.onnx", nodes, [("x", FLOAT, [1, 4])], [("y", FLOAT, [1, "k"])], constants)
    x = np.array([[1, -2, 3, -4], [np.nan, 1, 1, 1], [-5, 6, -7, 8]], np.float32)
    rules = InputRule("x", "float32", (-1, 4), (50, 4)), OutputRule("y", "float32", (-1, -1), default=(9.0,))
    policy = Policy(1, True, rules[:1], rules[1:])
    path = write_bundle(tmp_path / "m.erai", model, policy, {"x": x[:1]}) if free else model
    with load(path) as session:
        for rows in (x, x[1:], x[:2], x):
            answer = session.predict(rows)
            bad = np.isnan(rows).any(axis=1)
            assert (answer.row_verdicts == np.where(bad, Verdict.REJECT, Verdict.ACCEPT)).all()
            expected = [[9.0 if free else np.nan] * 2 if np.isnan(row).any() else row[row > 0].tolist() for row in rows]
            np.testing.assert_array_equal(answer.outputs["y"], expected)
