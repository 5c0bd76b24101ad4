"""Memory does not grow with the data, in any of the forms that are read part by part."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from support.children import run_python
from support.images import SIDE, save_array, save_folder, save_network

FEW, MANY = 80, 800
HELD = MANY * 3 * SIDE * SIDE * 4
# Learns from few rows, then from many, and reads each of these once more as a quantizer does. The peak is the
# kernel's of this process: what getrusage says of a child begins with its parent's.
LEARN = """
import sys
from edge_rai_converters.learning import learn
from edge_rai_converters.runner import feeds

def peak():
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

for data in sys.argv[2:]:
    before = peak()
    learned = learn(sys.argv[1], data)
    rows = sum(len(feed["image"]) for feed in feeds(learned.shown, learned.calibration, batched=True))
    assert rows == 3 * len(learned.dataset) // 4
print(peak() - before)
"""


def data_of(folder: Path, form: str, count: int) -> Path:
    if form == "folder":
        return save_folder(folder / f"images{count}", count, side=48)
    if form == "compressed":
        levels = np.arange(count).astype(np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
        np.savez_compressed(folder / f"rows{count}.npz", image=np.broadcast_to(levels, (count, 3, SIDE, SIDE)))
        return folder / f"rows{count}.npz"
    return save_array(folder / f"rows{count}.npy", count)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("form", ["float32", "compressed", "folder"])
def test_learning_from_ten_times_the_images_takes_no_more_memory(tmp_path: Path, form: str) -> None:
    network = save_network(tmp_path / "network.onnx")
    child = run_python(LEARN, network, data_of(tmp_path, form, FEW), data_of(tmp_path, form, MANY))
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) < HELD / 8, "held as the floats of the model they take HELD, as bytes a quarter of it"
