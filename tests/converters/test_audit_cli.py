"""``edge-rai audit``: what it prints, and with which status it ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import cohen_kappa_score

from edge_rai import cli
from edge_rai_converters.data import HELD_BACK_EVERY, drawn


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Every row twice, one after the other."""
    loaded = load_breast_cancer()
    np.savez(tmp_path / "data.npz", X=np.repeat(loaded.data, 2, axis=0), y=np.repeat(loaded.target, 2))
    return tmp_path / "data.npz"


def test_findings_are_lines_the_gravest_first(leaking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", str(leaking), "--labels", "y"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("looked at all 1,138 rows; compared 569 with one another for near duplicates; held")
    assert lines[1].startswith("error: rows with the same values as a row that calibrates: ")
    assert [line.split(":")[0] for line in lines[1:]] == sorted(
        (line.split(":")[0] for line in lines[1:]), key=["error", "warning", "info"].index
    )


def test_strict_exits_1_when_there_is_an_error(leaking: Path, tmp_path: Path) -> None:
    assert cli.main(["audit", str(leaking), "--strict"]) == 1
    np.savez(tmp_path / "sound.npz", X=load_breast_cancer().data)
    assert cli.main(["audit", str(tmp_path / "sound.npz"), "--strict"]) == 0


def test_json_has_every_finding(leaking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", str(leaking), "--labels", "y", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"data", "rows", "rows_looked_at", "rows_compared", "rows_with_neighbours", "findings"}
    assert all(set(entry) == {"kind", "severity", "sentence", "advice", "numbers"} for entry in document["findings"])
    assert document["rows"] == 1138


def test_damaged_data_exit_1_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 and no more")
    assert cli.main(["audit", str(tmp_path / "data.npz")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "data.npz: not a .npz or .npy file of plain arrays" in printed.err


@pytest.mark.parametrize("name", ["none.npz", "none.csv", "none.parquet", "none"])
def test_missing_data_are_one_sentence_with_what_was_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert cli.main(["audit", str(tmp_path / name)]) == 4
    said = (
        f"{tmp_path / name}: there is no such file or folder; expected reference rows: .npz, .npy, .csv, .parquet, or"
    )
    assert said in capsys.readouterr().err


def test_annotators_and_slices_are_columns_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_breast_cancer()
    lines = ["radius,texture,site,first,second"]
    for place, (row, label) in enumerate(zip(loaded.data, loaded.target, strict=True)):
        lines.append(f"{row[0]},{row[1]},{'Ulm' if place % 3 else 'Bonn'},{label},{label if place % 9 else 1 - label}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    arguments = ["audit", str(tmp_path / "data.csv"), "--labels", "first", "second", "--slice", "site", "--json"]
    assert cli.main(arguments) == 0
    numbers = {entry["kind"]: entry["numbers"] for entry in json.loads(capsys.readouterr().out)["findings"]}
    held_back = drawn(569, HELD_BACK_EVERY)
    small = {"Bonn": int(held_back[::3].sum()), "Ulm": int(held_back.sum() - held_back[::3].sum())}
    assert numbers["slices_too_small"]["held_back"] == {name: rows for name, rows in small.items() if rows < 93}
    first, second = loaded.target, np.where(np.arange(569) % 9, loaded.target, 1 - loaded.target)
    assert numbers["annotators"]["cohen"] == pytest.approx(cohen_kappa_score(first, second))
