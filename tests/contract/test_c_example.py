"""The C example against Python: the same bundle gives the same verdicts and the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edge_rai
from edge_rai.backends.onnx import runtime_path
from edge_rai.bundle import read, write_bundle

# The second has the library in it, both under the address and undefined behaviour sanitizers: a fault anywhere between
# erai_session_open and erai_session_close, ONNX Runtime included, ends it with another status than 0.
_PROGRAMS = {
    "installed": ("EDGE_RAI_C_EXAMPLE", "build/c/example/edge_rai_example"),
    "sanitized": ("EDGE_RAI_C_EXAMPLE_SANITIZED", "build/c/example_sanitized/edge_rai_example"),
}


@pytest.fixture(params=_PROGRAMS)
def example(request: pytest.FixtureRequest) -> Path:
    variable, built = _PROGRAMS[request.param]
    program = Path(os.environ.get(variable, built))
    if not program.exists():
        pytest.skip(f"{program} is not built; `make example` builds it")
    return program


def _run(example: Path, bundle: Path, rows: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [example, bundle, rows, "3"],
        capture_output=True,
        text=True,
        check=False,
        env={"ERAI_ONNXRUNTIME": runtime_path() or "", "PATH": ""},
    )


def test_c_example_gives_the_verdicts_and_bits_of_python(example: Path, linear_bundle: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(scale=3, size=(64, 3)).astype(np.float32)
    rows[5, 1], rows[9, 0], rows[63, 2] = np.nan, 1e6, -np.inf
    rows.tofile(tmp_path / "rows.f32")
    done = _run(example, linear_bundle, tmp_path / "rows.f32")
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
    assert "libc.so" in libraries
    assert "python" not in libraries


def test_neither_c_nor_python_lets_the_runtime_keep_an_id_of_the_device(
    example: Path, linear_bundle: Path, tmp_path: Path
) -> None:
    """Where the runtime reports use to its maker it first writes a device's id and a queue below the home directory."""
    home = tmp_path / "home"
    home.mkdir()
    np.zeros((1, 3), np.float32).tofile(tmp_path / "rows.f32")
    given = {"HOME": str(home), "PATH": "", "ERAI_ONNXRUNTIME": runtime_path() or ""}
    code = f"import edge_rai; edge_rai.load({str(linear_bundle)!r})"
    for command in (
        [str(example.absolute()), str(linear_bundle), str(tmp_path / "rows.f32"), "3"],
        [sys.executable, "-c", code],
    ):
        subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, check=True)
        assert list(home.rglob("*")) == []


def test_c_example_names_a_file_of_rows_that_is_not_there_or_does_not_fit(
    example: Path, linear_bundle: Path, tmp_path: Path
) -> None:
    done = _run(example, linear_bundle, tmp_path / "absent.f32")
    assert (done.returncode, done.stderr) == (2, f"{tmp_path / 'absent.f32'}: No such file or directory\n")
    rows = tmp_path / "rows.f32"
    rows.write_bytes(bytes(16))
    done = _run(example, linear_bundle, rows)
    assert (done.returncode, done.stderr) == (2, f"{rows}: 16 bytes are not rows of 3 float32 values\n")


def test_c_example_names_a_bundle_that_is_not_there(example: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.f32").write_bytes(bytes(12))
    done = _run(example, tmp_path / "absent.erai", tmp_path / "rows.f32")
    assert done.returncode == 1
    assert "absent.erai" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("name", "wanted", "told"),
    [
        ("edge_rai", ">=99.1", f"requires edge_rai >=99.1 and {edge_rai.__version__} is here; update edge-rai"),
        ("onnxruntime", ">=99", "requires onnxruntime >=99 and 1."),
        ("npu", ">=1", "requires npu, which this build does not know; update edge-rai"),
    ],
)
def test_c_example_says_what_a_bundle_requires_that_is_not_here(
    example: Path, linear_bundle: Path, tmp_path: Path, name: str, wanted: str, told: str
) -> None:
    (tmp_path / "rows.f32").write_bytes(bytes(12))
    bundle = read(linear_bundle)
    files = {path: data for path, data in bundle.files.items() if not path.startswith("manifest.")}
    write_bundle(tmp_path / "demanding.erai", files, replace(bundle.manifest, requirements={name: wanted}))
    done = _run(example, tmp_path / "demanding.erai", tmp_path / "rows.f32")
    assert done.returncode == 1
    assert "demanding.erai" in done.stderr
    assert told in done.stderr


def test_c_example_runs_a_bundle_whose_requirements_are_met(example: Path, linear_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.f32").write_bytes(bytes(12))
    bundle = read(linear_bundle)
    files = {path: data for path, data in bundle.files.items() if not path.startswith("manifest.")}
    requirements = {"edge_rai": f">={edge_rai.__version__}", "onnxruntime": ">=1.17"}
    write_bundle(tmp_path / "modest.erai", files, replace(bundle.manifest, requirements=requirements))
    done = _run(example, tmp_path / "modest.erai", tmp_path / "rows.f32")
    assert done.returncode == 0, done.stderr
