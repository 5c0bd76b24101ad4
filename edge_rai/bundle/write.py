"""Writing a bundle: a directory, or the same tree as one stored zip whose every byte is determined by its content."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import shutil
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edge_rai.bundle.manifest import Manifest, check_files, is_path
from edge_rai.errors import BundleError

SUFFIX = ".erai"
_MAX_BYTES = 2**31 - 1
_MAX_FILES = 1024
# Version 2.0 (directories in names), method 0 (stored), 1980-01-01 00:00: APPNOTE 6.3, 4.4.
_VERSION, _DOS_DATE = 20, 0x0021


def write_bundle(path: str | Path, files: Mapping[str, bytes], manifest: Manifest) -> None:
    """Writes a bundle, durably and all at once; an interrupted write leaves what was there before.

    Args:
        path: ``*.erai`` makes one stored zip, anything else a directory. An existing bundle is replaced.
        files: Content by path, without manifest.json and manifest.sha256.
        manifest: Its ``files`` is filled here.

    Raises:
        BundleError: A path is not allowed in a bundle, the whole exceeds 2 GiB - 1 or 1,024 files, or the manifest does
            not describe the files.
        FileExistsError: ``path`` exists and is not a bundle.
        OSError: The file system refuses.
    """
    target = Path(path)
    check_replaceable(target)
    for name in files:
        if not is_path(name) or name in ("manifest.json", "manifest.sha256"):
            raise BundleError(f"{target}: {name!r} is not a name that a file of a bundle may have")
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = replace(manifest, files=digests)
    check_files(manifest, files)
    manifest_json = manifest.to_json()
    manifest_sha256 = hashlib.sha256(manifest_json).hexdigest() + "\n"
    tree = {**files, "manifest.json": manifest_json, "manifest.sha256": manifest_sha256.encode("ascii")}
    _check_limits(target, tree)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == SUFFIX:
        _replace_file(target, stored_zip(tree))
    else:
        _replace_directory(target, tree)


def stored_zip(tree: Mapping[str, bytes]) -> bytes:
    """The one stored zip of these files: sorted by name, contiguous, no extra fields, no comments, no time stamps."""
    body, directory = bytearray(), bytearray()
    for name, data in sorted((name.encode("ascii"), data) for name, data in tree.items()):
        fields = struct.pack(
            "<HHHHHIIIHH", _VERSION, 0, 0, 0, _DOS_DATE, zlib.crc32(data), len(data), len(data), len(name), 0
        )
        directory += struct.pack("<IH", 0x02014B50, _VERSION) + fields
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += struct.pack("<I", 0x04034B50) + fields + name + data
    start = len(body)  # below 2**32: callers hold the tree to the format's limit
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(tree), len(tree), len(directory), start, 0)
    body += directory
    body += end
    return bytes(body)


def _check_limits(target: Path, tree: Mapping[str, bytes]) -> None:
    """Both forms are held to the size of the zip: 76 bytes and twice its name an entry, 22 at the end."""
    size = 22 + sum(76 + 2 * len(name) + len(data) for name, data in tree.items())
    if size > _MAX_BYTES or len(tree) > _MAX_FILES:
        raise BundleError(
            f"{target}: {size} bytes in {len(tree)} files; a bundle has {_MAX_BYTES} in {_MAX_FILES} at most"
        )
    for name in tree:
        for folder in itertools.accumulate(name.split("/")[:-1], "{}/{}".format):
            if folder in tree:
                raise BundleError(f"{target}: {folder!r} cannot be a file and the folder of {name!r}")


def check_replaceable(target: Path) -> None:
    """Raises FileExistsError when something that is not a bundle stands where one is to be written."""
    if not target.exists():
        return
    if target.suffix == SUFFIX:
        known = target.is_file() and zipfile.is_zipfile(target)
        if known:
            with zipfile.ZipFile(target) as archive:
                known = "manifest.sha256" in archive.namelist()
    else:
        known = target.is_dir() and ((target / "manifest.sha256").is_file() or not any(target.iterdir()))
    if not known:
        raise FileExistsError(
            f"{target} exists and is not a bundle; it is not overwritten: remove it or choose another"
        )


def _replace_file(target: Path, data: bytes) -> None:
    temporary = _beside(target)
    try:
        _write_new(temporary, data)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)


def _replace_directory(target: Path, tree: Mapping[str, bytes]) -> None:
    temporary, aside = _beside(target), _beside(target)
    try:
        for name, data in tree.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            _write_new(temporary / name, data)
        for folder, _, _ in os.walk(temporary):
            _sync_directory(Path(folder))
        # A directory cannot be renamed over a full one: the old one steps aside first, and comes back on failure.
        if target.exists():
            target.rename(aside)
        temporary.rename(target)
    except BaseException:
        if aside.exists():
            aside.rename(target)
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_directory(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}")


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
