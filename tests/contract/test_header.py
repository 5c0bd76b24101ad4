"""The header as C and C++ applications include it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_PROGRAM = """
#include <edge_rai.h>
int main() {
    erai_tensor tensor = {nullptr, nullptr, 0, ERAI_DTYPE_FLOAT32};
    return erai_version()[0] == 0 || erai_dtype_size(tensor.dtype) != sizeof(float);
}
"""


@pytest.mark.parametrize("standard", ["c++11", "c++20"])
def test_cpp_application_compiles_links_and_calls(
    standard: str, root: Path, native_build: Path, tmp_path: Path
) -> None:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler: apt-get install g++")
    source, program = tmp_path / "main.cpp", tmp_path / "main"
    source.write_text(_PROGRAM, encoding="utf-8")
    library = native_build / "libedge_rai.a"
    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{root}/native/include"]
    subprocess.run(
        [compiler, *flags, str(source), str(library), "-ldl", "-lm", "-lpthread", "-o", str(program)], check=True
    )
    subprocess.run([str(program)], check=True)


def test_every_opaque_type_says_which_threads_may_use_it(root: Path) -> None:
    header = (root / "native/include/edge_rai.h").read_text(encoding="utf-8")
    opaque = re.findall(r"^typedef struct (erai_\w+) \1;(.*)$", header, flags=re.MULTILINE)
    handles = [(name, comment) for name, comment in opaque if name != "erai_value"]  # a value, whose fields are public
    assert len(handles) >= 7
    for name, comment in handles:
        assert re.search(r"any thread|one thread at a time|immutable", comment), name
