"""A guarded model held to the bare runtime: the same answers, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai import Verdict, load
from support.models import reference_run

Inputs = Mapping[str, npt.NDArray[Any]]


def same(got: Any, expected: Any) -> bool:
    """Whether two outputs are alike to the last bit; of strings, sequences and maps, in every element."""
    if isinstance(expected, (list, tuple)):
        return isinstance(got, list) and len(got) == len(expected) and all(map(same, got, expected))
    if not isinstance(expected, np.ndarray):
        return bool(got == expected)
    if not isinstance(got, np.ndarray) or got.shape != expected.shape:
        return False
    if expected.dtype.kind in "OU":
        return got.dtype.kind in "OU" and got.tolist() == expected.tolist()
    return got.dtype == expected.dtype and got.tobytes() == expected.tobytes()


def answered(model: Path, *calls: Inputs) -> list[dict[str, Any]]:
    """The outputs of each call of one session, accepted in full and equal to those of the bare runtime."""
    answers = []
    with load(model) as session:
        for inputs in calls:
            answer = session.predict(inputs)
            assert answer.verdict is Verdict.ACCEPT, answer.reasons
            expected = reference_run(model, inputs)
            assert list(answer.outputs) == list(expected)
            for name, output in expected.items():
                assert same(answer.outputs[name], output), name
            answers.append(answer.outputs)
    return answers
