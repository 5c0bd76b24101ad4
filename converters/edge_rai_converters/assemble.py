"""What goes into a bundle but its evidence and its card: models, golden vectors, guard, reference, manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import edge_rai
from edge_rai.bundle import FORMAT_VERSION, Format, Golden, Manifest, ModelFile, Provenance
from edge_rai.policy import compile_policy, policy_to_toml
from edge_rai_converters.candidates import Candidate, Forms
from edge_rai_converters.choose import Choice
from edge_rai_converters.fallback import Fallback
from edge_rai_converters.golden import golden
from edge_rai_converters.learning import Learned
from edge_rai_converters.recipes import FLOATS
from edge_rai_converters.version import VERSION

_TOOLS = ("numpy", "onnx", "onnxruntime")
_REQUIREMENTS_OF: Mapping[Format, Mapping[str, str]] = {
    "onnx": {"onnxruntime": ">=1.17"},
    "tflite": {"litert": ">=1.0"},
}


@dataclass(frozen=True, eq=False, slots=True)
class Assembled:
    """A bundle that lacks its evidence and its card.

    Attributes:
        manifest: Of the bundle.
        files: Content by path.
    """

    manifest: Manifest
    files: dict[str, bytes]


def assembled(
    learned: Learned, forms: Forms, choices: Mapping[Format, Choice], fallback: Fallback | None, name: str
) -> Assembled:
    """Puts together what was chosen, and answers the golden vectors in each model's own arithmetic.

    Args:
        learned: Model, data, policy.
        forms: The candidates.
        choices: Which of them by target, ONNX first.
        fallback: The fallback model.
        name: Of the bundle.

    Raises:
        PolicyError: No held-back row lies within the limits.
    """
    files: dict[str, bytes] = {}
    models, vectors = [], []
    for choice in choices.values():
        chosen = next(entry for entry in forms.candidates if entry.recipe == choice.recipe)
        own = _golden(learned, forms, chosen, files)
        vectors.append(own)
        model = _model_file(name, chosen, forms.models[chosen.recipe], files)
        models.append(model if own is vectors[0] else replace(model, golden=own))
    if fallback:
        models += _fallback_files(name, fallback, choices, files)
    files["policy.toml"] = policy_to_toml(learned.policy).encode()
    files["guard.bin"] = compile_policy(learned.policy, learned.reference)
    files["reference/reference.json"] = learned.reference.to_json()
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        models=tuple(models),
        inputs=learned.source.inputs,
        outputs=learned.source.outputs,
        golden=vectors[0],
        provenance=_provenance(learned, models),
        requirements=_requirements([model.format for model in models]),
    )
    return Assembled(manifest, files)


def _golden(learned: Learned, forms: Forms, chosen: Candidate, files: dict[str, bytes]) -> Golden:
    """Of a model; the rows are the same for all, so a second one adds files of answers only."""
    vectors, made = golden(
        forms.running(chosen.recipe),
        learned.policy,
        learned.shown,
        learned.held_back,
        chosen.quantization,
        "tflite_output" if files else "output",
    )
    files.update(made)
    return vectors


def _model_file(name: str, chosen: Candidate, model: bytes, files: dict[str, bytes]) -> ModelFile:
    recipe = chosen.recipe.removeprefix(f"{chosen.target}-")
    middle = "" if chosen.recipe in FLOATS.values() else f".{recipe}"
    path = f"models/{name}{middle}.{chosen.target}"
    files[path] = model
    digest = hashlib.sha256(model).hexdigest()
    return ModelFile(
        "primary",
        path,
        chosen.target,
        chosen.quantization,
        chosen.rows_independent,
        digest,
        len(model),
        chosen.recipe,
    )


def _fallback_files(
    name: str, fallback: Fallback, choices: Mapping[Format, Choice], files: dict[str, bytes]
) -> Iterator[ModelFile]:
    """The fallback model in the formats of the primary one; in ONNX too where it has no other."""
    forms: dict[Format, bytes] = {"tflite": fallback.tflite} if fallback.tflite else {}
    if "onnx" in choices or not forms:
        forms = {"onnx": fallback.data, **forms}
    for target, model in forms.items():
        path = f"models/{name}.fallback.{target}"
        files[path] = model
        independent = target == "tflite" or fallback.rows_independent
        digest = hashlib.sha256(model).hexdigest()
        yield ModelFile("fallback", path, target, "none", independent, digest, len(model), FLOATS[target])


def _provenance(learned: Learned, models: Sequence[ModelFile]) -> Provenance:
    tools = list(_TOOLS)
    written = [model for model in models if model.format == "tflite"]
    if written:
        tools.append("ai-edge-litert")
    if any(model.quantization != "none" for model in written):
        tools.append("ai-edge-quantizer")
    return Provenance(
        source_name=learned.source.path.name,
        source_sha256=learned.source.sha256,
        data_sha256=learned.dataset.sha256,
        preparation=dict(learned.dataset.preparation),
        tools={
            "edge-rai": edge_rai.__version__,
            "edge-rai-converters": VERSION,
            **{tool: version(tool) for tool in tools},
        },
    )


def _requirements(formats: list[Format]) -> dict[str, str]:
    found: dict[str, Any] = {"edge_rai": ">=0.1"}
    for target in formats:
        found |= _REQUIREMENTS_OF[target]
    return found
