"""The border to the compiled library: nothing outside this package imports ``_ffi``, and nothing is decided here."""

from typing import TYPE_CHECKING, Any

from edge_rai._native.call import Call
from edge_rai._native.clock import ManualClock
from edge_rai._native.given import Column
from edge_rai._native.library import build, psi, sha256, version
from edge_rai._native.programs import GuardProgram, PolicyBuilder
from edge_rai._native.runtimes import ModelSource, Runtime, Stream, place
from edge_rai._native.session import NativeSession, SessionConfig, usual_call_first
from edge_rai._native.tensors import numpy_dtype, ready
from edge_rai._predict import Predictor, forget_runs, wait_for_runs

if TYPE_CHECKING:
    from edge_rai._native.files import NativeSpool, merge_batches, read_bundle, read_snapshot
    from edge_rai._native.tflite import check_tflite

__all__ = [
    "Call",
    "Column",
    "GuardProgram",
    "ManualClock",
    "ModelSource",
    "NativeSession",
    "NativeSpool",
    "PolicyBuilder",
    "Predictor",
    "Runtime",
    "SessionConfig",
    "Stream",
    "build",
    "check_tflite",
    "forget_runs",
    "merge_batches",
    "numpy_dtype",
    "place",
    "psi",
    "read_bundle",
    "read_snapshot",
    "ready",
    "sha256",
    "usual_call_first",
    "version",
    "wait_for_runs",
]


def __getattr__(name: str) -> Any:
    """What a prediction needs nothing of, and costs time to import."""
    if name in ("NativeSpool", "merge_batches", "read_bundle", "read_snapshot"):
        from edge_rai._native import files

        return getattr(files, name)
    if name == "check_tflite":
        from edge_rai._native.tflite import check_tflite

        return check_tflite
    raise AttributeError(f"module 'edge_rai._native' has no attribute {name!r}")
