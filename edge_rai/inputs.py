"""What callers give, brought into the form that a model takes: arrays in its order, columns by name, keys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edge_rai._native import Column, numpy_dtype
from edge_rai.types import TensorSpec

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Key = str | bytes | int
Columns = Mapping[str, Column]

_WITHOUT_MISSING = Column(0, None)
_KEY_BYTES = 64  # ERAI_KEY_SIZE
_SHOWN = 20
_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)
_TAKEN = {"f": "biuf", "i": "biuf", "u": "biuf", "b": "b", "O": "OUST"}  # kinds of values by kind of column


# ---- Arrays ----


def in_order(
    given: Any, specs: Sequence[TensorSpec], columns: Callable[[], Columns], what: str = "input"
) -> list[Array]:
    """The arrays of a call in the model's order.

    Args:
        given: An array for a model of one input; arrays by name; or values by column name.
        specs: The model's inputs.
        columns: Gives the columns, when they are needed.
        what: What they are to the model, for messages.

    Raises:
        TypeError: Neither, an array has a mask, or a column holds what its type cannot.
        ValueError: A name is missing or unknown, or columns differ in length.
    """
    if len(specs) == 1 and isinstance(given, np.ndarray):
        return [_plain(given, f"{what} '{specs[0].name}'")]
    names = [spec.name for spec in specs]
    if not isinstance(given, Mapping):
        expected = f"a numpy array of {specs[0].dtype} or a mapping" if len(specs) == 1 else "a mapping of names"
        raise TypeError(f"expected {expected} ({_listed(names)}), got {type(given).__name__}")
    if given.keys() != set(names):
        known = columns() if len(specs) == 1 else {}
        if any(name in known for name in given):
            return [_table(given, known, specs[0])]
        also = f", or the columns {_listed(known)}" if known else ""
        raise ValueError(f"{what}s by name: {_difference(given, names)}; the model has: {_listed(names)}{also}")
    return [_named(given[spec.name], spec, columns, what) for spec in specs]


def _named(values: Any, spec: TensorSpec, columns: Callable[[], Columns], what: str) -> Array:
    """An input by its name; one that is a single column takes a value, or one a row, as columns of a table do."""
    if isinstance(values, np.ndarray):
        return _plain(values, f"{what} '{spec.name}'")
    if len(spec.shape) == 2 and spec.shape[1] == 1 and not isinstance(values, Mapping):
        known = columns()
        its = known.get(spec.name) or (next(iter(known.values())) if len(known) == 1 else _WITHOUT_MISSING)
        column = _column(spec.name, values, its, numpy_dtype(spec.dtype))
        return np.atleast_1d(column)[:, np.newaxis]
    raise TypeError(f"{what} '{spec.name}': expected a numpy array of {spec.dtype}, got {type(values).__name__}")


def _plain(values: Array, what: str) -> Array:
    """The array that a subclass of arrays is beneath; of one with a mask that would not be what its owner means."""
    if type(values) is np.ndarray:
        return values
    masked = sys.modules.get("numpy.ma")  # which nobody has an array of before it is loaded
    if masked is not None and isinstance(values, masked.MaskedArray):
        came = type(values).__name__
        raise TypeError(f"{what}: expected an array without a mask, got {came}; convert it with .filled(value)")
    return values.view(np.ndarray)


def rows_of(arrays: Sequence[Array], batched: bool) -> int:
    """Rows of a call as its caller means them."""
    return len(arrays[0]) if batched and arrays[0].ndim else 1


def _listed(names: Iterable[str]) -> str:
    shown = [*map(str, names)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _difference(given: Iterable[Any], names: Sequence[str] | Columns) -> str:
    came = [*given]
    missing, unknown = [name for name in names if name not in came], [name for name in came if name not in names]
    found = [("missing", missing), ("unknown", unknown)]
    return "; ".join(f"{kind}: {_listed(which)}" for kind, which in found if which)


# ---- Columns ----


def _table(given: Mapping[Any, Any], columns: Columns, spec: TensorSpec) -> Array:
    """(rows, columns) of the input's type; scalars make one row."""
    if given.keys() != columns.keys():
        raise ValueError(f"columns by name: {_difference(given, columns)}; input '{spec.name}' has: {_listed(columns)}")
    made = {name: _column(name, given[name], column, numpy_dtype(spec.dtype)) for name, column in columns.items()}
    shapes = {name: values.shape for name, values in made.items()}
    if len(set(shapes.values())) > 1:
        first, other = next((a, b) for a in shapes for b in shapes if shapes[a] != shapes[b])
        raise ValueError(
            f"column '{first}' has {_extent(shapes[first])} and column '{other}' {_extent(shapes[other])}; give one "
            "value of each, or as many of each"
        )
    return np.stack([*map(np.atleast_1d, made.values())], axis=1)


