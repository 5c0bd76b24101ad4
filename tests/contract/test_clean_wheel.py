"""The device's wheel alone, in a new environment with its declared dependencies and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(wheels: Path) -> Path:
    found = list(wheels.glob("edge_rai-*.whl"))
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def clean(wheel: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a new virtual environment with only the wheel and its dependencies."""
    home = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pins = str(root / "requirements/constraints.txt")
    pip = [str(home / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "-c", pins, str(wheel)], check=True)
    return home / "bin"


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, env=environment, cwd=program.parent
    )


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    version = metadata.version("edge-rai")
    assert {name.split("/")[0] for name in names} == {"edge_rai", f"edge_rai-{version}.dist-info"}
    suffixes = {Path(name).suffix for name in names if name.startswith("edge_rai/")}
    assert suffixes <= {".py", ".pyi", ".so", ".typed", ".html"}
    assert [name for name in names if "convert" in name.lower() or "test" in name.lower()] == []
    modules = sorted(name for name in names if name.endswith(".so"))
    assert modules == ["edge_rai/_ffi.abi3.so", "edge_rai/_predict.abi3.so"]


def test_wheel_fits_every_python_from_3_10(wheel: Path) -> None:
    assert "-cp310-abi3-" in wheel.name


def test_convert_without_the_converters_exits_3_and_names_them(clean: Path) -> None:
    done = run(clean / "edge-rai", "convert", "model.onnx")
    assert done.returncode == 3
    assert "edge-rai-converters" in done.stderr
    assert "Traceback" not in done.stderr


def test_command_prints_its_version(clean: Path) -> None:
    done = run(clean / "edge-rai", "--version")
    assert done.returncode == 0
    assert metadata.version("edge-rai") in done.stdout


def test_import_does_not_load_what_the_first_answer_does_not_need(clean: Path) -> None:
    code = "import edge_rai, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = run(clean / "python", "-c", code)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "edge_rai" in loaded
    assert loaded & {"pydantic", "onnxruntime", "onnx", "google.protobuf", "opentelemetry", "sqlite3", "rich"} == set()


def test_clean_environment_has_no_converter_and_no_onnx(clean: Path) -> None:
    code = (
        "import importlib.util as u; print([n for n in ('edge_rai_converters', 'onnx', 'sklearn') if u.find_spec(n)])"
    )
    assert run(clean / "python", "-c", code).stdout.strip() == "[]"


def test_declared_dependencies_are_consistent(clean: Path) -> None:
    done = run(clean / "python", "-m", "pip", "check")
    assert done.returncode == 0, done.stdout
