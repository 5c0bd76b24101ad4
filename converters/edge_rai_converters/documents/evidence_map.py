"""evidence_map.json: which file of a bundle speaks to which rule, and whether it is there; not what it is worth."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib.resources import files as resources
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EVIDENCE_MAP_FILE = "evidence_map.json"
_IN_THE_BUNDLE = frozenset({"manifest.json"})  # which has the digests of all others, and none of its own here


def evidence_map(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The map, see docs/formats/documents.md.

    Args:
        files: Of the bundle, by path, but for the manifest and the map itself.
    """
    text = resources("edge_rai_converters.documents").joinpath("evidence_map.toml").read_text(encoding="utf-8")
    rules = tomllib.loads(text)["rules"]
    return {
        "format_version": 1,
        "says": "which file speaks to which rule, and whether it is in this bundle; nothing about what it is worth",
        "rules": [
            {
                "rule": entry["rule"],
                "article": entry["article"],
                "asks": entry["asks"],
                "evidence": [_evidence(named, files) for named in entry.get("files", ())],
                "elsewhere": entry.get("elsewhere"),
            }
            for entry in rules
        ],
    }


def _evidence(named: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    path, _, key = named.partition("#")
    there = path in _IN_THE_BUNDLE or (path in files and (not key or _has(path, files[path], key)))
    digest = hashlib.sha256(files[path]).hexdigest() if there and path in files else None
    return {"file": path, "key": key or None, "state": "present" if there else "absent", "sha256": digest}


def _has(path: str, content: bytes, key: str) -> bool:
    """Whether the document says something under a key; a certificate that was refused says nothing."""
    document = tomllib.loads(content.decode()) if path.endswith(".toml") else json.loads(content)
    found = document.get(key)
    return bool(found) and not (isinstance(found, dict) and found.get("granted") is False)
