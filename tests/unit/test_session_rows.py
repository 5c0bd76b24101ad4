"""Rows that depend on each other, and what a session does not keep."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai import ReasonCode, Session, Verdict, load

ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)


def bare(path: Path, nodes: list[onnx.NodeProto], output_shape: list[object], *constants: onnx.TensorProto) -> Session:
    graph = helper.make_graph(
        nodes,
        "bare",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return load(path, threads=1)


BAD_MIDDLE = np.array([[1, 2], [np.nan, 0], [3, 4]], np.float32)


def test_bare_model_whose_rows_depend_on_each_other_answers_none_when_one_is_bad(tmp_path: Path) -> None:
    axis = onnx.numpy_helper.from_array(np.array(0, np.int64), "axis")
    with bare(tmp_path / "sum.onnx", [helper.make_node("CumSum", ["x", "axis"], ["y"])], ["rows", 2], axis) as session:
        answer = session.predict(BAD_MIDDLE)
        assert answer.row_verdicts.tolist() == [Verdict.REJECT] * 3
        assert {reason.code for reason in answer.reasons} == {ReasonCode.NOT_FINITE, ReasonCode.ROWS_DEPEND}
        assert np.isnan(answer.outputs["y"]).all()
        assert session.predict(np.ones((3, 2), np.float32)).outputs["y"].tolist() == [[1, 1], [2, 2], [3, 3]]


def test_bare_model_of_independent_rows_loses_only_the_bad_one(tmp_path: Path) -> None:
    with bare(tmp_path / "square.onnx", [helper.make_node("Mul", ["x", "x"], ["y"])], ["rows", 2]) as session:
        answer = session.predict(BAD_MIDDLE)
        assert answer.row_verdicts.tolist() == [Verdict.ACCEPT, Verdict.REJECT, Verdict.ACCEPT]
        np.testing.assert_array_equal(answer.outputs["y"][[0, 2]], BAD_MIDDLE[[0, 2]] ** 2)


def test_output_without_rows_rejects_the_call_when_a_row_is_bad(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["x", "x"], ["y"], axis=0)]
    with bare(tmp_path / "twice.onnx", nodes, ["more", 2]) as session:
        assert session.predict(np.ones((3, 2), np.float32)).outputs["y"].shape == (6, 2)
        answer = session.predict(BAD_MIDDLE)
        assert answer.row_verdicts.tolist() == [Verdict.REJECT] * 3
        assert np.isnan(answer.outputs["y"]).all()


def test_session_that_nobody_closed_is_freed(linear_bundle: Path) -> None:
    session = load(linear_bundle, threads=1)
    session.predict(ROWS)
    native = weakref.ref(session._native)
    del session
    assert native() is None


def test_reasons_are_bounded_and_counts_are_not(tmp_path: Path) -> None:
    with bare(tmp_path / "square.onnx", [helper.make_node("Mul", ["x", "x"], ["y"])], ["rows", 2]) as session:
        answer = session.predict(np.full((70_000, 2), np.nan, np.float32))
        assert len(answer.reasons) == 65_536
        assert (answer.row_verdicts == Verdict.REJECT).all()
        assert session.snapshot().reasons[ReasonCode.NOT_FINITE] == 70_000


def test_subclass_of_an_array_is_answered_as_the_array(linear_bundle: Path) -> None:
    class Special(np.ndarray):
        pass

    with load(linear_bundle, threads=1) as session:
        plain = session.predict(ROWS)
        assert session.predict(ROWS.view(Special)).outputs["y"].tobytes() == plain.outputs["y"].tobytes()
        for _ in range(2):
            with pytest.raises(TypeError, match="memoryview"):
                session.predict(memoryview(ROWS))


def test_rows_are_counted_although_the_outputs_stay_where_they_are(tmp_path: Path) -> None:
    three = onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "shape")
    first = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Expand", ["sum", "shape"], ["y"]),
    ]
    with bare(tmp_path / "constant.onnx", first, ["found", 2], three) as session:
        for rows in (1, 3, 3, 1):
            answer = session.predict(np.ones((rows, 2), np.float32))
            assert answer.rows == (rows if session.batched else 1)


def test_trial_that_fails_is_a_verdict_and_no_error(tmp_path: Path) -> None:
    table = onnx.numpy_helper.from_array(np.array([[7.0]], np.float32), "table")
    nodes = [
        helper.make_node("Cast", ["x"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["found"]),
        helper.make_node("Squeeze", ["found"], ["y"]),
    ]
    with bare(tmp_path / "gather.onnx", nodes, ["rows", 2], table) as session:
        assert session.predict(np.zeros((3, 2), np.float32)).verdict is Verdict.ACCEPT
        rows = np.zeros((3, 2), np.float32)
        rows[1, 0] = np.nan
        answer = session.predict(rows)
        assert answer.verdict is Verdict.REJECT
        assert session.snapshot().errors == 0


def test_path_with_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NUL"):
        load(str(tmp_path / "model.onnx") + "\0more")
