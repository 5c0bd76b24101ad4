"""Pruning that the held-back rows refuse is tried again with less of it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from edge_rai_converters import ConversionReport, convert
from edge_rai_converters.candidates import Candidate
from edge_rai_converters.choose import GENTLER
from edge_rai_converters.compare import Comparison
from edge_rai_converters.data import HELD_BACK_EVERY, drawn
from edge_rai_converters.gentler import PARTS, gentle_enough
from edge_rai_converters.passes.contract import Material, NotApplicableError, apply
from edge_rai_converters.passes.prune import prune
from edge_rai_converters.recipes import Recipe, built_in
from support.models import FLOAT, save

ORIGINAL = Candidate("float", "none", 1000, True, Comparison(0.95, 1.0, None, 0.0, 0.0, 0.0, 0.0), {})
DEFAULTS = {"max_drop": 1.0, "seed": 0, "keep": "auto"}


def recipe(**parameters: object) -> Recipe:
    (pruned,) = (entry for entry in built_in() if entry.name == "pruned")
    return replace(pruned, steps=(("lower", {}, True), ("prune", parameters, False)))


def accuracies(*found: float | None) -> tuple[Any, list[float]]:
    """A maker of forms with these accuracies, one after another, None: nothing is left; and what was asked for."""
    parts: list[float] = []
    left = list(found)

    def make(part: float) -> tuple[bytes, Candidate]:
        parts.append(part)
        accuracy = left.pop(0)
        if accuracy is None:
            raise NotApplicableError("nothing is left")
        return b"%d" % len(parts), replace(
            ORIGINAL, recipe="pruned", comparison=replace(ORIGINAL.comparison, accuracy=accuracy)
        )

    return make, parts


def test_first_gentler_form_that_is_good_enough_is_taken_and_the_note_says_why() -> None:
    make, parts = accuracies(0.90, 0.93, 0.945)
    made, entry = gentle_enough(make, ORIGINAL, recipe(), DEFAULTS)
    assert (made, parts) == (b"3", [1.0, *PARTS])
    assert entry.notes[GENTLER] == (
        "pruned takes 25% of the pruning that calibration rows allow; all of it loses 5.00 points of accuracy on the "
        "held-back rows, more than the 1 allowed"
    )


def test_form_that_is_good_enough_is_not_tried_again() -> None:
    make, parts = accuracies(0.94)
    assert gentle_enough(make, ORIGINAL, recipe(), DEFAULTS)[1].notes == {}
    assert parts == [1.0]


def test_when_all_are_refused_the_first_stays_and_says_what_was_tried() -> None:
    make, parts = accuracies(0.80, 0.85, 0.90)
    made, entry = gentle_enough(make, ORIGINAL, recipe(), DEFAULTS)
    assert (made, entry.comparison.accuracy, len(parts)) == (b"1", 0.80, 1 + len(PARTS))
    assert entry.notes[GENTLER].startswith("pruned with 50% of that pruning loses 10.00 points of accuracy")
    make, parts = accuracies(0.80, None)
    assert gentle_enough(make, ORIGINAL, recipe(), DEFAULTS)[1].notes == {}
    assert len(parts) == 2


@pytest.mark.parametrize("parameters", [{"keep": 0.5}, {"part": 0.7}])
def test_pruning_that_was_asked_for_in_numbers_is_not_changed(parameters: dict[str, object]) -> None:
    make, parts = accuracies(0.80)
    gentle_enough(make, ORIGINAL, recipe(**parameters), DEFAULTS)
    gentle_enough(accuracies(0.80)[0], ORIGINAL, recipe(), {**DEFAULTS, "keep": 0.5})
    assert parts == [1.0]


def test_part_of_the_pruning_takes_fewer_channels(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weights = {
        "first": generator.normal(size=(16, 64)).astype(np.float32),
        "second": generator.normal(size=(64, 64)).astype(np.float32) / 8,
        "last": generator.normal(size=(64, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "last"], ["y"]),
    ]
    model = onnx.load(save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["N", 16])], [("y", FLOAT, ["N", 2])], weights))
    rows = generator.normal(size=(400, 16)).astype(np.float32)
    material = Material(lambda: iter([{"x": rows}]), len(rows), batched=True)
    sizes = [
        len(apply([prune("auto", "redundancy", max_drop=10, part=part)], model, material).SerializeToString())
        for part in (1.0, *PARTS)
    ]
    assert sizes == sorted(set(sizes))
    with pytest.raises(NotApplicableError, match="0% of what can go is nothing"):
        apply([prune("auto", "redundancy", max_drop=10, part=0.001)], model, material)
    with pytest.raises(ValueError, match="part = 0: expected a share above 0, up to 1"):
        prune("auto", part=0)


def overfitted(seed: int, folder: Path) -> ConversionReport:
    """Of a perceptron that was trained on the very rows that calibrate."""
    digits = load_digits()
    chosen = np.random.default_rng(seed).permutation(len(digits.target))[:400]
    rows, labels = (digits.data[chosen] / 16).astype(np.float32), digits.target[chosen]
    seen = ~drawn(len(rows), HELD_BACK_EVERY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier((64,), max_iter=200, random_state=seed).fit(rows[seen], labels[seen])
    exported = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=18)
    return convert(exported, rows, folder / f"{seed}.erai", labels=labels, quantize="none", reproducible=True)


def test_model_that_was_trained_on_the_calibration_rows_is_pruned_less_instead_of_not_at_all(tmp_path: Path) -> None:
    """The wish for less comes true for some of these networks; which ones is up to the versions that train them."""
    noted = 0
    for seed in range(6):
        report = overfitted(seed, tmp_path)
        pruned = next(entry for entry in report.candidates if entry.recipe == "pruned")
        note = pruned.notes.get(GENTLER, "")
        if " of the pruning that calibration rows allow; all of it loses " in note:
            noted += 1
            assert report.choice.recipe == "pruned"
            assert report.candidates[0].comparison.accuracy - pruned.comparison.accuracy < 0.0101
    assert noted
