"""Runs a candidate model over reference rows with plain ONNX Runtime on the CPU, on one thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime

from edge_rai.errors import InferenceError, UnsupportedModelError
from edge_rai.types import TensorSpec
from edge_rai_converters.data import Array, Dataset, Rows
from edge_rai_converters.sources.onnx import SourceModel

_CHUNK_VALUES = 1 << 22
_CHUNK_ROWS = 256
_BATCH_ROWS = 16
_PERTURBED_ROWS = 4


class Runner:
    """One model in memory; one thread at a time."""

    def __init__(self, model: bytes, where: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._where = where
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
            raise UnsupportedModelError(f"{where}: ONNX Runtime cannot open it: {_first_line(error)}") from error
        self._names = [output.name for output in self._session.get_outputs()]

    def call(self, feed: Rows) -> dict[str, Array]:
        """One inference.

        Raises:
            InferenceError: ONNX Runtime failed.
        """
        try:
            outputs = self._session.run(self._names, dict(feed))
        except Exception as error:
            raise InferenceError(f"{self._where}: ONNX Runtime failed: {_first_line(error)}") from error
        return dict(zip(self._names, outputs, strict=True))

    def answers(self, rows: Rows, index: npt.NDArray[np.int64], *, batched: bool) -> dict[str, Array]:
        """Outputs of the chosen rows, (len(index), ...) each.

        Raises:
            UnsupportedModelError: The shape of an output depends on the values of the input.
            InferenceError: ONNX Runtime failed.
        """
        parts = [self.call(feed) for feed in feeds(rows, index, batched=batched)]
        joined = {}
        for name in self._names:
            pieces = [part[name] for part in parts]
            if len({piece.shape[1:] if batched else piece.shape for piece in pieces}) > 1:
                raise UnsupportedModelError(f"{self._where}: output {name!r} changes its shape from row to row")
            joined[name] = np.concatenate(pieces) if batched else np.stack(pieces)
        return joined


def feeds(
    rows: Rows, index: npt.NDArray[np.int64], *, batched: bool, most_rows: int = _CHUNK_ROWS
) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """The chosen rows as arguments of calls: many rows a call, but not more than most_rows, when batched; else one."""
    if not batched:
        for row in index:
            yield {name: array[row] for name, array in rows.items()}
        return
    per_row = sum(array[0].size for array in rows.values())
    chunk = max(1, min(_CHUNK_ROWS, most_rows, _CHUNK_VALUES // max(per_row, 1)))
    for start in range(0, len(index), chunk):
        yield {name: array[index[start : start + chunk], 0] for name, array in rows.items()}


def is_batched(source: SourceModel, runner: Runner, data: Dataset) -> bool:
    """Whether the model answers row by row: axis 0 is free everywhere, and no row's answer depends on another row."""
    if not data.row_is_slice or not _free_first_axis(source.inputs) or not _free_first_axis(source.outputs):
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


def rows_are_independent(runner: Runner, rows: Rows, *, batched: bool) -> bool:
    """Whether every row's answer is bit-identical whatever happens to another row of the same call.

    Of a bounded number of rows, first and last among them, one at a time is replaced: by another row, by larger and
    smaller values, by zeros. The first row shows what looks back along axis 0 (time on it, a cumulative sum), the last
    one what looks ahead.

    Raises:
        InferenceError: The model fails on rows of the data.
    """
    if not batched:
        return True
    feed = {name: array[:, 0] for name, array in _sample(rows).items()}
    reference = runner.call(feed)
    for row in _perturbed(feed):
        others = np.arange(_count(feed)) != row
        if not all(len(output) == len(others) for output in reference.values()):
            return False
        for change in _perturbations(feed, row):
            try:
                changed = runner.call(change)
            except InferenceError:
                continue  # no answer to values far from the data says nothing of the others
            if any(changed[name][others].tobytes() != reference[name][others].tobytes() for name in reference):
                return False
    return True


def _sample(rows: Rows) -> dict[str, npt.NDArray[np.float32]]:
    """A bounded number of rows, spread over the data."""
    count = _count(rows)
    per_row = sum(array[0].size for array in rows.values())
    wanted = max(_PERTURBED_ROWS, min(_BATCH_ROWS, _CHUNK_VALUES // max(per_row, 1)))
    index = np.linspace(0, count - 1, min(count, wanted)).astype(np.int64)
    return {name: array[index] for name, array in rows.items()}


def _perturbed(feed: Rows) -> list[int]:
    last = _count(feed) - 1
    return sorted({step * last // (_PERTURBED_ROWS - 1) for step in range(_PERTURBED_ROWS)})


def _perturbations(feed: Rows, row: int) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    neighbour = (row + 1) % _count(feed)
    for scale, shift, source in ((1, 0, neighbour), (100, 100, row), (-100, -100, row), (0.01, 0, row), (0, 0, row)):
        changed = {name: array.copy() for name, array in feed.items()}
        with np.errstate(over="ignore"):
            for array in changed.values():
                array[row] = array[source] * np.float32(scale) + np.float32(shift)
        yield changed


def _is_row(alone: Array, among: Array, row: int, count: int) -> bool:
    return (
        len(alone) == 1
        and len(among) == count
        and alone.shape[1:] == among.shape[1:]
        and np.allclose(alone[0], among[row], rtol=1e-3, atol=1e-5, equal_nan=True)
    )


def _count(rows: Rows) -> int:
    return len(next(iter(rows.values())))


def _free_first_axis(specs: Sequence[TensorSpec]) -> bool:
    return all(spec.shape and spec.shape[0] is None for spec in specs)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
