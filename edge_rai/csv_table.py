"""CSV files as RFC 4180 has them: UTF-8, commas, one line of names; an empty cell is a missing value."""

from __future__ import annotations

import csv
import math
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from edge_rai.errors import DataError

# Of all columns; what is larger belongs into a file that is read part by part.
MOST_BYTES = 1 << 29
_CHECKED_EVERY = 4096
_LONGEST = 1 << 24
_SHOWN = 60
_TRUTH = {"true": 1.0, "false": 0.0}


def read_csv(
    path: Path, is_text: Callable[[str], bool] = lambda _: False
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """Reads a table whole.

    Args:
        path: Of the file.
        is_text: Whether the column of that name is text whatever it holds.

    Returns:
        The columns by name, in the file's order, (N,) each: float64 with NaN for an empty cell, true and false as 1 and
        0; or objects, text with NaN for an empty cell. And (N,) the line in which each row ends.

    Raises:
        DataError: The file is damaged, or holds more than half a GiB.
        OSError: It cannot be read.
    """
    rows = _rows(path)
    names = [name.strip() for name in next(rows)[1]]
    _check_header(path, names)
    numbers = {place: array("d") for place, name in enumerate(names) if not is_text(name)}
    lines = array("q")
    for line, row in rows:
        lines.append(line)
        if len(lines) % _CHECKED_EVERY == 0:
            check_size(path, 8 * len(lines) * len(names))
        for place in [place for place, values in numbers.items() if not _add(values, row[place])]:
            del numbers[place]  # its cells are text after all
    check_size(path, 8 * len(lines) * len(names))
    texts = _texts(path, [place for place in range(len(names)) if place not in numbers], len(lines))
    columns = {
        name: np.array(numbers[place], np.float64) if place in numbers else texts[place]
        for place, name in enumerate(names)
    }
    return columns, np.array(lines, np.int64)


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuses columns that could not be told apart.

    Raises:
        DataError: A name is empty, not printable, or there twice.
    """
    if "" in names:
        raise DataError(
            f"{path}: column {names.index('') + 1} has no name; name it, or leave it out (pandas: to_csv(index=False))"
        )
    if odd := [name for name in names if not name.isprintable()]:
        raise DataError(f"{path}: the column {odd[0]!r} has a name that cannot be printed; save the table anew as text")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path}: the column {twice[0]!r} is there more than once; give each its own name")


def check_size(path: Path, size: int) -> None:
    """Refuses what would not stay small in memory.

    Raises:
        DataError: It has more than half a GiB.
    """
    if size > MOST_BYTES:
        raise DataError(
            f"{path}: takes more than the {MOST_BYTES >> 20} MiB of memory that a table may; give a sample of its "
            "rows, or a .npy file, which is read part by part"
        )


def number(cell: str) -> float | None:
    """What a cell says: NaN when it is empty, None when it is text."""
    if not cell or cell.isspace():
        return math.nan
    try:
        return None if "_" in cell else float(cell)  # Python would read 1_000
    except ValueError:
        return _TRUTH.get(cell.strip().lower())


class Texts:
    """Cells of text; equal ones are one object, and all of them together have a bound."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen, self._size = path, dict[str, str](), 0

    def of(self, cell: str | None) -> str | float:
        """The cell, or NaN when it is empty."""
        if not cell or cell.isspace():
            return math.nan
        if cell not in self._seen:
            self._size += sys.getsizeof(cell)
            check_size(self._path, self._size)
        return self._seen.setdefault(cell, cell)


def _undecodable(path: Path) -> int:
    """The first line that is not UTF-8, which a reader does not say: it decodes blocks of a file."""
    with path.open("rb") as file:
        return next(number for number, line in enumerate(file, 1) if line.decode(errors="ignore").encode() != line)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line in which each row ends, and its cells; the names first."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(_lines(path, file), strict=True)
        width = 0
        try:
            for row in reader:
                if not row:
                    continue
                width = width or len(row)
                if len(row) != width:
                    raise DataError(
                        f"{path}: line {reader.line_num} has {len(row)} cells and the line of names {width}; quote "
                        "cells that contain commas, and give every row as many"
                    )
                yield reader.line_num, row
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num} is not CSV: {error}; mend its quotes") from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: line {_undecodable(path)} is not UTF-8 (byte 0x{error.object[error.start]:02x}); save the "
                "file as UTF-8"
            ) from error
    if not width:
        raise DataError(f"{path}: has no line of names; the first line names the columns")


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    count = 0
    while line := file.readline(_LONGEST):
        count += 1
        if len(line) == _LONGEST:
            raise DataError(f"{path}: line {count} has more than {_LONGEST} characters; this is no table")
        yield line


def _check_header(path: Path, names: Sequence[str]) -> None:
    if all(number(name) is not None for name in names if name) and any(names):
        raise DataError(f"{path}: the first line holds numbers; give it the names of the columns")
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(f"{path}: one column is named {names[0][:_SHOWN]!r}; separate the columns by commas")
    check_names(path, names)


def _add(values: array[float], cell: str) -> bool:
    value = number(cell)
    if value is None:
        return False
    values.append(value)
    return True


def _texts(path: Path, places: Sequence[int], count: int) -> dict[int, npt.NDArray[Any]]:
    """The columns of text, in a second reading: that they are text may not show before the last row."""
    columns = {place: np.empty(count, object) for place in places}
    if columns:
        texts, rows = Texts(path), _rows(path)
        next(rows)
        for index, (_, row) in enumerate(rows):
            for place, column in columns.items():
                column[index] = texts.of(row[place])
    return columns
