"""Real models as TFLite: beside their makers' own file where there is one, and beside ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skimage.data
import skimage.transform
import sklearn.datasets
from onnx import numpy_helper
from skl2onnx import to_onnx
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from edge_rai_converters.targets.tflite import probed, verify, write

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

Array = np.ndarray[Any, Any]
Shipped = Callable[[str, str], Path]
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


# ---- basic-pitch: which notes are played, in TFLite by its makers too ----


def seconds() -> Array:
    """Two of them: a chord that swells, and noise."""
    time = np.arange(43844) / 22050
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.18, 329.63))
    noise = np.random.default_rng(0).normal(0, 0.01, time.size)
    return (0.2 * chord * np.minimum(time, 1) + noise).astype(np.float32).reshape(1, -1, 1)


def test_basic_pitch_answers_as_its_makers_own_file(shipped: Shipped) -> None:
    folder = "basic_pitch/saved_models/icassp_2022/"
    model = onnx.load(shipped("basic_pitch", f"{folder}nmp.onnx"))
    theirs = shipped("basic_pitch", f"{folder}nmp.tflite").read_bytes()
    written = write(model)
    audio = seconds()
    verify(model, written, [{model.graph.input[0].name: audio}])
    ours = probed(written.model, [{written.inputs[0].name: audio}])
    (wanted,) = probed(theirs, [{"input_2": audio}]).answers
    # The makers' signature has names of its own for the three outputs.
    for name, known in (("0", "contour"), ("1", "note"), ("2", "onset")):
        answer = ours.answers[0][f"StatefulPartitionedCall:{name}"]
        assert wanted[known].max() > 0.3, "the chord is heard"
        assert np.abs(answer - wanted[known]).max() <= 1e-5 * np.abs(wanted[known]).max()
    assert "TRANSPOSE" not in written.operators


# ---- Networks of images ----


def test_rapidocr_is_written_for_lines_of_one_length(shipped: Shipped) -> None:
    model = onnx.load(
        shipped("rapidocr_onnxruntime", "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    )
    heading = skimage.transform.resize(skimage.data.page()[8:36, :250], (48, 192)) * 2 - 1
    rows = np.stack([heading, np.rot90(heading, 2)]).astype(np.float32)[:, None].repeat(3, axis=1)
    written = write(model, shapes={"x": (2, 3, 48, 192)})
    checked = verify(model, written, [{"x": rows}])
    assert max(checked.differences.values()) < 1e-5
    assert (checked.delegated, checked.plain) == (1, ())


@pytest.mark.parametrize(
    ("name", "transposes"),
    # An image in, and a shuffle of channels in each of ShuffleNet's sixteen units.
    [("light_squeezenet", 1), ("light_inception_v1", 1), ("light_shufflenet", 17)],
)
def test_light_architectures_are_written_with_the_fewest_transposes(name: str, transposes: int) -> None:
    model = with_weights(onnx.load(LIGHT / f"{name}.onnx"))
    (given,) = (value for value in model.graph.input if value.name not in {k.name for k in model.graph.initializer})
    shape = [axis.dim_value for axis in given.type.tensor_type.shape.dim]
    written = write(model)
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    checked = verify(model, written, [{given.name: image}])
    assert max(checked.differences.values()) < 1e-5
    assert written.operators.count("TRANSPOSE") == transposes
    assert set(checked.plain) <= {"LOCAL_RESPONSE_NORMALIZATION", "POW"}


def with_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The files hold no weights but nodes that make constant ones; here they are drawn at random."""
    rng = np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = shapes[node.input[0]]
        scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        drawn = rng.normal(0, scale, shape) if len(shape) > 1 else rng.uniform(0.5, 1.5, shape)
        model.graph.initializer.append(numpy_helper.from_array(drawn.astype(np.float32), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


# ---- scikit-learn ----


@pytest.mark.parametrize(
    "pipeline",
    [
        LinearRegression(),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        make_pipeline(MinMaxScaler(), PCA(8), MLPClassifier((16, 8), max_iter=300, random_state=0)),
    ],
    ids=["linear", "scaled logistic", "scaled PCA and MLP"],
)
def test_pipelines_of_scikit_learn_are_written(pipeline: Any) -> None:
    rows, labels = sklearn.datasets.load_breast_cancer(return_X_y=True)
    fitted = pipeline.fit(rows, labels)
    options: Mapping[int, Any] = {id(fitted): {"zipmap": False}} if hasattr(fitted, "predict_proba") else {}
    model = to_onnx(fitted, rows[:1].astype(np.float32), options=options)
    written = write(model, rows=64)
    checked = verify(model, written, [{written.inputs[0].name: rows[:64].astype(np.float32)}])
    assert max(checked.differences.values()) < 1e-5
