"""The gate inside a conversion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge_rai
from edge_rai import bundle, cli
from edge_rai.errors import BundleError, DataError, PolicyError
from edge_rai_converters import AccuracyDropError, convert
from edge_rai_converters.answered import Answered
from edge_rai_converters.data import drawn
from edge_rai_converters.gate.answers import Labels, rows_of
from edge_rai_converters.gate.inside import fitted_again
from edge_rai_converters.gate.rules import AnswerRule
from edge_rai_converters.refit import Rethreshold
from edge_rai_converters.threshold import Refit
from support.json_schema import faults

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/formats/gate.schema.json").read_text())
LENIENT = """
format_version = 1
[margins]
accuracy = 0.2
brier = 0.4
[slice_margins]
accuracy = 0.3
[[slices]]
by = ["site"]
"""
STRICT = LENIENT.replace("brier = 0.4", "brier = 0.0001")


@pytest.fixture
def groups(tumours: Path, tmp_path: Path) -> Path:
    count = len(np.load(tumours / "data.npz")["y"])
    np.savez(tmp_path / "groups.npz", site=np.array(["Bonn", "Ulm"])[np.random.default_rng(0).integers(0, 2, count)])
    return tmp_path / "groups.npz"


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "gate.toml").write_text(text)
    return tmp_path / "gate.toml"


def test_what_passes_is_chosen_and_its_report_is_in_the_bundle(tumours: Path, groups: Path, tmp_path: Path) -> None:
    report = convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "out",
        labels="y",
        quantize="int8",
        prune="none",
        max_drop=5,
        gate=written(tmp_path, LENIENT),
        groups=groups,
        reproducible=True,
    )
    assert report.as_json()["gate"] == {"evidence/gate.json": "pass"}
    held = json.loads(bundle.read(tmp_path / "out").files["evidence/gate.json"])
    assert list(faults(held, SCHEMA)) == []
    assert held["facts"]["data"]["rows"] == 142
    assert held["facts"]["candidate"]["name"] == report.chosen.recipe
    assert (held["alpha"], held["candidates"]) == (pytest.approx(0.05), 1)
    assert {entry["name"] for entry in held["slices"]} == {"all rows", "site=Bonn", "site=Ulm"}


def test_people_are_certified_and_it_is_said_that_their_other_rows_calibrate(tumours: Path, tmp_path: Path) -> None:
    count = len(np.load(tumours / "data.npz")["y"])
    np.savez(tmp_path / "people.npz", person=np.arange(count) // 8)
    policy = (
        'clusters = "person"\nformat_version = 1\n[margins]\naccuracy = 0.4\n'
        "[certificate.abstention]\nerrors = 0.4\nabstains = 0.8\n"
    )
    report = convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "out",
        labels="y",
        quantize="int8",
        prune="none",
        max_drop=5,
        gate=written(tmp_path, policy),
        groups=tmp_path / "people.npz",
        reproducible=True,
    ).gate["evidence/gate.json"]
    promise = report.further["certificate"]["abstention"]
    assert promise["granted"]
    assert 0 < promise["rows_chosen_on"] < 142
    assert promise["rows"] == 142 - promise["rows_chosen_on"]
    assert any(
        note.startswith("of 71 of the 71 clusters that judge here other rows calibrated") for note in report.notes
    )


def test_a_certificate_is_revoked_as_long_as_an_alarm_of_drift_stands(tumours: Path, tmp_path: Path) -> None:
    policy = "format_version = 1\n[margins]\naccuracy = 0.4\n[certificate.abstention]\nerrors = 0.4\nabstains = 0.8\n"
    convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "m.erai",
        labels="y",
        quantize="none",
        prune="none",
        gate=written(tmp_path, policy),
        average_run_length=1000,
        ordered=True,
        reproducible=True,
    )
    rows = np.load(tumours / "data.npz")["X"].astype(np.float32)
    with edge_rai.load(tmp_path / "m.erai") as session:
        certificate = session.certificate()
        assert certificate is not None
        assert certificate.holds
        assert "errs on at most" in " ".join(certificate.promises)
        for _ in range(20):
            session.predict(rows[:64] + rows.std(axis=0))
        revoked = session.certificate()
        watch = session.watch()
        assert watch is not None
        assert revoked == (certificate.promises, watch.alarm)
        assert not revoked.holds
        session.reset_watch()
        assert session.certificate() == certificate
        convert(tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "other.erai", quantize="none", prune="none")
        (tmp_path / "other.erai").replace(tmp_path / "m.erai")
        with pytest.raises(BundleError, match="it has changed since the session was opened; open it again"):
            session.certificate()
    with edge_rai.load(tumours / "mlp.onnx") as bare:
        assert bare.certificate() is None


def test_what_does_not_pass_is_left_for_the_original(tumours: Path, groups: Path, tmp_path: Path) -> None:
    report = convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "out",
        labels="y",
        prune="none",
        gate=written(tmp_path, STRICT),
        groups=groups,
        reproducible=True,
    )
    assert report.chosen.recipe == "float"
    assert "does not pass the gate: brier of all rows: not settled" in report.choice.objections["int8"]
    held = json.loads(bundle.read(tmp_path / "out").files["evidence/gate.json"])
    assert held["verdict"] == "pass"
    assert held["notes"] == ["what is released is the original itself, so that nothing changed"]


def test_each_of_several_candidates_has_a_part_of_alpha_and_a_recipe_that_finds_what_to_prune_has_three(
    tumours: Path, groups: Path, tmp_path: Path
) -> None:
    report = convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "out",
        labels="y",
        max_drop=5,
        gate=written(tmp_path, LENIENT),
        groups=groups,
        reproducible=True,
    )
    assert [entry.recipe for entry in report.candidates] == ["float", "pruned", "int8", "pruned-int8"]
    held = json.loads(bundle.read(tmp_path / "out").files["evidence/gate.json"])
    assert (held["verdict"], held["candidates"], held["alpha"]) == ("pass", 3 + 1 + 3, pytest.approx(0.05))
    assert held["notes"][0].startswith("one of 7 candidates is chosen by these rows")
    assert all(cell["p_not_worse"] <= 0.05 / 7 for cell in held["cells"])
    assert all(cell["reason"].endswith("with 95 % confidence") for cell in held["cells"])


def test_what_was_insisted_on_and_does_not_pass_is_not_written(tumours: Path, groups: Path, tmp_path: Path) -> None:
    policy = written(tmp_path, STRICT)
    with pytest.raises(AccuracyDropError, match="does not pass the gate: brier of all rows"):
        convert(
            tumours / "mlp.onnx",
            tumours / "data.npz",
            tmp_path / "out",
            labels="y",
            quantize="int8",
            prune="none",
            max_drop=5,
            gate=policy,
            groups=groups,
            reproducible=True,
        )
    assert not (tmp_path / "out").exists()


def test_policies_that_cannot_be_judged_stop_a_conversion_early(tumours: Path, tmp_path: Path) -> None:
    for text, error, said in (
        (LENIENT, PolicyError, "no column 'site', which the gate's policy names"),
        (LENIENT.replace("accuracy", "accurate"), PolicyError, "there is no metric 'accurate'"),
        (
            f'format_version = 1\n[margins]\naccuracy = 0.1\n[holdout]\nsha256 = "{"0" * 64}"\nattempts = 1\n',
            PolicyError,
            "sealed data are for edge-rai gate, which looks once",
        ),
    ):
        stages: list[str] = []

        def tell(stage: str, _share: float = 0.0, /, told: list[str] = stages) -> None:
            told.append(stage)

        with pytest.raises(error, match=said):
            convert(
                tumours / "mlp.onnx",
                tumours / "data.npz",
                tmp_path / "out",
                labels="y",
                gate=written(tmp_path, text),
                progress=tell,
            )
        assert not any(stage.startswith("making") for stage in stages)


def test_command_says_what_the_gate_said(
    tumours: Path, groups: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["convert", str(tumours / "mlp.onnx"), "--data", str(tumours / "data.npz"), "--labels", "y"]
    arguments += ["--gate", str(written(tmp_path, LENIENT)), "--groups", str(groups), "--quantize", "none"]
    assert cli.main([*arguments, "--prune", "none", "--reproducible", "-o", str(tmp_path / "out")]) == 0
    assert "gate:   pass, 4 cells: evidence/gate.json" in capsys.readouterr().out


@pytest.mark.parametrize("labels", [["--labels", "y"], []])
def test_command_ends_with_status_2_where_the_gate_would(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: list[str]
) -> None:
    policy = LENIENT if labels else LENIENT[: LENIENT.index("[slice_margins]")]
    arguments = ["convert", str(tumours / "mlp.onnx"), "--data", str(tumours / "data.npz"), *labels]
    arguments += ["--gate", str(written(tmp_path, policy)), "-o", str(tmp_path / "out")]
    assert cli.main(arguments) == 2
    said = "no column 'site'" if labels else "'accuracy' needs labels; give --labels"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_candidate_is_judged_at_the_threshold_that_was_fitted_again_on_other_rows(tmp_path: Path) -> None:
    """The model's scores are right and its threshold is not: what the conversion re-fits is what the gate judges."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(2000, 8)).astype(np.float32)
    weights = generator.normal(size=(8, 1)).astype(np.float32)
    labels = ((rows @ weights)[:, 0] + generator.normal(0, 0.3, 2000) > 0).astype(np.int64)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["z"]), helper.make_node("Sigmoid", ["z"], ["p"])],
        "biased",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.full(1, 1.5, np.float32), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "biased.onnx")
    np.savez(tmp_path / "data.npz", x=rows, y=labels)
    policy = written(tmp_path, "format_version = 1\n[margins]\naccuracy = 0.05\n")
    report = convert(
        tmp_path / "biased.onnx",
        tmp_path / "data.npz",
        tmp_path / "out",
        labels="y",
        quantize="int8",
        prune="none",
        max_drop=5,
        gate=policy,
        reproducible=True,
    )
    refit = report.chosen.threshold.refit
    held = json.loads(bundle.read(tmp_path / "out").files["evidence/gate.json"])
    assert refit.kept
    assert held["facts"]["candidate_threshold"] == pytest.approx(refit.threshold)
    assert held["notes"][0].endswith("fitted again on rows that calibrate; decide so on a device too")
    accuracy = held["cells"][0]
    assert accuracy["candidate"] == pytest.approx(report.chosen.threshold.accuracy)
    assert accuracy["candidate"] > accuracy["original"] + 0.05


