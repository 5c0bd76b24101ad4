"""Reading a bundle for people and tools. Digests and container are verified by the native library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_rai import _native
from edge_rai.bundle.manifest import Manifest, check_files, parse_manifest


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory; immutable.

    Attributes:
        path: Where it was read from.
        manifest: What it says of itself.
        files: Content by path, manifest.json and manifest.sha256 included.
    """

    path: Path
    manifest: Manifest
    files: Mapping[str, bytes]

    def guard(self) -> _native.GuardProgram:
        """The compiled rules.

        Raises:
            BundleError: guard.bin is malformed.
        """
        return _native.GuardProgram(self.files["guard.bin"])


def read(path: str | Path) -> Bundle:
    """Reads a bundle, a directory or one stored zip, into memory.

    Raises:
        BundleError: It is not a bundle, or one of a newer format; names the file.
        IntegrityError: A file is missing, extra, or differs from its digest.
    """
    files = _native.read_bundle(str(path))
    manifest = parse_manifest(files["manifest.json"], where=f"{path}: manifest.json")
    check_files(manifest, files)
    return Bundle(Path(path), manifest, files)
