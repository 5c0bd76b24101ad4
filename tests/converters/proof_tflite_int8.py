"""Int8 as TFLite against int8 as ONNX, both calibrated on the same rows: three networks, three seeds each.

A row whose greatest score several classes share counts by its chance, a half where the right one is among two: which of
them argmax names says how classes are numbered, and nothing of the model. Integers at the output tie in about one row
of a thousand. What argmax makes of them is held over all networks together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from onnx import helper

from edge_rai.bench.interleave import interleave
from edge_rai_converters.litert import LiteRTRunner
from edge_rai_converters.passes.contract import apply
from edge_rai_converters.passes.quantize import mixed_int8
from edge_rai_converters.runner import Runner, Running
from edge_rai_converters.targets.tflite import write
from edge_rai_converters.targets.tflite.quantize import (
    tflite_dynamic_int8,
    tflite_float16,
    tflite_int8,
    tflite_int16,
)
from support.calibrating import material, peak_of_calibration
from support.networks import Array, Digits, digits_cnn, digits_mlp, digits_separable

pytestmark = pytest.mark.proof

CALIBRATION_ROWS = 400
MOST_POINTS = 0.5
MOST_POINTS_TOGETHER = 0.1
IMAGES = 10_000
NETWORKS = (digits_cnn, digits_mlp, digits_separable)
SEEDS = (0, 1, 2)
INT8 = {"int8": tflite_int8(max_drop=1.0), "int8, edges too": tflite_int8(max_drop=1.0, edges="int8")}
OTHERS = {"dynamic int8": tflite_dynamic_int8(), "float16": tflite_float16(), "int16": tflite_int16()}

Train = Callable[[int], Digits]


class Found(NamedTuple):
    """Percent of the test rows that are right: by chance in a tie, and as argmax has it; and how many rows tie."""

    points: float
    argmax: float
    ties: int


class Compared(NamedTuple):
    """Forms of one network by name, and how right each is."""

    runners: dict[str, Running]
    sizes: dict[str, int]
    found: dict[str, Found]


@pytest.mark.parametrize("train", NETWORKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_int8_is_as_good_in_tflite_as_in_onnx(train: Train, seed: int) -> None:
    digits = train(seed)
    compared = int8_of(train, seed, softmax=False)
    written = write(digits.model).model
    rows = material(digits.x_train[:CALIBRATION_ROWS])
    models = {name: apply([step], written, rows) for name, step in OTHERS.items()}
    runners: dict[str, Running] = {name: LiteRTRunner(model, name) for name, model in models.items()}
    runners = {**compared.runners, **runners}
    sizes = compared.sizes | {name: len(model) for name, model in models.items()}
    found = compared.found | {name: rightness(runners[name], digits) for name in OTHERS}
    sys.stdout.write(table(f"{train.__name__} {seed}", Compared(runners, sizes, found), digits))
    for name in (*INT8, *OTHERS):
        assert found[name].points >= found["float, ONNX"].points - MOST_POINTS, name
    for name in INT8:
        assert found[name].points >= found["int8, ONNX"].points - MOST_POINTS, name


@pytest.mark.parametrize(("seed", "softmax"), [(3, False), (4, False), (5, False), *((seed, True) for seed in SEEDS)])
@pytest.mark.parametrize("train", NETWORKS)
def test_other_seeds_and_networks_that_end_in_softmax_are_as_good(train: Train, seed: int, softmax: bool) -> None:
    found = int8_of(train, seed, softmax).found
    for name in INT8:
        assert found[name].points >= found["int8, ONNX"].points - MOST_POINTS, name


def test_over_all_networks_together_argmax_loses_nothing_either() -> None:
    cases = [(train, seed, False) for train in NETWORKS for seed in range(6)]
    cases += [(train, seed, True) for train in NETWORKS for seed in SEEDS]
    all_found = [int8_of(*case).found for case in cases]
    for name in ("float, ONNX", "int8, ONNX", *INT8):
        ties = sum(found[name].ties for found in all_found)
        sys.stdout.write(f"{len(cases)} networks, {name}: {together(all_found, name):.3f} %, {ties} ties\n")
    for name in INT8:
        assert together(all_found, name) >= together(all_found, "int8, ONNX") - MOST_POINTS_TOGETHER, name


def test_answers_of_integers_lose_least_between_the_extremes_of_the_calibration_rows() -> None:
    """The answers alone are rounded, into three ranges: what is lost to the edge, and to nothing else of int8.

    Least squares choose among shares of the extremes; from the least second-best score upwards no class is decided by
    what is cut off.
    """
    ways = {
        "extremes": lambda seen: (seen.min(), seen.max()),
        "least squares": least_squares,
        "from second-best scores": lambda seen: (np.sort(seen, axis=1)[:, -2].min(), seen.max()),
    }
    lost = dict.fromkeys(ways, (0, 0, 0.0))
    cases = [train(seed) for train in NETWORKS for seed in range(6)]
    for digits in cases:
        runner = Runner(digits.model.SerializeToString(), "float")
        seen, scores = (
            runner.call({"x": rows})["scores"] for rows in (digits.x_train[:CALIBRATION_ROWS], digits.x_test)
        )
        for name, way in ways.items():
            stored = rounded(scores, *way(seen))
            ties = int(((stored == stored.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
            moved = int((stored.argmax(axis=1) != scores.argmax(axis=1)).sum())
            error = float(np.sqrt(((stored - scores) ** 2).mean()) / scores.std()) / len(cases)
            lost[name] = (lost[name][0] + ties, lost[name][1] + moved, lost[name][2] + error)
    count = sum(len(digits.y_test) for digits in cases)
    for name, (ties, moved, error) in lost.items():
        sys.stdout.write(f"{count:,} rows, {name}: {ties} ties, {moved} other classes, {error:.4f} of the deviation\n")
    assert lost["extremes"][1] <= 0.001 * count
    assert lost["extremes"][2] <= 1.05 * lost["least squares"][2]
    assert lost["extremes"][2] <= 0.1 * lost["from second-best scores"][2]


def test_calibration_with_many_images_stays_under_a_gibibyte() -> None:
    most = peak_of_calibration(IMAGES, "tflite")
    sys.stdout.write(f"{IMAGES:,} images of 224x224: {most} MiB resident at most\n")
    assert most < 1024


@cache
def int8_of(train: Train, seed: int, softmax: bool) -> Compared:
    """The network in float and int8, as ONNX and as TFLite, calibrated with the same rows."""
    digits = with_softmax(train(seed)) if softmax else train(seed)
    rows = digits.x_train[:CALIBRATION_ROWS]
    written = write(digits.model).model
    onnx_models = {
        "float, ONNX": digits.model.SerializeToString(),
        "int8, ONNX": apply([mixed_int8(max_drop=1.0)], digits.model, material(rows)).SerializeToString(),
    }
    models = {"float": written, **{name: apply([step], written, material(rows)) for name, step in INT8.items()}}
    runners: dict[str, Running] = {name: Runner(model, name) for name, model in onnx_models.items()}
    runners |= {name: LiteRTRunner(model, name) for name, model in models.items()}
    sizes = {name: len(model) for name, model in (onnx_models | models).items()}
    return Compared(runners, sizes, {name: rightness(runner, digits) for name, runner in runners.items()})


def least_squares(seen: Array) -> tuple[float, float]:
    shares = np.linspace(0.5, 1, 26)
    ranges = [(low * seen.min(), high * seen.max()) for low in shares for high in shares]
    return min(ranges, key=lambda ends: float(((rounded(seen, *ends) - seen) ** 2).mean()))


def rounded(scores: Array, low: float, high: float) -> Array:
    """As int8 holds them, which has a zero in any range."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    scale = (high - low) / 255
    zero = np.round(-128 - low / scale)
    return (np.clip(np.round(scores / scale) + zero, -128, 127) - zero) * scale


