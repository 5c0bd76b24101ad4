"""The ML-BOM: CycloneDX 1.6 with the model's card, so that tools that take inventory read what the gate measured.

Components, digests and their relations are written by cyclonedx-python-lib; the model card is not in its model yet, and
is put into its JSON here, as the schema has it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edge_rai.bundle import ModelFile
from edge_rai_converters.documents.facts import Found, Json
from edge_rai_converters.gate.exact import lower_share, upper_share
from edge_rai_converters.gate.rules import split

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

# Metrics that are shares of the rows that they are counted over, so that their own limits are known too.
_SHARES = frozenset({"accuracy", "tpr", "fnr", "fpr", "tnr", "selection_rate", "flips", "negative_flips"})
_ROLES = {"primary": "the model", "fallback": "the fallback model"}
_SPACE = uuid.UUID("6f1f7b1e-6a5c-5d0c-9a55-2f6e8c1f7a10")  # of our own serial numbers, whatever else has one


def bom(found: Found) -> bytes:
    """bom.cdx.json; the same of the same evidence.

    Args:
        found: What the evidence says.

    Raises:
        ImportError: cyclonedx-python-lib is not installed, or older than 11.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    manifest, made = found.manifest, Bom()
    known = manifest.provenance
    root, *others = (
        _model(file.path, file.path, file.sha256, _described(file))
        for file in sorted(manifest.models, key=lambda file: file is not manifest.primary)
    )
    source = _model(known.source_name, "source", known.source_sha256, "the trained model")
    tools = [
        Component(name=tool, version=version, type=ComponentType.LIBRARY, bom_ref=f"tool/{tool}")
        for tool, version in sorted(known.tools.items())
    ]
    made.metadata.component = root
    for component in (source, *others, *tools):
        made.components.add(component)
    made.register_dependency(root, [source, *tools])
    return _finished(json.loads(JsonV1Dot6(made).output_as_string()), found)


def _model(name: str, reference: str, sha256: str, description: str) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        name=name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=reference,
        description=description,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )


def _described(file: ModelFile) -> str:
    return f"{_ROLES[file.role]}: {file.format}, {file.recipe or file.quantization}, {file.size} bytes"


def _finished(document: dict[str, Any], found: Found) -> bytes:
    """With the card, and without what differs from run to run."""
    digest = found.manifest.primary.sha256 + found.manifest.provenance.data_sha256
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_SPACE, digest)}"
    document["metadata"].pop("timestamp", None)
    document["metadata"]["component"]["modelCard"] = model_card(found)
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def model_card(found: Found) -> dict[str, Any]:
    """The modelCard of CycloneDX 1.6.

    Args:
        found: What the evidence says.
    """
    manifest = found.manifest
    sides = {
        side: [{"format": f"{spec.name}: {spec.dtype} {list(spec.shape)}"} for spec in getattr(manifest, side)]
        for side in ("inputs", "outputs")
    }
    parameters: dict[str, Any] = {"datasets": [_dataset(found)], **sides}
    if found.task:
        parameters["task"] = found.task
    return {
        "modelParameters": parameters,
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(found))},
        "considerations": _considerations(found),
    }


def _dataset(found: Found) -> dict[str, Any]:
    return {
        "type": "dataset",
        "name": "reference data",
        "description": "reference data: a part of them taught limits and candidates, and the rest measured them",
        "contents": {
            "properties": [
                {"name": "sha256", "value": found.manifest.provenance.data_sha256},
                {"name": "rows", "value": str(found.audit["rows"])},
                {"name": "held-back rows", "value": str(found.candidates["held_back_rows"])},
            ]
        },
    }


def _metrics(found: Found) -> Iterator[dict[str, Any]]:
    """Each metric of each slice with its limits where they are known, and how much worse than the original it is."""
    for report in found.gates.values():
        alpha = report["alpha"] / report["candidates"]
        for entry in report["measured"]:
            if entry["candidate"] is not None:
                yield _metric(entry["metric"], entry["slice"], entry["candidate"], _limits(entry, alpha))
        for cell in report["cells"]:
            if cell["loss"] is not None:
                ends = cell["loss_low"], cell["loss_high"]
                yield _metric(f"{cell['metric']}, worse than the original by", cell["slice"], cell["loss"], ends)
    if not found.gates:
        chosen = {model.recipe: model.path for model in found.manifest.of_role("primary")}
        for entry in found.candidates["candidates"]:
            if entry["recipe"] in chosen and entry["accuracy"] is not None:
                yield _metric("accuracy", "held-back rows", entry["accuracy"], (None, None))


def _limits(entry: Json, alpha: float) -> tuple[float | None, float | None]:
    """Clopper and Pearson's, two-sided."""
    rows = entry["rows"]
    if split(entry["metric"])[0] not in _SHARES or not rows:
        return None, None
    count = [round(entry["candidate"] * rows)]
    return float(lower_share(count, [rows], alpha / 2)[0]), float(upper_share(count, [rows], alpha / 2)[0])


def _metric(kind: str, name: str, value: float, ends: tuple[float | None, float | None]) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": kind, "slice": name, "value": repr(float(value))}
    limits = dict(zip(("lowerBound", "upperBound"), ends, strict=True))
    known: Mapping[str, str] = {key: repr(float(end)) for key, end in limits.items() if end is not None}
    return {**entry, "confidenceInterval": known} if known else entry


def _considerations(found: Found) -> dict[str, Any]:
    """What people said; without a questionnaire that nobody did."""
    if found.risk is None:
        return {"technicalLimitations": ["nobody said what the model is for"]}
    use = found.risk.use
    said: dict[str, list[Any]] = {
        "users": [use.users],
        "useCases": [use.purpose],
        "technicalLimitations": [*use.limits, *(f"not for: {entry}" for entry in use.not_for)],
        "ethicalConsiderations": [{"name": reason} for reason in found.risk.because],
    }
    if use.affected:
        said["fairnessAssessments"] = [{"groupAtRisk": use.affected}]
    return {key: entries for key, entries in said.items() if entries}
