"""Bare inference runtimes as contenders, called as their makers' examples call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from edge_rai.bench.interleave import Contender

Array = np.ndarray[Any, np.dtype[Any]]
Feeds = Sequence[Mapping[str, Array]]


def onnxruntime_contender(model: bytes | str, threads: int, feeds: Feeds) -> Contender:
    """``InferenceSession.run`` of the inputs of each call in turn."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    count = len(feeds)
    return lambda i: session.run(None, feeds[i % count])


def litert_contender(model: bytes, threads: int, feeds: Feeds) -> Contender:
    """An interpreter's ``set_tensor``, ``invoke`` and ``get_tensor`` for the inputs of each call in turn.

    It is resized to the first call's shapes. Where the model stores integers, floats are quantized beforehand.
    """
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter(
        model_content=model, num_threads=threads or None
    )
    details = interpreter.get_input_details()
    names = _input_names(interpreter)
    for detail in details:
        given = feeds[0][names.get(detail["index"], detail["name"])].shape
        if tuple(detail["shape"]) != given:
            interpreter.resize_tensor_input(detail["index"], given)
    interpreter.allocate_tensors()
    inputs = [
        [(detail["index"], _as_stored(feed[names.get(detail["index"], detail["name"])], detail)) for detail in details]
        for feed in feeds
    ]
    outputs = [detail["index"] for detail in interpreter.get_output_details()]
    count = len(feeds)

    def run(i: int) -> None:
        for index, values in inputs[i % count]:
            interpreter.set_tensor(index, values)
        interpreter.invoke()
        for index in outputs:
            interpreter.get_tensor(index)

    def run_single(i: int) -> None:
        interpreter.set_tensor(index, rows[i % count])
        interpreter.invoke()
        interpreter.get_tensor(output)

    index, output = details[0]["index"], outputs[0]
    rows = [feed[0][1] for feed in inputs]
    return run_single if len(details) == len(outputs) == 1 else run


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