def with_softmax(digits: Digits) -> Digits:
    graph = digits.model.graph
    last = next(node for node in graph.node if "scores" in node.output)
    last.output[0] = "logits"
    graph.node.append(helper.make_node("Softmax", ["logits"], ["scores"], "softmax", axis=1))
    return digits


def rightness(runner: Running, digits: Digits) -> Found:
    scores = runner.call({"x": digits.x_test})["scores"]
    greatest = scores == scores.max(axis=1, keepdims=True)
    chance = greatest[np.arange(len(scores)), digits.y_test] / greatest.sum(axis=1)
    right = scores.argmax(axis=1) == digits.y_test
    return Found(100 * float(chance.mean()), 100 * float(right.mean()), int((greatest.sum(axis=1) > 1).sum()))


def together(all_found: list[dict[str, Found]], name: str) -> float:
    return float(np.mean([found[name].argmax for found in all_found]))


def table(title: str, compared: Compared, digits: Digits) -> str:
    feed = {"x": digits.x_test[:1]}
    calls = {name: runner.bare(feed) for name, runner in compared.runners.items()}
    timings = interleave({name: lambda _, call=call: call() for name, call in calls.items()}, rounds=30, block=10)
    expected = compared.runners["float, ONNX"].call({"x": digits.x_test})["scores"]
    lines = [f"{title}: bytes, accuracy, as argmax has it, ties, largest difference from float, us a call of one row"]
    for name, runner in compared.runners.items():
        apart = np.abs(runner.call({"x": digits.x_test})["scores"] - expected).max()
        taken = timings[name].percentile_ns(50) / 1e3
        points, argmax, ties = compared.found[name]
        size = compared.sizes[name]
        lines.append(f"{name:18}{size:9,}{points:8.2f}{argmax:8.2f}{ties:4}{apart:10.3g}{taken:8.1f}")
    return "\n".join(lines) + "\n"
