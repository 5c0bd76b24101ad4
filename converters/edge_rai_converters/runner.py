"""Runs a candidate model over reference rows with plain ONNX Runtime on the CPU, on one thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from edge_rai.errors import InferenceError, UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters.data import Array, Dataset, Rows
from edge_rai_converters.sources.onnx import EXPORT_AGAIN, SourceModel
from edge_rai_converters.words import first_line

_CHUNK_VALUES = 1 << 20
_CHUNK_ROWS = 256
_BATCH_ROWS = 16
_PERTURBED_ROWS = 4
_UNKNOWN = re.compile(r"Fatal error: ([\w.]*:?\w+)\(-?\d+\) is not a registered function/op")
_TOO_NEW = re.compile(r"support for domain (\S+) is till opset (\d+)")


class Running(Protocol):
    """A model in memory, whatever its format and runtime; one thread at a time.

    Attributes:
        where: What messages call it.
    """

    where: str

    def call(self, feed: Rows) -> dict[str, Any]:
        """One inference: an array an output, by name."""

    def arguments(self, feed: Rows) -> dict[str, Array]:
        """What the model itself is given at a call, in its own types."""

    def bare(self, feed: Rows) -> Callable[[], object]:
        """The call with nothing around it, for whoever times it."""


class Runner:
    """One ONNX model in memory; one thread at a time. Of one that takes one row the rows of a call run one by one.

    Args:
        model: Its bytes.
        where: What messages call it.

    Attributes:
        takes_one_row: Axis 0 of every input is 1.

    Raises:
        UnsupportedModelError: ONNX Runtime cannot open it.
    """

    def __init__(self, model: bytes, where: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.where = where
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
            raise UnsupportedModelError(f"{where}: ONNX Runtime cannot open it: {_why(error)}") from error
        inputs = self._session.get_inputs()
        self._inputs = [given.name for given in inputs]
        self.takes_one_row = all(given.shape and given.shape[0] == 1 for given in inputs)
        self._names = [output.name for output in self._session.get_outputs()]

    def call(self, feed: Rows) -> dict[str, Any]:
        """One inference: an array an output, a list of a sequence, a dict of a map, None of an empty optional.

        Args:
            feed: By name; what the model does not take is left out.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        count = _count(feed) if self.takes_one_row else 1
        if count > 1 and all(len(feed[name]) == count for name in self._inputs):
            rows = [self._one({name: feed[name][row : row + 1] for name in self._inputs}) for row in range(count)]
            return {name: np.concatenate([np.atleast_1d(row[name]) for row in rows]) for name in self._names}
        return self._one(feed)

    def _one(self, feed: Rows) -> dict[str, Any]:
        try:
            outputs = self._session.run(self._names, {name: feed[name] for name in self._inputs})
        except Exception as error:
            raise InferenceError(f"{self.where}: ONNX Runtime failed: {first_line(error)}") from error
        return dict(zip(self._names, outputs, strict=True))

    def arguments(self, feed: Rows) -> dict[str, Array]:
        """What the model takes of a feed."""
        return {name: np.asarray(feed[name]) for name in self._inputs}

    def bare(self, feed: Rows) -> Callable[[], object]:
        """The call with nothing around it, for whoever times it."""
        session, names, arguments = self._session, self._names, self.arguments(feed)
        return lambda: session.run(names, arguments)


def _why(error: Exception) -> str:
    """What ONNX Runtime says, or of an opset that it is too old for what to do."""
    newest = _TOO_NEW.search(str(error))
    if newest:
        return f"it knows {newest[1]} up to opset {newest[2]}, and the model uses a newer one: {EXPORT_AGAIN}"
    unknown = _UNKNOWN.search(str(error))
    if unknown:
        return f"it has no operator {unknown[1]}"
    return first_line(error)


def is_numeric(output: Any) -> bool:
    """Whether an output can be compared and recorded: a tensor of numbers."""
    return isinstance(output, np.ndarray) and output.dtype.kind in "fiub"


