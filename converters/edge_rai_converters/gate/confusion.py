"""Confusion matrices: of which class rows are, and for which class they were decided, by both models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edge_rai_converters.gate.rows import Array, Rows
from edge_rai_converters.gate.slices import Slices

# Beyond so many classes nobody reads a matrix, and beyond so many numbers the report would be little else.
_MOST_CLASSES, _MOST_NUMBERS = 30, 20_000


def confusions(rows: Rows, slices: Slices) -> Iterator[Mapping[str, Any]]:
    """One object a slice with labels, where an answer is one of several classes; where slices are many, of all rows.

    Args:
        rows: What both models answered.
        slices: Of these rows.
    """
    labelled, count = rows.labelled, len(rows.classes)
    if rows.kind != "classes" or rows.labels is None or not labelled.any() or count > _MOST_CLASSES:
        return
    labels = rows.labels[labelled]
    tables = [
        slices.table(labelled, _pairs(labels, model.decided[labelled], count), count * count)
        for model in (rows.original, rows.candidate)
    ]
    shown = slices.slices if 2 * count * count * len(slices) <= _MOST_NUMBERS else slices.slices[:1]
    for place, entry in enumerate(shown):
        if entry.labelled:
            original, candidate = (table[place].reshape(count, count).astype(int).tolist() for table in tables)
            yield {"slice": entry.name, "classes": list(rows.classes), "original": original, "candidate": candidate}


def _pairs(labels: Array, decided: Array, count: int) -> Array:
    """(labelled rows,) number of each row's cell."""
    return np.asarray(labels * count + decided, np.int64)
