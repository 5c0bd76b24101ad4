"""Robustness of models of all sorts: columns of unlike types, images, TFLite, and what carries states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai.errors import PolicyError
from edge_rai_converters import convert
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import gate, parse_gate_policy
from edge_rai_converters.gate.robustness.rules import CORRUPTIONS
from support.json_schema import faults
from support.tried_models import linear, of_columns, rows_for

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/formats/gate.schema.json").read_text())
WEIGHTS = np.array([1.0, -0.5, 0.8, 0.3, -1.2, 0.6])
FEW = "rows = 64\nattack_rows = 5\nattack_queries = 200\n"


def test_columns_of_all_types_are_tried_and_attacks_respect_categories(tmp_path: Path) -> None:
    of_columns(tmp_path / "columns.onnx")
    of_columns(tmp_path / "flagged.onnx", category=30.0)
    generator = np.random.default_rng(0)
    lines = ["amount,count,city,flag,y"]
    for _ in range(120):
        amount, count, flag = generator.normal(), int(generator.integers(-9, 9)), int(generator.choice([-1, 1]))
        lines.append(f"{amount},{count},{'Ulm' if amount > 0 else 'Bonn'},{flag},{int(amount + count / 4 > 0)}")
    (tmp_path / "columns.csv").write_text("\n".join(lines))
    text = f"format_version = 1\n[margins]\nflips = 0.9\n[robustness]\n{FEW}monotone = {{count = 'rising'}}\n"

    def judged(candidate: str, more: str = "") -> dict[str, Any]:
        policy = parse_gate_policy(text + more)
        report = gate(tmp_path / candidate, tmp_path / "columns.onnx", tmp_path / "columns.csv", policy, labels="y")
        return report.as_json()["robustness"]

    found = judged("columns.onnx")
    edges = {edge["edge"]: edge["rows"] for edge in found["edges"]}
    # Of amount, count and flag in turn: a whole number can be no NaN.
    assert edges["largest"] > edges["nan"] > 0
    assert found["relations"][0]["broken"] == {"original": 0, "candidate": 0}
    # A step of count is more than the reach, and rounding must not hide that: 0.15 deviations of it are less than 1.
    whole = judged("columns.onnx", "mutable = ['count']\nreach = 0.15\n")["attacks"]
    assert whole["score"]["found"] == {"original": 0, "candidate": 0}
    # HopSkipJump leaves the flag alone, of which this candidate thinks so much that nothing else turns it.
    flagged = judged("flagged.onnx")["attacks"]
    assert flagged["boundary"]["found"]["original"] == flagged["rows"]
    assert flagged["boundary"]["found"]["candidate"] == 0
    # Square exchanges it for another row's; unless the policy says that it cannot change.
    assert flagged["score"]["found"]["candidate"] == flagged["rows"] > 0
    fixed = judged("flagged.onnx", "mutable = ['amount', 'count']\n")["attacks"]
    assert fixed["score"]["found"]["candidate"] == 0
    assert any("HopSkipJump on the candidate: no counterexample in" in said for said in fixed["said"])


def test_candidate_in_tflite_is_tried_behind_its_guard(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the candidate is in TFLite")
    linear(tmp_path / "a.onnx", WEIGHTS)
    for name, seed in (("train", 1), ("test", 2)):
        rows, labels = rows_for(WEIGHTS, 120, seed, noise=0.5)
        np.savez(tmp_path / f"{name}.npz", x=rows, y=labels)
    bundle = tmp_path / "lite.erai"
    given = {"labels": "y", "prune": "none", "quantize": "none", "target": "tflite", "reproducible": True}
    convert(tmp_path / "a.onnx", tmp_path / "train.npz", bundle, **given)
    policy = parse_gate_policy("format_version = 1\n[margins]\nflips = 0.9\n[robustness]\nattack_rows = 0\n")
    report = gate(bundle, tmp_path / "a.onnx", tmp_path / "test.npz", policy, labels="y").as_json()["robustness"]
    assert report["guard"] == "candidate"
    for curve in report["curves"]:
        for point in curve["points"]:
            assert point["candidate"]["value"] == pytest.approx(point["original"]["value"], abs=0.02)
            assert point["candidate"]["caught"] == point["original"]["caught"]
    edges = {edge["edge"]: edge["candidate"] for edge in report["edges"]}
    assert edges["nan"]["caught"] == edges["above_limit"]["caught"] == 1


def test_images_are_corrupted_as_images_and_what_changed_is_shown(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=64)
    linear(tmp_path / "image.onnx", weights, side=8)
    linear(tmp_path / "other.onnx", weights + np.random.default_rng(1).normal(size=64), side=8)
    rows = np.random.default_rng(2).normal(size=(120, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "images.npz", image=rows, y=(rows.reshape(120, -1) @ weights > 0).astype(np.int64))
    policy = parse_gate_policy(f"format_version = 1\n[margins]\nflips = 0.9\n[robustness]\n{FEW}")
    report = gate(
        tmp_path / "other.onnx", tmp_path / "image.onnx", tmp_path / "images.npz", policy, labels="y"
    ).as_json()
    found = report["robustness"]
    assert found["kind"] == "images"
    tried = {curve["corruption"] for curve in found["curves"]}
    assert tried | {"jpeg"} == set(CORRUPTIONS["images"])
    assert ("jpeg" in tried) != any("Pillow" in note for note in found["notes"])
    queue = report["audit_queue"]
    assert queue["sheet"].count("<image ") == min(24, queue["changed"]) > 0
    assert list(faults(json.loads(json.dumps(report)), SCHEMA)) == []


def test_models_with_recurrent_states_are_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "before"], ["after"]),
        helper.make_node("Softmax", ["after"], ["answer"], axis=1),
    ]
    x, before, answer, after = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("x", "before", "answer", "after")
    )
    graph = helper.make_graph(nodes, "sum", [x, before], [answer, after])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "sum.onnx")
    rows = np.random.default_rng(0).normal(size=(64, 1, 2)).astype(np.float32)
    labels = (rows[:, 0, 1] > rows[:, 0, 0]).astype(np.int64)
    np.savez(tmp_path / "rows.npz", x=rows, y=labels)
    np.savez(tmp_path / "both.npz", x=rows, before=np.zeros_like(rows), y=labels)
    text = "format_version = 1\n[margins]\nflips = 0.9\n[robustness]\n"
    (tmp_path / "gate.toml").write_text(text)
    given = {"labels": "y", "states": ["before=after"], "prune": "none", "quantize": "none", "reproducible": True}
    with pytest.raises(PolicyError, match="the model carries recurrent states"):
        convert(tmp_path / "sum.onnx", tmp_path / "rows.npz", tmp_path / "m.erai", gate=tmp_path / "gate.toml", **given)
    convert(tmp_path / "sum.onnx", tmp_path / "rows.npz", tmp_path / "m.erai", **given)
    with pytest.raises(DataError, match="m.erai: carries recurrent states from call to call"):
        gate(tmp_path / "m.erai", tmp_path / "sum.onnx", tmp_path / "both.npz", parse_gate_policy(text), labels="y")
