"""Arrays as C's tensors, and back: every dense type, strings, sequences and maps."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from edge_rai._ffi import ffi, lib
from edge_rai._native.library import DTYPE_CODES, DTYPES
from edge_rai.types import QuantizedSpec, TensorSpec

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]

_NUMPY = {name: np.dtype(name) for name in DTYPES.values() if name not in ("string", "bfloat16")}
_TEXT = np.dtype(object)
_SIZE = np.dtype(np.uintp)


# ---- Arrays into tensors ----


@cache
def _has_bfloat16() -> bool:
    return "ml_dtypes" in sys.modules or find_spec("ml_dtypes") is not None


def ready(values: Array, spec: TensorSpec, what: str = "input") -> Array:
    """An array of the type and byte order that C reads; the same one where it is that already.

    Strings become an object array of bytes in UTF-8.

    Args:
        values: Of any layout.
        spec: What it is for.
        what: "input" or "output", for the message.

    Raises:
        TypeError: It is of another type; names what was expected, what came, and the conversion.
    """
    if spec.dtype == "string" and values.dtype.kind in "USTO":
        return _encoded(values, spec.name, what)
    expected = _NUMPY.get(spec.dtype)
    if spec.dtype == "bfloat16" and ("ml_dtypes" in sys.modules or not _has_bfloat16()):
        expected = numpy_dtype(spec.dtype)  # whose arrays are none of this type while it is not loaded
    if expected is not None and values.dtype == expected:
        return values
    if expected is not None and values.dtype.newbyteorder("=") == expected:
        return values.astype(expected)
    raise TypeError(_other_type(values.dtype, spec, what))


def _other_type(came: np.dtype[Any], spec: TensorSpec, what: str) -> str:
    conversion = f"convert it with .astype(numpy.{spec.dtype})"
    if spec.dtype == "bool":
        conversion = "convert it with .astype(bool)"
    if spec.dtype == "bfloat16":
        conversion = "convert it with .astype(ml_dtypes.bfloat16)" if _has_bfloat16() else "give its bits as uint16"
    if spec.dtype == "string":
        conversion = "convert it with .astype(str)"
    if isinstance(spec, QuantizedSpec) and came.kind == "f":
        limits, scale = np.iinfo(spec.dtype), f"{spec.scale:.9g}"  # as many digits as a float32 has
        conversion = (
            f"quantize a row x by scale {scale} and zero point {spec.zero_point}: numpy.clip(numpy.round(x / {scale}) "
            f"+ {spec.zero_point}, {limits.min}, {limits.max}).astype(numpy.{spec.dtype})"
        )
    return f"{what} '{spec.name}': expected {spec.dtype}, got {came}; {conversion}"


def _encoded(values: Array, name: str, what: str) -> Array:
    encoded = np.empty(values.size, _TEXT)
    for i, item in enumerate(values.ravel().tolist()):
        if isinstance(item, str):
            # What is no text in UTF-8 either is for the policy to refuse, as it is of bytes.
            encoded[i] = item.encode("utf-8", "surrogatepass")
        elif isinstance(item, bytes):
            encoded[i] = item
        else:
            place = list(map(int, np.unravel_index(i, values.shape)))
            raise TypeError(f"{what} '{name}': element {place} is {type(item).__name__}, expected str or bytes")
    return encoded.reshape(values.shape)


class Tensors:
    """Descriptions of arrays in C's memory, one a spec; of one call at a time.

    Attributes:
        first: The ``erai_tensor`` array.
        shapes: Last described, one a spec.
        dtypes: Of the arrays last placed. One type may have several objects, such as that of an array read from bytes.
    """

    def __init__(self, specs: Sequence[TensorSpec], what: str = "input") -> None:
        self.first = ffi.new("erai_tensor[]", len(specs))
        self.shapes: list[tuple[int, ...] | None] = [None] * len(specs)
        self.dtypes: list[np.dtype[Any] | None] = [None] * len(specs)
        self._specs, self._what = specs, what
        self._extents = [ffi.new("int64_t[]", lib.ERAI_MAX_RANK) for _ in specs]
        for i, spec in enumerate(specs):
            self.first[i].shape, self.first[i].dtype = self._extents[i], DTYPE_CODES[spec.dtype]

    def place(self, index: int, values: Array) -> Any:
        """Describes an array; returns what holds its memory, for as long as C reads it.

        Raises:
            TypeError: See ``ready``.
        """
        values = ready(values, self._specs[index], self._what)
        self.dtypes[index] = values.dtype
        if values.shape != self.shapes[index]:
            self._describe(index, values.shape)
        if values.dtype == _TEXT:
            values, text = _strings(values)
        else:
            values, text = np.require(values, requirements=("C", "ALIGNED")), b""
        if self._specs[index].dtype == "bfloat16":
            values = values.view(np.uint16)  # buffers know no types of others
        buffer = ffi.from_buffer("uint8_t[]", values)
        self.first[index].data = buffer
        return buffer, text

    def _describe(self, index: int, shape: tuple[int, ...]) -> None:
        """Tells C a shape. Of a rank that C refuses anyway the first extents do."""
        self.shapes[index] = None  # a signal's exception may come before C knows all of it
        self.first[index].rank = len(shape)
        for axis, extent in enumerate(shape[: lib.ERAI_MAX_RANK]):
            self._extents[index][axis] = extent
        self.shapes[index] = shape


def _strings(values: Array) -> tuple[Array, bytes]:
    """(elements, 2) erai_string, address and size, and the text that they point into."""
    texts = values.ravel().tolist()
    text = b"".join(texts)
    strings = np.zeros((len(texts), 2), _SIZE)
    strings[:, 1] = np.fromiter(map(len, texts), _SIZE, len(texts))
    ends = np.cumsum(strings[:, 1], dtype=_SIZE)
    strings[:, 0] = int(ffi.cast("uintptr_t", ffi.from_buffer(text))) + (ends - strings[:, 1])
    return strings, text


# ---- Tensors into arrays ----


def numpy_dtype(name: str) -> np.dtype[Any]:
    """What arrays of a type have: of strings object, of bfloat16 ml_dtypes' own where installed, else uint16."""
    dtype: np.dtype[Any] = _NUMPY.get(name, _TEXT)
    if name == "bfloat16" and _has_bfloat16():
        import ml_dtypes

        dtype = np.dtype(ml_dtypes.bfloat16)
    elif name == "bfloat16":
        dtype = np.dtype(np.uint16)
    return dtype


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(tensor.shape[axis] for axis in range(tensor.rank))


