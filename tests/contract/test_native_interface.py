"""The binary interface of libedge_rai is the reviewed one, and the Python binding is the header's."""

from __future__ import annotations

import json
import pyexpat
import re
import subprocess
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from edge_rai import _ffi
from edge_rai._predict import prepare


def exported(library: Path) -> set[str]:
    listing = subprocess.run(
        ["nm", "--dynamic", "--defined-only", str(library)], capture_output=True, text=True, check=True
    )
    return {line.split()[-1] for line in listing.stdout.splitlines()}


def test_shared_library_exports_the_reviewed_symbols_and_no_others(root: Path, native_build: Path) -> None:
    reviewed = (root / "native/abi/symbols.txt").read_text(encoding="utf-8").split()
    assert reviewed == sorted(reviewed)
    assert exported(native_build / "libedge_rai.so") == set(reviewed)


def test_reviewed_symbols_are_the_functions_of_the_header(root: Path, functions: list[str]) -> None:
    assert (root / "native/abi/symbols.txt").read_text(encoding="utf-8").split() == functions


def test_shared_library_has_the_soname_of_its_interface(native_build: Path) -> None:
    dynamic = subprocess.run(
        ["readelf", "--dynamic", str(native_build / "libedge_rai.so")], capture_output=True, text=True, check=True
    )
    assert "Library soname: [libedge_rai.so.0]" in dynamic.stdout
    assert "python" not in dynamic.stdout.lower()


def test_extension_exports_nothing_but_its_entry_point() -> None:
    assert exported(Path(_ffi.__file__)) == {"PyInit__ffi"}


def test_extension_has_every_function_of_the_header_and_no_other(functions: list[str]) -> None:
    bound = sorted(name for name in dir(_ffi.lib) if name.startswith("erai_"))
    assert bound == functions


def test_extension_has_every_constant_of_the_header(header: str, enums: dict[str, dict[str, int]]) -> None:
    constants = {
        name: int(value) for name, value in re.findall(r"#define (ERAI_[A-Z_]+) (\d+)u? *$", header, re.MULTILINE)
    }
    for members in enums.values():
        constants |= members
    bound = {name: getattr(_ffi.lib, name) for name in dir(_ffi.lib) if name.startswith("ERAI_")}
    assert bound == constants


def test_structs_have_the_reviewed_sizes_and_offsets(root: Path, header: str) -> None:
    assert _ffi.ffi.sizeof("void *") == 8, "abi/structs.txt is for LP64 machines"
    lines = []
    for name in sorted(re.findall(r"^(?:typedef )?struct (erai_\w+) \{", header, flags=re.MULTILINE)):
        struct = _ffi.ffi.typeof(name)
        lines.append(" ".join([f"{name} {_ffi.ffi.sizeof(struct)}", *(f"{f}:{t.offset}" for f, t in struct.fields)]))
    reviewed = (root / "native/abi/structs.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in reviewed if not line.startswith("#")] == lines


def test_no_compilation_uses_the_fast_math_family(native_build: Path) -> None:
    commands = json.loads((native_build / "compile_commands.json").read_text(encoding="utf-8"))
    assert len(commands) > 1
    forbidden = re.compile(
        r"-Ofast|-ffast-math|-ffinite-math-only|-funsafe-math-optimizations|-fassociative-math|-freciprocal-math"
        r"|-fno-signed-zeros"
    )
    assert [command["file"] for command in commands if forbidden.search(command["command"])] == []


@pytest.mark.parametrize(("flag", "status"), [("-O2", 0), ("-ffast-math", 1), ("-ffinite-math-only", 1)])
def test_nan_flags_program_fails_exactly_when_nan_tests_are_deleted(
    root: Path, tmp_path: Path, flag: str, status: int
) -> None:
    program = tmp_path / "nan_flags"
    source = root / "native/src/nan_flags_test.c"
    subprocess.run(["cc", "-std=c11", "-O2", flag, str(source), "-o", str(program)], check=True)
    assert subprocess.run([program], capture_output=True, check=False).returncode == status


def test_arrays_are_what_the_usual_prediction_takes_them_for() -> None:
    array = np.ones((5, 7), np.float32)
    where = array.__array_interface__["data"][0]
    table = import_module("numpy._core._multiarray_umath")._ARRAY_API
    objects = np.dtype(object)
    assert prepare(array, np.ndarray, array.dtype, where, 5, 7, table, objects)
    assert not prepare(array, np.ndarray, array.dtype, where + 4, 5, 7, table, objects)
    assert not prepare(array, np.ndarray, array.dtype, where, 7, 5, table, objects)
    assert not prepare(array, np.ndarray, np.dtype(np.float64), where, 5, 7, table, objects)
    assert not prepare(array, np.ma.MaskedArray, array.dtype, where, 5, 7, table, objects)
    assert not prepare(array[:, ::2], np.ndarray, array.dtype, where, 5, 4, table, objects)
    assert not prepare(array, np.ndarray, array.dtype, where, 5, 7, None, objects)
    assert not prepare(array, np.ndarray, array.dtype, where, 5, 7, pyexpat.expat_CAPI, objects)


def test_shared_library_can_neither_end_the_process_nor_print(native_build: Path) -> None:
    command = ["nm", "--dynamic", "--undefined-only", str(native_build / "libedge_rai.so")]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    needed = {line.split()[-1].split("@")[0] for line in listing.splitlines()}
    assert "malloc" in needed
    forbidden = {
        "abort",
        "exit",
        "_exit",
        "__assert_fail",
        "printf",
        "puts",
        "fprintf",
        "perror",
        "signal",
        "sigaction",
    }
    assert needed & forbidden == set()