@pytest.mark.parametrize(
    ("columns", "limit", "share"), [(1, 0.3, 0.3), (2, 0.2, 0.6), (-1, 0.0, 0.5), (-2, np.log(3), 0.75)]
)
def test_refitted_threshold_of_scores_is_the_same_decision_of_probabilities(
    columns: int, limit: float, share: float
) -> None:
    """Scores are probabilities, or, of negative columns here, logarithms of odds; of two the limit is of their gap."""
    generator = np.random.default_rng(0)
    ones = generator.uniform(0.05, 0.95, 200)
    both = np.stack([1 - ones, ones], axis=1)
    scores = both if columns > 0 else np.log(both)
    scores = scores[:, -1:] - (columns == -1) * np.log(1 - ones)[:, np.newaxis] if abs(columns) == 1 else scores

    class Given:
        where = "given"

        def call(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"s": scores[feed["row"]].astype(np.float32)}

    answered = Answered(Given(), lambda: iter([{"row": np.arange(200)}]), batched=True)
    gap = scores[:, 1] - scores[:, 0] if abs(columns) == 2 else scores[:, 0]
    found = Rethreshold("s", Refit(0.0, limit, True, 10, 1, 9), 0.9)
    rule = fitted_again(AnswerRule(), found, answered)
    assert rule.candidate_threshold == pytest.approx(share, abs=1e-6)
    rows = rows_of(answered, answered, Labels(ones.round(), None, Path("data"), str), rule, {})
    np.testing.assert_array_equal(rows.candidate.decided, gap.astype(np.float32) > np.float32(limit))
    own = AnswerRule(candidate_threshold=0.4)
    assert fitted_again(own, found, answered) is own


