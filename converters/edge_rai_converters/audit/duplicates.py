"""Rows that are there more than once, or nearly so; and which of them stand on both sides of the comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_rai_converters.audit.columns import Columns
from edge_rai_converters.audit.material import Coded, Floats, Mask, Material
from edge_rai_converters.audit.neighbours import along_widest, near_rows, pairs_to_compare, typical_distance
from edge_rai_converters.audit.points import frequencies, hashes, make_points
from edge_rai_converters.audit.report import Finding, counted, graded, listed
from edge_rai_converters.data import Index

# Of the median distance to the fifth nearest row. In four columns, chance brings one row in 2,000 that near another; in
# more, fewer.
NEAR_SHARE = 0.1
NEAR_BITS = 6
_LEAST_HASHED = 32
_FEWEST_COLUMNS = 4
_MANY = 0.01
_SPOILT = 0.05
_TOLD = 100


@dataclass(frozen=True, eq=False, slots=True)
class Groups:
    """Rows by what they hold.

    Attributes:
        of_row: (n,) the group of each row.
        first: (groups,) the first row of each.
        size: (groups,) rows of each.
    """

    of_row: Index
    first: Index
    size: Index


def group(material: Material) -> Groups:
    """Rows of the same bytes, by a hash of 64 bits: in ten million rows two that differ meet once in 400,000 audits.

    Every NaN is the same, and so are both zeros.
    """
    found = np.empty(len(material), np.uint64)
    for where, part in material.parts():
        part += 0.0
        part[np.isnan(part)] = np.nan
        codes = [coded.codes[where].astype(np.float64) for coded in material.texts.values()]
        rows = np.ascontiguousarray(np.column_stack([part, *codes]))
        found[where] = [int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") for row in rows]
    _, first, of_row, size = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    return Groups(of_row.astype(np.int64), first.astype(np.int64), size.astype(np.int64))


def find_exact(material: Material, groups: Groups, labels: Coded | None) -> Iterator[Finding]:
    """Duplicates, those with different labels, and those on both sides."""
    copies = len(material) - len(groups.first)
    if not copies:
        return
    again = np.sort(np.setdiff1d(np.arange(len(material)), groups.first))
    pairs = [
        f"{copy} = {first}"
        for copy, first in zip(
            material.name_rows(again[:_TOLD]),
            material.name_rows(groups.first[groups.of_row[again[:_TOLD]]]),
            strict=True,
        )
    ]
    yield Finding(
        "exact_duplicates",
        graded(copies / len(material), _MANY),
        f"repeats of an earlier row: {counted(copies, len(material))}: {listed(pairs, of=copies)}",
        "Remove them, unless rows have so few possible values that this is to be expected",
        {"rows": copies, "share": copies / len(material), "pairs": pairs},
    )
    if labels is not None:
        yield from _conflicts(material, groups, labels)
    leaked = exactly_leaked(material, groups)
    yield from _leakage(material, leaked, "leakage", "the same values as a row that calibrates", _SPOILT, 0.0)


def exactly_leaked(material: Material, groups: Groups) -> Mask:
    """(n,) rows that are held back and have a copy that calibrates."""
    calibrating = np.zeros(len(groups.first), np.bool_)
    calibrating[groups.of_row[~material.held_back]] = True
    return material.held_back & calibrating[groups.of_row]


def _leakage(material: Material, leaked: Mask, kind: str, what: str, error: float, warning: float) -> Iterator[Finding]:
    if not leaked.any():
        return
    held_back, count = int(material.held_back.sum()), int(leaked.sum())
    rows = material.name_rows(np.flatnonzero(leaked)[:_TOLD])
    yield Finding(
        kind,
        graded(count / held_back, warning, error),
        f"rows with {what}: {counted(count, held_back, 'held-back rows')}: {listed(rows, of=count)}",
        "What is measured on them flatters: remove the copies, or give rows for comparison that were taken apart",
        {"rows": count, "held_back": held_back, "share": count / held_back, "places": rows},
    )


def _conflicts(material: Material, groups: Groups, labels: Coded) -> Iterator[Finding]:
    lowest = np.full(len(groups.first), np.iinfo(np.int64).max)
    highest = np.full(len(groups.first), -1)
    known = labels.codes >= 0
    np.minimum.at(lowest, groups.of_row[known], labels.codes[known])
    np.maximum.at(highest, groups.of_row[known], labels.codes[known])
    rows = np.flatnonzero((lowest < highest)[groups.of_row])
    if rows.size:
        told = material.name_rows(rows[:_TOLD])
        yield Finding(
            "conflicting_labels",
            graded(len(rows) / len(material), 0.0, _MANY),
            f"rows with a copy of another label: {counted(len(rows), len(material))}: {listed(told, of=len(rows))}",
            "One of them is wrong, or the columns do not hold what tells the classes apart: look them up",
            {"rows": len(rows), "places": told},
        )


def find_near(
    material: Material, groups: Groups, measured: Columns, most_values: int, most_pairs: int
) -> tuple[list[Finding], int]:
    """Near duplicates, and those on both sides; and how many rows were compared."""
    rows = np.sort(groups.first)
    rows, points, radius, how = _comparable(material, measured, rows, most_values)
    if points.shape[1] < _FEWEST_COLUMNS:
        sentence = f"near duplicates were not looked for in fewer than {_FEWEST_COLUMNS} columns"
        return [Finding("near_duplicates_skipped", "info", sentence, "Chance alone brings rows together there")], 0
    if radius <= 0:
        return [], 0
    order, places = along_widest(points)
    while (pairs := pairs_to_compare(places, radius)) > most_pairs:
        chosen = np.random.default_rng(0).random(len(rows)) < 0.9 * np.sqrt(most_pairs / pairs)
        rows, points = rows[chosen], points[chosen]
        order, places = along_widest(points)
    calibrating = np.zeros(len(groups.first), np.bool_)
    calibrating[groups.of_row[~material.held_back]] = True
    near = near_rows(points, order, places, radius, calibrating[groups.of_row[rows]])
    return [*_near_findings(material, groups, rows, near.partner, near.of_marked, how)], len(rows)


def _comparable(
    material: Material, measured: Columns, rows: Index, most_values: int
) -> tuple[Index, Floats, float, str]:
    """Rows as points, how near they must be, and how that is said; small pictures have too little in them to hash."""
    form = material.image
    if form is not None and min(form.height, form.width) >= _LEAST_HASHED:
        chosen = _thinned(rows, most_values // 64)
        bits = hashes(frequencies(material, chosen))
        how = f"a perceptual hash of 64 bits that differs in at most {NEAR_BITS}"
        return chosen, bits, float(np.sqrt(4 * NEAR_BITS)), how
    width = max(1, make_points(material, measured, rows[:1]).shape[1])
    chosen = _thinned(rows, most_values // width)
    points = make_points(material, measured, chosen)
    space = "pixels" if form else "scaled columns"
    how = f"nearer than {NEAR_SHARE:g} of the median distance to the fifth nearest row, in {space}"
    return chosen, points, NEAR_SHARE * typical_distance(points), how


def _thinned(rows: Index, most: int) -> Index:
    return rows if len(rows) <= most else np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def _near_findings(
    material: Material, groups: Groups, rows: Index, partner: Index, of_calibrating: Mask, how: str
) -> Iterator[Finding]:
    found = np.flatnonzero(partner >= 0)
    if not found.size:
        return
    pairs = np.unique(np.sort(np.stack([rows[found], rows[partner[found]]], axis=1), axis=1), axis=0)
    told = [" ~ ".join(material.name_rows(pair)) for pair in pairs[:_TOLD]]
    yield Finding(
        "near_duplicates",
        graded(len(found) / len(rows), _MANY),
        f"rows with a near duplicate ({how}): {counted(len(found), len(rows), 'different ones')}: "
        f"{listed(told, of=len(pairs))}",
        "Look some up: frames of one scene, rows of one device or copies with noise are one observation, not several",
        {"rows": len(found), "share": len(found) / len(rows), "pairs": told},
    )
    nearly = np.zeros(len(groups.first), np.bool_)
    nearly[groups.of_row[rows[of_calibrating]]] = True
    leaked = material.held_back & nearly[groups.of_row] & ~exactly_leaked(material, groups)
    yield from _leakage(
        material, leaked, "near_leakage", "a near duplicate among the rows that calibrate", np.inf, _MANY
    )
