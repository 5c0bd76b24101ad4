"""The guard that both models stand behind: a bundle of each is opened as a device would open it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from edge_rai.bundle import FORMAT_VERSION, SUFFIX, Bundle, Format, Manifest, ModelFile, Provenance, write_bundle
from edge_rai.policy import InputRule, OutputRule, Policy, Reference, compile_policy, parse_policy, policy_to_toml
from edge_rai.policy.order import OF_ORDER, without
from edge_rai.session import Session, load
from edge_rai.types import TensorSpec
from edge_rai_converters.answered import Answered
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.robustness.sample import Sample
from edge_rai_converters.golden import golden
from edge_rai_converters.profile import MAX_ROWS
from edge_rai_converters.rehearsal import without_seasons

Whose = Literal["candidate", "original", "none"]


@dataclass(frozen=True, eq=False, slots=True)
class Guard:
    """Rules that both models stand behind.

    Attributes:
        whose: The model's whose bundle has them; ``none``: those of a bare model, data type, shape and finite.
        policy: As written, with its drift rule.
        reference: Of its features.
    """

    whose: Whose
    policy: Policy
    reference: Reference


@dataclass(frozen=True, eq=False, slots=True)
class Model:
    """What a bundle takes of a model.

    Attributes:
        content: Of its file.
        format: Of that.
        inputs: As manifests have them.
        outputs: Likewise.
        answered: Its answers to all rows; the runner asks for others.
        independent: A row's answer was bit-identical whatever its batch mates were.
    """

    content: bytes
    format: Format
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    answered: Answered
    independent: bool


def guard_of(bundles: Sequence[tuple[Whose, Bundle | None]], model: Model, sample: Sample) -> Guard:
    """The guard of the first of these that is a bundle with its rules, or that of a bare model.

    Args:
        bundles: By whose, in this order.
        model: What a bare model's rules are made from.
        sample: Its rows.

    Raises:
        DataError: The rules are of a model with recurrent states.
        PolicyError: A bundle's written policy cannot be read.
    """
    for whose, held in bundles:
        if held is not None and {"policy.toml", "reference/reference.json"} <= held.files.keys():
            policy = parse_policy(held.files["policy.toml"].decode())
            if policy.states:
                raise DataError(
                    f"{held.path}: carries recurrent states from call to call, and [robustness] tries rows one by one; "
                    "leave it out"
                )
            return Guard(whose, policy, Reference.from_json(held.files["reference/reference.json"]))
    return Guard("none", _bare(model, sample), Reference(()))


def _bare(model: Model, sample: Sample) -> Policy:
    batched = model.answered.batched
    answers = model.answered.outputs
    return Policy(
        format_version=1,
        batched=batched,
        inputs=tuple(
            InputRule(
                spec.name,
                spec.dtype,  # type: ignore[arg-type]  # sources give only the names that Dtype lists
                _written(spec.shape),
                _extents(spec, sample, batched),
            )
            for spec in model.inputs
        ),
        outputs=tuple(
            OutputRule(
                spec.name,
                spec.dtype,  # type: ignore[arg-type]
                _written(spec.shape),
                finite=spec.dtype.startswith("float") and spec.name in answers and answers[spec.name].finite,
            )
            for spec in model.outputs
        ),
    )


def _written(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(-1 if extent is None else extent for extent in shape)


def _extents(spec: TensorSpec, sample: Sample, batched: bool) -> tuple[int, ...]:
    came = sample.rows[spec.name].shape[1:]
    found = [there if extent is None else extent for extent, there in zip(spec.shape, came, strict=True)]
    return (MAX_ROWS, *found[1:]) if batched else tuple(found)


def opened(model: Model, guard: Guard, sample: Sample, folder: Path, *, watching: bool = False) -> Session:
    """A session of a model behind the guard.

    What answers a rejected row, and rules that need an order of rows or a clock, are left out: rows are tried here one
    by one, and what counts is whether the guard says something.

    Args:
        model: The model.
        guard: Its rules.
        sample: Rows, of which the first within the limits become golden vectors.
        folder: For the bundle, which may be gone once the session is closed.
        watching: For drift, where the policy does.

    Raises:
        EdgeRaiError: A device would not open it; or no row is within the limits.
    """
    rules, _ = without(without_seasons(guard.policy, guard.reference), OF_ORDER)
    rules = replace(rules, fallback=(), decision=None, drift=rules.drift if watching else None)
    vectors, files = golden(model.answered.runner, rules, sample.rows, np.arange(len(sample), dtype=np.int64), "none")
    digest = hashlib.sha256(model.content).hexdigest()
    name = f"model.{model.format}"
    files |= {
        name: model.content,
        "policy.toml": policy_to_toml(rules).encode(),
        "guard.bin": compile_policy(rules, guard.reference),
    }
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name="tried",
        models=(ModelFile("primary", name, model.format, "none", model.independent, digest, len(model.content)),),
        inputs=model.inputs,
        outputs=model.outputs,
        golden=vectors,
        provenance=Provenance(name, digest, digest, {}),
        requirements={},
    )
    path = Path(tempfile.mkdtemp(dir=folder), f"tried{SUFFIX}")
    write_bundle(path, files, manifest)
    return load(path)
