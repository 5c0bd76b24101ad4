"""Answers to many rows take no more memory than answers to some, and are the same however often they are asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edge_rai import UnsupportedModelError
from edge_rai_converters.answered import Answered, answered
from edge_rai_converters.compare import find_decision
from edge_rai_converters.runner import Runner, feeds
from support.children import run_python
from support.images import save_levels, save_restorer
from support.models import FLOAT, save, save_linear

ROWS = np.random.default_rng(0).normal(size=(2000, 1, 3)).astype(np.float32)
INDEX = np.arange(3, 2000)
# The peak is the kernel's of this process: what getrusage says of a child begins with its parent's.
CONVERT = """
import sys
from edge_rai_converters import convert
convert(*sys.argv[1:4], prune="none", quantize="fp16", max_drop=100, reproducible=True)
print(1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def linear(tmp_path: Path) -> Runner:
    return Runner(save_linear(tmp_path / "m.onnx").read_bytes(), "model")


def test_answers_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    runner = linear(tmp_path)
    (expected,) = runner.call({"x": ROWS[INDEX, 0]}).values()
    found = answered(runner, {"x": ROWS}, INDEX, batched=True)
    np.testing.assert_allclose(found.all_of("y"), expected, rtol=1e-6)
    assert len(list(found.parts())) > 1
    decision = find_decision(found.outputs, None)
    assert decision is not None
    np.testing.assert_array_equal(found.decided(decision), expected.argmax(axis=1))
    assert found.outputs["y"].low == pytest.approx(expected.min(), rel=1e-6)


def test_a_call_that_is_one_row_gives_one_row(tmp_path: Path) -> None:
    found = answered(linear(tmp_path), {"x": ROWS[:, :, np.newaxis][:40, 0]}, np.arange(40), batched=False)
    assert found.all_of("y").shape == (40, 1, 2)
    assert found.outputs["y"].shape == (1, 2)


@pytest.mark.parametrize(("bytes_kept", "passes"), [(1 << 20, 1), (100, 3)])
def test_answers_are_asked_for_again_only_where_they_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_kept: int, passes: int
) -> None:
    monkeypatch.setattr("edge_rai_converters.answered._KEPT_BYTES", bytes_kept)
    begun = []

    def calls():
        begun.append(True)
        return feeds({"x": ROWS}, INDEX, batched=True)

    found = Answered(linear(tmp_path), calls, batched=True)
    first = found.all_of("y")
    assert found.outputs["y"].high == first.max()
    np.testing.assert_array_equal(found.all_of("y"), first)
    assert len(begun) == passes


def test_shape_that_follows_the_values_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["places"])]
    model = save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 3])], [("places", 7, [2, "found"])])
    rows = np.where(ROWS > 0, ROWS, 0)[:40]
    found = answered(Runner(model.read_bytes(), "m.onnx"), {"x": rows}, np.arange(40), batched=False)
    with pytest.raises(UnsupportedModelError, match="m.onnx: output 'places' changes its shape from row to row"):
        found.outputs  # noqa: B018  # looking is what runs the model


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_answers_that_are_images_are_compared_part_by_part(tmp_path: Path) -> None:
    model = save_restorer(tmp_path / "m.onnx")
    child = run_python(CONVERT, model, save_levels(tmp_path / "rows.npz", 700), tmp_path / "m.erai")
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) < 420 << 20, "the answers to the 175 held-back rows alone, twice as doubles, are 400 MiB"