def feeds(
    rows: Rows, index: npt.NDArray[np.int64], *, batched: bool, most_rows: int = _CHUNK_ROWS
) -> Iterator[dict[str, Array]]:
    """The chosen rows as arguments of calls: many rows a call, but not more than most_rows, when batched; else one."""
    if not batched:
        for row in index:
            yield {name: np.asarray(array[row]) for name, array in rows.items()}  # of rank 0 it is a scalar else
        return
    per_row = sum(prod(array.shape[1:]) for array in rows.values())
    chunk = max(1, min(_CHUNK_ROWS, most_rows, _CHUNK_VALUES // max(per_row, 1)))
    for start in range(0, len(index), chunk):
        yield {name: array[index[start : start + chunk]][:, 0] for name, array in rows.items()}


def is_batched(source: SourceModel, runner: Running, data: Dataset) -> bool:
    """Whether the model answers row by row: axis 0 is free everywhere, and no row's answer depends on another row."""
    tensors = [spec for spec in source.outputs if spec.dtype != "object"]
    if not data.row_is_slice or not _free_first_axis(source.inputs) or not _free_first_axis(tensors):
        return False
    together = {name: array[:, 0] for name, array in _sample(data.rows).items()}
    alone = runner.call({name: array[:1] for name, array in together.items()})
    try:
        among = runner.call(together)
        for row in _perturbed(together):
            # Another number of rows may round differently; what depends on that number differs by more.
            alone = runner.call({name: array[row : row + 1] for name, array in together.items()}) if row else alone
            if not all(_is_row(alone[name], among[name], row, _count(together)) for name in among):
                return False
    except InferenceError:
        return False
    return rows_are_independent(runner, data.rows, batched=True)


def rows_are_independent(runner: Running, rows: Rows, *, batched: bool) -> bool:
    """Whether every row's answer is bit-identical whatever happens to another row of the same call.

    Of a bounded number of rows, first and last among them, one at a time is replaced: by another row, by larger and
    smaller values, by zeros. The first row shows what looks back along axis 0 (time on it, a cumulative sum), the last
    one what looks ahead.

    Raises:
        InferenceError: The model fails on rows of the data.
    """
    if not batched or (isinstance(runner, Runner) and runner.takes_one_row):
        return True
    feed = {name: array[:, 0] for name, array in _sample(rows).items()}
    reference = runner.call(feed)
    for row in _perturbed(feed):
        others = np.flatnonzero(np.arange(_count(feed)) != row)
        if not all(_counts_rows(output, len(others) + 1) for output in reference.values()):
            return False
        for change in _perturbations(feed, row):
            try:
                changed = runner.call(change)
            except InferenceError:
                continue  # no answer to values far from the data says nothing of the others
            if any(_bits(changed[name], others) != _bits(reference[name], others) for name in reference):
                return False
    return True


def _sample(rows: Rows) -> dict[str, Array]:
    """A bounded number of rows, spread over the data."""
    count = _count(rows)
    per_row = sum(prod(array.shape[1:]) for array in rows.values())
    wanted = max(_PERTURBED_ROWS, min(_BATCH_ROWS, _CHUNK_VALUES // max(per_row, 1)))
    index = np.linspace(0, count - 1, min(count, wanted)).astype(np.int64)
    return {name: array[index] for name, array in rows.items()}


def _perturbed(feed: Mapping[str, Array]) -> list[int]:
    last = _count(feed) - 1
    return sorted({step * last // (_PERTURBED_ROWS - 1) for step in range(_PERTURBED_ROWS)})


def _perturbations(feed: Mapping[str, Array], row: int) -> Iterator[dict[str, Array]]:
    neighbour = (row + 1) % _count(feed)
    for change in (None, (100, 100), (-100, -100), (0.01, 0), (0, 0)):
        changed = {name: array.copy() for name, array in feed.items()}
        for array in changed.values():
            numbers = array.dtype.kind in "fiu"
            array[row] = array[neighbour] if change is None or not numbers else _scaled(array[row], *change)
        yield changed


def _scaled(values: Array, scale: float, shift: float) -> Array:
    """In the same type; integers stay within theirs."""
    with np.errstate(over="ignore", invalid="ignore"):
        if values.dtype.kind == "f":
            return np.asarray(values * values.dtype.type(scale) + values.dtype.type(shift))
    kind = np.iinfo(values.dtype)
    moved = np.rint(values.astype(np.float64) * scale + shift)
    low, high = max(kind.min, -(2**53)), min(kind.max, 2**53)
    return np.clip(moved, low, high).astype(values.dtype)


def _is_row(alone: Any, among: Any, row: int, count: int) -> bool:
    if not (_counts_rows(alone, 1) and _counts_rows(among, count)):
        return False
    if not is_numeric(alone):
        return _is_like(alone[0], among[row])
    return alone.shape[1:] == among.shape[1:] and _is_like(alone[0], among[row])


def _is_like(mine: Any, theirs: Any) -> bool:
    """Equal but for rounding; of maps each value."""
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        return mine.keys() == theirs.keys() and all(_is_like(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, str) or isinstance(theirs, str) or not is_numeric(np.asarray(mine)):
        return bool(np.array_equal(mine, theirs))
    return np.shape(mine) == np.shape(theirs) and np.allclose(mine, theirs, rtol=1e-3, atol=1e-5, equal_nan=True)


def _counts_rows(output: Any, count: int) -> bool:
    """Whether axis 0 of a tensor, or the items of a sequence, are the rows."""
    rows = isinstance(output, list) or (isinstance(output, np.ndarray) and output.ndim > 0)
    return rows and len(output) == count


def _bits(output: Any, chosen: npt.NDArray[np.int64]) -> bytes:
    """What the chosen rows of an output are, to the bit."""
    if is_numeric(output):
        return bytes(output[chosen].tobytes())
    return b"\0".join(_bits_of(output[row]) for row in chosen)


def _bits_of(item: Any) -> bytes:
    if is_numeric(item):
        return bytes(item.tobytes())
    if isinstance(item, Mapping):
        return b"\0".join(map(_bits_of, (*item.keys(), *item.values())))
    return repr(item.tolist() if isinstance(item, np.ndarray) else item).encode()


def _count(rows: Rows) -> int:
    return len(next(iter(rows.values())))


def _free_first_axis(specs: Sequence[TensorSpec]) -> bool:
    return all(spec.shape and spec.shape[0] is None for spec in specs)
