"""The conversion: read, profile, quantize, compare, choose, rehearse, write. Equal arguments give equal bytes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import edge_rai
from edge_rai.bundle import FORMAT_VERSION, Manifest, ModelFile, Provenance, check_replaceable, write_bundle
from edge_rai.policy import compile_policy, policy_to_toml
from edge_rai_converters import card, data
from edge_rai_converters.compare import Candidate, Choice, Mode, Quantization
from edge_rai_converters.distance import Asked, DistanceReport
from edge_rai_converters.fallback import Fallback, read_fallback
from edge_rai_converters.forms import Forms, make_forms
from edge_rai_converters.golden import golden
from edge_rai_converters.learning import Learned, Progress, Wishes, learn
from edge_rai_converters.measure import Latency, latencies
from edge_rai_converters.rehearsal import FalseRejections, rehearse
from edge_rai_converters.runner import feeds
from edge_rai_converters.version import VERSION

DEFAULT_MAX_DROP = 1.0
_TOOLS = ("numpy", "onnx", "onnxruntime")
_REQUIREMENTS = {"edge_rai": ">=0.1", "onnxruntime": ">=1.17"}


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
        distances: What is behind each input's distance.
        without_distance: By input, why it has none.
        fallback: The fallback model on the held-back rows.
        unrecorded: Outputs that are no tensors of numbers: they are not compared and have no golden vectors.
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
    distances: tuple[DistanceReport, ...]
    without_distance: Mapping[str, str]
    fallback: Candidate | None
    unrecorded: tuple[str, ...]
    latency: Mapping[Quantization, Latency]


def convert(
    model: str | Path,
    data_path: str | Path,
    output: str | Path,
    *,
    labels: str | Path | None = None,
    policy: str | Path | None = None,
    states: Sequence[str] = (),
    distance: Asked | None = None,
    false_rejection_rate: float | None = None,
    fallback_model: str | Path | None = None,
    mode: Mode = "auto",
    max_drop: float = DEFAULT_MAX_DROP,
    name: str | None = None,
    progress: Progress = lambda _: None,
) -> ConversionReport:
    """Makes a bundle.

    Args:
        model: An ONNX file; it is only read.
        data_path: Reference rows, see ``data.load``; one of every four is held back for comparison.
        output: ``NAME.erai`` for one file, anything else for a directory.
        labels: A key of the data or a file with the class of each row.
        policy: Rules to use instead of learned ones.
        states: Recurrent states, "INPUT=OUTPUT" each; a policy has its own.
        distance: Which distance to learn; None: "auto", or what the policy says.
        false_rejection_rate: Of the distance; None: 0.01, or what the policy says.
        fallback_model: An ONNX file: a simpler model of the same inputs and outputs that answers rejected rows.
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
    wishes = Wishes(labels, policy, tuple(states), distance, false_rejection_rate, fallback_model)
    learned = learn(model, data_path, wishes, progress)
    forms = make_forms(learned, mode, max_drop, progress)
    fallback = None if fallback_model is None else read_fallback(fallback_model, learned)
    made = _made(learned, forms, fallback, name)
    progress("rehearsing: loading the bundle as a device does, and showing its guard the held-back rows")
    verdicts = rehearse(made.files, made.manifest, learned.policy, learned.dataset.rows, learned.held_back)
    made.files["evidence/comparison.json"] = _evidence(learned, forms, fallback, verdicts, max_drop)
    made.files["card.md"] = card.card(made.manifest, learned, forms, fallback, verdicts)
    write_bundle(target, made.files, made.manifest)
    progress("measuring latency")
    return _report(target, learned, forms, fallback, made.manifest, verdicts)


def _report(
    target: Path,
    learned: Learned,
    forms: Forms,
    fallback: Fallback | None,
    manifest: Manifest,
    verdicts: FalseRejections,
) -> ConversionReport:
    one_call = next(feeds(learned.shown, learned.held_back[:1], batched=learned.policy.batched))
    return ConversionReport(
        output=target,
        name=manifest.name,
        batched=learned.policy.batched,
        rows_independent=manifest.primary.rows_independent,
        features=sum(len(rule.features) for rule in learned.policy.inputs),
        calibration_rows=len(learned.calibration),
        candidates=forms.candidates,
        choice=forms.choice,
        false_rejections=verdicts,
        distances=learned.distances,
        without_distance=learned.without_distance,
        fallback=fallback.measured if fallback else None,
        unrecorded=learned.unrecorded,
        latency=latencies(forms.runners, one_call),
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Made:
    manifest: Manifest
    files: dict[str, bytes]


def _made(learned: Learned, forms: Forms, fallback: Fallback | None, name: str) -> _Made:
    quantization = forms.choice.quantization
    vectors, files = golden(
        forms.runners[quantization], learned.policy, learned.shown, learned.held_back, quantization
    )  # fmt: skip
    path = f"models/{name}.onnx" if quantization == "none" else f"models/{name}.int8.onnx"
    # Batched means that rows are independent: is_batched saw it of the float model, and an int8 form without it is
    # refused. A call that is one row as a whole promises nothing of the rows that its axis 0 may count all the same.
    models = [_model_file("primary", path, forms.models[quantization], quantization, learned.policy.batched)]
    files[path] = forms.models[quantization]
    if fallback:
        path = f"models/{name}.fallback.onnx"
        models.append(_model_file("fallback", path, fallback.data, "none", fallback.rows_independent))
        files[path] = fallback.data
    files["policy.toml"] = policy_to_toml(learned.policy).encode()
    files["guard.bin"] = compile_policy(learned.policy, learned.reference)
    files["reference/reference.json"] = learned.reference.to_json()
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        models=tuple(models),
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
    return _Made(manifest, files)


def _model_file(
    role: Literal["primary", "fallback"], path: str, model: bytes, quantization: Quantization, independent: bool
) -> ModelFile:
    digest = hashlib.sha256(model).hexdigest()
    return ModelFile(role, path, "onnx", quantization, independent, digest, len(model))


def _evidence(
    learned: Learned, forms: Forms, fallback: Fallback | None, verdicts: FalseRejections, max_drop: float
) -> bytes:
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
        "distances": [asdict(entry) for entry in learned.distances],
        "without_distance": dict(learned.without_distance),
        "unrecorded_outputs": learned.unrecorded,
    }
    if fallback:
        evidence["fallback"] = {"source_name": fallback.source_name, **fallback.measured.as_json()}
    return (json.dumps(evidence, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _bundle_name(output: Path, name: str | None) -> str:
    if name is None:
        return re.sub(r"[^A-Za-z0-9._-]", "-", output.name.removesuffix(".erai")).lstrip(".") or "model"
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError(f"name {name!r} must be letters, digits, '.', '_' and '-', and not begin with '.'")
    return name
