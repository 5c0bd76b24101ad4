"""Golden vectors: tensors in files of the bundle, and how far an answer may be from them (docs/formats/bundle.md)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.errors import BundleError

# The least that atol may be at most, for models whose golden answers are all near zero.
SMALLEST_ATOL = 1e-6

_NUMBERS = frozenset(
    ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")
)
_DTYPES = _NUMBERS | {"bfloat16", "string"}


@dataclass(frozen=True, slots=True)
class GoldenTensor:
    """A tensor in a file of the bundle: little-endian, C order; strings have their size before them."""

    name: str
    path: str
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ValueError(f"golden tensor {self.name!r} has the unknown dtype {self.dtype!r}")
        if any(extent < 1 for extent in self.shape):
            raise ValueError(f"golden tensor {self.name!r} has shape {list(self.shape)}; extents are 1 or more")


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs with the outputs that the converter saw; replayed at load within ``atol``, absolute, strings to the byte.

    Outputs that are sequences or maps have none, and of strings they may be left out. ``atol`` is at most the largest
    finite magnitude among the outputs, or SMALLEST_ATOL if that is more: beyond it an answer of nothing but zeros would
    pass.
    """

    atol: float
    inputs: tuple[GoldenTensor, ...]
    outputs: tuple[GoldenTensor, ...]

    def __post_init__(self) -> None:
        if not (isfinite(self.atol) and self.atol >= 0):
            raise ValueError(f"atol is {self.atol}; it must be a finite number of 0 or more")


def golden_bytes(values: npt.NDArray[Any]) -> bytes:
    """The file of a golden tensor.

    Args:
        values: Of a number type, of ml_dtypes' bfloat16, or of str or bytes elements (dtype ``U``, ``S`` or object).
    """
    if values.dtype.kind not in "USO":
        return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    texts = (text if isinstance(text, bytes) else str(text).encode() for text in values.reshape(-1).tolist())
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def golden_dtype(values: npt.NDArray[Any]) -> str:
    """What a manifest calls the type of these values."""
    return "string" if values.dtype.kind in "USO" else values.dtype.name


def golden_array(tensor: GoldenTensor, data: bytes) -> npt.NDArray[Any]:
    """The values in the file of a golden tensor; strings as str objects, bfloat16 as float32.

    Raises:
        BundleError: The file does not hold what the tensor's dtype and shape say; names it.
    """
    if tensor.dtype == "string":
        return np.array(_strings(tensor, data), dtype=object).reshape(tensor.shape)
    stored = np.dtype("uint16" if tensor.dtype == "bfloat16" else tensor.dtype).newbyteorder("<")
    expected = prod(tensor.shape) * stored.itemsize
    if len(data) != expected:
        raise BundleError(f"{tensor.path}: missing, or not the {expected} bytes of its dtype and shape")
    values = np.frombuffer(data, stored).reshape(tensor.shape)
    if tensor.dtype == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


def _strings(tensor: GoldenTensor, data: bytes) -> list[str]:
    texts: list[str] = []
    at, count = 0, prod(tensor.shape)
    while at + 4 <= len(data) and len(texts) < count:
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        texts.append(data[at + 4 : end].decode("utf-8", "surrogateescape"))
        at = end
    if at != len(data) or len(texts) != count:
        raise BundleError(f"{tensor.path}: missing, or not {count} strings, each with its size before it")
    return texts


def largest_finite(arrays: Iterable[npt.NDArray[Any]]) -> float:
    """The largest magnitude of all finite elements; 0 when there is none."""
    magnitudes = (np.abs(array[np.isfinite(array)].astype(np.float64)) for array in arrays)
    return max((float(found.max(initial=0.0)) for found in magnitudes), default=0.0)


def check_golden(golden: Golden, files: Mapping[str, bytes]) -> None:
    """Holds the golden tensors against their files.

    Raises:
        BundleError: A file is missing or does not fit; or ``atol`` is so large that the vectors check nothing.
    """
    for tensor in golden.inputs:
        golden_array(tensor, files.get(tensor.path, b""))
    outputs = [(tensor.dtype, golden_array(tensor, files.get(tensor.path, b""))) for tensor in golden.outputs]
    most = max(SMALLEST_ATOL, largest_finite(values for dtype, values in outputs if dtype != "string"))
    if golden.atol > most:
        raise BundleError(
            f"manifest.json: golden.atol is {golden.atol:g}; at most {most:g}, the largest golden output, can tell a "
            "right answer from zeros"
        )
