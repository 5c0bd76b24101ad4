"""All documents of a bundle, made of its evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from edge_rai.bundle import Manifest
from edge_rai.documents.risk import RISK_FILE
from edge_rai_converters.documents.bom import bom
from edge_rai_converters.documents.datasheet import DATASHEET_FILE, datasheet_md
from edge_rai_converters.documents.evidence_map import EVIDENCE_MAP_FILE, evidence_map
from edge_rai_converters.documents.facts import CARD_DATA_FILE, Found, Json, card_data
from edge_rai_converters.documents.required import BOM_FILE, Papers
from edge_rai_converters.gate_page.document import gate_page

CARD_FILE = "card.md"


def add_documents(
    files: dict[str, bytes], manifest: Manifest, found: Found, papers: Papers, card: Callable[[Json], bytes]
) -> Manifest:
    """Adds every document to a bundle's files.

    Args:
        files: By path, with all evidence; the documents are added.
        manifest: Of the bundle.
        found: What the evidence says.
        papers: What people wrote, and what they ask for.
        card: Makes card.md of card.json.

    Returns:
        The manifest, which promises them.

    Raises:
        PolicyError: A document is mandatory and could not be made.
    """
    made: dict[str, bytes] = {}
    for path, report in found.gates.items():
        made[f"{path.removesuffix('json')}html"] = gate_page(report)
    data = card_data(found)
    made[CARD_DATA_FILE] = _json(data)
    made[CARD_FILE] = card(data)
    if papers.risk is not None:
        made[RISK_FILE] = papers.risk_text
    if papers.datasheet is not None:
        made[DATASHEET_FILE] = datasheet_md(
            papers.datasheet, found.audit, manifest.provenance.data_sha256, manifest.name
        )
    with suppress(ImportError):  # its library is an extra; where a policy asks for it, refuse_late finds it missing
        made[BOM_FILE] = bom(found)
    made[EVIDENCE_MAP_FILE] = _json(evidence_map({**files, **made}))
    files.update(made)
    papers.refuse_late(files)
    return replace(manifest, promises=tuple(sorted((*made, *found.gates))))


def _json(document: Any) -> bytes:
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
