"""The C example against Python: the same bundle gives the same verdicts and the same bits."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import edge_rai
from edge_rai.backends.onnx import runtime_path


@pytest.fixture
def example() -> Path:
    program = Path(os.environ.get("EDGE_RAI_C_EXAMPLE", "build/c/example/edge_rai_example"))
    if not program.exists():
        pytest.skip(f"{program} is not built; `make example` builds it")
    return program


def test_c_example_gives_the_verdicts_and_bits_of_python(example: Path, linear_bundle: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(scale=3, size=(64, 3)).astype(np.float32)
    rows[5, 1], rows[9, 0], rows[63, 2] = np.nan, 1e6, -np.inf
    rows.tofile(tmp_path / "rows.f32")
    done = subprocess.run(
        [example, linear_bundle, tmp_path / "rows.f32", "3"],
        capture_output=True,
        text=True,
        check=False,
        env={"ERAI_ONNXRUNTIME": runtime_path() or "", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    with edge_rai.load(linear_bundle) as session:
        answer = session.predict(rows)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("row ")]
    assert len(lines) == len(rows)
    for row, (_, index, verdict, source, *values) in enumerate(lines):
        assert int(index) == row
        assert verdict == edge_rai.Verdict(answer.row_verdicts[row]).name.lower()
        assert source == edge_rai.Source(answer.row_sources[row]).name.lower()
        expected = answer.outputs["y"][row].astype(float)
        np.testing.assert_array_equal([float.fromhex(value) for value in values], expected)


def test_c_example_maps_no_python(example: Path) -> None:
    libraries = subprocess.run(["ldd", example], capture_output=True, text=True, check=True).stdout
    assert "edge_rai" in libraries
    assert "python" not in libraries


def test_c_example_names_a_bundle_that_is_not_there(example: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.f32").write_bytes(bytes(12))
    done = subprocess.run(
        [example, tmp_path / "absent.erai", tmp_path / "rows.f32", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "absent.erai" in done.stderr + done.stdout
