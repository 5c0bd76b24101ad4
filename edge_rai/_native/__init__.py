"""The border to the compiled library: nothing outside this package imports ``_ffi``, and nothing is decided here."""

from edge_rai._native.call import Call
from edge_rai._native.clock import ManualClock
from edge_rai._native.files import NativeSpool, merge_batches, read_bundle, read_snapshot
from edge_rai._native.given import Column
from edge_rai._native.library import psi, sha256, version
from edge_rai._native.programs import GuardProgram, PolicyBuilder
from edge_rai._native.runtimes import ModelSource, Runtime, Stream, place
from edge_rai._native.session import NativeSession, SessionConfig, usual_call_first
from edge_rai._native.tensors import numpy_dtype, ready
from edge_rai._native.tflite import check_tflite
from edge_rai._predict import Predictor, forget_runs, wait_for_runs

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
