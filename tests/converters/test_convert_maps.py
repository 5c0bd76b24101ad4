"""A classifier as skl2onnx exports it by default, with a map a row, is converted like the same one without."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import edge_rai
from edge_rai import UnsupportedModelError, bundle
from edge_rai_converters import ConversionReport, convert
from edge_rai_converters.cli.report import print_report
from edge_rai_converters.learning import learn

KINDS = ("mlp", "forest")


@pytest.fixture(scope="module")
def pairs(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[ConversionReport, ...]]:
    """By kind, the report of the model with maps and that of the one without."""
    folder = tmp_path_factory.mktemp("maps")
    return {
        kind: tuple(
            convert(tumours / f"{name}.onnx", tumours / "data.npz", folder / f"{name}.erai", labels="y",
                    max_drop=3, reproducible=True)
            for name in (f"{kind}.zipmap", kind)
        )
        for kind in KINDS
    }  # fmt: skip


def maps_of(path: Path, rows: np.ndarray) -> list[dict[int | str, float]]:
    return onnxruntime.InferenceSession(path).run(["output_probability"], {"X": rows})[0]


@pytest.mark.parametrize("kind", KINDS)
def test_model_with_maps_is_pruned_quantized_and_compared_as_the_one_without(pairs: dict, kind: str) -> None:
    with_maps, without = pairs[kind]
    assert [entry.recipe for entry in with_maps.candidates] == [entry.recipe for entry in without.candidates]
    assert [entry.comparison for entry in with_maps.candidates] == [entry.comparison for entry in without.candidates]
    assert with_maps.candidates[0].comparison.largest_difference == 0
    assert all(entry.comparison.largest_difference > 1e-4 for entry in with_maps.candidates[1:])
    assert len(with_maps.candidates) == (4 if kind == "mlp" else 1)
    assert with_maps.unrecorded == ()


@pytest.mark.parametrize("kind", KINDS)
def test_bundle_answers_with_a_matrix_of_the_numbers_that_were_in_the_maps(
    pairs: dict, tumours: Path, kind: str
) -> None:
    rows = np.load(tumours / "data.npz")["X"][:3]
    report = pairs[kind][0]
    manifest = bundle.read(report.output).manifest
    assert {tensor.name for tensor in manifest.golden.outputs} == {"output_label", "output_probability"}
    with edge_rai.load(report.output) as session:
        found = session.predict(rows).outputs["output_probability"]
    expected = [list(row.values()) for row in maps_of(tumours / f"{kind}.zipmap.onnx", rows)]
    np.testing.assert_allclose(found, expected, atol=1e-6 if report.choice.recipe == "float" else 0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_became_of_the_maps_is_said_and_kept(pairs: dict, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = pairs[kind][0]
    found = bundle.read(report.output)
    assert found.manifest.provenance.preparation["zipmap_removed"] == {"output_probability": [0, 1]}
    assert report.as_json()["zipmap_removed"] == {"output_probability": [0, 1]}
    assert "Here it is a matrix of the same\nnumbers, a column a class: `0`, `1`." in found.files["card.md"].decode()
    print_report(report)
    line = "zipmap: output output_probability was a map a row; it is a matrix now, a column a class: 0, 1"
    assert line in capsys.readouterr().out.splitlines()
    assert "zipmap_removed" not in bundle.read(pairs[kind][1].output).manifest.provenance.preparation


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wine.csv, whose labels are text, and all.onnx and other.onnx, which calls the classes otherwise."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression

    folder = tmp_path_factory.mktemp("named")
    loaded = load_wine()
    rows = (loaded.data / loaded.data.max(axis=0)).astype(np.float32)
    names = np.array(["red", "blush", "white"])[loaded.target]
    for name, called in (("all", names), ("other", np.where(names == "white", "amber", names))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(max_iter=1000).fit(rows, called)
            (folder / f"{name}.onnx").write_bytes(to_onnx(model, rows[:1]).SerializeToString())
    lines = [",".join([*map(str, row), name]) for row, name in zip(rows, names, strict=True)]
    (folder / "wine.csv").write_text("\n".join([",".join([*map(str, range(13)), "kind"]), *lines]))
    return folder


def test_keys_that_are_text_are_the_classes_of_labels_that_are_text(named: Path, tmp_path: Path) -> None:
    report = convert(named / "all.onnx", named / "wine.csv", tmp_path / "m.erai", labels="kind", reproducible=True)
    assert report.columns == {"output_probability": ("blush", "red", "white")}
    assert report.unrecorded == ("output_label",)
    assert report.candidates[0].comparison.accuracy > 0.9
    preparation = bundle.read(tmp_path / "m.erai").manifest.provenance.preparation
    assert preparation["classes"] == preparation["zipmap_removed"]["output_probability"] == ["blush", "red", "white"]


def test_reference_is_what_the_model_with_maps_answers_column_by_column(named: Path) -> None:
    learned = learn(named / "all.onnx", named / "wine.csv")
    rows = np.concatenate([learned.shown["X"][row] for row in learned.held_back])
    expected = [[row[name] for name in ("blush", "red", "white")] for row in maps_of(named / "all.onnx", rows)]
    np.testing.assert_allclose(learned.answers.all_of("output_probability"), expected, atol=1e-6)
    assert learned.answers.runner is not learned.runner


def test_fallback_model_with_other_classes_in_its_maps_is_refused(named: Path, tmp_path: Path) -> None:
    arguments = (named / "all.onnx", named / "wine.csv", tmp_path / "m.erai")
    with pytest.raises(UnsupportedModelError, match=r"has the classes \['amber', .*, the primary model's \['blu"):
        convert(*arguments, prune="none", quantize="none", fallback_model=named / "other.onnx")
    report = convert(*arguments, prune="none", quantize="none", fallback_model=named / "all.onnx")
    assert report.fallback.comparison.largest_difference == 0
