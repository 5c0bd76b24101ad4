"""The distributions, their versions and the one door to the compiled library."""

from __future__ import annotations

import ast
import re
import shutil
import site
import subprocess
import sys
from importlib import metadata
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import edge_rai
import edge_rai_converters


def test_tests_run_against_the_installed_wheels(root: Path) -> None:
    packages = [Path(path).resolve() for path in site.getsitepackages()]
    for module in (edge_rai, edge_rai_converters):
        home = Path(str(module.__file__)).resolve().parent.parent
        assert home in packages, f"{module.__name__} was imported from {home}"
    assert str(root) not in sys.path


def test_import_in_the_source_tree_says_that_it_hides_the_installed_package(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "edge_rai", tmp_path / "edge_rai", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    asked = [sys.executable, "-c", "import edge_rai"]
    shadowed = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    (said,) = re.findall(r"^ImportError: (.*)", shadowed.stderr, flags=re.MULTILINE)
    for part in (f"imported from {tmp_path}/edge_rai, ", "edge_rai._ffi", "hides the installed", "-P", "make install"):
        assert part in said
    elsewhere = subprocess.run(asked, cwd="/", capture_output=True, text=True, check=False)
    assert (elsewhere.returncode, elsewhere.stderr) == (0, "")


def test_import_that_fails_for_another_reason_is_not_explained_away(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "edge_rai", tmp_path / "edge_rai", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "numpy.py").write_text("import nowhere\n")
    child = subprocess.run(
        [sys.executable, "-c", "import edge_rai"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert child.stderr.endswith("ModuleNotFoundError: No module named 'nowhere'\n")


def test_versions_of_cmake_and_both_distributions_agree(root: Path) -> None:
    cmake = re.search(r"project\(edge_rai VERSION ([\d.]+)", (root / "native/CMakeLists.txt").read_text())
    converters = tomllib.loads((root / "converters/pyproject.toml").read_text())
    assert cmake is not None
    assert metadata.version("edge-rai") == cmake[1]
    assert metadata.version("edge-rai-converters") == cmake[1]
    assert converters["project"].get("version", cmake[1]) == cmake[1]


def test_only_the_native_package_imports_the_compiled_library(root: Path) -> None:
    importers = set()
    sources = [*root.glob("edge_rai/**/*.py"), *root.glob("converters/edge_rai_converters/**/*.py")]
    assert len(sources) > 10
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            else:
                continue
            if any(name.split(".")[-1] == "_ffi" for name in names):
                importers.add(path.relative_to(root).parent.as_posix())
    assert importers == {"edge_rai/_native"}


def test_stable_abi_header_declares_only_functions_of_the_running_interpreter(root: Path) -> None:
    import ctypes

    text = (root / "native/bindings/stable_abi/Python.h").read_text(encoding="utf-8")
    declared = re.findall(r"^[\w* ]+?\b(Py\w+)\([^;]*\)[^;]*;", text, flags=re.MULTILINE)
    assert len(declared) > 15
    assert [name for name in declared if not hasattr(ctypes.pythonapi, name)] == []


def test_network_code_stands_in_the_agent_s_files_and_the_fleet_only(root: Path) -> None:
    network = {"asyncio", "http", "requests", "socket", "socketserver", "ssl", "starlette", "urllib", "uvicorn"}
    users = set()
    for package in (root / "edge_rai", root / "converters/edge_rai_converters"):
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                if network & {name.split(".")[0] for name in names}:
                    users.add(path.relative_to(root).as_posix())
    agent = {f"edge_rai/telemetry/{name}.py" for name in ("receiver", "scrape")}
    assert {user for user in users if not user.startswith("edge_rai/fleet/")} == agent
