"""Writes the C source of edge_rai._ffi: ``generate.py EDGE_RAI_H OUTPUT_C``."""

from __future__ import annotations

import sys
from pathlib import Path

import cffi
from declarations import extract


def main() -> None:
    """Compiles the header's declarations with cffi in API mode."""
    header, output = map(Path, sys.argv[1:])
    ffi = cffi.FFI()
    ffi.cdef(extract(header.read_text(encoding="utf-8")))
    ffi.set_source("edge_rai._ffi", '#include "edge_rai.h"', py_limited_api=True)
    ffi.emit_c_code(str(output))


if __name__ == "__main__":
    main()
