"""ONNX's own backend tests through the guard: as many pass as with the bare runtime, or the guard says why not.

What the default policy turns away is read off the model and its data; then it must be turned away, and in those words.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from edge_rai import ReasonCode, Verdict, load
from support.parity import same

DATA = Path(onnx.__file__).parent / "backend/test/data"
# As onnx's own runner compares; a bfloat16 has 8 bits, so it may be two steps off.
RTOL, ATOL, RTOL_BFLOAT16 = 1e-3, 1e-5, 2**-6
DENSE = {
    *("FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE"),
    *("UINT32", "UINT64", "BFLOAT16"),
}


class Case(NamedTuple):
    """A model with one set of inputs and the outputs that ONNX expects."""

    name: str
    path: Path
    graph: onnx.GraphProto
    inputs: list[Any]
    expected: list[Any]

    def feeds(self) -> dict[str, Any]:
        return {entry.name: given for entry, given in zip(fed(self.graph), self.inputs, strict=False)}


def fed(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs a caller has to give: an old model lists its weights among them too."""
    weights = {weight.name for weight in graph.initializer}
    return [entry for entry in graph.input if entry.name not in weights]


# ---- Where the cases come from ----


def stored(kind: str) -> Iterator[Case]:
    """The models of one folder, with the inputs and outputs stored beside them."""
    for path in sorted((DATA / kind).glob("*/model.onnx")):
        (folder,) = path.parent.glob("test_data_set_*")
        inputs, expected = (
            [tensor(folder / f"{side}_{i}.pb") for i in range(len(list(folder.glob(f"{side}_*.pb"))))]
            for side in ("input", "output")
        )
        yield Case(path.parent.name, path, onnx.load(path).graph, inputs, expected)


def light() -> Iterator[Case]:
    """Real architectures, their weights made at load; the input counts from 0 to 1, and one output is stored."""
    for path in sorted((DATA / "light").glob("*.onnx")):
        graph = onnx.load(path).graph
        (image,) = fed(graph)
        shape = [axis.dim_value for axis in image.type.tensor_type.shape.dim]
        ramp = (np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32)
        yield Case(path.stem, path, graph, [ramp], [tensor(path.with_name(f"{path.stem}_output_0.pb"))])


