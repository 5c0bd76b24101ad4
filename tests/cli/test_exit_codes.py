"""0 fine, 1 a check said no or a file is not sound, 2 usage, 3 a component is missing, 4 the environment."""

from __future__ import annotations

import subprocess
import sysconfig
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from edge_rai import cli

COMMAND = Path(sysconfig.get_path("scripts"), "edge-rai")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", np.ones((2, 3), np.float32))
    return tmp_path / "rows.npy"


def test_what_is_not_there_is_the_environment(linear_bundle: Path, rows: Path, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    assert cli.main(["run", absent + ".erai", "--data", str(rows)]) == 4
    assert cli.main(["run", absent + ".onnx", "--data", str(rows)]) == 4
    assert cli.main(["run", str(linear_bundle), "--data", absent + ".npy"]) == 4
    assert cli.main(["run", str(linear_bundle), "--data", str(rows), "--spool", absent + "/below"]) == 4
    assert cli.main(["verify", absent + ".erai"]) == 4
    assert cli.main(["fleet", "status", "--store", absent]) == 4


def test_what_is_not_there_is_named_with_what_was_expected(
    linear_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["run", str(linear_bundle), "--data", str(tmp_path / "absent.npy")])
    assert f"{tmp_path / 'absent.npy'}: there is no such file; expected rows as .csv" in capsys.readouterr().err
    (tmp_path / "rows.npy").mkdir()
    cli.main(["run", str(linear_bundle), "--data", str(tmp_path / "rows.npy")])
    assert capsys.readouterr().err == f"edge-rai: {tmp_path / 'rows.npy'}: Is a directory\n"


def test_a_file_that_is_not_sound_is_a_no(linear_bundle: Path, rows: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.erai"
    damaged.write_bytes(linear_bundle.read_bytes()[:-1])
    assert cli.main(["run", str(damaged), "--data", str(rows)]) == 1
    assert cli.main(["verify", str(damaged)]) == 1
    assert cli.main(["verify", str(linear_bundle)]) == 0


def test_a_command_that_cannot_be_loaded_is_a_missing_component(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = EntryPoint("convert", "no_such_distribution.cli:add", "edge_rai.commands")
    monkeypatch.setattr(cli, "entry_points", lambda group: [broken])  # noqa: ARG005
    assert cli.main(["convert", "model.onnx"]) == 3
    assert "no_such_distribution" in capsys.readouterr().err
    assert cli.main(["profile", "model.onnx"]) == 3
    assert "edge-rai-converters" in capsys.readouterr().err


def test_an_extension_module_whose_import_is_interrupted_is_no_missing_component(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "interrupted_module.py").write_text(
        "raise ImportError('initialization failed') from KeyboardInterrupt()"
    )
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("convert", "interrupted_module:add", "edge_rai.commands")
    monkeypatch.setattr(cli, "entry_points", lambda group: [point])  # noqa: ARG005
    assert cli.main(["convert", "model.onnx"]) == 130
    assert capsys.readouterr().err == "edge-rai: interrupted\n"


def test_a_reader_that_has_seen_enough_gets_no_complaint(linear_bundle: Path) -> None:
    inspect = subprocess.Popen(
        [COMMAND, "inspect", linear_bundle], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    inspect.stdout.close()
    assert inspect.wait(timeout=30) == 141
    assert inspect.stderr.read() == ""
    inspect.stderr.close()
