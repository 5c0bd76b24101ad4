"""Rows from a CSV file: columns by the names that a model's guard has for them, and else by their places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rai.errors import DataError

if TYPE_CHECKING:
    from edge_rai.session import Session
    from edge_rai.types import TensorSpec

SUFFIX = ".csv"
_NUMBERED = re.compile(r".*\[\d+\]")
_SHOWN = 8


class TableRows:
    """A table, read whole, for one model.

    Args:
        path: .csv in UTF-8 with commas and a line of names.
        texts: Inputs of text, which columns of these names are for whatever they hold; None: every column is text.

    Raises:
        DataError: It is not sound, or has no rows.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path, texts: frozenset[str] | None = frozenset()) -> None:
        from edge_rai.csv_table import read_csv

        self._path = path
        self._columns, self._lines = read_csv(path, lambda name: texts is None or name in texts)
        if not len(self._lines):
            raise DataError(f"{path}: has no rows below its line of names; give at least one")

    def column(self, key: str, what: str) -> Any:
        """(n,) A column that holds no input: whole numbers, other numbers, or text.

        Args:
            key: Its name.
            what: Errors say that it holds.

        Raises:
            DataError: There is none, or one of its cells is empty.
        """
        import numpy as np

        values = self._column(key, f"which is to be the {what}")
        if values.dtype.kind == "O":
            self._refuse(key, np.array([not isinstance(cell, str) for cell in values]), "is empty")
            return values.astype(np.str_)
        self._refuse(key, np.isnan(values), "is empty")
        return values.astype(np.int64) if np.array_equal(values, np.rint(values)) else values

    def inputs(self, session: Session, labels: str | None) -> dict[str, Any]:
        """Arrays by input name, of each input's type.

        Raises:
            DataError: A column is missing or holds something else, or an input takes no columns.
        """
        specs = session.inputs
        wide = next((spec for spec in specs if len(spec.shape) > 2), None)
        if wide is not None:
            raise DataError(
                f"{self._path}: input {wide.name!r} takes {len(wide.shape)} axes, and a row of a table is one axis of "
                "values; give .npz or .npy"
            )
        known = {name: column.missing for name, column in session._columns().items()}
        if len(specs) > 1 or (specs[0].shape[1:] in ((), (1,)) and specs[0].name in self._columns):
            return {spec.name: self._stacked(spec, {spec.name: known.get(spec.name)}) for spec in specs}
        if not known or all(map(_NUMBERED.fullmatch, known)):
            known = self._by_place(specs[0], labels)
        return {specs[0].name: self._stacked(specs[0], known)}

    def _by_place(self, spec: TensorSpec, labels: str | None) -> dict[str, float | None]:
        """Of a model that knows no names: its columns are all that can be, in their order."""
        kind, what = ("O", "text") if spec.dtype == "string" else ("f", "numbers")
        there = [name for name, values in self._columns.items() if values.dtype.kind == kind and name != labels]
        wanted = spec.shape[1] if len(spec.shape) == 2 else 1
        if wanted not in (None, len(there)):
            raise DataError(
                f"{self._path}: the model takes {wanted} columns and knows no names of them, and {len(there)} hold "
                f"{what}: {_listed(there)}; leave the others out of the file, or give a bundle, which has names"
            )
        return dict.fromkeys(there)

    def _stacked(self, spec: TensorSpec, wanted: Mapping[str, float | None]) -> Any:
        """(n, columns), or (n,) of an input of rank 1, with what the guard takes for missing in empty cells."""
        import numpy as np

        columns = [self._typed(spec, name, missing) for name, missing in wanted.items()]
        return columns[0] if len(spec.shape) == 1 else np.stack(columns, axis=1)

    def _typed(self, spec: TensorSpec, name: str, missing: float | None) -> Any:
        import numpy as np

        values = self._column(name, "which the model takes")
        if spec.dtype == "string":
            self._refuse(name, np.array([not isinstance(cell, str) for cell in values]), "is empty")
            return values
        if values.dtype.kind == "O":
            texts = np.array([isinstance(cell, str) for cell in values])
            self._refuse(name, texts, f"holds text such as {values[texts.argmax()]!r}")
        filled = np.where(np.isnan(values), np.nan if missing is None else missing, values)
        if spec.dtype == "bool":
            self._refuse(name, ~np.isin(filled, (0, 1)), "is neither true nor false")
            return filled == 1
        if spec.dtype.startswith(("int", "uint")):
            with np.errstate(invalid="ignore"):
                self._refuse(name, filled.astype(spec.dtype).astype(np.float64) != filled, f"is no {spec.dtype}")
        return filled

    def _column(self, name: str, why: str) -> Any:
        if name not in self._columns:
            raise DataError(f"{self._path}: no column {name!r}, {why}; the file has: {_listed([*self._columns])}")
        return self._columns[name]

    def _refuse(self, name: str, bad: Any, why: str) -> None:
        if bad.any():
            line = self._lines[bad.argmax()]
            raise DataError(f"{self._path}: column {name!r} {why} in line {line}; mend it, or leave the row out")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
