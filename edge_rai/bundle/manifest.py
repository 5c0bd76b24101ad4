"""The manifest: what a bundle holds and what each file's digest is (docs/formats/bundle.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from edge_rai.bundle.golden import Golden, check_golden
from edge_rai.errors import BundleError
from edge_rai.findings import explain
from edge_rai.types import TensorSpec

FORMAT_VERSION: Literal[1] = 1
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_MAX_PATH_BYTES, _MAX_DEPTH = 255, 8
_DIGEST = re.compile(r"[0-9a-f]{64}")

Format = Literal["onnx", "tflite"]
Role = Literal["primary", "fallback"]
Quantization = Literal[
    "none", "static_int8_qdq", "static_int8", "static_int16", "dynamic_int8", "float16", "int4_weights"
]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model of the bundle.

    Attributes:
        role: What it answers for: ``primary`` every row, ``fallback`` those that the policy's chain gives to ``model``.
        path: Within the bundle.
        format: Of the file.
        quantization: How its weights and activations are stored.
        rows_independent: A row's answer was bit-identical whatever its batch mates were.
        sha256: Of the file, hex.
        size: Of the file, bytes.
        recipe: By which the converter made it; empty when it is not known.
        golden: Its own golden vectors, of a primary model that answers otherwise than the manifest's say; None: they
            are its own too.
    """

    role: Role
    path: str
    format: Format
    quantization: Quantization
    rows_independent: bool
    sha256: str
    size: int
    recipe: str = ""
    golden: Golden | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the model and its statistics came from: file names, digests (hex), tool versions, and how rows were made.

    The last is what became of pixels and of classes in text before the model saw them.
    """

    source_name: str
    source_sha256: str
    data_sha256: str
    tools: dict[str, str]
    preparation: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of manifest.json; ``files`` has the digest of every other file and is filled by ``write_bundle``.

    ``promises`` are the files that whoever made the bundle says it has for people, such as its card: a bundle without
    one of them is not opened.
    """

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
    promises: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kinds = [(model.role, model.format) for model in self.models]
        if not any(role == "primary" for role, _ in kinds):
            raise ValueError("models must hold one of role 'primary'")
        twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
        if twice:
            raise ValueError(f"models hold more than one of role {twice[0]!r} and format {twice[1]!r}")
        for path in self.files:
            if not is_path(path):
                raise ValueError(f"files has {path!r}, which is not a path of letters, digits, '.', '_' and '-'")
        for digest in (*self.files.values(), *(model.sha256 for model in self.models)):
            if not _DIGEST.fullmatch(digest):
                raise ValueError(f"{digest!r} is not a sha256 of 64 lower-case hexadecimal digits")

    def of_role(self, role: Role) -> tuple[ModelFile, ...]:
        """The same model in each of its formats, in the order in which a session prefers them: ONNX first."""
        return tuple(sorted((model for model in self.models if model.role == role), key=lambda model: model.format))

    @property
    def primary(self) -> ModelFile:
        """The model that answers, in its preferred format."""
        return self.of_role("primary")[0]

    @property
    def fallback(self) -> ModelFile | None:
        """The model that answers where the primary must not; None when the bundle has none."""
        return next(iter(self.of_role("fallback")), None)

    def as_dict(self) -> dict[str, Any]:
        """What its JSON holds: plain dicts, lists, strings and numbers."""
        tensors = {key: [spec._asdict() for spec in getattr(self, key)] for key in ("inputs", "outputs")}
        described = {**asdict(self), **tensors}
        for model in described["models"]:
            if model["golden"] is None:
                del model["golden"]
        if not self.promises:
            del described["promises"]
        return described

    def to_json(self) -> bytes:
        """Sorted keys, ASCII, no time stamps: equal manifests give equal bytes."""
        return (json.dumps(self.as_dict(), sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")


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
        BundleError: A file that the manifest speaks of or promises is missing or of another size or digest; or
            ``golden.atol`` is so large that the golden vectors check nothing.
    """
    for model in manifest.models:
        if len(files.get(model.path, b"")) != model.size:
            raise BundleError(f"{model.path}: missing, or not the {model.size} bytes that manifest.json says")
        if manifest.files.get(model.path) != model.sha256:
            raise BundleError(f"{model.path}: manifest.json gives two digests for it")
    if "guard.bin" not in files:
        raise BundleError("guard.bin: missing from the bundle")
    for path in manifest.promises:
        if not files.get(path):
            raise BundleError(f"{path}: manifest.json promises this file, and it is missing or empty")
    for golden in (manifest.golden, *(model.golden for model in manifest.models)):
        if golden is not None:
            check_golden(golden, files)
