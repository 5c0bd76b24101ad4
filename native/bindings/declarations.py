"""Extracts from edge_rai.h the declarations that cffi understands, so that header and binding cannot disagree."""

from __future__ import annotations

import re

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CONTINUED = re.compile(r"\\\n")
_CPLUSPLUS = re.compile(r"^#ifdef __cplusplus\n.*?^#endif\n", re.DOTALL | re.MULTILINE)
_INTEGER = re.compile(r"#define +(ERAI_[A-Z0-9_]+) +(\d+)u?$")


def extract(header: str) -> str:
    """Returns the C declarations of a public header, without preprocessor lines.

    Integer constants stay; cffi checks their values when the extension is compiled. Anything else that a
    declaration could need (other macros, other headers' types) makes cffi fail, which is what we want.

    Args:
        header: Text of edge_rai.h.
    """
    text = _CPLUSPLUS.sub("", _COMMENT.sub("", _CONTINUED.sub("", header)))
    lines = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped.startswith("#"):
            lines.append(line.replace("ERAI_API ", ""))
        elif constant := _INTEGER.match(stripped):
            lines.append(f"#define {constant[1]} {constant[2]}")
    return "\n".join(line for line in lines if line.strip()) + "\n"
