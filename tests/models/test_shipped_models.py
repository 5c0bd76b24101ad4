"""Real models, out of packages that ship them, on real input: the expected results, and the bare ones to the bit."""

from __future__ import annotations

import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import magika
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import skimage.data
import skimage.io
import skimage.transform
from magika import Magika

from edge_rai import Session, Verdict, load
from support.parity import answered, same

Shipped = Callable[[str, str], Path]
ROOT = Path(__file__).resolve().parents[2]
MAGIKA = Path(magika.__file__).parent / "models/standard_v3_3/model.onnx"
DATASETS = Path(onnxruntime.__file__).parent / "datasets"


# ---- magika: which kind of file is this ----


class Runs:
    """The one method of a bare session that magika calls, answered by a guarded one."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.verdicts: list[Verdict] = []

    def run(self, names: Sequence[str], inputs: Mapping[str, list[list[int]]]) -> list[npt.NDArray[Any]]:
        answer = self.session.predict({name: np.array(rows, np.int32) for name, rows in inputs.items()})
        self.verdicts.append(answer.verdict)
        return [answer.outputs[name] for name in names]


class GuardedMagika(Magika):
    """magika with its model behind the guard."""

    def _init_onnx_session(self) -> Runs:
        return Runs(load(MAGIKA))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real files of nine kinds, by what they are; the names say nothing."""
    folder = tmp_path_factory.mktemp("files")
    paths = {
        kind: folder / f"{kind}.bin" for kind in ("c", "csv", "jpeg", "npy", "onnx", "png", "python", "toml", "wav")
    }
    generator = np.random.default_rng(0)
    paths["c"].write_bytes((ROOT / "native/src/sha256.c").read_bytes())
    rows = (",".join(f"{value:.3f}" for value in row) for row in generator.normal(size=(60, 4)))
    paths["csv"].write_text("radius,texture,area,depth\n" + "\n".join(rows))
    for kind in ("jpeg", "png"):
        skimage.io.imsave(folder / f"coins.{kind}", skimage.data.coins())
        (folder / f"coins.{kind}").rename(paths[kind])
    with paths["npy"].open("wb") as file:
        np.save(file, generator.normal(size=(20, 20)).astype(np.float32))
    paths["onnx"].write_bytes((DATASETS / "sigmoid.onnx").read_bytes())
    paths["python"].write_bytes(Path(wave.__file__).read_bytes())
    paths["toml"].write_bytes((ROOT / "pyproject.toml").read_bytes())
    with wave.open(str(paths["wav"]), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(22050)
        sound.writeframes((np.sin(np.arange(22050) / 8) * 9000).astype("<i2").tobytes())
    return paths


def test_magika_behind_the_guard_knows_every_file_with_the_bare_score(files: dict[str, Path]) -> None:
    guarded, bare = GuardedMagika(), Magika()
    runs = guarded._onnx_session
    assert isinstance(runs, Runs)
    with runs.session as session:
        for kind, path in files.items():
            result, expected = guarded.identify_path(path), bare.identify_path(path)
            assert (str(result.dl.label), str(expected.dl.label)) == (kind, kind)
            assert result.score == expected.score > 0.5
        # All at once too: one batch of nine rows.
        together = [result.score for result in guarded.identify_paths(list(files.values()))]
        assert together == [result.score for result in bare.identify_paths(list(files.values()))]
        assert runs.verdicts == [Verdict.ACCEPT] * 10  # every one of those answers came through the guard
        assert session.snapshot().rows == 18


def test_magika_without_a_file_is_rejected_by_the_guard() -> None:
    with load(MAGIKA) as session:
        assert session.inputs[0].dtype == "int32"
        answer = session.predict(np.zeros((0, 2048), np.int32))
    assert answer.verdict is Verdict.REJECT


# ---- basic-pitch: which notes are played ----

RATE, SAMPLES = 22_050, 43_844
LOWEST_NOTE = 21  # MIDI, of the first of 88 keys


def tone(frequency: float) -> npt.NDArray[np.float32]:
    """(43844, 1) of a tone with two harmonics."""
    time = np.arange(SAMPLES) / RATE
    tones = sum(np.sin(2 * np.pi * frequency * harmonic * time) / harmonic for harmonic in (1, 2, 3)) / 2
    return np.asarray(tones, np.float32)[:, None]


def test_basic_pitch_hears_the_note_that_is_played(shipped: Shipped) -> None:
    model = shipped("basic_pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx")
    both = np.stack([tone(440.0), tone(261.63)])
    for outputs, notes in zip(
        answered(model, {"serving_default_input_2:0": both[:1]}, {"serving_default_input_2:0": both}),
        ([69], [69, 60]),
        strict=True,
    ):
        assert outputs["StatefulPartitionedCall:1"].shape == (len(notes), 172, 88)
        loudest = outputs["StatefulPartitionedCall:1"].mean(axis=1).argmax(axis=1)
        assert (loudest + LOWEST_NOTE).tolist() == notes


def test_basic_pitch_never_hears_a_note_in_audio_that_is_not_finite(shipped: Shipped) -> None:
    model = shipped("basic_pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx")
    clean = np.stack([tone(440.0), tone(261.63)])
    broken = clean.copy()
    broken[0, 1000] = np.nan
    with load(model) as session:
        expected, answer = session.predict(clean), session.predict(broken)
    assert answer.row_verdicts.tolist() == [Verdict.REJECT, Verdict.ACCEPT]
    for name, output in answer.outputs.items():
        assert np.isnan(output[0]).all()
        assert same(output[1], expected.outputs[name][1])


# ---- rapidocr: which way up is this line of text ----


def line(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(3, 48, 192) as the model was trained on: 48 high, padded on the right, -1 to 1."""
    width = min(192, round(48 * image.shape[1] / image.shape[0]))
    padded = np.zeros((3, 48, 192), np.float32)
    padded[:, :, :width] = skimage.transform.resize(image, (48, width), anti_aliasing=True) * 2 - 1
    return padded


def test_rapidocr_tells_a_printed_line_from_the_same_line_upside_down(shipped: Shipped) -> None:
    model = shipped("rapidocr_onnxruntime", "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    heading = skimage.data.page()[8:36, :250]
    rows = np.stack([line(heading), line(np.rot90(heading, 2))])
    (scores,) = answered(model, {"x": rows})[0].values()
    assert scores[[0, 1], [0, 1]].min() > 0.99


# ---- The models in onnxruntime's own package ----


def test_logistic_regression_on_iris_returns_a_list_of_dicts() -> None:
    rows = np.array([[5.1, 3.5], [6.2, 2.9], [5.9, 3.0]], np.float32)
    (outputs,) = answered(DATASETS / "logreg_iris.onnx", {"float_input": rows})
    assert outputs["label"].dtype == np.int64
    assert [sorted(shares) for shares in outputs["probabilities"]] == [[0, 1, 2]] * 3
    for label, shares in zip(outputs["label"], outputs["probabilities"], strict=True):
        assert max(shares, key=lambda key: shares[key]) == label
        assert sum(shares.values()) == pytest.approx(1, abs=1e-6)


def test_logistic_regression_on_iris_takes_three_rows_as_it_declares() -> None:
    with load(DATASETS / "logreg_iris.onnx") as session:
        assert session.predict(np.ones((1, 2), np.float32)).verdict is Verdict.REJECT


def test_mul_1_squares() -> None:
    (outputs,) = answered(DATASETS / "mul_1.onnx", {"X": np.array([[1, 2], [3, 4], [5, 6]], np.float32)})
    assert outputs["Y"].tolist() == [[1, 4], [9, 16], [25, 36]]


def test_sigmoid_of_a_cube() -> None:
    cube = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    (outputs,) = answered(DATASETS / "sigmoid.onnx", {"x": cube})
    np.testing.assert_allclose(outputs["y"], 1 / (1 + np.exp(-cube.astype(np.float64))), atol=1e-6)
