"""Quantiles of a stream, in bytes that Apache DataSketches reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai import arguments
from edge_rai._ffi import ffi, lib
from edge_rai._native.library import Detail

# A call lets other threads run, and a sketch, or two in a merge, takes one call at a time.
_ONE_CALL = Lock()


def _numbers(name: str, given: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    values = np.asarray(given)
    if values.dtype.kind not in "fiub" and values.size:
        raise TypeError(f"{name}: expected numbers, not {values.dtype}")
    with np.errstate(over="ignore"):  # beyond float32 it is infinite
        return np.ascontiguousarray(values, dtype).reshape(values.shape)


@dataclass(frozen=True)
class QuantileSettings:
    """Which sketches of quantiles a session makes of its inputs, for ``load``.

    Args:
        k: Accuracy of each, as of QuantileSketch: 8 to 65535.
        every: Of one row in so many; 1: of all.
        features: Names of those that have one; None: all that have one number a row.

    Raises:
        TypeError, ValueError: An argument is not such.
    """

    k: int = 200
    every: int = 1
    features: Sequence[str] | None = None

    def __post_init__(self) -> None:
        least, most = lib.ERAI_QUANTILES_LEAST_K, lib.ERAI_QUANTILES_MOST_K
        arguments.within("quantiles: k", self.k, least, most, f"{least} to {most}, of which 200 is usual")
        arguments.within("quantiles: every", self.every, 1, 2**32 - 1)
        if self.features is None:
            return
        if isinstance(self.features, str) or not isinstance(self.features, Sequence):
            raise arguments.wrong_type("quantiles: features", self.features, "names of features, or None for all")
        if not self.features:
            raise ValueError("quantiles: features has no name; leave it out for all, or quantiles for none")
        for name in self.features:
            arguments.text("quantiles: a feature's name", name)

    def fill(self, config: Any) -> Any:
        """Puts this into an ``erai_session_config``, and returns what must live as long as that is read."""
        config.quantiles_k, config.quantiles_every = int(self.k), int(self.every)
        if self.features is None:
            return None
        names = [ffi.new("char[]", name.encode()) for name in self.features]
        pointers = ffi.new("char *[]", names)
        config.quantiles_features, config.quantiles_feature_count = pointers, len(names)
        return names, pointers


def checked(given: Any) -> QuantileSettings:
    """Settings from what ``load`` was given: these, or a number for k.

    Raises:
        TypeError, ValueError: It is neither; says what is expected.
    """
    if isinstance(given, QuantileSettings):
        return given
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise arguments.wrong_type("quantiles", given, "a k, of which 200 is usual, or QuantileSettings")
    return QuantileSettings(arguments.integer("quantiles", given))


class QuantileSketch:
    """A stream's quantiles in a few kilobytes: a KLL sketch, mergeable without the values.

    The bytes are those of Apache DataSketches' kll_floats_sketch, which Spark and the project's libraries for Java, C++
    and Python read, merge and write. The same values in the same order with the same seed give the same bytes. Calls
    from several threads wait for each other.

    Args:
        k: Accuracy, 8 to 65535: with 200, ranks err by 0.013 and the bytes are about 2,500 of a million values.
        seed: 0 to 2**64 - 1. Sketches that are to be merged have seeds of their own, as `seed_of` gives: errors of one
            seed do not even out.

    Raises:
        TypeError, ValueError: An argument is not such.
    """

    def __init__(self, k: int = 200, *, seed: int = 0) -> None:
        detail = Detail()
        out = ffi.new("erai_quantiles **")
        least, most = lib.ERAI_QUANTILES_LEAST_K, lib.ERAI_QUANTILES_MOST_K
        detail.check(lib.erai_quantiles_open(arguments.within("k", k, least, most), _seed(seed), out, detail.buffer))
        self._handle = ffi.gc(out[0], lib.erai_quantiles_close)

    @classmethod
    def from_bytes(cls, data: bytes, *, seed: int = 0) -> QuantileSketch:
        """A sketch from bytes, which may come from anybody; what it takes further falls by this seed.

        Raises:
            SpoolError: They are no sketch, or are damaged; says what is wrong.
            TypeError: This is no bytes.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise arguments.wrong_type("data", data, "bytes")
        detail = Detail()
        out = ffi.new("erai_quantiles **")
        detail.check(lib.erai_quantiles_open_bytes(ffi.from_buffer(data), len(data), _seed(seed), out, detail.buffer))
        sketch = cls.__new__(cls)
        sketch._handle = ffi.gc(out[0], lib.erai_quantiles_close)
        return sketch

    @staticmethod
    def seed_of(device: str, feature: str, window: int) -> int:
        """A seed for what a feature of a device was in a window: the same for the same three everywhere."""
        names = [ffi.new("char[]", name.encode()) for name in (device, feature)]
        return int(lib.erai_quantiles_seed(*names, arguments.within("window", window, 0, 2**64 - 1)))

    def update(self, values: npt.ArrayLike) -> None:
        """Adds numbers of any shape, as float32; NaN is counted apart. About 10 ns a value of a large array.

        Raises:
            TypeError: They are no numbers.
            ValueError: The sketch would have seen more than 2**50 - 1 values.
        """
        array = _numbers("values", values, np.float32)
        self._call(lib.erai_quantiles_add, ffi.from_buffer("float[]", array), array.size, 1)

    def merge(self, other: QuantileSketch) -> None:
        """Adds what another sketch, of whatever k, has seen.

        Raises:
            ValueError: It is this one, or both have seen more than 2**50 - 1 values.
        """
        if not isinstance(other, QuantileSketch):
            raise TypeError(f"other: expected a QuantileSketch, not {type(other).__name__}")
        self._call(lib.erai_quantiles_merge, other._handle)

    def quantile(self, ranks: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The least values that have at least these shares of all values at or below them.

        Args:
            ranks: Of any shape, 0 to 1; 0 gives the least value of all and 1 the greatest, both exactly.

        Returns:
            Of the shape of `ranks`.

        Raises:
            ValueError: There is no value yet, or a rank is not within 0 and 1.
        """
        array = _numbers("ranks", ranks, np.float64)
        found = np.empty(array.shape, np.float32)
        into = ffi.from_buffer("float[]", found, require_writable=True)
        self._call(lib.erai_quantiles_at, ffi.from_buffer("double[]", array), array.size, into)
        return found

    def rank(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The shares of all values that are at or below these: of rising ones, the cumulative distribution.

        Args:
            values: Of any shape, as float32.

        Returns:
            Of the shape of `values`, 0 to 1; off by at most `rank_error` in 99 of 100 cases.

        Raises:
            ValueError: There is no value yet, or one of these is NaN.
        """
        array = _numbers("values", values, np.float32)
        found = np.empty(array.shape, np.float64)
        into = ffi.from_buffer("double[]", found, require_writable=True)
        self._call(lib.erai_quantiles_rank, ffi.from_buffer("float[]", array), array.size, into)
        return found

    def to_bytes(self) -> bytes:
        """The sketch as Apache DataSketches stores it, little-endian; about 13 k bytes at most."""
        detail = Detail()
        size = ffi.new("size_t *")
        with _ONE_CALL:
            status = lib.erai_quantiles_write(self._handle, ffi.NULL, 0, size, detail.buffer)
            if status == lib.ERAI_E_SIZE:
                buffer = ffi.new("uint8_t[]", size[0])
                status = lib.erai_quantiles_write(self._handle, buffer, size[0], size, detail.buffer)
        detail.check(status)
        return bytes(ffi.buffer(buffer))

    @property
    def n(self) -> int:
        """Values seen, merged ones too; NaN is none."""
        return int(self._info().n)

    @property
    def nan(self) -> int:
        """How many of these came. The bytes do not tell."""
        return int(self._info().nan)

    @property
    def k(self) -> int:
        """As given."""
        return int(self._info().k)

    @property
    def min_k(self) -> int:
        """The least k of the sketches merged, which is what the error is of."""
        return int(self._info().min_k)

    @property
    def least(self) -> float:
        """The least value, exactly; of none NaN."""
        return float(self._info().least)

    @property
    def greatest(self) -> float:
        """The greatest value, exactly; of none NaN."""
        return float(self._info().greatest)

    @property
    def rank_error(self) -> float:
        """What a rank is off by at most in 99 of 100 cases, as the DataSketches project measured it."""
        return float(self._info().rank_error)

    def __repr__(self) -> str:
        info = self._info()
        return f"QuantileSketch(k={info.k}, n={info.n}, least={info.least:g}, greatest={info.greatest:g})"

    def _info(self) -> Any:
        info = ffi.new("erai_quantiles_info *")
        with _ONE_CALL:
            lib.erai_quantiles_read(self._handle, info)
        return info

    def _call(self, function: Any, *given: Any) -> None:
        detail = Detail()
        with _ONE_CALL:
            status = function(self._handle, *given, detail.buffer)
        if status == lib.ERAI_E_SIZE:  # elsewhere that of a file
            status = lib.ERAI_E_ARGUMENT
        detail.check(status)


def read_quantiles(handle: Any, names: Sequence[str], begin: bool) -> dict[str, QuantileSketch]:
    """A session's sketches by name of their features; with ``begin``, the session's begin anew."""
    detail = Detail()
    found = ffi.new("erai_quantiles *[]", len(names))
    detail.check(lib.erai_session_quantiles(handle, begin, found, ffi.NULL, detail.buffer))
    sketches = {}
    for name, each in zip(names, found, strict=True):
        if each:
            sketches[name] = QuantileSketch.__new__(QuantileSketch)
            sketches[name]._handle = ffi.gc(each, lib.erai_quantiles_close)
    return sketches


def _seed(seed: int) -> int:
    return arguments.within("seed", seed, 0, 2**64 - 1)
