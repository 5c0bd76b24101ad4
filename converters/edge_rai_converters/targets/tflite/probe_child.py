"""The child process of probe.py: loads a model in LiteRT, calls it, and tells what it ran.

Started as ``python -c TEXT DIRECTORY CALLS``; imports nothing of ours. Reads model.tflite and feeds.npz
there, writes answers.npz; prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

_DELEGATE = "DELEGATE"


def main() -> None:
    """Answers once."""
    place, calls = Path(sys.argv[1]), int(sys.argv[2])
    interpreter = Interpreter(model_path=str(place / "model.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()
    written = [node for node in nodes if node["op_name"] != _DELEGATE]
    delegates = [node for node in nodes if node["op_name"] == _DELEGATE]
    inside = _inside(written, delegates)
    runner = interpreter.get_signature_runner()
    answers: dict[str, Any] = {}
    with np.load(place / "feeds.npz") as feeds:
        for at in range(calls):
            feed = {key.split("/", 1)[1]: feeds[key] for key in feeds.files if key.startswith(f"{at}/")}
            answers |= {f"{at}/{name}": array for name, array in runner(**feed).items()}
    np.savez(place / "answers.npz", **answers)
    report = {
        "operators": [node["op_name"] for node in written],
        "delegated": len(delegates),
        "plain": [node["op_name"] for node in written if node["index"] not in inside],
    }
    sys.stdout.write("\n" + json.dumps(report) + "\n")


def _inside(written: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """The operators that delegates compute: what their outputs depend on, back to their inputs."""
    maker = {int(index): node for node in written for index in node["outputs"]}
    inside: set[int] = set()
    for delegate in delegates:
        given = {int(index) for index in delegate["inputs"]}
        left = [int(index) for index in delegate["outputs"]]
        while left:
            index = left.pop()
            node = maker.get(index)
            if node is not None and index not in given and node["index"] not in inside:
                inside.add(node["index"])
                left.extend(int(other) for other in node["inputs"])
    return inside


if __name__ == "__main__":
    main()
