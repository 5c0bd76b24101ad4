"""The border to the compiled library: nothing outside this package imports ``_ffi``, and nothing is decided here."""

from edge_rai._native.files import read_bundle, read_snapshot
from edge_rai._native.library import psi, sha256, version
from edge_rai._native.programs import GuardProgram, PolicyBuilder
from edge_rai._native.session import NativeSession

__all__ = [
    "GuardProgram",
    "NativeSession",
    "PolicyBuilder",
    "psi",
    "read_bundle",
    "read_snapshot",
    "sha256",
    "version",
]
