"""The commands of the device, on TFLite models and on bundles with both formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_rai.cli import main
from edge_rai.policy import FeatureRule, InputRule, OutputRule, Policy
from support import litert_models as models
from support.bundles import write_bundle
from support.litert_models import BIAS, WEIGHTS
from support.models import save_linear

ROWS = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)
FEATURES = tuple(FeatureRule(name, -10, 10) for name in ("a", "b", "c"))
POLICY = Policy(
    1,
    True,
    (InputRule("x", "float32", (-1, 3), (100, 3), feature_axis=1, features=FEATURES),),
    (OutputRule("y", "float32", (-1, 2)),),
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "m.tflite").write_bytes(models.linear())
    np.save(tmp_path / "rows.npy", ROWS)
    return tmp_path / "m.tflite"


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """One network in two formats: that of ``save_linear``."""
    onnx = save_linear(tmp_path / "m.onnx")
    weights = (np.arange(6, dtype=np.float32) + 1).reshape(3, 2).T / 2
    (tmp_path / "m.tflite").write_bytes(models.linear(weights=weights, bias=np.ones(2, np.float32)))
    return write_bundle(tmp_path / "both.erai", (onnx, tmp_path / "m.tflite"), POLICY, {"x": ROWS}, atol=1e-5)


def test_rows_are_answered(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(model), "--data", str(model.with_name("rows.npy")), "--json"]) == 0
    answered = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(answered["outputs"]["y"], ROWS @ WEIGHTS.T + BIAS, rtol=1e-6)


def test_runtime_is_asked_for(both: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    data = ["--data", str(tmp_path / "rows.npy"), "--json"]
    answers = []
    for runtime in ("onnxruntime", "litert"):
        assert main(["run", str(both), "--runtime", runtime, *data]) == 0
        answers.append(json.loads(capsys.readouterr().out)["outputs"]["y"])
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-6)


def test_inspection_tells_the_formats(both: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(both)]) == 0
    text = capsys.readouterr().out
    assert "models/model.onnx: float, " in text
    assert "models/model.tflite: tflite, float, " in text


def test_verification_asks_each_format(both: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(both)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "session" in line]
    assert [line.split()[2] for line in lines] == ["onnxruntime:", "litert:"]


def test_bare_model_is_verified(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(model)]) == 0
    assert "a bare model opens with the default policy" in capsys.readouterr().out


def test_guard_is_measured_beside_the_bare_interpreter(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(model.with_name("rows.npy")), "--json"]
    assert main(["bench", str(model), *data, "--duration", "0.2", "--processes", "1", "--cold-start", "0"]) == 0
    measured = json.loads(capsys.readouterr().out)["scenarios"][0]["series"]
    assert [series["subject"] for series in measured] == ["m.tflite", "m.tflite bare-python", "empty", "yardstick"]
