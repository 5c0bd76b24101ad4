"""Reading rows from a file, for the commands that need some."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from edge_rai.cli.table import SUFFIX, TableRows
from edge_rai.errors import DataError
from edge_rai.times import seconds_of

if TYPE_CHECKING:
    from edge_rai.session import Session
    from edge_rai.times import Times
    from edge_rai.types import TensorSpec

HELP = (
    ".npz with one array per input, .npy for a single input, or .csv with a line of names, where columns are taken by "
    "the names that a bundle has for them"
)
_FEATURE_NAMES = "feature_names"  # as the converters know it


def read_rows(path: Path, session: Session, labels: str | None = None) -> dict[str, Any]:
    """Arrays by input name, numbers of the input's type; a single array serves a single input whatever its name.

    Columns come in the model's order, whatever order an array ``feature_names`` says that the file has them in.

    Args:
        path: .npz, .npy or .csv.
        session: Of the model.
        labels: The array or column that holds no input.

    Raises:
        ValueError: The file is none of them, an array is missing, or its columns have other names than the model's;
            says what the file has.
        DataError: It is one of them by its name alone, or a table without the model's columns.
        OSError: It cannot be read.
    """
    inputs = session.inputs
    names = [spec.name for spec in inputs]
    if path.suffix.lower() == SUFFIX:
        _check_there(path)
        texts = frozenset(spec.name for spec in inputs if spec.dtype == "string")
        found = TableRows(path, None if len(inputs) == len(texts) == 1 else texts).inputs(session, labels)
        return {spec.name: _as_numbers(found[spec.name], spec.dtype) for spec in inputs}
    arrays = {name: values for name, values in _load(path, names[0]).items() if name != labels}
    if path.suffix.lower() == ".npy" and len(names) > 1:
        raise ValueError(f"{path}: one array; the model has {len(names)} inputs, give an .npz with: {', '.join(names)}")
    named = None if _FEATURE_NAMES in names else arrays.pop(_FEATURE_NAMES, None)
    if len(names) == 1 and names[0] not in arrays and len(arrays) == 1:
        arrays = {names[0]: next(iter(arrays.values()))}
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{path}: no array '{missing[0]}'; the file has: {', '.join(arrays)}")
    if named is not None and len(names) == 1:
        arrays[names[0]] = _in_order(path, arrays[names[0]], named.astype(str).ravel().tolist(), [*session._columns()])
    return {spec.name: _as_numbers(_in_columns(arrays[spec.name], spec), spec.dtype) for spec in inputs}


def read_times(path: Path, times: str, rows: int) -> Times:
    """(rows,) seconds since 1970.

    Args:
        path: Of the rows.
        times: A column or array of that file, or a .npy file.
        rows: How many there are.

    Raises:
        ValueError: There is no such column, array or file; says what the file has.
        DataError: A file is not sound, or a value is no time.
        OSError: It cannot be read.
    """
    if Path(times).suffix.lower() == ".npy":
        return seconds_of(times, _load(Path(times), "")[""], rows)
    return seconds_of(f"{path}: {times!r}", read_column(path, times, "times"), rows)


def read_column(path: Path, key: str, what: str) -> Any:
    """(n,) An array or column of a file of rows that holds no input.

    Args:
        path: .npz or .csv.
        key: Its name.
        what: Errors say that it holds: "labels", say.

    Raises:
        ValueError: There is none of that name; says which the file has.
        DataError: A table has none of that name, or is not sound.
        OSError: It cannot be read.
    """
    if path.suffix.lower() == SUFFIX:
        _check_there(path)
        return TableRows(path).column(key, what)
    arrays = _load(path, "")
    if "" in arrays:
        raise ValueError(f"{path}: one array, and no {what} beside it; give an .npz with '{key}' in it, or a .csv")
    if key not in arrays:
        raise ValueError(f"{path}: no array '{key}' for the {what}; the file has: {', '.join(arrays)}")
    return arrays[key]


def _load(path: Path, name_of_one: str) -> dict[str, Any]:
    import numpy as np

    if path.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(
            f"{path}: rows are read from .csv, .npz or .npy files; save them with numpy.savez or numpy.save, or as a "
            "table with to_csv(index=False)"
        )
    _check_there(path)
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {name_of_one: loaded}
            arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a sound .npz or .npy file: {error}") from error
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray):
            raise DataError(f"{path}: '{name}' is not an array")
    return arrays


def _check_there(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; expected rows as .csv, .npz or .npy")


def _in_order(path: Path, values: Any, came: list[str], columns: list[str]) -> Any:
    """The columns of a file as the model takes them, where both have names."""
    if came == columns or all(name.endswith(f"[{i}]") for i, name in enumerate(columns)):
        return values  # also of a model that takes no table, or one whose columns were given no names
    if sorted(came) != sorted(columns):
        raise ValueError(
            f"{path}: '{_FEATURE_NAMES}' are {', '.join(came)}; give it the model's columns, in any order: "
            f"{', '.join(columns)}"
        )
    if values.ndim != 2 or values.shape[1] != len(came):
        raise ValueError(
            f"{path}: {len(came)} '{_FEATURE_NAMES}' for an array of shape {list(values.shape)}; give one a column"
        )
    return values[:, [came.index(name) for name in columns]]


def _in_columns(values: Any, spec: TensorSpec) -> Any:
    """Rows of one value each, where the input has an axis for it and the array, as a table's column, has not."""
    return values[:, None] if values.ndim == 1 and len(spec.shape) == 2 and spec.shape[1] == 1 else values


def _as_numbers(values: Any, dtype: str) -> Any:
    """Numbers of any type as those of the input's, rounded where it is a float; what that would change stays."""
    import numpy as np

    if dtype == "bfloat16":
        import ml_dtypes  # which numpy saves as nothing but 2 bytes

        is_saved = values.dtype.kind == "V" and values.dtype.itemsize == 2
        return values.view(ml_dtypes.bfloat16) if is_saved else values.astype(ml_dtypes.bfloat16)
    if values.dtype.kind not in "fiu" or dtype in ("bool", "string"):
        return values
    with np.errstate(invalid="ignore", over="ignore"):
        converted = values.astype(dtype)
        return converted if converted.dtype.kind == "f" or np.array_equal(converted, values) else values
