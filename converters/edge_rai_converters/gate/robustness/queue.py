"""The audit queue: rows that the candidate decides otherwise although the original was sure, for a person to see."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rai_converters.gate.robustness.sample import Floats, Index
from edge_rai_converters.gate.robustness.sheet import Picture, contact_sheet
from edge_rai_converters.gate.rows import Array, Rows

_MOST_ROWS, _PICTURES = 50, 24


def audit_queue(judged: Rows, pictures: Any | None) -> dict[str, Any]:
    """The rows, and of images a contact sheet.

    Args:
        judged: What both models answered to all rows.
        pictures: From places of rows to (m, height, width, channels) from 0 to 1; None: they are no images.
    """
    margins = _margins(judged)
    changed = _changed(judged)
    places = np.flatnonzero(changed)
    order = np.argsort(-np.nan_to_num(margins[places]), kind="stable")[:_MOST_ROWS]
    chosen = places[order].astype(np.int64)
    rows = [_row(judged, int(row), float(margins[row])) for row in chosen]
    return {"changed": len(places), "rows": rows, "sheet": None if pictures is None else _sheet(rows, pictures, chosen)}


def _changed(judged: Rows) -> np.ndarray[Any, np.dtype[np.bool_]]:
    differs = judged.original.decided != judged.candidate.decided
    return np.asarray(differs.reshape(len(judged), -1).any(axis=1))


def _margins(judged: Rows) -> Floats:
    """(N,) how far the original was from deciding as the candidate did; NaN where it gives no scores."""
    if judged.kind == "quantity":
        return np.asarray(np.abs(judged.original.decided - judged.candidate.decided))
    scores = judged.original.scores
    if scores is None:
        return np.full(len(judged), np.nan)
    if judged.kind == "labels":
        moved = judged.original.decided != judged.candidate.decided
        return np.asarray(np.where(moved, np.abs(scores - 0.5), np.inf).min(axis=1))
    ranked = np.sort(scores, axis=1)
    return np.asarray(ranked[:, -1] - ranked[:, -2])


def _row(judged: Rows, row: int, margin: float) -> dict[str, Any]:
    label = None if judged.labels is None or not judged.labelled[row] else _named(judged, judged.labels[row])
    return {
        "row": judged.place(row),
        "index": row,
        "label": label,
        "original": _named(judged, judged.original.decided[row]),
        "candidate": _named(judged, judged.candidate.decided[row]),
        "margin": margin,
    }


def _named(judged: Rows, decided: Array) -> str | float:
    if judged.kind == "quantity":
        return float(decided)
    if judged.kind == "labels":
        names = [name for name, there in zip(judged.classes, decided.tolist(), strict=True) if there]
        return ", ".join(names) or "none"
    return judged.classes[int(decided)]


def _sheet(rows: list[dict[str, Any]], pictures: Any, chosen: Index) -> str | None:
    if not rows:
        return None
    images = pictures(chosen[:_PICTURES])
    return contact_sheet(
        [
            Picture(image, (row["row"], f"{row['original']} → {row['candidate']}", _label(row["label"])))
            for image, row in zip(images, rows, strict=False)
        ]
    )


def _label(label: str | float | None) -> str:
    return "no label" if label is None else f"label {label}"
