"""Data and labels that a caller holds in memory, as the files that everything else reads."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai.errors import EdgeRaiError
from edge_rai_converters.errors import MissingFileError

Data = str | Path | npt.NDArray[Any] | Mapping[str, Any]
Labels = str | Path | npt.NDArray[Any] | None
Times = Labels


MODEL = "a model: .onnx, .keras, .json or .ubj of XGBoost, .txt of LightGBM"
DATA = "reference rows: .npz, .npy, .csv, .parquet, or a folder of images"


def check_there(path: object, what: str) -> None:
    """Refuses a path where nothing is, before work begins; whatever is no path passes.

    Args:
        path: That somebody gave.
        what: Was expected there, in words.

    Raises:
        MissingFileError: There is nothing.
    """
    if isinstance(path, str | Path) and not Path(path).exists():
        raise MissingFileError(f"{path}: there is no such file or folder; expected {what}")


def check_parent(target: Path) -> None:
    """Refuses a place where nothing can be made, before work begins.

    Raises:
        MissingFileError: The folder that it is to be in is not there.
        PermissionError: That folder may not be written to.
    """
    folder = target.absolute().parent
    if not folder.exists():
        raise MissingFileError(f"{target}: there is no folder {folder}; make it first")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{target} cannot be written: {folder} is not a directory that may be written to")


@contextmanager
def on_disk(data: Data, labels: Labels) -> Iterator[tuple[str | Path, str | Path | None]]:
    """Paths of the data, and of the labels or their key; what was in memory is on disk as long as the context lives.

    Args:
        data: A path; an array of rows for a model with one input; arrays by input name; or a pandas data frame.
        labels: A key of the data, a path, or an array of the class of each row; None or NaN where it is missing.

    Raises:
        TypeError: It is none of these, or holds Python objects.
    """
    with tempfile.TemporaryDirectory(prefix="edge-rai-") as folder:
        try:
            yield _data(data, Path(folder)), _labels(labels, Path(folder))
        except (EdgeRaiError, ValueError) as error:
            # What the caller gave has no path; a sentence about it names the thing.
            error.args = tuple(str(part).replace(f"{folder}/", "the given ") for part in error.args)
            raise


def _data(data: Any, folder: Path) -> str | Path:
    if isinstance(data, str | Path):
        return data
    if hasattr(data, "to_csv") and hasattr(data, "columns") and not _is_array(data):
        data.to_csv(folder / "data.csv", index=False)
        return folder / "data.csv"
    if isinstance(data, Mapping):
        with zipfile.ZipFile(folder / "data.npz", "w") as archive:  # equal arrays give equal bytes: no time stamps
            for name, values in data.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, _array(values, f"data[{name!r}]"), allow_pickle=False)
        return folder / "data.npz"
    np.save(folder / "data.npy", _array(data, "data"), allow_pickle=False)
    return folder / "data.npy"


def _is_array(frame: Any) -> bool:
    """Numbers whose columns have no names but places."""
    nameless = not any(isinstance(name, str) for name in frame.columns)
    return nameless and all(kind.kind in "fiub" for kind in frame.dtypes)


def _labels(labels: Any, folder: Path) -> str | Path | None:
    if labels is None or isinstance(labels, str | Path):
        return labels
    np.save(folder / "labels.npy", _array(_filled(labels), "labels"), allow_pickle=False)
    return folder / "labels.npy"


def _filled(labels: Any) -> Any:
    """With what a file has for a missing label in the place of None and pandas.NA."""
    array = np.asarray(labels)
    if array.dtype != object:
        return array
    missing = [item is None or type(item).__name__ == "NAType" or item is np.nan for item in array.flat]
    blank = "" if any(isinstance(item, str) for item in array.flat) else np.nan
    filled = [blank if absent else item for item, absent in zip(array.flat, missing, strict=True)]
    return np.asarray(filled) if any(missing) else labels


def _array(values: Any, what: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype == object and all(isinstance(item, str) for item in array.ravel()):
        array = array.astype(np.str_)
    if array.dtype == object:
        known = "a path, an array of numbers or strings, arrays by name, or a data frame"
        came = "an array of Python objects" if isinstance(values, np.ndarray) else type(values).__name__
        raise TypeError(f"{what} is {came}; expected {known}")
    return array