def _extent(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} values" if shape else "a single value"


def _column(name: str, given: Any, column: Column, dtype: np.dtype[Any]) -> Array:
    """One column's values, () or (rows,), of the input's type."""
    if isinstance(given, np.ndarray):
        given = _plain(given, f"column '{name}'")
    values = np.asarray(given, dtype=object if dtype.kind in "Oiu" and not isinstance(given, np.ndarray) else None)
    if values.ndim > 1:
        raise ValueError(f"column '{name}' has shape {list(values.shape)}; expected one value, or one a row")
    if values.dtype.kind == "O" and column.missing is not None:
        items = [column.missing if item is None else item for item in values.ravel().tolist()]
        values = np.array(items, object if dtype.kind in "iu" else None).reshape(values.shape)
    if values.dtype.kind == "O" and dtype.kind in "iu":
        return _integers(name, values, dtype)
    if values.size and values.dtype.kind not in _TAKEN[dtype.kind]:
        raise TypeError(f"column '{name}': expected {dtype}, got {_odd_one(values, dtype)}")
    if dtype.kind in "iu":
        _check_integers(name, values, dtype)
    with np.errstate(over="ignore"):  # too great for float32 is infinite, and refused where the policy says so
        return values.astype(dtype)


def _integers(name: str, values: Array, dtype: np.dtype[Any]) -> Array:
    """Of objects, one by one: numpy makes floats of integers that stand beside a float, or are great."""
    for item in values.ravel().tolist():
        if not isinstance(item, _NUMBERS):
            raise TypeError(f"column '{name}': expected {dtype}, got {item!r:.40}")
        _check_integer(name, item, dtype)
    return np.array([int(item) for item in values.ravel().tolist()], dtype).reshape(values.shape)


def _odd_one(values: Array, dtype: np.dtype[Any]) -> str:
    """The first value that is not of a kind that the column takes, as far as one can be told."""
    for item in values.ravel().tolist():
        if np.asarray(item).dtype.kind not in _TAKEN[dtype.kind]:
            return f"{item!r:.40}"
    return f"values of {values.dtype}"


def _check_integers(name: str, values: Array, dtype: np.dtype[Any]) -> None:
    for item in values.ravel().tolist() if values.dtype.kind == "f" else _extremes(values):
        _check_integer(name, item, dtype)


def _check_integer(name: str, item: Any, dtype: np.dtype[Any]) -> None:
    limits = np.iinfo(dtype)
    if item != item or item in (np.inf, -np.inf) or item != int(item) or not limits.min <= int(item) <= limits.max:
        raise ValueError(f"column '{name}': {item!r} is no {dtype}")


def _extremes(values: Array) -> list[int]:
    return [int(values.min()), int(values.max())] if values.size else []


# ---- Keys ----


def encode_keys(key: Any, rows: int) -> list[bytes]:
    """Keys as C takes them: one for all rows, or one a row; empty where nothing was given.

    Args:
        key: None, str, bytes (or what lends its bytes, as a bytearray does) or int; or a sequence of those, one a row.
        rows: Of the call.

    Raises:
        TypeError: It is none of those, such as an array without an axis.
        ValueError: There are more or fewer than rows, or one has more than 64 bytes.
    """
    if key is None:
        return []
    if isinstance(key, str | bytes | bytearray | memoryview | int | np.integer):
        return [_encode_key(key)]
    if isinstance(key, np.ndarray) and not key.ndim:
        raise TypeError("key: expected str, bytes, int or a sequence of those, got an array of no axis; use .item()")
    if not isinstance(key, Sequence | np.ndarray):
        raise TypeError(f"key: expected str, bytes, int or a sequence of those, got {type(key).__name__}")
    if len(key) != rows:
        raise ValueError(f"key: {len(key)} keys for {rows} rows; expected one for all, or one a row")
    return [_encode_key(one) for one in key]


def _encode_text(key: str) -> bytes:
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"key: {key!r:.40} is no text in UTF-8") from None


def _encode_key(key: Any) -> bytes:
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        key = str(int(key))
    encoded = _encode_text(key) if isinstance(key, str) else b"" if key is None else key
    if isinstance(encoded, bytearray | memoryview):
        encoded = bytes(encoded)
    if not isinstance(encoded, bytes):
        raise TypeError(f"key: expected str, bytes or int, got {type(key).__name__}")
    if len(encoded) > _KEY_BYTES:
        raise ValueError(f"key: {key!r:.40} has {len(encoded)} bytes; at most {_KEY_BYTES} are allowed")
    return encoded
