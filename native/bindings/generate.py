"""Writes the C source of edge_rai._ffi: ``generate.py EDGE_RAI_H OUTPUT_C``."""

from __future__ import annotations

import sys
from pathlib import Path

import cffi
from declarations import extract

# What an erai_runtime calls of edge_rai/_native/runtimes.py (its `run` is in runner.c), and an alarm of alarms.py.
CALLBACKS = """
extern "Python" {
    erai_status py_open(void *user, const erai_model_source *source, erai_model_info *info, char *detail);
    void py_close(void *user, void *model);
    erai_status py_start(void *user, void *model, void **stream, char *detail);
    void py_end(void *user, void *stream);
    void py_alarm(void *event);
}
"""


def main() -> None:
    """Compiles the header's declarations with cffi in API mode."""
    header, output = map(Path, sys.argv[1:])
    ffi = cffi.FFI()
    ffi.cdef(extract(header.read_text(encoding="utf-8")))
    ffi.cdef(CALLBACKS)
    ffi.set_source("edge_rai._ffi", '#include "edge_rai.h"', py_limited_api=True)
    ffi.emit_c_code(str(output))


if __name__ == "__main__":
    main()
