"""Runs a TFLite model over reference rows with plain LiteRT on the CPU, on one thread."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from edge_rai.chatter import without_info
from edge_rai.errors import InferenceError, UnsupportedModelError
from edge_rai_converters.data import Array, Rows
from edge_rai_converters.errors import missing
from edge_rai_converters.words import first_line

Extremes = tuple[np.float32, np.float32]


class LiteRTRunner:
    """One TFLite model in memory; one thread at a time.

    Callers give and get what the ONNX model does: values are quantized at integer edges and restored behind them, and
    the rows of a call run one after another, because the file is planned for one.

    Args:
        model: The file.
        where: What messages name.
        inner: Keep every tensor, so that ``extremes`` has them.

    Raises:
        MissingExtraError: LiteRT is not installed.
        UnsupportedModelError: LiteRT cannot open it.
    """

    def __init__(self, model: bytes, where: str, *, inner: bool = False) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ModuleNotFoundError as error:
            raise missing("ai_edge_litert") from error
        self.where = where
        # A delegate keeps to itself what lies between its own operators.
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if inner else OpResolverType.AUTO
        try:
            with quiet():
                self._interpreter = Interpreter(
                    model_content=model,
                    num_threads=1,
                    experimental_preserve_all_tensors=inner,
                    experimental_op_resolver_type=kernels,
                )
                self._interpreter.allocate_tensors()
                signature = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise UnsupportedModelError(f"{where}: LiteRT cannot open it: {first_line(error)}") from error
        self._inputs = {name: _Edge(detail) for name, detail in signature.get_input_details().items()}
        self._outputs = {name: _Edge(detail) for name, detail in signature.get_output_details().items()}

    @property
    def signature(self) -> dict[str, tuple[int, ...]]:
        """The shape of each input and output by name, inputs first."""
        return {name: edge.shape for name, edge in (*self._inputs.items(), *self._outputs.items())}

    @property
    def integers(self) -> dict[str, tuple[float, int]]:
        """Scale and zero point of each input and output that is quantized, by name, inputs first."""
        edges = {**self._inputs, **self._outputs}
        return {name: (float(edge.scale), edge.zero) for name, edge in edges.items() if edge.scale}

    def call(self, feed: Rows) -> dict[str, Array]:
        """One call: an array an output, by name.

        Args:
            feed: By name; of a batch each row is run by itself.

        Raises:
            InferenceError: LiteRT failed.
        """
        rows = [self._one(row) for row in self._rows(feed)]
        return rows[0] if len(rows) == 1 else {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def arguments(self, feed: Rows) -> dict[str, Array]:
        """What the model takes of a feed of one row, quantized where its input is."""
        return {name: edge.stored(np.asarray(feed[name])) for name, edge in self._inputs.items()}

    def bare(self, feed: Rows) -> Callable[[], object]:
        """The call with nothing around it, for whoever times it: arguments in, one inference, answers out."""
        interpreter = self._interpreter
        given = [(edge.index, edge.stored(np.asarray(feed[name]))) for name, edge in self._inputs.items()]
        asked = [edge.index for edge in self._outputs.values()]

        def call() -> object:
            for index, values in given:
                interpreter.set_tensor(index, values)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in asked]

        return call

    def extremes(self, feed: Rows, wanted: Mapping[str, int]) -> Iterator[dict[str, Extremes]]:
        """The least and the greatest value of inner tensors at each row of a call, by name.

        Args:
            feed: As of ``call``.
            wanted: Indices of tensors that are not empty.
        """
        for row in self._rows(feed):
            self._run(row)
            # LiteRT does not run while anybody holds a view of its memory.
            yield {name: _extremes(self._interpreter.tensor(index)()) for name, index in wanted.items()}

    def _rows(self, feed: Rows) -> Iterator[Mapping[str, Array]]:
        given = {name: np.asarray(feed[name]) for name in self._inputs}
        if all(array.shape == self._inputs[name].shape for name, array in given.items()):
            yield given
            return
        for row in range(len(next(iter(given.values())))):
            yield {name: array[row : row + 1] for name, array in given.items()}

    def _one(self, row: Mapping[str, Array]) -> dict[str, Array]:
        self._run(row)
        # Of a tensor without axes LiteRT gives a number.
        given = {name: np.asarray(self._interpreter.get_tensor(edge.index)) for name, edge in self._outputs.items()}
        return {name: self._outputs[name].restored(values) for name, values in given.items()}

    def _run(self, row: Mapping[str, Array]) -> None:
        try:
            for name, edge in self._inputs.items():
                self._interpreter.set_tensor(edge.index, edge.stored(row[name]))
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise InferenceError(f"{self.where}: LiteRT failed: {first_line(error)}") from error


class _Edge:
    """An input or output tensor: where it is, and what its integers stand for."""

    def __init__(self, detail: Mapping[str, Any]) -> None:
        self.index = int(detail["index"])
        self.shape = tuple(int(extent) for extent in detail["shape"])
        self._dtype = np.dtype(detail["dtype"])
        scale, self.zero = detail["quantization"]
        self.scale = np.float32(scale)

    def stored(self, values: Array) -> Array:
        if self.scale and values.dtype.kind == "f":
            kind = np.iinfo(self._dtype)
            values = np.clip(np.rint(values / self.scale) + self.zero, kind.min, kind.max)
        stored: Array = np.asarray(values, self._dtype, order="C")
        return stored

    def restored(self, values: Array) -> Array:
        if not self.scale:
            return values
        steps = values.astype(np.float32) - np.float32(self.zero)
        return np.asarray(steps * self.scale)


def _extremes(values: Array) -> Extremes:
    return values.min(), values.max()


@contextmanager
def quiet() -> Iterator[None]:
    """LiteRT and its tools tell stderr of each delegate, and warn of keeping tensors, which is done on purpose."""
    with without_info(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
