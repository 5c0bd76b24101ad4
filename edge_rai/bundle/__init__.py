"""Bundles: models, guard program, reference, evidence and card, each file under a digest (docs/formats/bundle.md)."""

from edge_rai.bundle.golden import (
    SMALLEST_ATOL,
    Golden,
    GoldenTensor,
    golden_array,
    golden_bytes,
    golden_dtype,
    largest_finite,
)
from edge_rai.bundle.manifest import (
    FORMAT_VERSION,
    Format,
    Manifest,
    ModelFile,
    Provenance,
    Quantization,
    parse_manifest,
)
from edge_rai.bundle.read import Bundle, read
from edge_rai.bundle.write import SUFFIX, check_replaceable, stored_zip, write_bundle

__all__ = [
    "FORMAT_VERSION",
    "SMALLEST_ATOL",
    "SUFFIX",
    "Bundle",
    "Format",
    "Golden",
    "GoldenTensor",
    "Manifest",
    "ModelFile",
    "Provenance",
    "Quantization",
    "check_replaceable",
    "golden_array",
    "golden_bytes",
    "golden_dtype",
    "largest_finite",
    "parse_manifest",
    "read",
    "stored_zip",
    "write_bundle",
]
