"""The conversion: read, profile, quantize, compare, choose, rehearse, write. Equal arguments give equal bytes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import edge_rai
from edge_rai.bundle import FORMAT_VERSION, Manifest, ModelFile, Provenance, check_replaceable, write_bundle
from edge_rai.errors import UnsupportedModelError
from edge_rai.policy import Policy, Reference, compile_policy, load_policy, policy_to_toml
from edge_rai_converters import card, data
from edge_rai_converters.compare import (
    Answers,
    Candidate,
    Choice,
    Mode,
    Quantization,
    choose,
    find_decision,
    measure_candidate,
)
from edge_rai_converters.data import Dataset
from edge_rai_converters.golden import golden
from edge_rai_converters.measure import Latency, latencies
from edge_rai_converters.passes.quantize import NotQuantizableError, quantize
from edge_rai_converters.profile import check_policy, learn_policy, learn_reference
from edge_rai_converters.rehearsal import FalseRejections, rehearse
from edge_rai_converters.runner import Runner, feeds, is_batched, rows_are_independent
from edge_rai_converters.sources import onnx as onnx_source
from edge_rai_converters.sources.onnx import SourceModel
from edge_rai_converters.version import VERSION

DEFAULT_MAX_DROP = 1.0
_TOOLS = ("numpy", "onnx", "onnxruntime")
_REQUIREMENTS = {"edge_rai": ">=0.1", "onnxruntime": ">=1.17"}

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion did and measured.

    Attributes:
        output: The bundle.
        name: Of the bundle.
        batched: The model answers row by row.
        rows_independent: A row's answer was bit-identical whatever its batch mates were.
        features: Number of features with rules.
        calibration_rows: Rows learned from.
        candidates: Float first; int8 when there is one.
        choice: What went into the bundle, and why.
        false_rejections: What the guard said of the held-back rows.
        latency: By quantization; differs from run to run and is not in the bundle.
    """

    output: Path
    name: str
    batched: bool
    rows_independent: bool
    features: int
    calibration_rows: int
    candidates: tuple[Candidate, ...]
    choice: Choice
    false_rejections: FalseRejections
    latency: Mapping[Quantization, Latency]


@dataclass(frozen=True, eq=False, slots=True)
class Learned:
    """A model with its data and what was learned from both."""

    source: SourceModel
    dataset: Dataset
    runner: Runner
    policy: Policy
    reference: Reference
    calibration: npt.NDArray[np.int64]
    held_back: npt.NDArray[np.int64]
    answers: Answers


@dataclass(frozen=True, eq=False, slots=True)
class _Forms:
    """The forms of a model by quantization, what was measured of them, and the choice."""

    models: Mapping[Quantization, bytes]
    runners: Mapping[Quantization, Runner]
    candidates: tuple[Candidate, ...]
    choice: Choice


def learn(
    model: str | Path,
    data_path: str | Path,
    *,
    labels: str | Path | None = None,
    policy: str | Path | None = None,
    progress: Progress = lambda _: None,
) -> Learned:
    """Reads a model and its data, and learns policy and reference from the rows that calibrate.

    Args:
        model: An ONNX file; it is only read.
        data_path: See ``data.load``.
        labels: See ``data.load``.
        policy: Rules to use instead of learned ones; the reference is learned all the same.
        progress: Told what happens next.

    Raises:
        BundleError: The model is not valid.
        UnsupportedModelError: It uses something that is not supported.
        PolicyError: The given policy is not valid or not for this model.
        ValueError: The data does not fit the model.
        OSError: A file cannot be read.
    """
    progress(f"reading {model}")
    source = onnx_source.read(model)
    runner = Runner(source.data, str(model))
    progress(f"reading {data_path}")
    dataset = data.load(data_path, source.inputs, labels)
    calibration, held_back = dataset.split()
    batched = is_batched(source, runner, dataset)
    written = None if policy is None else load_policy(policy)
    if written is not None:
        check_policy(written, source.inputs, source.outputs, batched=batched)
        batched = written.batched
    progress(f"running the float model on {len(held_back)} held-back rows")
    answers = runner.answers(dataset.rows, held_back, batched=batched)
    progress(f"learning limits and reference from {len(calibration)} rows")
    rows = {name: array[calibration] for name, array in dataset.rows.items()}
    rules = written or learn_policy(
        source.inputs,
        source.outputs,
        rows,
        batched=batched,
        feature_names=dataset.feature_names,
        unbounded_outputs=frozenset(name for name, array in answers.items() if not np.isfinite(array).all()),
    )
    return Learned(source, dataset, runner, rules, learn_reference(rules, rows), calibration, held_back, answers)