def view(tensor: Any) -> Array | None:
    """A C tensor's memory as an array; None of strings, which have none that numpy knows."""
    if tensor.dtype == lib.ERAI_DTYPE_STRING:
        return None
    shape = _shape(tensor)
    dtype = numpy_dtype(DTYPES[tensor.dtype])
    size = math.prod(shape)
    if not size:
        return np.empty(shape, dtype)
    plain = np.dtype(np.uint16) if tensor.dtype == lib.ERAI_DTYPE_BFLOAT16 else dtype
    values: Array = np.frombuffer(ffi.buffer(tensor.data, size * dtype.itemsize), plain).view(dtype)
    return values.reshape(shape)


def copy(tensor: Any) -> Array:
    """A C tensor as an array of its own; strings as an object array of str."""
    seen = view(tensor)
    if seen is not None:
        return np.array(seen)
    shape = _shape(tensor)
    strings = ffi.cast("erai_string *", tensor.data)
    values = np.empty(math.prod(shape), _TEXT)
    for i in range(len(values)):
        string = strings[i]
        values[i] = ffi.unpack(string.bytes, string.size).decode("utf-8", "replace") if string.size else ""
    return values.reshape(shape)


def unnest(value: Any) -> Any:
    """What an output holds: an array, a list, a dict, or None."""
    if value.kind == lib.ERAI_VALUE_TENSOR:
        return copy(value.tensor)
    if value.kind == lib.ERAI_VALUE_SEQUENCE:
        return [unnest(value.items[i]) for i in range(value.count)]
    if value.kind == lib.ERAI_VALUE_MAP:
        keys, values = (unnest(value.items[i]) for i in range(2))
        return dict(zip(keys.tolist(), values.tolist() if isinstance(values, np.ndarray) else values, strict=True))
    return None
