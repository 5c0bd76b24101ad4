"""Whether a written file is what was meant: LiteRT runs what was written, and answers as ONNX Runtime does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.targets.tflite.errors import refused
from edge_rai_converters.targets.tflite.probe import Array, Feed, probed
from edge_rai_converters.targets.tflite.written import Written

LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of comparing a file with the model that it was written from.

    Attributes:
        differences: Of each output, the largest difference over all calls, as a share of the output's scale (the
            largest magnitude of the original's answers).
        delegated: How many partitions of the graph run in a delegate.
        plain: Names of the operators outside of them.
    """

    differences: dict[str, float]
    delegated: int
    plain: tuple[str, ...]


def verify(model: onnx.ModelProto, written: Written, feeds: Iterable[Feed]) -> Checked:
    """Loads a written file in LiteRT and compares it with the model on real rows.

    Args:
        model: What it was written from.
        written: What write() returned.
        feeds: Arguments of calls of the ONNX model by name, in its layout, as many rows a call as were written.

    Raises:
        UnsupportedModelError: LiteRT does not load or run it, runs other operators than were written, or answers
            differently: by more than LARGEST_DIFFERENCE of an output's scale, or otherwise where numbers are no floats.
    """
    calls = [{name: np.asarray(array) for name, array in feed.items()} for feed in feeds]
    given = [{edge.name: call[edge.name].transpose(edge.axes) for edge in written.inputs} for call in calls]
    found = probed(written.model, given)
    if found.operators != written.operators:
        other = Counter(found.operators) - Counter(written.operators)
        raise refused("the written model", f"LiteRT runs other operators than were written: {', '.join(other)}")
    expected = _originals(model, calls, [edge.name for edge in written.outputs])
    differences = {}
    for edge in written.outputs:
        pairs = [
            (original[edge.name], answer[edge.name].transpose(np.argsort(edge.axes)))
            for original, answer in zip(expected, found.answers, strict=True)
        ]
        differences[edge.name] = _difference(pairs, edge.name)
    return Checked(differences, found.delegated, found.plain)


def _originals(model: onnx.ModelProto, calls: Sequence[Feed], names: list[str]) -> list[dict[str, Array]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [dict(zip(names, session.run(names, call), strict=True)) for call in calls]


def _difference(pairs: Iterable[tuple[Array, Array]], name: str) -> float:
    """The largest difference as a share of the scale; raises where it is too large."""
    largest = scale = 0.0
    for original, answer in pairs:
        if original.shape != answer.shape or original.dtype != answer.dtype:
            raise _differs(name, f"{answer.dtype}{list(answer.shape)} for {original.dtype}{list(original.shape)}")
        if original.dtype.kind != "f":
            if not np.array_equal(original, answer):
                raise _differs(name, f"{np.mean(original != answer):.0%} of its values differ")
            continue
        finite = np.isfinite(original)
        if not np.array_equal(finite, np.isfinite(answer)) or not np.array_equal(
            original[~finite], answer[~finite], equal_nan=True
        ):
            raise _differs(name, "other values are not finite")
        largest = max(largest, float(np.max(np.abs(original[finite] - answer[finite]), initial=0.0)))
        scale = max(scale, float(np.max(np.abs(original[finite]), initial=0.0)))
    share = largest / scale if scale else largest
    if share > LARGEST_DIFFERENCE:
        raise _differs(name, f"by {share:.1e} of its scale, where {LARGEST_DIFFERENCE:.0e} is allowed")
    return share


def _differs(name: str, how: str) -> UnsupportedModelError:
    return refused(f"output {name!r}", f"the written model answers otherwise than the original: {how}")
