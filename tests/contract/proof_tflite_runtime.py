"""tflite-runtime, which is no longer kept, still runs where nothing else is installed: in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_rai import load
from support.litert_models import linear

SCRIPT = """
import json, sys
import numpy as np
from edge_rai import load
with load("model.tflite") as session:
    answer = session.predict(np.load("rows.npy"))
    (values,) = answer.outputs.values()
    print(json.dumps([values.tolist(), answer.row_verdicts.tolist(), session.runtime]))
print(sorted(name for name in ("ai_edge_litert", "tflite_runtime", "onnxruntime") if name in sys.modules))
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime 2.14 has wheels for Python up to 3.11")
def test_tflite_runtime_gives_the_verdicts_and_answers_of_litert(tmp_path: Path, wheels: Path) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "tflite-runtime==2.14.0", "numpy<2", "cffi"], check=True)
    (wheel,) = wheels.glob("edge_rai-*.whl")
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    (tmp_path / "model.tflite").write_bytes(linear())
    with load(tmp_path / "model.tflite") as session:
        width = session.inputs[0].shape[-1]
        rows = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
        rows[1, 0] = np.nan
        answer = session.predict(rows)
        (expected,) = answer.outputs.values()
    np.save(tmp_path / "rows.npy", rows)
    command = [str(home / "bin/python"), "-P", "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    first, loaded = done.stdout.splitlines()
    values, verdicts, runtime = json.loads(first)
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert verdicts == answer.row_verdicts.tolist() == [0, 2, 0]
    assert (runtime, loaded) == ("litert", "['tflite_runtime']")