def operators(folder: Path) -> Iterator[Case]:
    """Every operator in every form and element type, which the package makes as it is asked."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, about the very values that these tests are after
        made = load_model_tests(kind="node")
    path = folder / "model.onnx"
    for test in made:
        path.unlink(missing_ok=True)  # a file system may write what it truncates out to the disk
        onnx.save(test.model, path)
        for inputs, expected in test.data_sets:
            yield Case(test.name, path, test.model.graph, [*map(plain, inputs)], [*map(plain, expected)])


def tensor(path: Path) -> npt.NDArray[Any]:
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


def plain(value: Any) -> Any:
    """Arrays out of whatever form a test case holds them in; lists of them for sequences, None for nothing."""
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, (list, tuple)):
        return [*map(plain, value)]
    return value if value is None or isinstance(value, dict) else np.asarray(value)


# ---- The two contenders, and what they are held to ----


def bare(case: Case) -> list[Any] | None:
    """The outputs of the bare runtime; None where it fails, for then there is nothing that the guard could lose."""
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(case.path), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, case.feeds()))
    except Exception:  # noqa: BLE001  its errors have no type in common
        return None


def guarded(case: Case, unguarded: list[Any] | None) -> str:
    """Empty when the guard answers as expected, and to the bit as the bare runtime where given; else why not."""
    try:
        with load(case.path, threads=1) as session:
            answer = session.predict(case.feeds())
    except Exception as error:  # noqa: BLE001  whichever it is, it is judged by its words
        return f"{type(error).__name__}: {error}"
    # Where only an output is not finite, the default policy says so and leaves it as it is.
    codes = {reason.code for reason in answer.reasons}
    if answer.verdict is Verdict.REJECT and codes != {ReasonCode.OUTPUT_NOT_FINITE}:
        return "; ".join(map(str, answer.reasons[:3]))
    outputs = [answer.outputs[output.name] for output in case.graph.output]
    if unguarded is not None and not same(outputs, unguarded):
        return "not what the bare runtime answers"
    return "" if alike(outputs, case.expected) else "not what is expected"


def alike(got: Any, expected: Any) -> bool:
    """Whether an output is what ONNX stored, as near as its own runner wants it."""
    if isinstance(expected, list):
        return isinstance(got, (list, tuple)) and len(got) == len(expected) and all(map(alike, got, expected))
    if not isinstance(expected, np.ndarray) or expected.dtype.kind in "OUb":
        return same(got, expected)
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return False
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    rtol = RTOL_BFLOAT16 if expected.dtype.name == "bfloat16" else RTOL
    return np.allclose(got.astype(wide), expected.astype(wide), rtol, ATOL, equal_nan=True)


def due(case: Case) -> str | None:
    """What the guard must say of a case that the default policy does not let through; None where it must let it.

    An axis of 0 is let through by models without rows and without recurrent layers.
    """
    for entry in fed(case.graph):
        if not entry.type.HasField("tensor_type"):
            return f"input '{entry.name}' is an? "
    for side, entries in (("input", fed(case.graph)), ("output", case.graph.output)):
        for entry in entries:
            element = entry.type.tensor_type.elem_type  # 0 of what is no tensor
            if element and TensorProto.DataType.Name(element) not in DENSE:
                return f"{side} '{entry.name}' is "
    if not case.inputs:
        return "has 0 inputs"
    if any(map(not_finite, case.inputs)):
        return "not finite"
    if counts_rows(case.graph) and any(array.size == 0 for array in case.inputs):
        return "has 0 on axis"
    return None


def counts_rows(graph: onnx.GraphProto) -> bool:
    """Whether axis 0 of every tensor is free."""
    shapes = [entry.type.tensor_type.shape.dim for entry in (*fed(graph), *graph.output)]
    return all(shape and not shape[0].HasField("dim_value") for shape in shapes)


def not_finite(array: Any) -> bool:
    if not isinstance(array, np.ndarray) or array.dtype.kind in "OUSMm":
        return False
    return not np.isfinite(array.astype(np.float64)).all()


# ---- The tests ----


def compare(cases: Iterator[Case], title: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs both, prints both counts and what the guard turned away, and fails where it lost or let through a case."""
    total = bare_passes = guarded_passes = 0
    turned_away, wrong = [], []
    for case in cases:
        outputs = bare(case)
        passes = outputs is not None and alike(outputs, case.expected)
        reason = guarded(case, outputs if passes else None)
        expected = due(case)
        total, bare_passes, guarded_passes = total + 1, bare_passes + passes, guarded_passes + (not reason)
        if passes and expected and re.search(expected, reason):
            turned_away.append(f"  {case.name}: {reason.rpartition('/')[2]}\n")
        elif passes and (expected or reason):
            wrong.append(f"{case.name}: {reason or 'answered'}; due: {expected or 'an answer'}")
    with capsys.disabled():
        counts = f"bare runtime {bare_passes}, guarded {guarded_passes}, turned away by the policy {len(turned_away)}"
        sys.stdout.write(f"\n{title}, {total} cases: {counts}\n{''.join(turned_away)}")
    assert not wrong, "\n".join(wrong)
    assert bare_passes > total / 2


@pytest.mark.parametrize("kind", ["simple", "pytorch-converted", "pytorch-operator"])
def test_stored_models_answer_wherever_the_bare_runtime_does(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    compare(stored(kind), kind, capsys)


def test_light_architectures_answer_wherever_the_bare_runtime_does(capsys: pytest.CaptureFixture[str]) -> None:
    compare(light(), "light", capsys)


def test_operators_of_every_type_answer_wherever_the_bare_runtime_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(operators(tmp_path), "operators", capsys)
