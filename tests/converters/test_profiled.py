"""Policies of models in memory."""

from __future__ import annotations

import re
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
from edge_rai.policy import parse_policy, policy_to_toml
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
    assert policy_to_toml(parse_policy(text)) == policy_to_toml(found.policy)
    limit = str(found.policy.inputs[0].features[0].high)
    assert text.count(limit) == 1
    (tmp_path / "rules/policy.toml").write_text(text.replace(limit, "120.0"), encoding="utf-8")
    convert(
        model(), shuffled, tmp_path / "m.erai", labels="label", policy=tmp_path / "rules/policy.toml", reproducible=True
    )
    assert b"120.0" in bundle.read(tmp_path / "m.erai").files["policy.toml"]


def test_written_policy_says_what_its_lines_mean_and_what_was_seen(tmp_path: Path) -> None:
    found = profile_model(model(), TABLE.assign(label=LABELS), tmp_path / "rules", labels="label")
    lines = (tmp_path / "rules/policy.toml").read_text(encoding="utf-8").splitlines()
    explained = {line.partition(" = ")[0] for line in lines if not line.startswith(("#", " ")) and "  # " in line}
    assert explained >= {"batched", "shape", "max_shape", "out_of_range", "distance", "features", "default"}
    for entry in found.reference.features:
        (line,) = (line for line in lines if f'name = "{entry.name}", low' in line)
        assert line.endswith(f"# mean {entry.mean:.5g}, standard deviation {entry.stddev:.5g}")


def test_what_data_cannot_teach_is_there_to_be_taken_out_of_its_comments(tmp_path: Path) -> None:
    profile_model(model(), TABLE.assign(label=LABELS), tmp_path / "rules", labels="label")
    text = (tmp_path / "rules/policy.toml").read_text(encoding="utf-8")
    before, _, offered = text.partition("# [decision]")
    rules = parse_policy(
        before + "\n".join(line.removeprefix("# ") for line in ("# [decision]" + offered).splitlines())
    )
    assert rules.decision is not None
    assert rules.decision.deadline_ms == 20.0
    assert rules.fallback[0].chain == ("last_good", "default")
    inside = text.partition("inside its braces: ")[2].partition("# Of an output")[0]
    rule = ", ".join(re.findall(r'\w+ = (?:\{[^}]*\}|\[[^]]*\]|"[^"]*"|[\w.]+)', inside))
    assert rule.count("=") == 8  # that of missing has one inside
    feature = parse_policy(re.sub(r'(name = "age", .*?) \}', rf"\1, {rule} }}", text)).inputs[0].features[0]
    assert (feature.unit, feature.stuck, feature.step, feature.verdict) == ("kg", 50, 4.0, "flag")


def test_profile_that_could_not_be_finished_can_be_made_again(tmp_path: Path) -> None:
    (tmp_path / "rules/reference.json").mkdir(parents=True)  # cannot be written
    arguments = (model(), TABLE.assign(label=LABELS), tmp_path / "rules")
    with pytest.raises(IsADirectoryError):
        profile_model(*arguments, labels="label")
    assert [path.name for path in (tmp_path / "rules").iterdir()] == ["reference.json"]
    (tmp_path / "rules/reference.json").rmdir()
    profile_model(*arguments, labels="label")
    assert sorted(path.name for path in (tmp_path / "rules").iterdir()) == ["policy.toml", "reference.json"]


def test_policy_that_somebody_may_have_edited_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = TABLE.to_numpy("f4")
    onnx.save(to_onnx(model(TABLE.to_numpy()), rows[:1], options={"zipmap": False}), tmp_path / "m.onnx")  # type: ignore[arg-type]
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/policy.toml").write_text("# mine\n", encoding="utf-8")
    given = ["profile", str(tmp_path / "m.onnx"), "--data", str(tmp_path / "rows.npy"), "-o", str(tmp_path / "rules")]
    assert main(given) == 4
    assert "it is not overwritten: move it, or name another folder" in capsys.readouterr().err
    assert (tmp_path / "rules/policy.toml").read_text(encoding="utf-8") == "# mine\n"


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
