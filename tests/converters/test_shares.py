"""Rules about shares are refused of outputs that the model shows to be something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_rai import PolicyError
from edge_rai_converters import convert
from support.models import FLOAT, save

POLICY = """
format_version = 1
batched = true
[[inputs]]
name = "x"
dtype = "float32"
shape = [-1, 2]
max_shape = [64, 2]
feature_axis = 1
features = [{ name = "a" }, { name = "b" }]
[[outputs]]
name = "y"
"""


@pytest.fixture
def attempt(tmp_path: Path):
    """Converts a model of two columns whose output is made by some nodes, under a policy with some rules."""

    def call(nodes: list, rules: str, element: int = FLOAT, width: int = 1) -> None:
        save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 2])], [("y", element, ["N", width])])
        np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(0, 3, (400, 2)).astype(np.float32))
        (tmp_path / "policy.toml").write_text(POLICY + rules)
        arguments = (tmp_path / "m.onnx", tmp_path / "rows.npy", tmp_path / "m.erai")
        convert(*arguments, policy=tmp_path / "policy.toml", prune="none", quantize="none")

    return call


SUM = [helper.make_node("ReduceMax", ["x"], ["s"], axes=[1], keepdims=1)]
QUANTITY = [*SUM, helper.make_node("Identity", ["s"], ["y"])]
PROBABILITY = [*SUM, helper.make_node("Sigmoid", ["s"], ["y"])]
SCORES = [helper.make_node("Identity", ["x"], ["y"])]
FLOATS = 'dtype = "float32"\nshape = [-1, 1]\n'
TWO = 'dtype = "float32"\nshape = [-1, 2]\n'


@pytest.mark.parametrize("rule", ["confidence = 0.6", "margin = 0.1", "entropy = 0.5"])
def test_quantity_has_no_confidence(attempt, rule: str) -> None:
    message = (
        rf"^{rule.split()[0]} of output 'y' is about shares from 0 to 1, and the model answers float32 from -.*; .*"
    )
    with pytest.raises(
        PolicyError, match=message + "a single value that is a quantity has nothing of the kind, only a"
    ):
        attempt(QUANTITY, FLOATS + rule)


def test_scores_are_to_be_called_scores(attempt) -> None:
    with pytest.raises(PolicyError, match="set logits = true if these are scores, or leave it out$"):
        attempt(SCORES, TWO + "margin = 0.1", width=2)
    attempt(SCORES, TWO + "margin = 0.1\nlogits = true", width=2)


def test_whole_numbers_are_no_shares(attempt) -> None:
    label = [*PROBABILITY[:-1], helper.make_node("Sign", ["s"], ["t"]), helper.make_node("Relu", ["t"], ["u"])]
    label.append(helper.make_node("Cast", ["u"], ["y"], to=TensorProto.INT64))
    with pytest.raises(PolicyError, match="the model answers int64 from 0 to 1 to the held-back rows"):
        attempt(label, 'dtype = "int64"\nshape = [-1, 1]\nconfidence = 0.6', TensorProto.INT64)


@pytest.mark.parametrize("rule", ["confidence = 0.6", "margin = 0.1", "entropy = 0.5", "range = [0, 1]"])
def test_single_probability_has_a_confidence(attempt, rule: str) -> None:
    attempt(PROBABILITY, FLOATS + rule)


def test_quantity_has_a_range(attempt) -> None:
    attempt(QUANTITY, FLOATS + "range = [-100, 100]")