def test_losses_of_ones_own_are_judged_inside_a_conversion(tumours: Path, tmp_path: Path) -> None:
    def missed(answers: Mapping[str, np.ndarray], labels: np.ndarray | None) -> np.ndarray:
        assert labels is not None
        return (answers["label"].reshape(-1) == 0) & (labels == 1)

    (tmp_path / "gate.toml").write_text("format_version = 1\n[margins]\nmissed = 0.2\n[loss_spans]\nmissed = 1.0\n")
    given = {"labels": "y", "quantize": "int8", "prune": "none", "max_drop": 5, "reproducible": True}
    given["gate"] = tmp_path / "gate.toml"
    arguments = (tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "out")
    report = convert(*arguments, losses={"missed": missed}, **given)
    (cell,) = report.gate["evidence/gate.json"].cells
    assert (cell.name, cell.verdict) == ("missed of all rows", "pass")
    with pytest.raises(PolicyError, match=r"\[loss_spans\] declares 'missed', and no such loss was given"):
        convert(*arguments[:2], tmp_path / "none", **given)


def a_layer(folder: Path, labels: np.ndarray, **beside: np.ndarray) -> tuple[Path, Path]:
    """A linear layer as wide as the labels, and rows whose labels it answers, but for noise."""
    draw, width = np.random.default_rng(5), labels.shape[1]
    rows = draw.normal(size=(len(labels), 6)).astype("f4")
    weights = np.linalg.lstsq(rows, labels, rcond=None)[0].astype("f4")
    given, answered = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", extent])]
        for name, extent in (("x", 6), ("y", width))
    )
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", given, answered, [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "m.onnx")
    np.savez(folder / "data.npz", x=rows, truth=labels, **beside)
    return folder / "m.onnx", folder / "data.npz"


