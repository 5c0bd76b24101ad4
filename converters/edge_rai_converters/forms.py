"""The forms that a model can take into a bundle: float, int8; measured on the held-back rows, and one chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.compare import Candidate, Choice, Mode, Quantization, choose, find_decision, measure_candidate
from edge_rai_converters.learning import Learned, Progress
from edge_rai_converters.passes.quantize import NotQuantizableError, quantize
from edge_rai_converters.runner import Runner, feeds, rows_are_independent


@dataclass(frozen=True, eq=False, slots=True)
class Forms:
    """The forms of a model by quantization, what was measured of them, and the choice."""

    models: Mapping[Quantization, bytes]
    runners: Mapping[Quantization, Runner]
    candidates: tuple[Candidate, ...]
    choice: Choice


def make_forms(learned: Learned, mode: Mode, max_drop: float, progress: Progress) -> Forms:
    """Quantizes unless ``mode`` says not to, and compares.

    Raises:
        AccuracyDropError: ``int8`` was insisted on and is not to be had within ``max_drop`` points.
        ValueError: There are labels, and the model answers no class.
    """
    labels = None if learned.dataset.labels is None else learned.dataset.labels[learned.held_back]
    decision = find_decision(learned.answers, labels)
    models: dict[Quantization, bytes] = {"none": learned.source.data}
    runners: dict[Quantization, Runner] = {"none": learned.runner}
    original = measure_candidate("none", len(learned.source.data), learned.answers, learned.answers, decision, labels)
    quantized: Candidate | str = "it was not asked for"
    if mode != "none":
        progress(f"quantizing to int8 with {len(learned.calibration)} rows")
        try:
            int8, runner = _quantized(learned)
        except NotQuantizableError as reason:
            quantized = str(reason)
        else:
            progress("comparing int8 with float")
            answers = runner.answers(learned.shown, learned.held_back, batched=learned.policy.batched)
            quantized = measure_candidate("static_int8_qdq", len(int8), answers, learned.answers, decision, labels)
            models["static_int8_qdq"], runners["static_int8_qdq"] = int8, runner
    candidates = (original,) if isinstance(quantized, str) else (original, quantized)
    return Forms(models, runners, candidates, choose(mode, original, quantized, max_drop))


def _quantized(learned: Learned) -> tuple[bytes, Runner]:
    if not learned.answers:
        raise NotQuantizableError("the model answers no numbers by which int8 could be compared with it")
    calibration = feeds(learned.shown, learned.calibration, batched=learned.policy.batched)
    int8 = quantize(learned.source.proto, calibration)
    try:
        runner = Runner(int8, "the int8 form")
    except UnsupportedModelError as error:
        raise NotQuantizableError(f"the quantizer wrote what does not load: {error}") from error
    if not rows_are_independent(runner, learned.shown, batched=learned.policy.batched):
        raise NotQuantizableError("a row's answer in int8 depends on the other rows of its batch")
    return int8, runner
