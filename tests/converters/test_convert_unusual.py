"""Whole conversions of models unlike the others': no crash, no claim that does not hold, and refusals in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_rai import bundle
from edge_rai_converters import AccuracyDropError, ConversionReport, convert
from edge_rai_converters.data import HELD_BACK_EVERY, drawn
from support.unusual_networks import BUILDERS, ROWS, Unusual

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("build", BUILDERS)
def test_what_is_chosen_answers_the_held_back_rows_as_is_said(build: Callable[[], Unusual], tmp_path: Path) -> None:
    unusual = build()
    report = converted(unusual, tmp_path / "m", max_drop=1.0)
    same, apart = against_float(unusual, report)
    assert report.chosen.comparison.agreement in (None, pytest.approx(same))
    assert same >= 0.98
    assert report.chosen.comparison.quantity_difference == pytest.approx(apart, rel=1e-4)
    assert apart <= 0.05


@pytest.mark.parametrize("build", BUILDERS)
def test_int8_that_is_insisted_on_keeps_the_budget_or_is_refused_in_a_sentence(
    build: Callable[[], Unusual], tmp_path: Path
) -> None:
    unusual = build()
    report = made_or_refusal(unusual, tmp_path / "m", quantize="int8", prune="none", max_drop=1.0)
    if not isinstance(report, str):
        same, apart = against_float(unusual, report)
        assert same >= 0.98
        assert apart <= 0.05


@pytest.mark.parametrize("build", BUILDERS)
def test_half_of_the_channels_can_go_or_not_one(build: Callable[[], Unusual], tmp_path: Path) -> None:
    report = made_or_refusal(build(), tmp_path / "m", prune=0.5, quantize="none", max_drop=100)
    assert isinstance(report, str) or report.chosen.size < 0.9 * report.candidates[0].size


def converted(unusual: Unusual, output: Path, **wish: Any) -> ConversionReport:
    return convert(unusual.model, unusual.data, output, reproducible=True, **wish)


def made_or_refusal(unusual: Unusual, output: Path, **wish: Any) -> ConversionReport | str:
    """What came of it, or the sentence that says why nothing did."""
    try:
        return converted(unusual, output, **wish)
    except AccuracyDropError as error:
        said = str(error)
    assert " was asked for, but " in said
    assert "\n" not in said
    assert "ONNXRuntimeError" not in said
    assert not output.exists()
    return said


def against_float(unusual: Unusual, report: ConversionReport) -> tuple[float, float]:
    """Share of held-back rows of the float model's class, and the largest difference of quantities, of their range."""
    made = bundle.read(report.output)
    rows = np.flatnonzero(drawn(ROWS, HELD_BACK_EVERY))
    before = answers(unusual.model.SerializeToString(), unusual, rows)
    after = answers(made.files[made.manifest.primary.path], unusual, rows)
    same = 1.0
    if unusual.classes is not None:
        same = float(np.mean(before[unusual.classes].argmax(axis=1) == after[unusual.classes].argmax(axis=1)))
    apart = [np.abs(after[name] - before[name]) / np.ptp(before[name], axis=0) for name in unusual.quantities]
    return same, max((float(share.max()) for share in apart), default=0.0)


def answers(model: bytes, unusual: Unusual, rows: Array) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    one_a_call = session.get_inputs()[0].shape[0] == 1
    given = {name: values[rows] for name, values in unusual.data.items()}
    calls = (
        [{name: values[row] for name, values in given.items()} for row in range(len(rows))] if one_a_call else [given]
    )
    found = [session.run(names, call) for call in calls]
    return {
        name: np.concatenate(parts).astype(np.float64)
        for name, parts in zip(names, zip(*found, strict=True), strict=True)
    }
