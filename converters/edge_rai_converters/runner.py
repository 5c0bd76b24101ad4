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
_NEIGHBOUR_SETS = 4


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


def feeds(rows: Rows, index: npt.NDArray[np.int64], *, batched: bool) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """The chosen rows as arguments of calls: many rows a call when batched, else one."""
    if not batched:
        for row in index:
            yield {name: array[row] for name, array in rows.items()}
        return
    per_row = sum(array[0].size for array in rows.values())
    chunk = max(1, min(_CHUNK_ROWS, _CHUNK_VALUES // max(per_row, 1)))
    for start in range(0, len(index), chunk):
        yield {name: array[index[start : start + chunk], 0] for name, array in rows.items()}


def is_batched(source: SourceModel, runner: Runner, data: Dataset) -> bool:
    """Whether the model answers row by row: axis 0 is free everywhere, and row 0 alone is row 0 among three."""
    if not data.row_is_slice or not _free_first_axis(source.inputs) or not _free_first_axis(source.outputs):
        return False
    rows = data.rows
    alone = runner.call({name: array[:1, 0] for name, array in rows.items()})
    try:
        among = runner.call({name: array[:3, 0] for name, array in rows.items()})
    except InferenceError:
        return False
    return all(
        len(alone[name]) == 1
        and len(among[name]) == 3
        and alone[name].shape[1:] == among[name].shape[1:]
        and np.allclose(alone[name][0], among[name][0], rtol=1e-3, atol=1e-5, equal_nan=True)
        for name in alone
    )


def rows_are_independent(runner: Runner, rows: Rows, *, batched: bool) -> bool:
    """Whether row 0's answer is bit-identical whatever its neighbours are, extreme ones included."""
    if not batched:
        return True
    reference: dict[str, Array] | None = None
    count = len(next(iter(rows.values())))
    for attempt in range(_NEIGHBOUR_SETS):
        neighbours = [(attempt * 3 + step) % count for step in (1, 2, 3)]
        feed = {name: array[[0, *neighbours], 0] for name, array in rows.items()}
        if attempt == _NEIGHBOUR_SETS - 1:
            for array in feed.values():
                array[1:] *= np.float32(100)
        first = {name: output[0] for name, output in runner.call(feed).items()}
        if reference is None:
            reference = first
        elif any(first[name].tobytes() != reference[name].tobytes() for name in first):
            return False
    return True


def _free_first_axis(specs: Sequence[TensorSpec]) -> bool:
    return all(spec.shape and spec.shape[0] is None for spec in specs)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
