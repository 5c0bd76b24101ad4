"""The TFLite writer over all of ONNX's operator tests, and over the networks that devices run: tables and bars."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from edge_rai_converters.targets import tflite
from support.operator_cases import OPERATORS, collected, stored
from support.tflite_cases import outcomes, table, told
from support.tiny_networks import BARS, CONVOLUTIONAL, rows_for
from support.tiny_networks_more import MORE

pytestmark = pytest.mark.proof

# Of each kind of ONNX's tests, the share that must agree; the others are refused.
SHARES = {"node": 0.85, "pytorch-converted": 0.75, "pytorch-operator": 0.75}


@pytest.mark.parametrize("kind", SHARES)
def test_all_cases_of_onnx_agree_or_are_refused(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = outcomes(collected(OPERATORS) if kind == "node" else stored(kind), tmp_path)
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *told(found, "refused", "wrong", "crashed"), table(found)]))
    assert not told(found, "wrong", "crashed")
    assert len(told(found, "agrees")) >= SHARES[kind] * len(found)


def test_networks_convert_within_a_second_and_agree_to_1e_5(capsys: pytest.CaptureFixture[str]) -> None:
    lines, faults = [f"{'':26}{'ms':>8}{'bytes':>11}{'operators':>11}{'partitions':>12}{'difference':>12}"], []
    tflite.write(BARS["auto-encoder"](0))  # what is imported and compiled once
    for name, make in {**BARS, **MORE}.items():
        model = make(0)
        start = time.perf_counter()
        written = tflite.write(model)
        seconds = time.perf_counter() - start
        checked = tflite.verify(model, written, (rows_for(model, 1, seed) for seed in range(5)))
        worst = max(checked.differences.values())
        sizes = f"{len(written.model):11,}{len(written.operators):11}{checked.delegated:12}"
        lines.append(f"{name:26}{seconds * 1e3:8.1f}{sizes}{worst:12.1e} {' '.join(sorted(set(checked.plain)))}")
        if seconds > 1 or worst > 1e-5:
            faults.append(name)
        if name in CONVOLUTIONAL and (checked.delegated != 1 or checked.plain):
            faults.append(f"{name}: {checked.delegated} partitions, apart from {checked.plain}")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert not faults
