"""From tables and folders of images to bundles, and from bad data to one sentence and nothing written."""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_rai.cli import main
from edge_rai.policy import policy_to_toml
from edge_rai.session import load as load_bundle
from edge_rai_converters.data import ImageOptions
from edge_rai_converters.learning import Learned, learn
from edge_rai_converters.pipeline import convert
from edge_rai_converters.wishes import Wishes
from support.children import run_python

CITIES = ("Ulm", "Bonn", "Köln, Süd")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a column transformer and its classifier as pipeline.onnx, one input a column, and rows.csv.

    The rows have no "middle", which is one of the model's three classes.
    """
    folder = tmp_path_factory.mktemp("pipeline")
    generator = np.random.default_rng(0)
    ages, cities = generator.uniform(18, 80, 400).astype(np.float32), generator.choice(CITIES, 400)
    classes = np.where(ages < 40, "young", np.where(ages < 60, "middle", "old"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType
        from sklearn.compose import ColumnTransformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        columns = ColumnTransformer([("n", StandardScaler(), [0]), ("c", OneHotEncoder(), [1])])
        model = make_pipeline(columns, LogisticRegression(C=100))
        model.fit(np.column_stack([ages.astype(object), cities.astype(object)]), classes)
        exported = to_onnx(
            model,
            initial_types=[("age", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))],
            options={"zipmap": False},
            target_opset={"": 18, "ai.onnx.ml": 3},
        )
    (folder / "pipeline.onnx").write_bytes(exported.SerializeToString())
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "city", "age", "class"])
        writer.writerows([i, cities[i], ages[i], classes[i]] for i in range(400) if classes[i] != "middle")
    return folder


def test_table_feeds_a_pipeline_with_one_input_a_column(pipeline: Path, tmp_path: Path) -> None:
    report = convert(pipeline / "pipeline.onnx", pipeline / "rows.csv", tmp_path / "out.erai", labels="class")
    accuracy = report.as_json()["candidates"][0]["accuracy"]
    assert accuracy > 0.95, "with the classes sorted from the labels, old would be 1 and not 2"
    with load_bundle(tmp_path / "out.erai") as session:
        answer = session.predict(
            {"age": np.array([[20], [75]], np.float32), "city": np.array([["Ulm"], ["Bonn"]], object)}
        )
        assert np.argmax(answer.outputs["probabilities"], axis=1).tolist() == [2, 1]


def test_classes_are_the_models_where_it_says_them(pipeline: Path) -> None:
    learned = learn(pipeline / "pipeline.onnx", pipeline / "rows.csv", Wishes(labels="class"))
    assert learned.dataset.class_names == ("middle", "old", "young")
    assert learned.dataset.preparation["classes_of"] == "the model"
    assert learned.dataset.labels is not None
    assert sorted(set(learned.dataset.labels.tolist())) == [1, 2]


def test_table_teaches_what_the_same_numbers_in_an_array_teach(tumours: Path, tmp_path: Path) -> None:
    held = np.load(tumours / "data.npz")
    with (tmp_path / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*held["feature_names"], "y"])
        writer.writerows([*map(repr, map(float, row)), label] for row, label in zip(held["X"], held["y"], strict=True))
    by_array = learn(tumours / "mlp.onnx", tumours / "data.npz", Wishes(labels="y"))
    by_table = learn(tumours / "mlp.onnx", tmp_path / "data.csv", Wishes(labels="y"))
    assert policy_to_toml(by_table.policy) == policy_to_toml(by_array.policy)
    assert by_table.reference.to_json() == by_array.reference.to_json()
    assert np.array_equal(by_table.dataset.labels, by_array.dataset.labels)


@pytest.fixture(scope="module")
def digit_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 digits as PNG files of twice the side, in a folder a class."""
    from sklearn.datasets import load_digits

    folder, digits = tmp_path_factory.mktemp("digits") / "images", load_digits()
    for place in range(400):
        below = folder / str(digits.target[place])
        below.mkdir(parents=True, exist_ok=True)
        pixels = np.minimum(digits.images[place] * 16, 255).astype(np.uint8)
        Image.fromarray(pixels.repeat(2, 0).repeat(2, 1)).save(below / f"{place:03}.png")
    return folder


