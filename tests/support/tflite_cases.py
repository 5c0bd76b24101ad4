"""Operator tests through the TFLite writer and LiteRT, in children: what ends a process is a crash with a name."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from support.children import run_python
from support.operator_cases import Array, Case

OUTCOMES = ("agrees", "refused", "wrong", "crashed")
# Of a float output's scale; integers and booleans are equal or wrong.
TOLERANCE = 1e-5
# Cases a child.
BATCH = 300


class Outcome(NamedTuple):
    """What became of a case; the detail is a refusal's sentence, or what is wrong."""

    name: str
    operator: str
    outcome: str
    detail: str


def outcomes(cases: Sequence[Case], folder: Path) -> list[Outcome]:
    """Converts, runs and compares every case; a child that a signal ends is followed by one for the cases left."""
    path = folder / "cases.pickle"
    path.write_bytes(pickle.dumps([tuple(case) for case in cases]))
    found: list[Outcome] = []
    while len(found) < len(cases):
        lines, code = _child(path, len(found))
        for case, (outcome, detail) in zip(cases[len(found) :], lines, strict=False):
            found.append(Outcome(case.name, case.operator, outcome, detail))
        if code:
            case = cases[len(found)]
            found.append(
                Outcome(case.name, case.operator, "crashed", f"the child was ended by {signal.Signals(-code).name}")
            )
    return found


def table(found: Sequence[Outcome]) -> str:
    """A line an operator, and one for all."""
    counts: dict[str, Counter[str]] = {}
    for outcome in found:
        for row in (outcome.operator, "all"):
            counts.setdefault(row, Counter())[outcome.outcome] += 1
    total = counts.pop("all")
    lines = [f"{'':24}{'cases':>7}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES)]
    for name, row in [*counts.items(), ("all", total)]:
        lines.append(f"{name:24}{row.total():7}" + "".join(f"{row[outcome]:9}" for outcome in OUTCOMES))
    return "\n".join(lines) + "\n"


def told(found: Sequence[Outcome], *kinds: str) -> list[str]:
    """What is to be said of the cases that came out so, a line each."""
    return [f"{one.outcome}: {one.name}: {one.detail}" for one in found if one.outcome in kinds]


def _child(path: Path, start: int) -> tuple[list[tuple[str, str]], int]:
    """What a child found of the cases from the given one on, as many as it got to, and how it ended."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    code = "from support.tflite_cases import work; work(sys.argv[1], int(sys.argv[2]))"
    child = run_python(code, path, str(start), environment=environment)
    if child.returncode > 0:
        raise RuntimeError(child.stderr)  # ours, and no case's
    return [tuple(json.loads(line)) for line in child.stdout.splitlines() if line.startswith("[")], child.returncode


# ---- In the child ----


def work(path: str, start: int) -> None:
    """Prints a line a case, BATCH of them."""
    for fields in pickle.loads(Path(path).read_bytes())[start : start + BATCH]:
        sys.stdout.write(json.dumps(_outcome(Case(*fields))) + "\n")
        sys.stdout.flush()


def _outcome(case: Case) -> tuple[str, str]:
    from edge_rai.errors import UnsupportedModelError
    from edge_rai_converters.targets import tflite

    try:
        model = tflite.write(onnx.load_from_string(case.model))
    except UnsupportedModelError as refused:
        said = str(refused)
        return ("wrong", f"a refusal of several lines: {said}") if "\n" in said else ("refused", said)
    except Exception as error:  # noqa: BLE001  whichever it is, it is no refusal
        return "wrong", f"the writer failed with {type(error).__name__}: {error}"
    try:
        got = answered(model.model, case.feeds)
    except Exception as error:  # noqa: BLE001  LiteRT's errors have no type in common
        return "wrong", f"{type(error).__name__}: {' '.join(str(error).split())}"
    fault = _differences(got, case.expected)
    if fault and not _differences(got, _by_onnx_runtime(case)):
        fault = ""
    return ("wrong", fault) if fault else ("agrees", "")


def _by_onnx_runtime(case: Case) -> dict[str, Array]:
    """What decides where ONNX stored rounded values, or is of another opinion; nothing where it fails itself."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(case.model, providers=["CPUExecutionProvider"])
        return dict(zip(case.expected, session.run(list(case.expected), case.feeds), strict=True))
    except Exception:  # noqa: BLE001  its errors have no type in common
        return case.expected


def answered(data: bytes, feeds: dict[str, Array]) -> dict[str, Array]:
    """The outputs of a TFLite model, by the names of its signature."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    answer: dict[str, Array] = runner(**feeds)
    return answer


def _differences(got: dict[str, Array], expected: dict[str, Array]) -> str:
    """Empty where all outputs are as expected."""
    found = (_difference(got.get(name), array) for name, array in expected.items())
    return "; ".join(filter(None, found))


def _difference(got: Any, expected: Array) -> str:
    if got is None:
        return "an output is missing"
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return f"{got.dtype} {got.shape} instead of {expected.dtype} {expected.shape}"
    if expected.dtype.kind != "f":
        return "" if np.array_equal(got, expected) else f"{int((got != expected).sum())} of {got.size} values differ"
    finite = np.isfinite(expected)
    if not np.array_equal(got[~finite], expected[~finite], equal_nan=True):
        return "not finite where it should be, or the other way round"
    scale = max(1, float(np.abs(expected[finite]).max(initial=0)))
    worst = float(np.abs(got[finite].astype(np.float64) - expected[finite]).max(initial=0))
    return "" if worst <= TOLERANCE * scale else f"off by {worst:.1e} of {scale:.1e}"
