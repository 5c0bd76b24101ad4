"""Labels held against the classes that a model says it has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_rai.types import TensorSpec
from edge_rai_converters import convert
from edge_rai_converters.data import load
from edge_rai_converters.data.labels import model_classes, model_numbers
from edge_rai_converters.errors import DataError

PAIR = (TensorSpec("x", "float32", (None, 2)),)


def graph(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.GraphProto:
    held = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    return helper.make_graph(list(nodes), "g", [], [], held)


def classifier(**labels: list[int] | list[str]) -> onnx.NodeProto:
    return helper.make_node("LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", **labels)


LOOK_UP = helper.make_node("ArrayFeatureExtractor", ["known", "place"], ["label"], domain="ai.onnx.ml")


def test_classes_are_what_the_classifier_or_its_look_up_says(tumours: Path) -> None:
    assert model_numbers(onnx.load(tumours / "mlp.onnx").graph) == (0, 1)
    assert model_numbers(onnx.load(tumours / "forest.onnx").graph) == (0, 1)
    assert model_numbers(graph(classifier(classlabels_ints=[7, 9]))) == (7, 9)
    assert model_numbers(graph(LOOK_UP, known=np.array([3, 5, 8]))) == (3, 5, 8)
    assert model_classes(graph(classifier(classlabels_strings=["no", "yes"]))) == ("no", "yes")
    assert model_numbers(graph(classifier(classlabels_strings=["no", "yes"]))) is None


def test_classes_are_not_known_where_they_are_said_twice_or_stand_for_neighbours() -> None:
    assert model_numbers(graph(classifier(classlabels_ints=[0, 1]), LOOK_UP, known=np.array([7, 9]))) is None
    assert model_numbers(graph(LOOK_UP, known=np.array([1, 0, 1, 1]))) is None
    assert model_numbers(graph(LOOK_UP, known=np.array([0.5, 1.5]))) is None


def labelled(folder: Path, labels: np.ndarray, classes: tuple[int, ...] | tuple[str, ...] | None) -> np.ndarray:
    np.savez(folder / "data.npz", x=np.zeros((len(labels), 2), np.float32), y=labels)
    data = load(folder / "data.npz", PAIR, "y", classes=classes)
    assert data.labels is not None
    return data.labels


def test_label_that_the_model_does_not_have_is_named_wherever_it_is(tmp_path: Path) -> None:
    labels = np.arange(40) % 3
    assert labelled(tmp_path, labels, (0, 1, 2)).tolist() == labels.tolist()
    labels[17] = 99
    with pytest.raises(DataError, match=r"in row 17 is 99, .* classes, 0, 1, 2; number labels as the model does$"):
        labelled(tmp_path, labels, (0, 1, 2))
    with pytest.raises(DataError, match=r"in row 2 is 3, .* classes, 0, 1, 2; subtract 1 from each label$"):
        labelled(tmp_path, np.arange(40) % 3 + 1, (0, 1, 2))


def test_text_stands_for_numbers_only_where_its_order_is_theirs(tmp_path: Path) -> None:
    names = np.array(["ant", "bee"])[np.arange(40) % 2]
    assert labelled(tmp_path, names, (0, 1)).tolist() == [0, 1] * 20
    with pytest.raises(DataError, match="labels are text, 'ant', 'bee', .* numbers its classes 0, 1, 2; give"):
        labelled(tmp_path, names, (0, 1, 2))
    digits = np.array(["10", "9"])[np.arange(40) % 2]
    assert labelled(tmp_path, digits, (9, 10)).tolist() == [10, 9] * 20
    with pytest.raises(DataError, match="'bee' in row 1 is none of .*'ant', 'cow'; .* from 0 for 'ant' on"):
        labelled(tmp_path, names, ("ant", "cow"))


def test_label_out_of_range_among_rows_that_calibrate_is_found(digits: Path, tmp_path: Path) -> None:
    data = dict(np.load(digits / "data.npz"))
    data["y"][~np.isin(np.arange(len(data["y"])), load_held_back(digits))] = 12
    np.savez(tmp_path / "data.npz", **data)
    with pytest.raises(ValueError, match="labels run from 0 to 12, and output 'logits' has the classes 0 to 9"):
        convert(digits / "cnn.onnx", tmp_path / "data.npz", tmp_path / "m.erai", labels="y", quantize="none")


def load_held_back(digits: Path) -> np.ndarray:
    image = TensorSpec("image", "float32", (None, 1, 8, 8))
    return load(digits / "data.npz", (image,), "y").split()[1]


def test_model_that_is_no_better_than_the_most_common_class_is_told(digits: Path, tmp_path: Path) -> None:
    data = dict(np.load(digits / "data.npz"))
    data["image"] = np.random.default_rng(0).permutation(data["image"])
    np.savez(tmp_path / "data.npz", **data)
    options = {"labels": "y", "prune": "none", "quantize": "none", "reproducible": True}
    shuffled = convert(digits / "cnn.onnx", tmp_path / "data.npz", tmp_path / "m.erai", **options)  # type: ignore[arg-type]
    (finding,) = [entry for entry in shuffled.audit.findings if entry.kind == "no_better_than_guessing"]
    assert finding.severity == "warning"
    assert "not measurably more than the" in finding.sentence
    sound = convert(digits / "cnn.onnx", digits / "data.npz", tmp_path / "m.erai", **options)  # type: ignore[arg-type]
    assert "no_better_than_guessing" not in [entry.kind for entry in sound.audit.findings]


@pytest.mark.parametrize(
    "labels",
    [np.arange(200) % 3 * 1.0, np.array(["a", "b", "c"])[np.arange(200) % 3], np.array(["0", "1"])[np.arange(200) % 2]],
    ids=["floats", "text", "digits"],
)
def test_rows_without_a_label_calibrate_and_judge_nothing(tmp_path: Path, labels: np.ndarray) -> None:
    missing = np.arange(200) % 5 == 0
    given = labels.copy()
    given[missing] = np.nan if labels.dtype.kind == "f" else " "
    np.savez(tmp_path / "data.npz", x=np.zeros((200, 2), np.float32), y=given)
    np.savez(tmp_path / "whole.npz", x=np.zeros((200, 2), np.float32), y=labels)
    data, whole = load(tmp_path / "data.npz", PAIR, "y"), load(tmp_path / "whole.npz", PAIR, "y")
    assert data.labels is not None
    assert whole.labels is not None
    assert data.labels[~missing].tolist() == whole.labels[~missing].tolist()
    assert data.labelled.tolist() == (~missing).tolist()
    calibration, held_back = data.split()
    assert len(held_back) == 160 // 4
    assert not missing[held_back].any()
    assert sorted([*calibration, *held_back]) == list(range(200))


@pytest.mark.parametrize("names", [None, ["a", "b", "c"]], ids=["numbers", "text"])
def test_labels_in_memory_may_be_missing_too(digits: Path, tmp_path: Path, names: list[str] | None) -> None:
    images = np.load(digits / "data.npz")["image"][:120]
    given = [None if row % 4 == 0 else row % 3 if names is None else names[row % 3] for row in range(120)]
    wish = {"prune": "none", "quantize": "none", "reproducible": True}
    report = convert(digits / "cnn.onnx", images, tmp_path / "m", labels=given, **wish)  # type: ignore[arg-type]
    assert report.calibration_rows == 120 - 90 // 4


@pytest.mark.parametrize(
    ("labels", "match"), [([], "every label is missing"), (range(20), "of 60 rows 20 have a label")]
)
def test_labels_that_are_too_few_to_judge_by_are_refused(tmp_path: Path, labels: list[int], match: str) -> None:
    given = np.full(60, np.nan)
    given[: len(labels)] = 1
    with pytest.raises(DataError, match=match):
        labelled(tmp_path, given, None)


def test_conversion_with_missing_labels_says_so_and_measures_by_the_others(tumours: Path, tmp_path: Path) -> None:
    data = dict(np.load(tumours / "data.npz"))
    data["y"] = np.where(np.arange(len(data["y"])) % 4 == 1, np.nan, data["y"])
    np.savez(tmp_path / "data.npz", **data)
    report = convert(tumours / "mlp.onnx", tmp_path / "data.npz", tmp_path / "m", labels="y", reproducible=True)
    labelled_rows = int(np.count_nonzero(~np.isnan(data["y"])))
    assert report.false_rejections.rows == labelled_rows // 4
    assert report.calibration_rows == len(data["y"]) - labelled_rows // 4
    accuracy = report.candidates[0].comparison.accuracy
    assert accuracy is not None
    assert accuracy > 0.9
    (finding,) = [entry for entry in report.audit.findings if entry.kind == "missing_labels"]
    assert finding.sentence.startswith(
        f"rows without a label: {len(data['y']) - labelled_rows} of {len(data['y'])} rows"
    )
