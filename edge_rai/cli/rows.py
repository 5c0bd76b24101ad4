"""Reading rows from a file, for the commands that need some."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile


def read_rows(path: Path, names: list[str]) -> dict[str, Any]:
    """Arrays by input name; a single array serves a single input whatever its name.

    Args:
        path: .npz or .npy.
        names: Of the model's inputs.

    Raises:
        ValueError: The file is neither, or an array is missing; says which the file has.
        OSError: It cannot be read.
    """
    arrays = _load(path, names[0])
    if path.suffix == ".npy" and len(names) > 1:
        raise ValueError(f"{path}: one array; the model has {len(names)} inputs, give an .npz with: {', '.join(names)}")
    if len(names) == 1 and names[0] not in arrays and len(arrays) == 1:
        arrays = {names[0]: next(iter(arrays.values()))}
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{path}: no array '{missing[0]}'; the file has: {', '.join(arrays)}")
    return {name: _as_float32(arrays[name]) for name in names}


def _load(path: Path, name_of_one: str) -> dict[str, Any]:
    import numpy as np

    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {name_of_one: loaded}
            arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a sound .npz or .npy file: {error}") from error
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray):
            raise ValueError(f"{path}: '{name}' is not an array")
    return arrays


def _as_float32(values: Any) -> Any:
    return values.astype("float32") if values.dtype.kind in "fiu" else values
