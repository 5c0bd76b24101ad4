"""The border to the compiled library: nothing outside this package imports ``_ffi``, and nothing is decided here."""

from edge_rai._native.files import read_bundle, read_snapshot
from edge_rai._native.library import psi, sha256, version
from edge_rai._native.programs import GuardProgram, PolicyBuilder
from edge_rai._native.session import Call, NativeSession, usual_call_first
from edge_rai._predict import Predictor

__all__ = [
    "Call",
    "GuardProgram",
    "NativeSession",
    "PolicyBuilder",
    "Predictor",
    "psi",
    "read_bundle",
    "read_snapshot",
    "sha256",
    "usual_call_first",
    "version",
]
