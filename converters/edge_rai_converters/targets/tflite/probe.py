"""What LiteRT makes of a .tflite file: which operators it runs, how many in a delegate, and what it answers.

LiteRT computes in a child process: a file that brings a runtime down is refused here as any other.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai_converters.errors import missing
from edge_rai_converters.targets.tflite.errors import refused

Array = npt.NDArray[Any]
Feed = Mapping[str, Array]

_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Probed:
    """What LiteRT made of a model.

    Attributes:
        operators: Names of its operators in the file's order.
        delegated: How many partitions of the graph run in a delegate (XNNPACK).
        plain: Names of the operators outside of them, which the runtime's own kernels compute.
        answers: Outputs by name, a dict a call.
    """

    operators: tuple[str, ...]
    delegated: int
    plain: tuple[str, ...]
    answers: tuple[dict[str, Array], ...]


def probed(model: bytes, feeds: Sequence[Feed] = ()) -> Probed:
    """Loads a model in LiteRT, in a process of its own, and calls it.

    Args:
        model: The file's bytes.
        feeds: Arguments of calls by the signature's names, in the tensors' own types and layouts.

    Raises:
        MissingExtraError: ai-edge-litert is not installed.
        UnsupportedModelError: It does not load or run, or takes the process down.
    """
    if find_spec("ai_edge_litert") is None:
        raise missing("ai_edge_litert")
    with tempfile.TemporaryDirectory(prefix="erai-tflite-") as directory:
        place = Path(directory)
        (place / "model.tflite").write_bytes(model)
        given: dict[str, Any] = {f"{at}/{name}": array for at, feed in enumerate(feeds) for name, array in feed.items()}
        np.savez(place / "feeds.npz", **given)
        # By its text, as the directory of a script would come first where Python looks for modules.
        program = Path(__file__).with_name("probe_child.py").read_text(encoding="utf-8")
        command = [sys.executable, "-c", program, directory, str(len(feeds))]
        try:
            child = subprocess.run(
                command, cwd=directory, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise refused("the written model", f"LiteRT did not answer within {_SECONDS} s") from error
        if child.returncode:
            raise refused("the written model", _failure(child))
        found = json.loads(child.stdout.splitlines()[-1])
        with np.load(place / "answers.npz") as stored:
            answers: tuple[dict[str, Array], ...] = tuple({} for _ in feeds)
            for key in stored.files:
                at, name = key.split("/", 1)
                answers[int(at)][name] = stored[key]
    return Probed(tuple(found["operators"]), found["delegated"], tuple(found["plain"]), answers)


def _failure(child: subprocess.CompletedProcess[str]) -> str:
    if child.returncode < 0:
        return f"LiteRT was ended by {signal.Signals(-child.returncode).name} when it loaded or ran it"
    lines = [line for line in child.stderr.splitlines() if line.strip()]
    return f"LiteRT refuses it: {lines[-1] if lines else 'no reason given'}"
