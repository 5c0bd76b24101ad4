"""ONNX models, through the C API of whatever ONNX Runtime is installed."""

from __future__ import annotations

import os
from importlib.util import find_spec

# Official builds report use to their maker unless this says otherwise (edge_rai.h, erai_session_open). C sets it too;
# here it comes before converters and bench import onnxruntime itself, which looks once.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def runtime_path() -> str | None:
    """The library inside the installed onnxruntime package, which is not imported.

    None leaves the search to the C library: $ERAI_ONNXRUNTIME, then the system's loader.
    """
    if os.environ.get("ERAI_ONNXRUNTIME"):
        return None
    spec = find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return None
    for location in spec.submodule_search_locations:
        folder = os.path.join(location, "capi")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if name.startswith("libonnxruntime.so"):
                return os.path.join(folder, name)
    return None
