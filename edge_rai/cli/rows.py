"""Reading rows from a file, for the commands that need some."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read_rows(path: Path, names: list[str]) -> dict[str, Any]:
    """Arrays by input name; a single array serves a single input whatever its name.

    Args:
        path: .npz or .npy.
        names: Of the model's inputs.

    Raises:
        ValueError: An array is missing; says which the file has.
    """
    import numpy as np

    loaded = np.load(path, allow_pickle=False)
    arrays = {names[0]: loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    if len(names) == 1 and names[0] not in arrays and len(arrays) == 1:
        arrays = {names[0]: next(iter(arrays.values()))}
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{path}: no array '{missing[0]}'; the file has: {', '.join(arrays)}")
    return {name: _as_float32(arrays[name]) for name in names}


def _as_float32(values: Any) -> Any:
    return values.astype("float32") if values.dtype.kind in "fiu" else values
