"""Answers held against labels of each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_rai import load
from edge_rai.bench.accuracy import accuracy_of
from support.models import save

X = np.array([[-2.0], [-1.0], [0.25], [0.75], [2.0]], np.float32)


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """(N, 1) "x" as it is, and as a whole number."""
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    return save(
        tmp_path / "identity.onnx", nodes, [("x", TensorProto.FLOAT, ["N", 1])], [("same", TensorProto.FLOAT, ["N", 1])]
    )


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """(N, 1) "x" rounded towards zero, of int64."""
    nodes = [helper.make_node("Cast", ["x"], ["label"], to=TensorProto.INT64)]
    return save(
        tmp_path / "whole.onnx", nodes, [("x", TensorProto.FLOAT, ["N", 1])], [("label", TensorProto.INT64, ["N", 1])]
    )


def test_a_share_is_nearer_to_zero_or_one(identity: Path) -> None:
    with load(identity) as session:
        found = accuracy_of(session, {"x": X}, np.array([0, 0, 1, 1, 1]), 2)
    assert (found["metric"], found["value"], found["rows"], found["rejected"]) == ("accuracy", 0.8, 5, 0)


def test_numbers_have_a_mean_absolute_error(identity: Path) -> None:
    with load(identity) as session:
        found = accuracy_of(session, {"x": X}, X[:, 0] + np.array([0, 1, 0, 0, -1]), 256)
    assert found["metric"] == "mean absolute error"
    assert found["value"] == pytest.approx(0.4)


def test_whole_numbers_are_equal_or_not(whole: Path) -> None:
    with load(whole) as session:
        found = accuracy_of(session, {"x": X}, np.array([-2, -1, 0, 0, 7]), 256)
    assert (found["output"], found["value"]) == ("label", 0.8)


def test_a_row_that_is_rejected_has_no_right_answer(identity: Path) -> None:
    rows = X.copy()
    rows[0] = np.nan
    with load(identity) as session:
        found = accuracy_of(session, {"x": rows}, np.array([0, 0, 0, 1, 1]), 256)
    assert found["rejected"] == 1
    assert found["value"] == 1.0 or found["value"] == 0.8


def test_texts_are_not_held_against_numbers(identity: Path) -> None:
    with load(identity) as session, pytest.raises(ValueError, match="can be held against labels of type <U1"):
        accuracy_of(session, {"x": X}, np.array(list("abcde")), 256)
