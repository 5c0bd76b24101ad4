"""The README's promises that a machine can hold it to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demonstrated(tmp_path_factory: pytest.TempPathFactory, root: Path) -> tuple[Path, str]:
    """A directory in which the demo ran, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, root / "examples/breast_cancer/demo.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def between(text: str, name: str) -> str:
    return re.search(rf"<!-- {name} -->\n```\w*\n(.*?)```\n<!-- /{name} -->", text, re.DOTALL)[1]


def without_numbers(text: str) -> list[str]:
    """The words of each line: digits change from machine to machine, the story does not."""
    return [" ".join(re.sub(r"[0-9.,e+-]+", " ", line).split()) for line in text.splitlines()]


def test_demo_ends_with_ok_and_its_numbers(demonstrated: tuple[Path, str]) -> None:
    assert re.fullmatch(r"demo: ok: .*\d.*", demonstrated[1].splitlines()[-1])


def test_readme_shows_the_demo_s_own_output(demonstrated: tuple[Path, str], root: Path) -> None:
    shown = between((root / "README.md").read_text(encoding="utf-8"), "demo")
    assert without_numbers(shown) == without_numbers(demonstrated[1])


def test_readme_python_example_runs_on_the_demo_s_bundle(demonstrated: tuple[Path, str], root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    script = between(text, "example")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=demonstrated[0], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    promised = re.search(r"<!-- /example -->\n\n```\n(.*?)```", text, re.DOTALL)[1].splitlines()
    assert done.stdout.splitlines()[: len(promised)] == promised


def test_readme_first_command_is_demo_and_second_is_test(root: Path) -> None:
    commands = re.findall(r"^make (\w+)", (root / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands[:2] == ["demo", "test"]


def test_readme_c_example_compiles_against_the_header(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "readme.c"
    source.write_text(re.search(r"```c\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1])
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{root / 'native/include'}"]
    done = subprocess.run(["cc", *flags, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_readme_has_no_blank_to_fill(root: Path) -> None:
    assert not re.search(r"@[A-Z]+@", (root / "README.md").read_text(encoding="utf-8"))
