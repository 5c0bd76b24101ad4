"""Models by what their names end in, and what LiteRT says while they are opened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_rai import cli
from support import litert_models
from support.children import run_python
from support.models import save_linear

WITHOUT_LITERT = """
for name in ("ai_edge_litert", "tflite_runtime"):
    sys.modules[name] = None
from edge_rai.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """A bare model a format, with small letters and with capitals behind the dot."""
    save_linear(tmp_path / "m.onnx")
    (tmp_path / "m.tflite").write_bytes(litert_models.linear())
    for suffix in ("onnx", "tflite"):
        shutil.copyfile(tmp_path / f"m.{suffix}", tmp_path / f"M.{suffix.upper()}")
    return {path.suffix: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize("suffix", [".onnx", ".ONNX", ".tflite", ".TFLITE"])
def test_bare_model_is_known_by_its_suffix_however_that_is_written(
    models: dict[str, Path], tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(models[suffix])
    assert cli.main(["verify", path]) == 0
    assert cli.main(["inspect", path]) == 0
    np.save(tmp_path / "ROWS.NPY", np.ones((2, 3), np.float32))
    (tmp_path / "ROWS.NPY.npy").rename(tmp_path / "ROWS.NPY")
    assert cli.main(["run", path, "--data", str(tmp_path / "ROWS.NPY")]) == 0
    said = capsys.readouterr()
    assert f"{path} is a bare model" in " ".join(said.out.split())
    assert "2 rows: 2 accept" in said.out
    assert said.err == ""


def test_litert_says_nothing_of_itself_and_its_answers_are_there(models: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((1, 3), np.float32))
    main = "from edge_rai.cli import main; sys.exit(main(sys.argv[1:]))"
    child = run_python(main, "run", models[".tflite"], "--data", tmp_path / "rows.npy")
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout.startswith("1 row: 1 accept")


def test_all_but_information_reaches_stderr() -> None:
    child = run_python(
        """
        import os
        from edge_rai.chatter import without_info
        try:
            with without_info():
                os.write(2, b"INFO: a delegate\\nERROR: no memory\\nINFO: another\\nhalf a line")
                raise ValueError("as ever")
        except ValueError as error:
            print(error)
        os.write(2, b", and after it\\n")
        """.replace("\n        ", "\n")
    )
    assert (child.stdout, child.stderr) == ("as ever\n", "ERROR: no memory\nhalf a line, and after it\n")


def test_process_without_stderr_opens_models_too(models: dict[str, Path]) -> None:
    code = "import os; os.close(2)\nfrom edge_rai.cli import main; sys.exit(main(sys.argv[1:]))"
    assert run_python(code, "verify", models[".tflite"]).returncode == 0


def test_check_without_its_runtime_is_no_check_and_no_failure(models: dict[str, Path]) -> None:
    child = run_python(WITHOUT_LITERT, "verify", models[".tflite"])
    assert (child.returncode, child.stderr) == (3, "")
    assert child.stdout.startswith("--  session   not checked: ")
    assert child.stdout.endswith("LiteRT is not installed; run: pip install ai-edge-litert\n")
    document = json.loads(run_python(WITHOUT_LITERT, "verify", models[".tflite"], "--json").stdout)
    assert (document["passed"], document["checks"][0]["passed"]) == (None, None)
