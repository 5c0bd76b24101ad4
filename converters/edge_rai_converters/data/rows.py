"""Rows on axis 0 that are read when they are asked for, so that what is resident is a part of them and never the whole.

Files are read with pread and not mapped: pages that were looked at through a mapping count as resident.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from edge_rai_converters.errors import DataError

Array = npt.NDArray[Any]
Index = npt.NDArray[np.int64]

_CHUNK_VALUES = 1 << 19
# A gap costs less to read than to ask a second time for what comes after it.
_GAPS = 2
_MOST_SPAN = 1 << 22


class StoredRows(Protocol):
    """What can give parts of an array (N, ...) by index on axis 0; an array itself is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the parts."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, index: int, /) -> Any: ...
    @overload
    def __getitem__(self, index: slice | Index, /) -> Array: ...


Rows = Mapping[str, StoredRows]


class LazyRows:
    """Base of what is not in memory: an index of any kind becomes one of whole numbers, within the rows."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, index: int, /) -> Any: ...
    @overload
    def __getitem__(self, index: slice | Index, /) -> Array: ...
    def __getitem__(self, index: int | slice | Index, /) -> Any:
        if isinstance(index, slice):
            return self._read(np.arange(*index.indices(len(self)), dtype=np.int64))
        given = np.asarray(index)
        if given.dtype.kind not in "iu" or given.ndim > 1:
            raise TypeError(f"rows are read by a number, a slice or an array of numbers, not by {given.dtype}")
        asked = np.atleast_1d(given).astype(np.int64)
        if asked.size and not -len(self) <= asked.min() <= asked.max() < len(self):
            raise IndexError(f"row {asked.min() if asked.min() < 0 else asked.max()} of {len(self)}")
        part = self._read(np.where(asked < 0, asked + len(self), asked))
        return part if given.ndim else part[0]

    def _read(self, index: Index) -> Array:
        raise NotImplementedError


class FileRows(LazyRows):
    """Rows that lie one after the other in a file, in C order."""

    def __init__(self, path: Path, descriptor: int, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype)
        self._path, self._descriptor, self._offset = path, descriptor, offset
        self._row_bytes = dtype.itemsize * prod(shape[1:])
        weakref.finalize(self, os.close, descriptor)

    def _read(self, index: Index) -> Array:
        if not index.size:
            return np.empty((0, *self.shape[1:]), self.dtype)
        first, last = int(index.min()), int(index.max())
        span = last - first + 1
        if span == len(index) or span * self._row_bytes <= max(_GAPS * len(index) * self._row_bytes, _MOST_SPAN):
            part = self._span(first, span)
            return part if np.array_equal(index, np.arange(first, last + 1)) else part[index - first]
        part = np.empty((len(index), *self.shape[1:]), self.dtype)
        starts = [0, *(np.flatnonzero(np.diff(index) != 1) + 1).tolist(), len(index)]
        for start, end in pairwise(starts):
            part[start:end] = self._span(int(index[start]), end - start)
        return part

    def _span(self, first: int, count: int) -> Array:
        part = np.empty((count, *self.shape[1:]), self.dtype)
        if part.nbytes:
            view = part.reshape(-1).view(np.uint8).data
            fill(self._path, self._descriptor, view, self._offset + first * self._row_bytes)
        return part


class ChangedRows(LazyRows):
    """Rows of another store, with something done to every part that is read."""

    def __init__(
        self, stored: StoredRows, change: Callable[[Array], Array], shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> None:
        super().__init__(shape, np.dtype(dtype))
        self._stored, self._change = stored, change

    def _read(self, index: Index) -> Array:
        return self._change(self._stored[index])


class ColumnRows(LazyRows):
    """(N, F) rows of columns that are in memory, (N,) each."""

    def __init__(self, columns: Sequence[Array], dtype: npt.DTypeLike) -> None:
        super().__init__((len(columns[0]), len(columns)), np.dtype(dtype))
        self._columns = columns

    def _read(self, index: Index) -> Array:
        part = np.empty((len(index), len(self._columns)), self.dtype)
        for place, column in enumerate(self._columns):
            part[:, place] = column[index]
        return part


def fill(path: Path, descriptor: int, view: memoryview, offset: int) -> None:
    """Reads exactly what the view takes.

    Raises:
        DataError: The file ends before; it was as long as that once.
    """
    done = 0
    while done < len(view):
        came = os.preadv(descriptor, [view[done:]], offset + done)
        if not came:
            raise DataError(f"{path}: became shorter while it was read; leave it alone until the command has ended")
        done += came


def spill(path: Path, size: int, blocks: Iterable[bytes]) -> int:
    """Writes blocks to a temporary file without a name, which is gone when its descriptor is closed.

    Args:
        path: Whose contents, for messages.
        size: How much the blocks are together, bytes.
        blocks: What to write.

    Returns:
        The descriptor.

    Raises:
        DataError: There is no room for so much.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{path}: takes {size / 1e9:.1f} GB when unpacked, and {folder} has {free / 1e9:.1f} GB left; name a "
            "folder with more room in TMPDIR, or give a .npy file, which is read in place"
        )
    with tempfile.TemporaryFile(prefix="edge-rai-") as file:
        for block in blocks:
            file.write(block)
        file.flush()
        return os.dup(file.fileno())


def chunks(array: StoredRows, index: Index) -> Iterator[Array]:
    """The chosen rows, a bounded number of values at a time."""
    step = max(1, _CHUNK_VALUES // max(1, prod(array.shape[1:])))
    for start in range(0, len(index), step):
        yield array[index[start : start + step]]


def all_chunks(array: StoredRows) -> Iterator[tuple[int, Array]]:
    """Every row, likewise, with the index of the first of each part."""
    start = 0
    for part in chunks(array, np.arange(len(array), dtype=np.int64)):
        yield start, part
        start += len(part)