def convert(
    model: str | Path,
    data_path: str | Path,
    output: str | Path,
    *,
    labels: str | Path | None = None,
    policy: str | Path | None = None,
    mode: Mode = "auto",
    max_drop: float = DEFAULT_MAX_DROP,
    name: str | None = None,
    progress: Progress = lambda _: None,
) -> ConversionReport:
    """Makes a bundle.

    Args:
        model: An ONNX file; it is only read.
        data_path: Reference rows, see ``data.load``; every fourth is held back for comparison.
        output: ``NAME.erai`` for one file, anything else for a directory.
        labels: A key of the data or a file with the class of each row.
        policy: Rules to use instead of learned ones.
        mode: ``auto`` takes int8 when it is smaller and as good, ``int8`` insists, ``none`` keeps float.
        max_drop: Greatest loss of accuracy for int8, percentage points.
        name: Of the bundle; the output's when absent.
        progress: Told what happens next.

    Raises:
        AccuracyDropError: ``int8`` was insisted on and is not to be had within ``max_drop``.
        EdgeRaiError: As ``learn``.
        FileExistsError: The output exists and is not a bundle.
        ValueError: As ``learn``; or max_drop is not finite; or ``name`` has other characters than letters, digits,
            '.', '_' and '-'.
    """
    target = Path(output)
    check_replaceable(target)
    if not math.isfinite(max_drop):
        raise ValueError(f"max_drop is {max_drop}; expected a number of percentage points")
    name = _bundle_name(target, name)
    learned = learn(model, data_path, labels=labels, policy=policy, progress=progress)
    forms = _forms(learned, mode, max_drop, progress)
    # Batched means that: is_batched saw it of the float model, and an int8 form without it is refused. A call that is
    # one row as a whole promises nothing of the rows that its axis 0 may count all the same.
    independent = learned.policy.batched
    manifest, files = _contents(learned, forms, name, independent)
    progress("rehearsing: loading the bundle as a device does, and showing its guard the held-back rows")
    batched = learned.policy.batched
    most_rows = min(rule.max_shape[0] for rule in learned.policy.inputs) if batched else 1
    verdicts = rehearse(files, manifest, learned.dataset.rows, learned.held_back, batched=batched, most_rows=most_rows)
    files["evidence/comparison.json"] = _evidence(learned, forms, verdicts, max_drop)
    files["card.md"] = card.card(
        manifest, learned.policy, forms.candidates, forms.choice, verdicts.rejected, verdicts.rows
    )
    write_bundle(target, files, manifest)
    progress("measuring latency")
    one_call = next(feeds(learned.dataset.rows, learned.held_back[:1], batched=learned.policy.batched))
    return ConversionReport(
        output=target,
        name=name,
        batched=learned.policy.batched,
        rows_independent=independent,
        features=sum(len(rule.features) for rule in learned.policy.inputs),
        calibration_rows=len(learned.calibration),
        candidates=forms.candidates,
        choice=forms.choice,
        false_rejections=verdicts,
        latency=latencies(forms.runners, one_call),
    )


def _forms(learned: Learned, mode: Mode, max_drop: float, progress: Progress) -> _Forms:
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
            answers = runner.answers(learned.dataset.rows, learned.held_back, batched=learned.policy.batched)
            quantized = measure_candidate("static_int8_qdq", len(int8), answers, learned.answers, decision, labels)
            models["static_int8_qdq"], runners["static_int8_qdq"] = int8, runner
    candidates = (original,) if isinstance(quantized, str) else (original, quantized)
    return _Forms(models, runners, candidates, choose(mode, original, quantized, max_drop))


def _quantized(learned: Learned) -> tuple[bytes, Runner]:
    calibration = feeds(learned.dataset.rows, learned.calibration, batched=learned.policy.batched)
    int8 = quantize(learned.source.proto, calibration)
    try:
        runner = Runner(int8, "the int8 form")
    except UnsupportedModelError as error:
        raise NotQuantizableError(f"the quantizer wrote what does not load: {error}") from error
    if not rows_are_independent(runner, learned.dataset.rows, batched=learned.policy.batched):
        raise NotQuantizableError("a row's answer in int8 depends on the other rows of its batch")
    return int8, runner


def _contents(learned: Learned, forms: _Forms, name: str, independent: bool) -> tuple[Manifest, dict[str, bytes]]:
    quantization = forms.choice.quantization
    model = forms.models[quantization]
    path = f"models/{name}.onnx" if quantization == "none" else f"models/{name}.int8.onnx"
    vectors, files = golden(
        forms.runners[quantization], learned.policy, learned.dataset.rows, learned.held_back, quantization
    )
    files[path] = model
    files["policy.toml"] = policy_to_toml(learned.policy).encode()
    files["guard.bin"] = compile_policy(learned.policy, learned.reference)
    files["reference/reference.json"] = learned.reference.to_json()
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        models=(
            ModelFile(
                role="primary",
                path=path,
                format="onnx",
                quantization=quantization,
                rows_independent=independent,
                sha256=hashlib.sha256(model).hexdigest(),
                size=len(model),
            ),
        ),
        inputs=learned.source.inputs,
        outputs=learned.source.outputs,
        golden=vectors,
        provenance=Provenance(
            source_name=learned.source.path.name,
            source_sha256=learned.source.sha256,
            data_sha256=learned.dataset.sha256,
            tools={
                "edge-rai": edge_rai.__version__,
                "edge-rai-converters": VERSION,
                **{tool: version(tool) for tool in _TOOLS},
            },
        ),
        requirements=_REQUIREMENTS,
    )
    return manifest, files


def _evidence(learned: Learned, forms: _Forms, verdicts: FalseRejections, max_drop: float) -> bytes:
    evidence: dict[str, Any] = {
        "format_version": 1,
        "calibration_rows": len(learned.calibration),
        "held_back_rows": len(learned.held_back),
        "held_back_every": data.HELD_BACK_EVERY,
        "labels_sha256": learned.dataset.labels_sha256,
        "max_drop_points": max_drop,
        "candidates": [candidate.as_json() for candidate in forms.candidates],
        "chosen": asdict(forms.choice),
        "guard_on_held_back": asdict(verdicts),
    }
    return (json.dumps(evidence, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _bundle_name(output: Path, name: str | None) -> str:
    if name is None:
        return re.sub(r"[^A-Za-z0-9._-]", "-", output.name.removesuffix(".erai")).lstrip(".") or "model"
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError(f"name {name!r} must be letters, digits, '.', '_' and '-', and not begin with '.'")
    return name
