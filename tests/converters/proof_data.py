"""The whole conversion of 10,000 images of 224x224: minutes and gigabytes of disk, so not among the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.images import SIDE, save_array, save_folder, save_levels, save_network, save_restorer

pytestmark = pytest.mark.proof

IMAGES = 10_000
CONVERT = """
import sys, time
from edge_rai_converters import convert

began = time.perf_counter()
convert(*sys.argv[1:4], **({"prune": "none", "quantize": sys.argv[4], "max_drop": 100} if sys.argv[4:] else {}))
taken = time.perf_counter() - began
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")), taken)
"""


@pytest.mark.parametrize("form", ["uint8", "float32", "folder"])
def test_conversion_of_ten_thousand_images_stays_under_a_gibibyte(tmp_path: Path, form: str) -> None:
    if shutil.disk_usage(tmp_path).free < 3 * IMAGES * 3 * SIDE * SIDE * 4:
        pytest.skip("needs 18 GB of disk")
    if form == "folder":
        data = save_folder(tmp_path / "images", IMAGES, side=256)
    else:
        data = save_array(tmp_path / "rows.npy", IMAGES, np.uint8 if form == "uint8" else np.float32)
    network = save_network(tmp_path / "network.onnx")
    child = subprocess.run(
        [sys.executable, "-c", CONVERT, network, data, tmp_path / "out.erai"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    shutil.rmtree(data) if data.is_dir() else data.unlink()  # pytest would keep it
    assert child.returncode == 0, child.stderr
    assert most_resident(form, child.stdout) < 1 << 30


def test_conversion_of_a_model_that_answers_with_images_stays_under_a_gibibyte(tmp_path: Path) -> None:
    network, data = save_restorer(tmp_path / "network.onnx"), save_levels(tmp_path / "rows.npz", 2000)
    child = subprocess.run(
        [sys.executable, "-c", CONVERT, network, data, tmp_path / "out.erai", "fp16"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert child.returncode == 0, child.stderr
    assert most_resident("images for answers", child.stdout) < 1 << 30


def most_resident(form: str, said: str) -> float:
    """Bytes."""
    most_kib, seconds = map(float, said.split())
    sys.stdout.write(f"{form}: {most_kib / 1024:.0f} MiB resident at most, {seconds:.0f} s\n")
    return 1024 * most_kib