def test_quantities_are_judged_by_their_labels_inside_a_conversion(tmp_path: Path) -> None:
    labels = np.random.default_rng(6).normal(size=(600, 1))
    labels[::50] = np.nan  # these calibrate
    site = np.array(["Bonn", "Ulm"])[np.arange(600) % 2]
    model, data = a_layer(tmp_path, np.nan_to_num(labels), site=site)
    np.save(tmp_path / "truth.npy", labels)
    given = {"labels": str(tmp_path / "truth.npy"), "reproducible": True}
    with pytest.raises(DataError, match="leave labels out, or give a policy of the gate"):
        convert(model, data, tmp_path / "none", **given)
    rules = 'format_version = 1\n[answer]\nkind = "quantity"\nlargest_error = 4.0\n[margins]\nmae = 1.0\n'
    rules += '[slice_margins]\nmae = 2.0\n[[slices]]\nby = ["site"]\n'
    report = convert(model, data, tmp_path / "out", gate=written(tmp_path, rules), **given)
    (entry,) = report.gate.values()
    assert [cell.name for cell in entry.cells] == ["mae of all rows", "mae of site=Bonn", "mae of site=Ulm"]
    held_back = np.flatnonzero(~np.isnan(labels[:, 0]))
    held_back = held_back[drawn(len(held_back), 4)]
    answers = onnx_answers(model, np.load(data)["x"][held_back])
    cell = entry.cells[0]
    assert cell.measured.rows == len(held_back)
    assert cell.measured.original == pytest.approx(np.abs(answers - labels[held_back]).mean(), abs=1e-6)
    assert report.candidates[0].comparison.accuracy is None
    card = bundle.read(tmp_path / "out").files["card.md"].decode()
    assert "| values within 5 % of their range of float's |" in card
    assert "agreement with float" not in card


def test_several_labels_a_row_are_judged_inside_a_conversion(tmp_path: Path) -> None:
    labels = np.random.default_rng(7).integers(0, 2, (400, 3))
    model, data = a_layer(tmp_path, labels)
    rules = 'format_version = 1\n[answer]\nkind = "labels"\n[margins]\nhamming_loss = 0.3\n'
    given = {"labels": "truth", "reproducible": True, "max_drop": 30}
    with pytest.raises(DataError, match=r"labels have 3 values a row; where these are one-hot, give one class a row"):
        convert(model, data, tmp_path / "none", **given)
    report = convert(model, data, tmp_path / "out", gate=written(tmp_path, rules), **given)
    assert [cell.name for cell in report.gate["evidence/gate.json"].cells] == ["hamming_loss of all rows"]
    assert "truth" not in report.not_taken


def onnx_answers(model: Path, rows: np.ndarray) -> np.ndarray:
    return np.asarray(ort.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(None, {"x": rows})[0])
