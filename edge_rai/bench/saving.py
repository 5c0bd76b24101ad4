"""Results as JSON and back, and as files: the result, and beside it the raw samples."""

from __future__ import annotations

import json
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, Union, get_args, get_origin, get_type_hints

import numpy as np

from edge_rai.bench.closed_loop import Run
from edge_rai.bench.result import VERSION, BlockMedians, Result

_SHOWN = 60
_GREATEST = sys.float_info.max  # JSON can write greater numbers
# Numbers of a list in one line: there are thousands. Within a string there is no line break.
_BEFORE_A_NUMBER = re.compile(r"\n +(?=[-\d])")


def to_json(result: Result) -> str:
    """The result in the form of docs/formats/bench.md.

    Raises:
        ValueError: A fact holds a number that JSON has not: NaN or an infinity.
    """
    text = json.dumps(asdict(result), allow_nan=False, indent=1)
    return _BEFORE_A_NUMBER.sub("", text)


def from_json(text: str) -> Result:
    """The result in a text.

    Raises:
        ValueError: It is none, or of a newer version; names the field, the value and what was expected.
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise ValueError(f"this is no JSON: {error}") from error
    except RecursionError:
        raise ValueError("this JSON is nested too deeply") from None
    if not isinstance(found, dict) or not isinstance(found.get("version"), int):
        raise ValueError("this is no result of the bench: expected an object with an integer `version`")
    if found["version"] != VERSION:
        raise ValueError(f"this result is of version {found['version']}; this program reads version {VERSION}")
    return _built(Result, found, "result")  # type: ignore[no-any-return]


def save(path: Path, result: Result, samples: Mapping[str, Run] | None = None) -> None:
    """Writes a result: whoever reads the path meanwhile, or after a kill, finds the old one or the new one whole.

    Args:
        path: Of the JSON file.
        result: What to write.
        samples: Raw series by scenario, for the file of the same name that ends in .npz: for each scenario's series
            number i the arrays SCENARIO.i.block, .scheduled_ns, .began_ns and .ended_ns, in the order of the result.

    Raises:
        OSError: It cannot be written.
    """
    if samples is not None:
        arrays = {
            f"{scenario}.{number}.{name}": getattr(series, name)
            for scenario, run in samples.items()
            for number, series in enumerate(entry for entry in run.series if len(entry.block))
            for name in ("block", "scheduled_ns", "began_ns", "ended_ns")
        }
        with _whole(path.with_suffix(".npz")) as file:
            np.savez_compressed(file, **arrays)
    write(path, to_json(result).encode())


def write(path: Path, content: bytes) -> None:
    """Writes a file: whoever reads the path meanwhile finds the old one or the new one whole.

    Raises:
        OSError: It cannot be written; nothing is left of it.
    """
    with _whole(path) as file:
        file.write(content)


def load(path: Path) -> Result:
    """Reads a result.

    Raises:
        ValueError: It is none; names the file.
        OSError: It cannot be read.
    """
    try:
        return from_json(path.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is no JSON: it is not text in UTF-8") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    unfinished = path.with_name(f".writing-{path.name}")
    try:
        with open(unfinished, "wb") as file:
            yield file
        os.replace(unfinished, path)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _refuse(constant: str) -> Any:
    raise ValueError(f"it holds {constant}")


def _built(kind: Any, value: Any, where: str) -> Any:
    """A value of a dataclass's field from what JSON gave."""
    origin, given = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _built_object(kind, value, where)
    if origin in (Union, types.UnionType):
        return None if value is None else _built(next(one for one in given if one is not type(None)), value, where)
    if origin is list and isinstance(value, list):
        return [_built(given[0], entry, f"{where}[{number}]") for number, entry in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return value
    if kind is float and type(value) in (int, float) and abs(value) <= _GREATEST:
        return float(value)
    if isinstance(kind, type) and kind is not float and type(value) is kind:
        return value
    expected = getattr(origin or kind, "__name__", str(kind))
    raise ValueError(f"{where} is {value!r:.{_SHOWN}}; expected {expected}")


def _built_object(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r:.{_SHOWN}}; expected an object")
    hints = get_type_hints(kind)
    names = {entry.name for entry in fields(kind)}
    if names != set(value):
        odd = min(names ^ set(value))
        raise ValueError(f"{where}.{odd} is {'missing' if odd in names else 'no field of this version'}")
    built = kind(**{name: _built(hints[name], value[name], f"{where}.{name}") for name in names})
    if isinstance(built, BlockMedians) and len({len(built.round), len(built.began_s), len(built.median_ns)}) > 1:
        raise ValueError(f"{where}: its three lists differ in length")
    return built
