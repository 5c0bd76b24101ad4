"""Bundles: models, guard program, reference, evidence and card, each file under a digest (docs/formats/bundle.md)."""

from edge_rai.bundle.manifest import (
    FORMAT_VERSION,
    SMALLEST_ATOL,
    Golden,
    GoldenTensor,
    Manifest,
    ModelFile,
    Provenance,
    largest_finite,
    parse_manifest,
)
from edge_rai.bundle.read import Bundle, read
from edge_rai.bundle.write import SUFFIX, check_replaceable, stored_zip, write_bundle

__all__ = [
    "FORMAT_VERSION",
    "SMALLEST_ATOL",
    "SUFFIX",
    "Bundle",
    "Golden",
    "GoldenTensor",
    "Manifest",
    "ModelFile",
    "Provenance",
    "check_replaceable",
    "largest_finite",
    "parse_manifest",
    "read",
    "stored_zip",
    "write_bundle",
]
