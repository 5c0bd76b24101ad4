"""docs/how-to/use-from-c.md: its programs say what it promises, and it shows nothing but their own lines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from edge_rai.backends.onnx import runtime_path
from edge_rai.policy import Decision, FallbackRule, LastGood, Policy, Reference
from support.bundles import write_bundle

# Standard output of each on the bundle below; the spool's also takes a directory.
PROMISED = {
    "halves": ["row 0 accepted: 0.90 0.10", "row 1 rejected: 0.25 0.75", "row 2 accepted: 0.40 0.60"],
    "runtime": ["row 0 accepted: 14 32", "row 1 rejected: nan nan", "row 2 accepted: 3 6"],
    "keys": [
        "patient 7: primary 12",
        "patient 8: primary 3",
        "patient 7: last_good 12",
        "patient 8: last_good 3",
        "patient 9: default 0.25",
    ],
    "review": [
        "nobody answered; the row is in the review queue",
        "waits: 1 2 99, because of above_range",
        "decided",
    ],
    "stop": [
        r"a later session: this session is stopped: .*\(20[-0-9T:]+Z recalled, bulletin 7; in .*small\.erai\.stopped\)",
        "one after that: answered",
    ],
    "spool": [
        "1 calls, 0 errors; rows accepted 3, rejected 1",
        "first feature: 3 values in 4 bins, 1 not finite",
        r"wrote [0-9a-f]{16}-0{16}\.batch",
    ],
    "threads": ["4000 calls; each thread's sum 8500"],
}
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
SYSTEM = ["-ldl", "-lm", "-lpthread"]


@pytest.fixture(scope="module")
def bundle(
    tmp_path_factory: pytest.TempPathFactory, linear_model: Path, linear_policy: Policy, linear_reference: Reference
) -> Path:
    """Missing values get the last good answer of their key, values out of range a person's."""
    policy = Policy(
        format_version=1,
        batched=True,
        inputs=linear_policy.inputs,
        outputs=linear_policy.outputs,
        decision=Decision(last_good=LastGood(60.0), review_rows=10),
        fallback=(
            FallbackRule(("last_good", "default"), ("not_finite",)),
            FallbackRule(("abstain", "default"), ("below_range", "above_range")),
        ),
    )
    golden = {"x": np.array([[1, 2, 3]], np.float32)}
    return write_bundle(tmp_path_factory.mktemp("c") / "small.erai", linear_model, policy, golden, linear_reference)


def installed(name: str, root: Path) -> Path:
    """As CMake built it against the installed, shared library."""
    program = Path(os.environ.get("EDGE_RAI_C_EXAMPLE", root / "build/c/example/edge_rai_example")).with_name(name)
    if not program.exists():
        pytest.skip(f"{program} is not built; `make example` builds it")
    return program


def sanitized(name: str, root: Path, native_build: Path, folder: Path) -> Path:
    """With the static library in it, both under the address and undefined behaviour sanitizers."""
    library = native_build.with_name("sanitize") / "libedge_rai.a"
    if not library.exists():
        pytest.skip(f"{library} is not built; `make ctest` builds it")
    checks = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    source = root / f"examples/c/{name}.c"
    command = ["cc", *FLAGS, *checks, f"-I{root}/native/include", source, library, *SYSTEM, "-o", folder / name]
    subprocess.run(command, check=True)
    return folder / name


@pytest.mark.parametrize("built", ["installed", "sanitized"])
@pytest.mark.parametrize("name", PROMISED)
def test_program_of_the_how_to_says_what_it_promises(
    name: str, built: str, root: Path, native_build: Path, bundle: Path, tmp_path: Path
) -> None:
    program = installed(name, root) if built == "installed" else sanitized(name, root, native_build, tmp_path)
    arguments = [shutil.copy(bundle, tmp_path), *([tmp_path / "batches"] if name == "spool" else [])]
    if name == "runtime":
        arguments = [tmp_path / "small.dense"]
        np.array([[1, 2, 3], [4, 5, 6]], np.float32).tofile(arguments[0])
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"ERAI_ONNXRUNTIME": runtime_path() or "", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(PROMISED[name])
    for line, promised in zip(lines, PROMISED[name], strict=True):
        assert line == promised or re.fullmatch(promised, line), line
    if name == "spool":
        assert (tmp_path / "batches" / lines[-1].split()[1]).is_file()
    if name == "stop":
        assert not list(tmp_path.glob("*.stopped"))


@pytest.mark.parametrize("name", PROMISED)
def test_program_without_a_bundle_ends_with_a_sentence(name: str, root: Path) -> None:
    program = installed(name, root)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip()


def test_how_to_shows_the_lines_of_its_programs(root: Path) -> None:
    text = (root / "docs/how-to/use-from-c.md").read_text(encoding="utf-8")
    shown = re.findall(r"\[(\w+)\.c\]\(\.\./\.\./examples/c/(\w+)\.c\)[^#]*?```c\n(.*?)```", text, re.DOTALL)
    assert {name for name, _, _ in shown} == {*PROMISED, "main"}
    for name, linked, block in shown:
        assert name == linked
        program = (root / f"examples/c/{name}.c").read_text(encoding="utf-8")
        lines = [line.strip() for line in program.splitlines()]
        for part in dedent(block).split("...\n"):
            wanted = [line.strip() for line in part.splitlines()]
            assert any(lines[i : i + len(wanted)] == wanted for i in range(len(lines))), part


def test_example_of_the_header_compiles_runs_and_prints_the_model_s_answer(
    root: Path, native_build: Path, bundle: Path, tmp_path: Path
) -> None:
    header = (root / "native/include/edge_rai.h").read_text(encoding="utf-8")
    shown = re.search(r"^ \*     (#include <edge_rai\.h>.*?^ \*     \}\n)", header, re.DOTALL | re.MULTILINE)
    assert shown is not None
    source, program = tmp_path / "first.c", tmp_path / "first"
    source.write_text(re.sub(r"^ \*(     )?", "", shown[1], flags=re.MULTILINE), encoding="utf-8")
    library = native_build / "libedge_rai.a"
    subprocess.run(["cc", *FLAGS, f"-I{root}/native/include", source, library, *SYSTEM, "-o", program], check=True)
    environment = {"ERAI_ONNXRUNTIME": runtime_path() or "", "PATH": ""}
    done = subprocess.run([program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "model.erai" in done.stderr
    shutil.copy(bundle, tmp_path / "model.erai")
    done = subprocess.run([program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "-2.25\n", "")
