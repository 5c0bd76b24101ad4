"""The compiled library: statuses become exceptions, C strings and arrays become Python's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from edge_rai import errors
from edge_rai._ffi import ffi, lib
from edge_rai._predict import interruption

if TYPE_CHECKING:
    import numpy.typing as npt

_DETAIL_SIZE: int = lib.ERAI_DETAIL_SIZE

# ONNX TensorProto.DataType -> numpy's name; numpy itself knows neither string nor bfloat16
DTYPES = {
    lib.ERAI_DTYPE_FLOAT32: "float32",
    lib.ERAI_DTYPE_UINT8: "uint8",
    lib.ERAI_DTYPE_INT8: "int8",
    lib.ERAI_DTYPE_UINT16: "uint16",
    lib.ERAI_DTYPE_INT16: "int16",
    lib.ERAI_DTYPE_INT32: "int32",
    lib.ERAI_DTYPE_INT64: "int64",
    lib.ERAI_DTYPE_BOOL: "bool",
    lib.ERAI_DTYPE_FLOAT64: "float64",
    lib.ERAI_DTYPE_UINT32: "uint32",
    lib.ERAI_DTYPE_UINT64: "uint64",
    lib.ERAI_DTYPE_STRING: "string",
    lib.ERAI_DTYPE_FLOAT16: "float16",
    lib.ERAI_DTYPE_BFLOAT16: "bfloat16",
}
DTYPE_CODES = {name: code for code, name in DTYPES.items()}

_ERRORS: dict[int, type[errors.EdgeRaiError]] = {
    lib.ERAI_E_STOPPED: errors.StoppedError,
    lib.ERAI_E_BUNDLE_READ: errors.UnreadableError,
    lib.ERAI_E_BUNDLE_FORMAT: errors.BundleError,
    lib.ERAI_E_BUNDLE_INTEGRITY: errors.IntegrityError,
    lib.ERAI_E_BUNDLE_NEWER: errors.BundleError,
    lib.ERAI_E_MODEL_UNSUPPORTED: errors.UnsupportedModelError,
    lib.ERAI_E_GOLDEN: errors.IntegrityError,
    lib.ERAI_E_SIZE: errors.BundleError,
    lib.ERAI_E_POLICY: errors.PolicyError,
    lib.ERAI_E_GUARD_FORMAT: errors.BundleError,
    lib.ERAI_E_GUARD_NEWER: errors.BundleError,
    lib.ERAI_E_GUARD_MISMATCH: errors.BundleError,
    lib.ERAI_E_SPOOL: errors.SpoolError,
    lib.ERAI_E_BATCH_FORMAT: errors.SpoolError,
    lib.ERAI_E_BATCH_NEWER: errors.SpoolError,
    lib.ERAI_E_RUNTIME_MISSING: errors.RuntimeMissingError,
    lib.ERAI_E_RUNTIME_OLD: errors.RuntimeMissingError,
    lib.ERAI_E_INFERENCE: errors.InferenceError,
    lib.ERAI_E_PROVIDER: errors.ProviderError,
}


def text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode("utf-8", "replace"))


def raise_status(status: int, detail: str, where: str = "") -> NoReturn:
    """Turns a status into the exception of whoever is at fault."""
    if status == lib.ERAI_E_MEMORY:
        raise MemoryError(detail)
    sentence = detail or text(lib.erai_strerror(status))
    if status == lib.ERAI_E_ARGUMENT:
        raise ValueError(sentence)
    kind = _ERRORS.get(status, errors.NativeError)
    # Where a runtime is missing or a spool cannot be written, the bundle is not at fault.
    if issubclass(kind, errors.BundleError) and where not in sentence:
        sentence = f"{where}: {sentence}"
    raise kind(sentence)


def raise_interruption() -> None:
    """Raises what C took for a failure and is none: the KeyboardInterrupt that came while a runtime of Python's ran."""
    raised = interruption()
    if raised is not None:
        raise raised


class Detail:
    """A detail buffer for one call."""

    def __init__(self, where: str = "") -> None:
        self.buffer = ffi.new("char[]", _DETAIL_SIZE)
        self._where = where

    def check(self, status: int) -> None:
        if status:
            raise_interruption()
            raise_status(status, text(self.buffer), self._where)


def array(pointer: Any, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A copy of count elements at a C pointer."""
    if count == 0:
        return np.empty(0, dtype)
    values: npt.NDArray[Any] = np.frombuffer(ffi.buffer(pointer, count * np.dtype(dtype).itemsize), dtype).copy()
    return values


def version() -> str:
    """Version of the compiled library."""
    return text(lib.erai_version())


def build() -> str:
    """The compiler that made the library, and its flags."""
    return text(lib.erai_build())


def psi(reference: npt.NDArray[np.uint64], window: npt.NDArray[np.uint64]) -> float:
    """Population stability index of two (bins,) histograms; see erai_psi in edge_rai.h."""
    if reference.shape != window.shape or reference.ndim != 1:
        raise ValueError(f"psi: histograms of shapes {reference.shape} and {window.shape}; expected two of (bins,)")
    first, second = (np.ascontiguousarray(counts, dtype=np.uint64) for counts in (reference, window))
    return float(
        lib.erai_psi(ffi.from_buffer("uint64_t[]", first), ffi.from_buffer("uint64_t[]", second), len(reference))
    )


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    digest = ffi.new("uint8_t[]", lib.ERAI_DIGEST_SIZE)
    lib.erai_sha256(ffi.from_buffer(data), len(data), digest)
    return bytes(ffi.buffer(digest)).hex()
