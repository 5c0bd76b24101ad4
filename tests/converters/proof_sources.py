"""PyTorch and Keras themselves: large packages, so what is not installed is skipped, and said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from sklearn.datasets import load_digits

from edge_rai.errors import BundleError, UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters import sources
from edge_rai_converters.sources import SourceModel

pytestmark = [
    pytest.mark.proof,
    pytest.mark.filterwarnings("ignore"),  # of libraries that are not ours
]
Array = npt.NDArray[Any]
IMAGES = (load_digits().images[:, None] / 16).astype(np.float32)
ROWS = np.arange(15, dtype=np.float32).reshape(5, 3)


def answers(source: SourceModel, *rows: Array) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(source.data, options, providers=["CPUExecutionProvider"])
    feed = {spec.name: array for spec, array in zip(source.inputs, rows, strict=True)}
    return session.run(None, feed)


@pytest.fixture(scope="module")
def torch() -> Any:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    module = pytest.importorskip("torch", reason="torch is not installed")
    module.manual_seed(0)
    return module


def network(torch: Any) -> Any:
    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(1, 8, 3, stride=2, padding=1)
            self.norm = torch.nn.BatchNorm2d(8)
            self.each = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.drop = torch.nn.Dropout(0.5)
            self.last = torch.nn.Linear(8 * 16, 10)

        def forward(self, image: Any) -> Any:
            hidden = torch.relu(self.norm(self.first(image)))
            hidden = hidden + torch.relu(self.each(hidden))
            return self.last(self.drop(hidden.flatten(1)))

    model = Residual()
    model(torch.from_numpy(IMAGES[:64]))  # moves the statistics of the normalization
    return model


def test_module_answers_as_torch_in_evaluation_mode_whatever_the_number_of_rows(torch: Any) -> None:
    model = network(torch)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    source = sources.read(model, sample={"image": IMAGES[:1]})
    assert source.kind == "pytorch"
    assert source.inputs == (TensorSpec("image", "float32", (None, 1, 8, 8)),)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(IMAGES[:70])).numpy()
    np.testing.assert_allclose(answers(source, IMAGES[:70])[0], expected, atol=1e-5)
    np.testing.assert_allclose(answers(source, IMAGES[:1])[0], expected[:1], atol=1e-5)
    assert sources.read(model, sample={"image": IMAGES[:1]}).data == source.data
    assert os.getcwd().encode() not in source.data
    assert b"stack_trace" not in source.data


def test_module_of_two_inputs_takes_them_by_name_or_in_order(torch: Any) -> None:
    class Scaled(torch.nn.Module):
        def forward(self, values: Any, factor: Any) -> Any:
            return {"product": values * factor, "sum": values + factor}

    rows, factors = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([[1], [2], [3], [4]], np.float32)
    for sample in ({"factor": factors, "values": rows}, {"a": rows, "b": factors}):
        source = sources.read(Scaled(), sample=sample)
        assert [spec.name for spec in source.inputs] == (["a", "b"] if "a" in sample else ["values", "factor"])
        assert answers(source, rows, factors)[0].tolist() == (rows * factors).tolist()


def test_module_that_torch_cannot_export_is_one_sentence(torch: Any) -> None:
    class Odd(torch.nn.Module):
        def forward(self, rows: Any) -> Any:
            return rows if rows.sum().item() > 3 else -rows

    with pytest.raises(UnsupportedModelError, match=r"^Odd: torch\.onnx cannot export it to ONNX: ") as refused:
        sources.read(Odd(), sample={"rows": ROWS})
    assert "\n" not in str(refused.value)
    with pytest.raises(UnsupportedModelError, match="Residual: the shapes of its inputs are not known; give a sample"):
        sources.read(network(torch))
    with pytest.raises(UnsupportedModelError, match=r"only a torch\.nn\.Module is a model"):
        sources.read(torch.zeros(3), sample={"rows": ROWS})


@pytest.fixture(scope="module")
def keras(torch: Any) -> Any:
    os.environ.setdefault("KERAS_BACKEND", torch.__name__)
    module = pytest.importorskip("keras", reason="keras is not installed")
    module.utils.set_random_seed(0)
    return module


def test_keras_model_and_its_file_answer_as_keras(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1), name="image"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    images = IMAGES.transpose(0, 2, 3, 1)
    model.save(tmp_path / "model.keras")
    for source in (sources.read(model, sample={"image": images[:5]}), sources.read(tmp_path / "model.keras")):
        assert source.kind == "keras"
        assert source.inputs == (TensorSpec("image", "float32", (None, 8, 8, 1)),)
        np.testing.assert_allclose(answers(source, images[:70])[0], model.predict(images[:70], verbose=0), atol=1e-5)
    assert sources.read(model).data == sources.read(model).data


def test_damaged_keras_file_is_one_sentence(keras: Any, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK nothing")
    with pytest.raises(BundleError, match=r"model\.keras: not a model of Keras, or a damaged one: ") as refused:
        sources.read(tmp_path / "model.keras")
    assert "\n" not in str(refused.value)
    with pytest.raises(UnsupportedModelError, match=r"only a keras\.Model of Keras 3 is a model"):
        sources.read(keras.layers.Dense(3))
