"""Candidates, budgets and evidence of whole conversions, from files and from what a notebook holds in memory."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

import edge_rai
from edge_rai import bundle
from edge_rai.cli import main
from edge_rai_converters import AccuracyDropError, BudgetError, ConversionReport, convert

HALF = """
name = "half"
summary = "half of the channels"
order = 20
quantization = "none"
prunes = true
[[steps]]
pass = "lower"
[[steps]]
pass = "prune"
keep = 0.5
importance = "magnitude"
"""


@pytest.fixture(scope="module")
def compressed(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> ConversionReport:
    folder = tmp_path_factory.mktemp("compressed")
    model, data = (shutil.copy2(tumours / name, folder) for name in ("mlp.onnx", "data.npz"))
    return convert(model, data, folder / "tumour.erai", labels="y")


def arguments(tumours: Path, output: Path) -> list[str]:
    return [
        "convert",
        str(tumours / "mlp.onnx"),
        "--data",
        str(tumours / "data.npz"),
        "--labels",
        "y",
        "-o",
        str(output),
    ]


def test_every_candidate_is_measured_and_the_cheapest_within_the_budget_is_taken(compressed: ConversionReport) -> None:
    assert [entry.recipe for entry in compressed.candidates] == ["float", "pruned", "int8", "pruned-int8"]
    original = compressed.candidates[0]
    assert original.comparison.accuracy is not None
    assert compressed.chosen.size < 0.5 * original.size
    for entry in compressed.candidates:
        assert entry.cost is not None
        assert entry.cost.peak_memory
        assert entry.rows_independent
        accuracy = entry.comparison.accuracy
        assert accuracy is not None
        if entry.recipe not in compressed.choice.objections:
            assert accuracy >= original.comparison.accuracy - 0.01
            assert entry.size >= compressed.chosen.size / 1.05


def test_files_that_were_given_are_as_they_were_when_all_candidates_are_made(
    compressed: ConversionReport, tumours: Path
) -> None:
    folder = compressed.output.parent
    assert sorted(path.name for path in folder.iterdir()) == ["data.npz", "mlp.onnx", "tumour.erai"]
    for name in ("data.npz", "mlp.onnx"):
        assert (folder / name).read_bytes() == (tumours / name).read_bytes()
        assert (folder / name).stat().st_mtime_ns == (tumours / name).stat().st_mtime_ns


def test_chosen_model_answers_in_the_bundle_as_it_was_measured(compressed: ConversionReport, tumours: Path) -> None:
    data = np.load(tumours / "data.npz")
    found = bundle.read(compressed.output)
    assert found.manifest.primary.recipe == compressed.choice.recipe
    assert found.manifest.primary.size == compressed.chosen.size
    with edge_rai.load(compressed.output) as session:
        answer = session.predict(data["X"])
    accepted = answer.row_verdicts == edge_rai.Verdict.ACCEPT
    assert accepted.mean() > 0.9
    assert (answer.outputs["label"] == data["y"])[accepted].mean() > 0.9


def test_evidence_has_the_table_and_marks_the_pareto_front(compressed: ConversionReport) -> None:
    evidence = json.loads(bundle.read(compressed.output).files["evidence/candidates.json"])
    assert [entry["recipe"] for entry in evidence["candidates"]] == ["float", "pruned", "int8", "pruned-int8"]
    smallest = min(evidence["candidates"], key=lambda entry: entry["size"])
    assert smallest["pareto"] is True
    for entry in evidence["candidates"]:
        assert {"size", "accuracy", "agreement", "largest_difference", "threshold"} <= entry.keys()
        assert entry["cost"]["p10_ns"] <= entry["cost"]["p50_ns"] <= entry["cost"]["p90_ns"]
        assert entry["cost"]["speed_up_low"] <= entry["cost"]["speed_up"] <= entry["cost"]["speed_up_high"]
    assert evidence["chosen"]["onnx"]["recipe"] == compressed.choice.recipe
    assert evidence["budgets"] == {"max_drop": 1.0, "latency_ms": None, "size": None}
    threshold = evidence["candidates"][-1]["threshold"]
    assert threshold["output"] == "probabilities"
    assert threshold["refit"]["kept"] == (threshold["refit"]["right_found"] > threshold["refit"]["right_before"])


def test_report_is_one_page_that_asks_for_nothing_else(compressed: ConversionReport) -> None:
    page = bundle.read(compressed.output).files["evidence/report.html"].decode()
    tags: list[tuple[str, dict[str, str | None]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign]
    parser.feed(page)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags}
    assert not [attributes for _, attributes in tags if {"src", "href"} & attributes.keys()]
    assert "url(" not in page
    assert sum(tag == "circle" for tag, _ in tags) == len(compressed.candidates)
    assert sum(tag == "tr" for tag, _ in tags) == 1 + len(compressed.candidates)


def test_names_in_the_report_are_text_and_never_markup(tumours: Path, tmp_path: Path) -> None:
    path = tmp_path / "<b>&.onnx"
    path.write_bytes((tumours / "mlp.onnx").read_bytes())
    convert(path, tumours / "data.npz", tmp_path / "m.erai", prune="none", quantize="none", reproducible=True)
    page = bundle.read(tmp_path / "m.erai").files["evidence/report.html"].decode()
    assert "&lt;b&gt;&amp;.onnx" in page


def test_budgets_that_nothing_keeps_are_refused_and_nothing_is_written(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(tumours, tmp_path / "m.erai"), "--prune", "none", "--budget-bytes", "100"]) == 1
    (said,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("convert: ")]
    assert "no candidate keeps the budgets: float is 18," in said
    assert "int8 is 11," in said
    assert not list(tmp_path.iterdir())
    with pytest.raises(BudgetError, match="ms a call, more than the 1e-06 allowed"):
        convert(tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", prune="none", budget_ms=1e-6)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--prune", "1.5", "the share of channels to remove, above 0 and below 1"),
        ("--budget-ms", "-1", "expected a number of milliseconds above 0"),
        ("--budget-bytes", "0", "expected a number of bytes above 0"),
        ("--max-drop", "nan", "expected a number of percentage points"),
        ("--recipe", "absent.toml", "absent.toml"),
    ],
)
def test_wish_that_makes_no_sense_is_one_sentence(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    assert main([*arguments(tumours, tmp_path / "m.erai"), option, value]) != 0
    printed = capsys.readouterr().err.splitlines()
    assert said in printed[-1]
    assert "Traceback" not in "".join(printed)


def test_share_of_channels_that_is_insisted_on_is_removed(tumours: Path, tmp_path: Path) -> None:
    report = convert(
        tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", labels="y", prune=0.5, quantize="none"
    )
    assert report.choice.recipe == "pruned"
    model = onnx.load_model_from_string(next(iter(_models(tmp_path / "m.erai"))))
    widths = [tuple(tensor.dims) for tensor in model.graph.initializer if len(tensor.dims) == 2]
    assert (30, 32) in widths or (32, 30) in widths


def test_recipe_of_a_user_is_tried_beside_the_others(tumours: Path, tmp_path: Path) -> None:
    (tmp_path / "half.toml").write_text(HALF)
    report = convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "m.erai",
        labels="y",
        prune="none",
        quantize="none",
        recipes=[tmp_path / "half.toml"],
    )
    assert [entry.recipe for entry in report.candidates] == ["float", "half"]


def test_recipe_of_a_user_is_as_simple_as_it_says(tumours: Path, tmp_path: Path) -> None:
    """Among equals the simplest is taken, so that the order of candidates is that of their recipes."""
    (tmp_path / "half.toml").write_text(HALF.replace("order = 20", "order = 1"))
    report = convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "m.erai",
        prune="none",
        recipes=[tmp_path / "half.toml"],
        reproducible=True,
    )
    assert [entry.recipe for entry in report.candidates] == ["float", "half", "int8"]


def test_arm_gets_signed_activations_and_x86_unsigned_ones(tumours: Path, tmp_path: Path) -> None:
    kinds = {}
    for cpu in ("x86", "arm"):
        folder = tmp_path / cpu
        convert(
            tumours / "mlp.onnx",
            tumours / "data.npz",
            folder,
            labels="y",
            prune="none",
            quantize="int8",
            target_cpu=cpu,  # type: ignore[arg-type]
            reproducible=True,
        )
        graph = onnx.load_model_from_string(next(iter(_models(folder)))).graph
        points = {node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"}
        kinds[cpu] = {tensor.data_type for tensor in graph.initializer if tensor.name in points}
    assert kinds == {"x86": {onnx.TensorProto.UINT8}, "arm": {onnx.TensorProto.INT8}}


def test_trees_that_are_to_be_quantized_are_refused_in_a_sentence(tumours: Path, tmp_path: Path) -> None:
    for wish in ({"quantize": "int8"}, {"prune": 0.5}):
        with pytest.raises(AccuracyDropError) as raised:
            convert(tumours / "forest.onnx", tumours / "data.npz", tmp_path / "m.erai", labels="y", **wish)
        assert str(raised.value).count("ensemble of trees") == 1
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_done_with_trees_is_said_once(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tumours / "forest.onnx"), "--data", str(tumours / "data.npz")]
    assert main(["convert", *given, "-o", str(tmp_path / "m.erai"), "--reproducible"]) == 0
    assert capsys.readouterr().out.count("ensemble of trees") == 1
    assert bundle.read(tmp_path / "m.erai").files["card.md"].decode().count("ensemble of trees") == 1


def test_models_and_rows_of_a_notebook_make_the_same_bundle_as_files(tumours: Path, tmp_path: Path) -> None:
    data = np.load(tumours / "data.npz")
    proto = onnx.load(tumours / "mlp.onnx")
    options = {"prune": "none", "quantize": "none", "reproducible": True}
    report = convert(proto, {"X": data["X"]}, tmp_path / "mapping", labels=data["y"], **options)
    assert report.candidates[0].comparison.accuracy is not None
    convert(proto, data["X"], tmp_path / "array", labels=data["y"], **options)
    first, second = (bundle.read(tmp_path / name).files for name in ("mapping", "array"))
    assert first["guard.bin"] == second["guard.bin"]
    assert first["policy.toml"] == second["policy.toml"]
    with pytest.raises(TypeError, match="data is object; expected a path, an array of numbers"):
        convert(proto, object(), tmp_path / "m")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="data is an array of Python objects; expected a path, an array of numbers"):
        convert(proto, data["X"].astype(object), tmp_path / "m")
    convert(proto, pd.DataFrame(data["X"]), tmp_path / "frame", labels=data["y"], **options)
    assert bundle.read(tmp_path / "frame").files["policy.toml"] == second["policy.toml"]


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_person_sees_a_bar_for_each_stage_and_the_time_that_it_took(
    tumours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", seen := Terminal())
    assert main([*arguments(tumours, tmp_path / "m.erai"), "--prune", "none", "--reproducible"]) == 0
    *lines, rest = seen.getvalue().split("\n")
    assert rest == ""
    ended = [re.search(r"\x1b\[Kconvert: \[#{24}\] ([^\r]+?) \d+\.\d s$", line) for line in lines]
    stages = [found[1].split(" ")[0].rstrip(":") for found in ended if found]
    assert stages == ["reading", "reading", "running", "learning", "auditing", "making", "rehearsing"]
    (making,) = (line for line in lines if "making int8" in line)
    assert making.startswith("\r\x1b[Kconvert: [........................] making int8")
    shares = [bar.count("#") for bar in re.findall(r"\[([#.]{24})\]", making)]
    assert shares == sorted(shares)


def test_interrupted_conversion_leaves_nothing(tumours: Path, tmp_path: Path) -> None:
    # What was started in the background ignores the signal, and so would its children.
    heard = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    main = heard + "from edge_rai.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", main, *arguments(tumours, tmp_path / "m.erai")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as running:
        assert running.stderr is not None
        assert any("making " in line for line in running.stderr)
        time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 1
    assert said.splitlines()[-1].endswith("edge-rai: interrupted; nothing was written: start it again for a bundle")
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def _models(path: Path) -> list[bytes]:
    found = bundle.read(path)
    return [found.files[found.manifest.primary.path]]


def test_labels_that_are_numbered_otherwise_are_left_aside_and_said_so(tumours: Path, tmp_path: Path) -> None:
    labels = 1 - np.load(tumours / "data.npz")["y"]
    report = convert(
        tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", labels=labels, prune="none", reproducible=True
    )
    assert all(entry.comparison.accuracy is None for entry in report.candidates)
    finding = report.audit.findings[0]
    assert (finding.kind, finding.severity) == ("labels_unlike_answers", "error")
    assert "less than by guessing: it answers 0, 1, the labels are 0, 1; they are left aside" in finding.sentence


def test_recipe_that_says_another_result_than_it_has_is_refused(tumours: Path, tmp_path: Path) -> None:
    (tmp_path / "half.toml").write_text(HALF.replace('quantization = "none"', 'quantization = "float16"'))
    with pytest.raises(ValueError, match="recipe 'half' says its result is float16, but it is none"):
        convert(
            tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", recipes=[tmp_path / "half.toml"]
        )  # fmt: skip
    (tmp_path / "half.toml").write_text(HALF.replace('name = "half"', 'name = "int8"'))
    with pytest.raises(ValueError, match="there is another recipe 'int8'"):
        convert(
            tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", recipes=[tmp_path / "half.toml"]
        )  # fmt: skip


def test_place_that_cannot_be_written_to_is_found_before_the_work(tumours: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    seen: list[str] = []
    with pytest.raises(PermissionError, match="is not a directory that may be written to"):
        convert(
            tumours / "mlp.onnx",
            tumours / "data.npz",
            tmp_path / "file/m.erai",
            progress=lambda stage, _share=0.0: seen.append(stage),
        )
    assert not seen


def test_sentence_about_rows_in_memory_names_no_temporary_file(tumours: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^the given data.npy: 3 rows; at least 32 are needed"):
        convert(tumours / "mlp.onnx", np.zeros((3, 30), np.float32), tmp_path / "m.erai")
