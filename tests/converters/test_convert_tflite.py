"""Conversions to TFLite: alone and beside ONNX, each chosen from candidates of its own, and what has no such form."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edge_rai
from edge_rai import bundle
from edge_rai.cli import main
from edge_rai.errors import UnsupportedModelError
from edge_rai_converters import ConversionReport, convert
from edge_rai_converters.cli.report import print_report
from edge_rai_converters.errors import AccuracyDropError, MissingExtraError
from edge_rai_converters.litert import LiteRTRunner
from edge_rai_converters.recipes import Quantize
from edge_rai_converters.targets.tflite.structure import Structure

MINE = """
name = "half"
target = "tflite"
summary = "half of the channels, and int8 but for the last layer"
order = 30
quantization = "static_int8"
prunes = true
[[steps]]
pass = "prune"
keep = 0.5
[[steps]]
pass = "tflite_int8"
max_drop = 20.0
"""


@pytest.fixture(scope="module")
def both(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ConversionReport:
    output = tmp_path_factory.mktemp("both") / "digits.erai"
    return convert(digits / "cnn.onnx", digits / "data.npz", output, labels="y", target="onnx,tflite")


def files_of(report: ConversionReport, name: str = "tflite") -> bytes:
    found = bundle.read(report.output)
    return found.files[next(model.path for model in found.manifest.models if model.format == name)]


def test_each_target_has_candidates_and_a_choice_of_its_own(both: ConversionReport) -> None:
    recipes = {target: [e.recipe for e in both.candidates if e.target == target] for target in ("onnx", "tflite")}
    assert recipes["onnx"][0] == "float"
    assert recipes["tflite"][0] == "tflite-float"
    assert {"int8"} < set(recipes["onnx"])
    assert {"tflite-int8"} < set(recipes["tflite"])
    for target, choice in both.choices.items():
        assert choice.recipe in recipes[target][1:]
        original, chosen = both.candidates[place(both, recipes[target][0])], both.chosen_for(target)
        assert chosen.size < 0.9 * original.size
        assert chosen.cost is not None
        assert chosen.cost.peak_memory
        assert chosen.rows_independent
    assert both.choice is both.choices["onnx"]


def place(report: ConversionReport, name: str) -> int:
    return [entry.recipe for entry in report.candidates].index(name)


def test_float_model_is_the_same_in_both_formats(both: ConversionReport) -> None:
    written = both.candidates[place(both, "tflite-float")]
    assert written.comparison.largest_difference < 1e-4
    assert written.comparison.agreement == 1.0
    assert written.quantization == "none"


def test_one_bundle_answers_in_both_runtimes_as_was_measured(both: ConversionReport, digits: Path) -> None:
    data = np.load(digits / "data.npz")
    answers = {}
    for runtime in ("onnxruntime", "litert"):
        with edge_rai.load(both.output, runtime=runtime) as session:
            answer = session.predict(data["image"])
            answers[runtime] = answer.outputs["logits"]
            accepted = answer.row_verdicts == edge_rai.Verdict.ACCEPT
    right = {name: (found.argmax(axis=1) == data["y"])[accepted].mean() for name, found in answers.items()}
    assert min(right.values()) > 0.9
    assert (answers["litert"].argmax(axis=1) == answers["onnxruntime"].argmax(axis=1))[accepted].mean() > 0.95
    bare = LiteRTRunner(files_of(both), "bare").call({"image": data["image"][accepted]})["logits"]
    assert np.allclose(answers["litert"][accepted], bare, atol=1e-5)


def test_second_model_brings_golden_vectors_of_its_own_arithmetic(both: ConversionReport) -> None:
    manifest = bundle.read(both.output).manifest
    first, second = manifest.models
    assert (first.format, second.format) == ("onnx", "tflite")
    assert first.golden is None
    assert second.golden is not None
    assert second.golden.inputs == manifest.golden.inputs
    assert [entry.path for entry in second.golden.outputs] == ["reference/golden/tflite_output_0.bin"]
    assert manifest.requirements == {"edge_rai": ">=0.1", "onnxruntime": ">=1.17", "litert": ">=1.0"}
    assert {"ai-edge-litert", "ai-edge-quantizer"} <= manifest.provenance.tools.keys()


def test_evidence_and_card_say_the_target_and_how_far_the_models_are_apart(both: ConversionReport) -> None:
    files = bundle.read(both.output).files
    evidence = json.loads(files["evidence/candidates.json"])
    assert {entry["target"] for entry in evidence["candidates"]} == {"onnx", "tflite"}
    for target, choice in both.choices.items():
        assert evidence["chosen"][target]["recipe"] == choice.recipe
        assert any(entry["pareto"] for entry in evidence["candidates"] if entry["target"] == target)
    apart = both.apart
    assert apart is not None
    assert evidence["tflite_against_onnx"]["largest_difference"] == apart.largest_difference
    card = files["card.md"].decode()
    assert both.choices["tflite"].reason in card
    assert f"{apart.largest_difference:.3g} at most and {apart.mean_difference:.3g} on average" in card
    assert "<td>tflite</td>" in files["evidence/report.html"].decode()


def test_bundle_of_tflite_alone_loads_and_answers(tumours: Path, tmp_path: Path) -> None:
    report = convert(
        tumours / "mlp.zipmap.onnx", tumours / "data.npz", tmp_path / "m.erai", labels="y", target="tflite",
        prune="none", reproducible=True,
    )  # fmt: skip
    manifest = bundle.read(report.output).manifest
    assert [model.format for model in manifest.models] == ["tflite"]
    assert manifest.requirements.keys() == {"edge_rai", "litert"}
    assert report.apart is None
    data = np.load(tumours / "data.npz")
    with edge_rai.load(report.output) as session:
        assert session.runtime == "litert"
        answer = session.predict(data["X"])
    accepted = answer.row_verdicts == edge_rai.Verdict.ACCEPT
    assert accepted.mean() > 0.9
    assert (answer.outputs["output_label"] == data["y"])[accepted].mean() > 0.9
    assert answer.outputs["output_probability"].shape == (len(data["X"]), 2)


@pytest.mark.parametrize(
    ("simple", "target", "formats"),
    [("mlp", "tflite", ["tflite"]), ("mlp", "onnx,tflite", ["onnx", "tflite"]), ("forest", "tflite", ["onnx"])],
)
def test_fallback_model_is_in_the_formats_that_it_has(
    simple: str, target: str, formats: list[str], tumours: Path, tmp_path: Path
) -> None:
    report = convert(
        tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", target=target, prune="none", quantize="none",
        false_rejection_rate=0.02, fallback_model=tumours / f"{simple}.onnx", reproducible=True,
    )  # fmt: skip
    manifest = bundle.read(report.output).manifest
    assert [model.format for model in manifest.models if model.role == "fallback"] == formats
    data = np.load(tumours / "data.npz")["X"]
    rows = data[[1, 0]]  # of the second a large radius with a small perimeter: each is within its limits
    rows[1, 0], rows[1, 2] = data[:, 0].max(), data[:, 2].min()
    with edge_rai.load(report.output, runtime="litert") as session:
        answer = session.predict(rows)
    assert answer.row_sources.tolist() == [edge_rai.Source.PRIMARY, edge_rai.Source.FALLBACK_MODEL]


def test_equal_arguments_give_equal_bundles(digits: Path, tmp_path: Path) -> None:
    made = []
    for name in ("a.erai", "b.erai"):
        convert(
            digits / "cnn.onnx", digits / "data.npz", tmp_path / name, labels="y", target="onnx,tflite", prune="none",
            reproducible=True, name="digits",
        )  # fmt: skip
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_channels_last_change_the_whole_bundle_and_cost_tflite_nothing(digits: Path, tmp_path: Path) -> None:
    data = np.load(digits / "data.npz")
    rng = np.random.default_rng(0)
    wide = np.concatenate([data["image"], rng.random((len(data["y"]), 2, 8, 8), np.float32)], axis=1)
    model = onnx.load(digits / "cnn.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    kernels = onnx.numpy_helper.to_array(model.graph.initializer[0])
    padded = np.concatenate([kernels, np.zeros((16, 2, 3, 3), np.float32)], axis=1)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(padded, "kernels"))
    onnx.save(model, tmp_path / "wide.onnx")
    np.savez(tmp_path / "wide.npz", image=wide, y=data["y"])
    report = convert(
        tmp_path / "wide.onnx", tmp_path / "wide.npz", tmp_path / "m.erai", labels="y", target="onnx,tflite",
        layout="nhwc", quantize="none", prune="none", reproducible=True,
    )  # fmt: skip
    manifest = bundle.read(report.output).manifest
    assert [spec.shape for spec in manifest.inputs] == [(None, 8, 8, 3)]
    assert manifest.provenance.preparation["layout"] == "NHWC"
    assert "TRANSPOSE" not in [operator.code for operator in Structure(files_of(report)).operators]
    rows = np.ascontiguousarray(wide[:100].transpose(0, 2, 3, 1))
    for runtime in ("onnxruntime", "litert"):
        with edge_rai.load(report.output, runtime=runtime) as session:
            answer = session.predict(rows)
        assert (answer.outputs["logits"].argmax(axis=1) == data["y"][:100]).mean() > 0.9


def test_integer_edges_are_quantized_by_the_session(digits: Path, tmp_path: Path) -> None:
    report = convert(
        digits / "cnn.onnx", digits / "data.npz", tmp_path / "m.erai", labels="y", target="tflite", quantize="int8",
        edges="int8", prune="none", reproducible=True,
    )  # fmt: skip
    structure = Structure(files_of(report))
    assert structure.operators[-1].outputs[0].dtype == "INT8"
    said = report.chosen.notes["edges"]
    assert "image has scale 0.00392157 and zero point -128, logits has scale " in said, "16 greys from 0 to 1"
    data = np.load(digits / "data.npz")
    with edge_rai.load(report.output) as session:
        answer = session.predict(data["image"][:200])
    assert answer.outputs["logits"].dtype == np.float32
    assert (answer.outputs["logits"].argmax(axis=1) == data["y"][:200]).mean() > 0.9


def test_edges_that_one_scale_does_not_suit_are_refused_with_what_to_do(tumours: Path, tmp_path: Path) -> None:
    with pytest.raises(AccuracyDropError, match="one scale and zero point: scale the features to one range before"):
        convert(
            tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", labels="y", target="tflite",
            quantize="int8", edges="int8", prune="none", reproducible=True,
        )  # fmt: skip


def test_int16_comes_with_its_price(digits: Path, tmp_path: Path) -> None:
    report = convert(
        digits / "cnn.onnx", digits / "data.npz", tmp_path / "m.erai", labels="y", target="tflite", quantize="int16",
        prune="none",
    )  # fmt: skip
    chosen = report.chosen
    assert chosen.quantization == "static_int16"
    assert chosen.cost is not None
    assert chosen.cost.slower
    assert chosen.comparison.agreement is not None
    assert chosen.comparison.agreement > 0.99


def test_recipe_of_a_user_may_be_for_tflite(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    arguments = (digits / "cnn.onnx", digits / "data.npz", tmp_path / "m.erai")
    report = convert(
        *arguments, labels="y", target="tflite", quantize="none", recipes=[tmp_path / "mine.toml"], reproducible=True
    )
    assert "half" in [entry.recipe for entry in report.candidates]
    with pytest.raises(ValueError, match=r"mine\.toml: the recipe is for tflite, which is not a target"):
        convert(*arguments, labels="y", recipes=[tmp_path / "mine.toml"])


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"target": "coreml"}, "target is 'coreml'; expected onnx, tflite or onnx,tflite"),
        ({"target": "tflite", "quantize": "int4"}, "quantize is 'int4', which is not for tflite"),
        ({"target": "onnx,tflite", "quantize": "int16"}, "quantize is 'int16', which is not for onnx"),
        ({"target": "tflite", "quantize": "int16", "reproducible": True}, "not offered without its measured price"),
        ({"layout": "nhwc"}, "layout nhwc is for TFLite models; add tflite to the target"),
        ({"target": "tflite", "layout": "nchw"}, "layout is 'nchw'; expected one of keep, nhwc"),
        ({"edges": "int8"}, "edges int8 is for TFLite models"),
        (
            {"target": "tflite", "edges": "int8", "quantize": "fp16"},
            "has no effect where quantize is fp16: ask for",
        ),
        (
            {"target": "tflite", "edges": "int8"},
            "edges int8 has no effect where quantize is auto: ask",
        ),
    ],
)
def test_wish_that_cannot_be_met_is_refused_at_once(
    digits: Path, tmp_path: Path, wishes: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        convert(digits / "cnn.onnx", digits / "data.npz", tmp_path / "m.erai", **wishes)  # type: ignore[arg-type]
    assert not (tmp_path / "m.erai").exists()


@pytest.mark.parametrize("target", ["tflite", "onnx,tflite"])
def test_ensemble_of_trees_has_no_tflite_form(target: str, tumours: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"ensemble of trees \(TreeEnsembleClassifier\), for which TFLite"):
        convert(tumours / "forest.onnx", tumours / "data.npz", tmp_path / "m.erai", target=target)
    assert not (tmp_path / "m.erai").exists()


def test_operator_without_a_tflite_form_is_named_with_its_node(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"], "volume")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 3, 3)).astype(np.float32))
    with pytest.raises(UnsupportedModelError, match="the target tflite cannot be met: TFLite: Det node 'volume'"):
        convert(tmp_path / "m.onnx", tmp_path / "x.npy", tmp_path / "m.erai", target="tflite")


def test_text_has_no_tflite_form(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["town"], ["same"])],
        "g",
        [helper.make_tensor_value_info("town", TensorProto.STRING, ["N", 1])],
        [helper.make_tensor_value_info("same", TensorProto.STRING, ["N", 1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.array([["oslo"], ["lima"]] * 30))
    with pytest.raises(UnsupportedModelError, match="'town' is text, for which TFLite has no kernels"):
        convert(tmp_path / "m.onnx", tmp_path / "x.npy", tmp_path / "m.erai", target="onnx,tflite")


@pytest.mark.parametrize(
    ("module", "quantize", "said"),
    [("ai_edge_litert", "none", "ai-edge-litert"), ("ai_edge_quantizer", "int8", "ai-edge-quantizer")],
)
def test_missing_package_is_told_before_anything_is_read(
    module: str, quantize: Quantize, said: str, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{said} is not installed: pip install '{said}[<=]"):
        convert(
            tmp_path / "none.onnx", digits / "data.npz", tmp_path / "m.erai", target="tflite", quantize=quantize
        )  # fmt: skip


def test_model_of_one_row_a_call_converts(digits: Path, tmp_path: Path) -> None:
    model = onnx.load(digits / "cnn.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "one.onnx")
    data = np.load(digits / "data.npz")
    np.savez(tmp_path / "data.npz", image=data["image"][:200], y=data["y"][:200])
    report = convert(
        tmp_path / "one.onnx", tmp_path / "data.npz", tmp_path / "m.erai", labels="y", target="onnx,tflite",
        prune="none", reproducible=True,
    )  # fmt: skip
    assert report.batched
    for runtime in ("litert", "onnxruntime"):
        with edge_rai.load(report.output, runtime=runtime) as session:
            classes = session.predict(data["image"][:5]).outputs["logits"].argmax(axis=1)
            assert classes.tolist() == data["y"][:5].tolist()


def test_report_prints_both_choices(both: ConversionReport, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(both)
    printed = capsys.readouterr().out
    assert "apart:  TFLite differs from ONNX by" in printed
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("* ")] == [
        choice.recipe for choice in both.choices.values()
    ]
    assert printed.count("chosen:") == 2


def test_command_takes_the_target_and_tells_both_choices(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["convert", digits / "cnn.onnx", "--data", digits / "data.npz", "--labels", "y", "--prune", "none"]
    arguments += ["-o", tmp_path / "m.erai", "--target", "onnx,tflite", "--quantize", "none", "--reproducible"]
    assert main([*map(str, arguments), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["choices"].keys() == {"onnx", "tflite"}
    assert document["tflite_against_onnx"]["agreement"] == 1.0


def test_numbers_without_axes_are_converted_and_answered(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "k"], ["p"]), helper.make_node("ReduceSum", ["p"], ["y"], keepdims=0)]
    edges = [helper.make_tensor_value_info(*each, []) for each in (("k", TensorProto.FLOAT), ("y", TensorProto.FLOAT))]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    graph = helper.make_graph(nodes, "g", [x, edges[0]], [edges[1]])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    generator = np.random.default_rng(0)
    rows = {name: generator.uniform(1, 2, shape).astype(np.float32) for name, shape in (("x", (64, 3)), ("k", 64))}
    np.savez(tmp_path / "data.npz", **rows)
    options = {"target": "onnx,tflite", "prune": "none", "quantize": "none"}
    convert(tmp_path / "m.onnx", tmp_path / "data.npz", tmp_path / "m.erai", **options)  # type: ignore[arg-type]
    for runtime in ("onnxruntime", "litert"):
        with edge_rai.load(tmp_path / "m.erai", runtime=runtime) as session:
            for row in range(8):
                answer = session.predict({"x": rows["x"][row], "k": rows["k"][row, ...]})
                assert np.isclose(answer.outputs["y"], rows["k"][row] * rows["x"][row].sum(), rtol=1e-5)
