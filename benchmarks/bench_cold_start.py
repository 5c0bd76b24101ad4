"""From a fresh process to its first answer: import, load, one prediction; guarded and bare in turn.

Wall time as the parent sees it, up to the end of the child, and the child's peak resident memory (VmHWM).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from subjects import bundle, model_and_row

ROUNDS = 20
_PEAK = "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
_GUARDED = """
import numpy, edge_rai
row = numpy.load({row!r})
edge_rai.load({bundle!r}, threads=1).predict(row)
"""
_BARE = """
import numpy, onnxruntime
row = numpy.load({row!r})
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
onnxruntime.InferenceSession({model!r}, options, providers=["CPUExecutionProvider"]).run(None, {{"features": row}})
"""


@pytest.mark.parametrize("subject", ["MLP 64-32", "MLP 64-32 int8"])
def test_fresh_process_to_first_answer(subject, figures, capsys, tmp_path) -> None:
    model, values = model_and_row(subject, tmp_path)
    row = tmp_path / "row.npy"
    np.save(row, values)
    names = {"row": str(row), "bundle": str(bundle(subject)), "model": str(model)}
    codes = {"guarded": _GUARDED.format(**names) + _PEAK, "bare": _BARE.format(**names) + _PEAK}
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    kilobytes: dict[str, list[int]] = {name: [] for name in codes}
    for number in range(ROUNDS + 1):
        for name, code in codes.items():
            start = time.perf_counter()
            done = run(code, tmp_path)
            if number:  # the first round fills the page cache
                seconds[name].append(time.perf_counter() - start)
                kilobytes[name].append(int(done))
    ratios = np.percentile(np.array(seconds["guarded"]) / np.array(seconds["bare"]), (50, 10, 90))
    figures[f"fresh process to first answer, {subject}"] = {
        "seconds": {name: np.median(taken) for name, taken in seconds.items()},
        "peak_mb": {name: np.median(taken) / 1024 for name, taken in kilobytes.items()},
        "guarded_over_bare": dict(zip(("p50", "p10", "p90"), ratios, strict=True)),
    }
    with capsys.disabled():
        print(f"\n{subject}, fresh process to first answer".ljust(52) + "s  peak MB")
        for name in codes:
            print(f"  {name:47}{np.median(seconds[name]):6.3f}{np.median(kilobytes[name]) / 1024:9.1f}")
        print("  guarded / bare {:.2f} ({:.2f} to {:.2f})".format(*ratios))


def run(code: str, folder: Path) -> str:
    """What a fresh interpreter prints; away from the tree, so that the installed wheel is measured."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True).stdout
