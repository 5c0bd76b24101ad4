"""Policies of models in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_rai import bundle
from edge_rai.cli import main
from edge_rai.errors import DataError
from edge_rai.policy import policy_to_toml
from edge_rai_converters import convert, profile_model

DRAWN = np.random.default_rng(0)
TABLE = pd.DataFrame(DRAWN.normal([40, 3000, 5], [9, 700, 2], (200, 3)), columns=["age", "income", "years"])
LABELS = (TABLE["age"] > 40).astype(int)


def model(rows: pd.DataFrame = TABLE) -> object:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, LABELS)


def test_policy_of_a_model_in_memory_is_edited_and_given_back(tmp_path: Path) -> None:
    shuffled = TABLE[["years", "age", "income"]].assign(label=LABELS)
    found = profile_model(model(), shuffled, tmp_path / "rules", labels="label")
    assert [feature.name for feature in found.policy.inputs[0].features] == ["age", "income", "years"]
    assert (found.rows, found.not_taken) == (150, ())
    text = (tmp_path / "rules/policy.toml").read_text(encoding="utf-8")
    assert text == policy_to_toml(found.policy)
    limit = str(found.policy.inputs[0].features[0].high)
    assert text.count(limit) == 1
    (tmp_path / "rules/policy.toml").write_text(text.replace(limit, "120.0"), encoding="utf-8")
    convert(
        model(), shuffled, tmp_path / "m.erai", labels="label", policy=tmp_path / "rules/policy.toml", reproducible=True
    )
    assert b"120.0" in bundle.read(tmp_path / "m.erai").files["policy.toml"]


def test_command_and_function_write_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = TABLE.to_numpy("f4")
    proto = to_onnx(model(TABLE.to_numpy()), rows[:1], options={"zipmap": False})  # type: ignore[arg-type]
    onnx.save(proto, tmp_path / "m.onnx")
    np.save(tmp_path / "rows.npy", rows)
    given = ["profile", str(tmp_path / "m.onnx"), "--data", str(tmp_path / "rows.npy"), "-o", str(tmp_path / "a")]
    assert main([*given, "--distance", "diagonal", "--false-rejection-rate", "0.05"]) == 0
    profile_model(proto, rows, tmp_path / "b", distance="diagonal", false_rejection_rate=0.05)
    for name in ("policy.toml", "reference.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "wrote:" in capsys.readouterr().out


def test_sentence_about_data_in_memory_names_no_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^the given data.csv: 8 rows; at least 32 are needed"):
        profile_model(model(), TABLE[:8], tmp_path / "rules")
    assert not (tmp_path / "rules").exists()
