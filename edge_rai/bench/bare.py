"""Bare inference runtimes as contenders, called as their makers' examples call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from edge_rai.bench.interleave import Contender

Array = np.ndarray[Any, np.dtype[Any]]
Feeds = Sequence[Mapping[str, Array]]


# Of ONNX Runtime's logger: what a model declares wrongly it would say of every call.
_ERRORS = 3


def onnxruntime_contender(model: bytes | str, threads: int, feeds: Feeds) -> Contender:
    """``InferenceSession.run`` of the inputs of each call in turn; of each row, where the model takes no more."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    calls, count = _in_rows(feeds, [spec.shape for spec in session.get_inputs()]), len(feeds)

    def run(i: int) -> None:
        for feed in calls[i % count]:
            session.run(None, feed)

    return run if len(calls[0]) > 1 else lambda i: session.run(None, feeds[i % count])


def litert_contender(model: bytes, threads: int, feeds: Feeds) -> Contender:
    """An interpreter's ``set_tensor``, ``invoke`` and ``get_tensor`` for the inputs of each call in turn.

    It is resized to the first call's shapes, or runs each row where the model declares one: resized, some models mix
    rows. Where the model stores integers, floats are quantized beforehand.
    """
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter(
        model_content=model, num_threads=threads or None
    )
    details = interpreter.get_input_details()
    names = _input_names(interpreter)
    keyed = [(names.get(detail["index"], detail["name"]), detail) for detail in details]
    calls = _in_rows(feeds, [detail["shape_signature"] for detail in details])
    for name, detail in keyed:
        given = calls[0][0][name].shape
        if tuple(detail["shape"]) != given:
            interpreter.resize_tensor_input(detail["index"], given)
    interpreter.allocate_tensors()
    inputs = [
        [[(detail["index"], _as_stored(feed[name], detail)) for name, detail in keyed] for feed in call]
        for call in calls
    ]
    outputs = [detail["index"] for detail in interpreter.get_output_details()]
    count = len(feeds)

    def run(i: int) -> None:
        for row in inputs[i % count]:
            for index, values in row:
                interpreter.set_tensor(index, values)
            interpreter.invoke()
            for index in outputs:
                interpreter.get_tensor(index)

    def run_single(i: int) -> None:
        interpreter.set_tensor(index, rows[i % count])
        interpreter.invoke()
        interpreter.get_tensor(output)

    index, output = details[0]["index"], outputs[0]
    rows = [call[0][0][1] for call in inputs]
    return run_single if len(details) == len(outputs) == len(calls[0]) == 1 else run


def _in_rows(feeds: Feeds, declared: Sequence[Sequence[Any]]) -> list[Feeds]:
    """The runs of each call: one, or one a row where each of a model's inputs is declared to be one row."""
    rows = {len(values) for values in feeds[0].values() if values.ndim}
    if len(rows) != 1 or rows == {1} or not all(len(shape) and shape[0] == 1 for shape in declared):
        return [[feed] for feed in feeds]
    numbers = range(rows.pop())
    return [[{name: values[i : i + 1] for name, values in feed.items()} for i in numbers] for feed in feeds]


def _input_names(interpreter: Any) -> dict[int, str]:
    """Of a signature, by tensor; empty where there is none."""
    signatures = interpreter._get_full_signature_list()
    return {index: name for name, index in next(iter(signatures.values()))["inputs"].items()} if signatures else {}


def _as_stored(values: Array, detail: Any) -> Array:
    stored = np.dtype(detail["dtype"])
    if values.dtype == stored:
        return values
    scale, zero_point = detail["quantization"]
    bounds = np.iinfo(stored)
    quantized: Array = np.clip(np.rint(values / scale) + zero_point, bounds.min, bounds.max).astype(stored)
    return quantized
