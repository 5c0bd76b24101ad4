"""The manifest: what a bundle holds and what each file's digest is (docs/formats/bundle.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite, prod
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from edge_rai.errors import BundleError
from edge_rai.findings import explain
from edge_rai.types import TensorSpec

FORMAT_VERSION: Literal[1] = 1
# The least that atol may be at most, for models whose golden answers are all near zero.
SMALLEST_ATOL = 1e-6

_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_MAX_PATH_BYTES, _MAX_DEPTH = 255, 8
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DTYPES = frozenset(
    ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model of the bundle.

    Attributes:
        role: What it answers for.
        path: Within the bundle.
        format: Of the file.
        quantization: How its weights and activations are stored.
        rows_independent: A row's answer was bit-identical whatever its batch mates were.
        sha256: Of the file, hex.
        size: Of the file, bytes.
    """

    role: Literal["primary"]
    path: str
    format: Literal["onnx"]
    quantization: Literal["none", "static_int8_qdq"]
    rows_independent: bool
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class GoldenTensor:
    """A tensor in a raw file of the bundle: little-endian, C order."""

    name: str
    path: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs with the outputs that the converter saw; replayed at load within ``atol``, absolute.

    ``atol`` is at most the largest finite magnitude among the outputs, or SMALLEST_ATOL if that is more: beyond it an
    answer of nothing but zeros would pass.
    """

    atol: float
    inputs: tuple[GoldenTensor, ...]
    outputs: tuple[GoldenTensor, ...]

    def __post_init__(self) -> None:
        if not (isfinite(self.atol) and self.atol >= 0):
            raise ValueError(f"atol is {self.atol}; it must be a finite number of 0 or more")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the model and its statistics came from: file names, digests (hex) and tool versions."""

    source_name: str
    source_sha256: str
    data_sha256: str
    tools: dict[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of manifest.json; ``files`` has the digest of every other file and is filled by ``write_bundle``."""

    # Keys of a later minor writer are skipped, as the native reader skips them.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore", strict=True)

    format_version: Literal[1]
    name: str
    models: tuple[ModelFile, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: Golden
    provenance: Provenance
    requirements: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if [model.role for model in self.models] != ["primary"]:
            raise ValueError("models must hold exactly one of role 'primary'")
        for path in self.files:
            if not is_path(path):
                raise ValueError(f"files has {path!r}, which is not a path of letters, digits, '.', '_' and '-'")
        for tensor in (*self.golden.inputs, *self.golden.outputs):
            if tensor.dtype not in _DTYPES:
                raise ValueError(f"golden tensor {tensor.name!r} has the unknown dtype {tensor.dtype!r}")
            if any(extent < 1 for extent in tensor.shape):
                raise ValueError(f"golden tensor {tensor.name!r} has shape {list(tensor.shape)}; extents are 1 or more")
        for digest in (*self.files.values(), *(model.sha256 for model in self.models)):
            if not _DIGEST.fullmatch(digest):
                raise ValueError(f"{digest!r} is not a sha256 of 64 lower-case hexadecimal digits")

    @property
    def primary(self) -> ModelFile:
        """The model that answers."""
        return self.models[0]

    def to_json(self) -> bytes:
        """Sorted keys, ASCII, no time stamps: equal manifests give equal bytes."""
        return (json.dumps(asdict(self), sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def is_path(path: str) -> bool:
    """Whether a bundle may hold a file of this name."""
    return len(path) <= _MAX_PATH_BYTES and path.count("/") < _MAX_DEPTH and _PATH.fullmatch(path) is not None


def parse_manifest(text: bytes, where: str = "manifest.json") -> Manifest:
    """Checks the text of a manifest.

    Raises:
        BundleError: It is not a manifest, or one of a newer format; names ``where`` and the field.
    """
    try:
        return TypeAdapter(Manifest).validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{where}: {explain(error)}") from error


def check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Holds what the manifest says of models and golden vectors against the files.

    Args:
        manifest: Of the bundle.
        files: Content by path.

    Raises:
        BundleError: A file that the manifest speaks of is missing or of another size or digest; or ``golden.atol`` is
            so large that the golden vectors check nothing.
    """
    for model in manifest.models:
        if len(files.get(model.path, b"")) != model.size:
            raise BundleError(f"{model.path}: missing, or not the {model.size} bytes that manifest.json says")
        if manifest.files.get(model.path) != model.sha256:
            raise BundleError(f"{model.path}: manifest.json gives two digests for it")
    for tensor in (*manifest.golden.inputs, *manifest.golden.outputs):
        expected = prod(tensor.shape) * np.dtype(tensor.dtype).itemsize
        if len(files.get(tensor.path, b"")) != expected:
            raise BundleError(f"{tensor.path}: missing, or not the {expected} bytes of its dtype and shape")
    if "guard.bin" not in files:
        raise BundleError("guard.bin: missing from the bundle")
    _check_atol(manifest.golden, files)


def largest_finite(arrays: Iterable[npt.NDArray[Any]]) -> float:
    """The largest magnitude of all finite elements; 0 when there is none."""
    magnitudes = (np.abs(array[np.isfinite(array)].astype(np.float64)) for array in arrays)
    return max((float(found.max(initial=0.0)) for found in magnitudes), default=0.0)


def _check_atol(golden: Golden, files: Mapping[str, bytes]) -> None:
    outputs = (np.frombuffer(files[tensor.path], np.dtype(tensor.dtype).newbyteorder("<")) for tensor in golden.outputs)
    most = max(SMALLEST_ATOL, largest_finite(outputs))
    if golden.atol > most:
        raise BundleError(
            f"manifest.json: golden.atol is {golden.atol:g}; at most {most:g}, the largest golden output, can tell a "
            "right answer from zeros"
        )
