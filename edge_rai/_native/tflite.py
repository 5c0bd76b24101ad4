"""TFLite models, checked in C before LiteRT reads them."""

from __future__ import annotations

from collections.abc import Sequence

from edge_rai._ffi import ffi, lib
from edge_rai._native.library import Detail


def check_tflite(data: bytes, where: str = "", custom: Sequence[str] = ()) -> None:
    """Checks that the bytes of a .tflite file may be given to LiteRT; see erai_tflite_check in edge_rai.h.

    Args:
        data: The file.
        where: Its name, for the error.
        custom: Names of the custom operators that the runtime has beside LiteRT's own.

    Raises:
        UnsupportedModelError: The file is damaged or uses something unknown; names the part and its value.
    """
    names = [ffi.new("char[]", name.encode()) for name in custom]
    detail = Detail(where)
    detail.check(
        lib.erai_tflite_check(
            ffi.from_buffer(data), len(data), ffi.new("const char *[]", names), len(names), detail.buffer
        )
    )
