"""A file that is not there is named before work begins, with what was expected in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_rai import cli
from edge_rai_converters import convert
from edge_rai_converters.errors import MissingFileError

MODEL, DATA = "a model: .onnx, .keras, .json or .ubj of XGBoost, .txt of LightGBM", "reference rows: .npz, .npy, .csv, "


@pytest.mark.parametrize(
    ("changed", "name", "expected"),
    [
        *((("model"), f"absent{suffix}", MODEL) for suffix in (".onnx", ".keras", ".json", ".txt", "")),
        *((("--data"), f"absent{suffix}", DATA) for suffix in (".npz", ".npy", ".csv", ".parquet", "")),
        ("--policy", "absent.toml", "a policy, as edge-rai profile writes it"),
        ("--fallback-model", "absent.onnx", "an .onnx model that answers rejected rows"),
        ("--recipe", "absent.toml", "a recipe in TOML"),
    ],
)
def test_convert_names_the_missing_file_and_what_was_expected(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: str, name: str, expected: str
) -> None:
    absent = str(tmp_path / name)
    given = {"model": str(tumours / "mlp.onnx"), "--data": str(tumours / "data.npz"), changed: absent}
    options = [word for option, path in given.items() if option != "model" for word in (option, path)]
    assert cli.main(["convert", given["model"], *options, "-o", str(tmp_path / "m.erai")]) == 4
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"edge-rai: {absent}: there is no such file or folder; expected {expected}")
    assert not [line for line in said if line.startswith("convert: ")], "nothing was begun"
    assert not list(tmp_path.iterdir())


def test_profile_does_too(tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = str(tmp_path / "absent.csv")
    assert cli.main(["profile", str(tumours / "mlp.onnx"), "--data", absent, "-o", str(tmp_path / "p")]) == 4
    assert f"{absent}: there is no such file or folder; expected {DATA}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["convert", "profile"])
def test_folder_that_is_not_there_is_not_made_for_the_output(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    output = tmp_path / "absent" / "m.erai"
    assert cli.main([command, str(tumours / "mlp.onnx"), "--data", str(tumours / "data.npz"), "-o", str(output)]) == 4
    assert capsys.readouterr().err == f"edge-rai: {output}: there is no folder {output.parent}; make it first\n"
    assert not output.parent.exists()


def test_from_python_it_is_an_error_of_files_as_well(tumours: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        convert(tumours / "mlp.onnx", tmp_path / "absent.npz", tmp_path / "m.erai")
    assert isinstance(caught.value, MissingFileError)