def test_folder_of_images_becomes_a_bundle_and_again_the_same(digits: Path, digit_images: Path, tmp_path: Path) -> None:
    made = []
    for name in ("one.erai", "two.erai"):
        convert(digits / "cnn.onnx", digit_images, tmp_path / name, name="digits", reproducible=True)
        made.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert made[0] == made[1]


def test_images_in_folders_are_scored_by_them(digits: Path, digit_images: Path) -> None:
    def right(learned: Learned) -> float:
        assert learned.dataset.labels is not None
        decided = np.argmax(learned.answers.all_of("logits"), axis=1)
        return float(np.mean(decided == learned.dataset.labels[learned.held_back]))

    fit, inverted = ImageOptions("0..1"), ImageOptions("0..1", mean=(1.0,), std=(-1.0,))
    assert right(learn(digits / "cnn.onnx", digit_images, Wishes(images=fit))) > 0.9
    assert right(learn(digits / "cnn.onnx", digit_images, Wishes(images=inverted))) < 0.9


def test_progress_tells_how_much_is_read(digits: Path, digit_images: Path) -> None:
    told: list[float] = []
    learn(digits / "cnn.onnx", digit_images, progress=lambda _, share=0.0: told.append(share))
    assert told == sorted(told[: told.index(max(told)) + 1]) + [0.0] * told[::-1].index(max(told))
    assert max(told) > 0.99


def _images(folder: Path, count: int) -> Path:
    (folder / "images").mkdir()
    for place in range(count):
        Image.new("L", (9, 9), place).save(folder / "images" / f"{place}.png")
    return folder / "images"


def _cut_image(folder: Path) -> Path:
    images = _images(folder, 40)
    (images / "7.png").write_bytes((images / "7.png").read_bytes()[:40])
    return images


def _cut_array(folder: Path) -> Path:
    np.save(folder / "rows.npy", np.zeros((40, 1, 8, 8)))
    (folder / "rows.npy").write_bytes((folder / "rows.npy").read_bytes()[:-1])
    return folder / "rows.npy"


def _array(shape: tuple[int, ...], value: float = 0.0) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / "rows.npy", np.full(shape, value))
        return folder / "rows.npy"

    return write


def _text(name: str, content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (_text("rows.npz", ""), "it is empty"),
        (_text("rows.txt", "1 2 3"), "tables that end in .csv or .parquet and folders of images are read too"),
        (_text("rows.csv", "a,b\n1\n"), "line 2 has 1 cells"),
        (_cut_array, "is cut short"),
        (_array((40, 1, 8, 9)), "has 9 values on axis 3; the model takes 8"),
        (_array((40, 1, 8, 8), np.nan), "remove or impute them"),
        (_array((31, 1, 8, 8)), "at least 32 are needed"),
        (_cut_image, "7.png: not a sound image"),
        (lambda folder: _images(folder, 31), "at least 32 are needed"),
        (lambda folder: _images(folder, 0), "no image in it or below"),
    ],
    ids=["empty", "other", "ragged", "cut", "wrong shape", "nan", "too few", "cut image", "too few images", "no image"],
)
def test_bad_data_is_one_sentence_exit_1_and_nothing_written(
    digits: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], write: Callable[[Path], Path], expected: str
) -> None:
    data = write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code = main(["convert", str(digits / "cnn.onnx"), "--data", str(data), "-o", str(tmp_path / "out.erai")])
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("edge-rai:")]
    assert (code, len(said)) == (1, 1)
    assert expected in said[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("package", "said", "name"),
    [
        ("PIL", "Pillow: pip install 'pillow>=10'", "images"),
        ("pyarrow", "pyarrow: pip install 'pyarrow>=15'", "a.parquet"),
    ],
)
def test_missing_package_is_named_with_the_remedy(
    digits: Path, tmp_path: Path, package: str, said: str, name: str
) -> None:
    _images(tmp_path, 40)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    code = f"import sys; sys.modules[{package!r}] = None\nfrom edge_rai.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["convert", digits / "cnn.onnx", "--data", tmp_path / name, "-o", tmp_path / "out.erai"]
    child = run_python(code, *arguments)
    assert child.returncode == 3, child.stderr
    assert f"takes {said}\n" in child.stderr
    assert not (tmp_path / "out.erai").exists()
