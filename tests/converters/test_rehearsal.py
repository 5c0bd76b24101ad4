"""What the guard says of rows of a table, which have neither an order nor a time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_rai import bundle
from edge_rai_converters import convert

POLICY = """
format_version = 1
batched = true
[[inputs]]
name = "x"
dtype = "float32"
shape = [-1, 2]
max_shape = [100, 2]
feature_axis = 1
features = [{ name = "a", high = 2.0@ORDER@ }, { name = "b" }]
[[outputs]]
name = "y"
dtype = "float32"
shape = [-1, 2]
@CALLS@
"""
ORDER = ", step = 1e-9, stuck = 2, monotonic = true, age = { max_s = 1.0 }"
CALLS = """
[decision]
deadline_ms = 1e-6
rate_limit = { rows_per_second = 50.0, burst = 3 }
hysteresis = { after = 1, until = 50 }
breaker = { window = 4, failures = 1 }
review_rows = 5
[[fallback]]
chain = ["abstain", "reject"]
"""


@pytest.fixture
def identity(make_model, tmp_path: Path) -> tuple[Path, Path]:
    values = np.random.default_rng(0).normal(size=(4000, 2))
    np.savez(tmp_path / "data.npz", x=values)
    shape = ["N", 2]
    node = helper.make_node("Identity", ["x"], ["y"])
    return make_model([node], [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)]), (
        tmp_path / "data.npz"
    )


def written(folder: Path, order: str, calls: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(POLICY.replace("@ORDER@", order).replace("@CALLS@", calls))
    return path


def test_rules_of_order_and_time_have_no_say_in_the_rehearsal(identity: tuple[Path, Path], tmp_path: Path) -> None:
    plain = convert(*identity, tmp_path / "plain", policy=written(tmp_path, "", ""), prune="none", quantize="none")
    assert plain.false_rejections.left_out == ()
    report = convert(*identity, tmp_path / "m", policy=written(tmp_path, ORDER, CALLS), prune="none", quantize="none")
    seen = report.false_rejections
    assert (seen.rows, seen.rejected) == (1000, plain.false_rejections.rejected)
    assert 0 < seen.rejected < 100
    assert set(seen.left_out) == {
        "deadline_ms", "hysteresis", "breaker", "rate_limit",
        "age of a", "step of a", "stuck of a", "monotonic of a",
    }  # fmt: skip
    files = bundle.read(tmp_path / "m").files
    card = " ".join(files["card.md"].decode().split())
    assert "Left out of that, for a table has neither the order nor the time that they need: deadline_ms, " in card
    assert "Left out" not in (tmp_path / "plain/card.md").read_text()
    assert json.loads(files["evidence/candidates.json"])["guard_on_held_back"]["left_out"] == list(seen.left_out)
    assert "rate_limit" in files["policy.toml"].decode(), "what travels is the policy as it was written"


def test_rate_limited_policy_gives_the_same_bytes_again(identity: tuple[Path, Path], tmp_path: Path) -> None:
    limit = "[decision]\nrate_limit = { rows_per_second = 2000.0, burst = 300 }\n"
    made = []
    for name in ("first.erai", "second.erai"):
        convert(
            *identity,
            tmp_path / name,
            policy=written(tmp_path, "", limit),
            prune="none",
            quantize="none",
            reproducible=True,
            name="same",
        )
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_scalar_among_the_inputs_is_given_as_an_array(make_model, tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["rate"], ["as float"], to=1), helper.make_node("Mul", ["x", "as float"], ["y"])]
    inputs = [("x", TensorProto.FLOAT, [1, 4]), ("rate", TensorProto.INT64, [])]
    model = make_model(nodes, inputs, [("y", TensorProto.FLOAT, [1, 4])])
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(100, 1, 4)), rate=np.full(100, 16000))
    report = convert(model, tmp_path / "data.npz", tmp_path / "m.erai", prune="none", quantize="none")
    assert (report.batched, report.false_rejections.rows) == (False, 25)
