"""``edge-rai inspect``: what a bundle holds."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_rai.bundle import Bundle
    from edge_rai.types import Feature, TensorSpec


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("inspect", help="Show what a bundle holds.", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle (NAME.erai or a directory), or an .onnx model")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads the bundle, which verifies its digests, and shows it; opens a bare model as a session would."""
    if arguments.bundle.endswith(".onnx"):
        return _inspect_model(arguments)
    from edge_rai import bundle

    found = bundle.read(arguments.bundle)
    guard = found.guard()
    if arguments.json:
        document = found.manifest.as_dict()
        document["guard"] = {"sha256": guard.digest, "batched": guard.batched, "features": _limits(guard.features)}
        document["sizes"] = {path: len(data) for path, data in found.files.items()}
        print(json.dumps(document, sort_keys=True, indent=1, allow_nan=False))
    else:
        _print_manifest(found)
        _print_tensors("inputs", guard.inputs)
        _print_tensors("outputs", guard.outputs)
        _print_features(guard.features)
        _print_files(found)
    return 0


def _inspect_model(arguments: argparse.Namespace) -> int:
    from edge_rai import load

    with load(arguments.bundle) as session:
        if arguments.json:
            document = {
                "inputs": [spec._asdict() for spec in session.inputs],
                "outputs": [spec._asdict() for spec in session.outputs],
                "guard": {"batched": session.batched, "features": _limits(session.features)},
            }
            print(json.dumps(document, sort_keys=True, indent=1, allow_nan=False))
        else:
            print(f"{arguments.bundle}: a bare model; its policy is data type, shape and finite values")
            _print_tensors("inputs", session.inputs)
            _print_tensors("outputs", session.outputs)
    return 0


def _limits(features: Sequence[Feature]) -> list[dict[str, Any]]:
    return [
        {
            "name": feature.name,
            "low": feature.low if math.isfinite(feature.low) else None,
            "high": feature.high if math.isfinite(feature.high) else None,
            "mean": feature.mean,
            "stddev": feature.stddev,
            "bins": len(feature.counts),
            "reference_rows": feature.reference_rows,
        }
        for feature in features
    ]


def _print_manifest(found: Bundle) -> None:
    manifest = found.manifest
    print(f"{found.path}: bundle '{manifest.name}', format {manifest.format_version}")
    for model in manifest.models:
        rows = "rows independent" if model.rows_independent else "rows depend on their batch"
        print(f"  {model.role:8} {model.path}: {model.quantization}, {model.size:,} bytes, {rows}")
    source = manifest.provenance
    print(f"  source   {source.source_name}, sha256 {source.source_sha256}")
    print(f"  data     sha256 {source.data_sha256}")
    print(f"  tools    {', '.join(f'{tool} {version}' for tool, version in sorted(source.tools.items()))}")
    print(f"  needs    {', '.join(f'{tool} {wanted}' for tool, wanted in sorted(manifest.requirements.items()))}")
    rows_shown = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in manifest.golden.inputs)
    print(f"  golden   {rows_shown}, within {manifest.golden.atol:g}")


def _print_tensors(title: str, specs: Sequence[TensorSpec]) -> None:
    for spec in specs:
        shape = ", ".join("any" if extent is None else str(extent) for extent in spec.shape)
        print(f"{title[:-1]:8} {spec.name}: {spec.dtype} ({shape})")


def _print_features(features: Sequence[Feature]) -> None:
    print(f"{'feature':36}{'low':>12}{'high':>12}{'mean':>12}{'bins':>6}")
    for feature in features:
        low, high = (f"{limit:.5g}" if math.isfinite(limit) else "none" for limit in (feature.low, feature.high))
        print(f"{feature.name:36}{low:>12}{high:>12}{feature.mean:>12.5g}{len(feature.counts):>6}")


def _print_files(found: Bundle) -> None:
    print(f"{'sha256':66}{'bytes':>12}  file")
    for path, digest in sorted(found.manifest.files.items()):
        print(f"{digest:66}{len(found.files[path]):>12,}  {path}")
