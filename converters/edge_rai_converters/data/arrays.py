"""Arrays in .npy and .npz files, read where they lie; a compressed one is unpacked into a temporary file first."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from edge_rai_converters.data.rows import FileRows, spill
from edge_rai_converters.errors import DataError
from edge_rai_converters.words import first_line

_NPY = b"\x93NUMPY"
_OURS = (".npy", ".npz")
_MEND = "write it again with numpy.save or numpy.savez"
_OTHERS = "tables that end in .csv or .parquet and folders of images are read too"
_BLOCK = 1 << 20
_TRANSPOSED = 1 << 26
# Of a local file header of a zip file, .ZIP File Format Specification 6.3.10, section 4.3.7.
_LOCAL_HEADER, _LOCAL_NAME, _LOCAL_EXTRA = 30, 26, 28


def open_arrays(path: Path) -> dict[str, FileRows]:
    """The arrays of a file by name; that of a .npy file has the file's.

    Raises:
        DataError: The file is cut short, damaged, or holds something else than plain arrays.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if not size:
                raise EOFError("it is empty")
            if os.pread(file.fileno(), len(_NPY), 0) == _NPY:
                return {path.stem: _stored(path, "the file", file, 0, size)}
            return dict(_members(path, file))
        except DataError:
            raise
        except Exception as error:  # what parses headers and zip files raises whatever its parts raise
            mend = _MEND if path.suffix in _OURS else _OTHERS
            raise DataError(f"{path}: not a .npz or .npy file of plain arrays: {first_line(error)}; {mend}") from error


def _members(path: Path, file: IO[bytes]) -> Iterator[tuple[str, FileRows]]:
    with zipfile.ZipFile(file) as members:
        for member in members.infolist():
            name = member.filename.removesuffix(".npy")
            with members.open(member) as content:
                blocks = _blocks(content)
                if member.compress_type != zipfile.ZIP_STORED:
                    with os.fdopen(spill(path, member.file_size, blocks), "rb") as unpacked:
                        yield name, _stored(path, f"array {name!r}", unpacked, 0, member.file_size)
                    continue
                for _ in blocks:
                    pass  # to the end, where its checksum is compared
            yield name, _stored(path, f"array {name!r}", file, _data_offset(file, member), member.file_size)


def _blocks(content: IO[bytes]) -> Iterator[bytes]:
    while block := content.read(_BLOCK):
        yield block


def _data_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    header = os.pread(file.fileno(), _LOCAL_HEADER, member.header_offset)
    (name,), (extra,) = struct.unpack_from("<H", header, _LOCAL_NAME), struct.unpack_from("<H", header, _LOCAL_EXTRA)
    return member.header_offset + _LOCAL_HEADER + int(name) + int(extra)


def _stored(path: Path, what: str, file: IO[bytes], offset: int, size: int) -> FileRows:
    """The array whose .npy form begins at an offset of a file and has so many bytes."""
    file.seek(offset)
    shape, in_columns, dtype = _header(path, what, file)
    begin = file.tell()
    wanted, there = prod(shape) * dtype.itemsize, offset + size - begin
    if there < wanted:
        raise DataError(
            f"{path}: {what} is cut short: {there} of its {wanted} bytes are there; copy or save it once more"
        )
    if in_columns and len(shape) > 1:
        descriptor = spill(path, wanted, _in_rows(file, begin, shape, dtype))
        return FileRows(path, descriptor, 0, shape, dtype)
    return FileRows(path, os.dup(file.fileno()), begin, shape, dtype)


def _header(path: Path, what: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise DataError(f"{path}: {what} has columns with names; save plain numbers or text, one array an input")
    shape, in_columns, dtype = read[version](file)
    if min(shape, default=0) < 0:
        raise DataError(f"{path}: {what} claims the shape {shape}; write it again with numpy.save or numpy.savez")
    if dtype.hasobject:
        raise DataError(
            f"{path}: {what} holds pickled Python objects, which are never unpickled; save it as numbers or text, such "
            "as with numpy.asarray(values, dtype=float)"
        )
    return shape, in_columns, dtype


def _in_rows(file: IO[bytes], begin: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[bytes]:
    """An array in Fortran order, as numpy.save writes a transposed one, in C order; a part of the rows at a time."""
    count, values = shape[0], prod(shape[1:])
    step = max(1, _TRANSPOSED // max(1, values * dtype.itemsize))
    for start in range(0, count, step):
        taken = min(step, count - start)
        part = np.empty((values, taken), dtype)
        for place in range(values):
            at = begin + (place * count + start) * dtype.itemsize
            part[place] = np.frombuffer(os.pread(file.fileno(), taken * dtype.itemsize, at), dtype)
        yield part.reshape(*shape[:0:-1], taken).T.tobytes()
