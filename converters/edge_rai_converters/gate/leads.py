"""Leads: groups that nobody declared and where the candidate looks weak. For people to look into, never verdicts.

All values of some columns, and all pairs of values of two of them (Chung, Kraska, Polyzotis, Tae and Whang, 2019,
"Slice Finder"; Sagadeeva and Boehm, 2021, "SliceLine"), ranked by how far the mean inside is above that of all other
rows at least, two standard errors down. As they are picked by what is in them, the chance that some group of so many
looks as weak is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np

from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.rows import Array, Floats, Mask, Rows
from edge_rai_converters.gate.slices import Index, binned, kinds

_LEAST_ROWS, _MOST_SHOWN, _MOST_KINDS = 30, 5, 20
_QUARTILES = (0.25, 0.5, 0.75)
# Two groups with so many of their rows in common are one lead.
_SAME = 0.8
_TINY = 1e-12
# What chance alone shows more often than not is no lead.
_MOST_CHANCE = 0.5
# Standard errors that a difference is lowered by, as small groups differ by more.
_CAUTION = 2.0


@dataclass(frozen=True, eq=False, slots=True)
class _Group:
    """Rows with equal values in one or two columns."""

    name: str
    columns: tuple[str, ...]
    codes: tuple[int, ...]
    rows: int
    inside: float
    outside: float
    error: float

    @property
    def least(self) -> float:
        """How much weaker it is, with caution."""
        return self.inside - self.outside - _CAUTION * self.error


def leads(rows: Rows, columns: Sequence[str]) -> dict[str, Any]:
    """The key "leads" of gate.json, see docs/formats/gate.md.

    Args:
        rows: What both models answered; see ``check_weaknesses``.
        columns: In whose values, or quarters of them, weak slices are looked for.

    Raises:
        DataError: There is no such column.
    """
    there = {name: _coded(name, rows) for name in columns}
    found, searched = [], 0
    for about, values, known in _weaknesses(rows):
        groups = [*_groups(there, values, known)]
        searched += len(groups)
        found += [(about, group) for group in _best(groups, there)]
    entries = [_entry(about, group, searched) for about, group in found]
    entries = [entry for entry in entries if entry["chance"] < _MOST_CHANCE]
    none = f"nothing that looks weak in {searched:,} groups of {', '.join(columns)}"
    return {
        "sentences": [_sentence(entry) for entry in entries] or [none],
        "columns": list(columns),
        "searched": searched,
        "found": entries,
    }


def check_weaknesses(rows: Rows) -> None:
    """Refuses rows that have nothing that could be weak."""
    if (rows.kind == "other" or rows.labels is None) and not rows.losses:
        raise DataError("leads need labels, or a loss; give --labels, or leave leads out")


def _coded(name: str, rows: Rows) -> tuple[Index, tuple[str, ...]]:
    """(n,) place of each row's group, -1 for none, and the groups' names."""
    if name not in rows.columns:
        raise DataError(f"there is no column {name!r} to look for leads in")
    column: Array = rows.columns[name]
    codes, names = kinds(column)
    if column.dtype.kind in "fiub" and len(names) > _MOST_KINDS:
        edges = np.unique(np.quantile(column[~np.isnan(column)], _QUARTILES))
        return binned(column, tuple(edges.tolist()))
    common = np.bincount(codes[codes >= 0], minlength=len(names)).argsort(kind="stable")[::-1][:_MOST_KINDS]
    return np.where(np.isin(codes, common), codes, -1), names


def _weaknesses(rows: Rows) -> Iterator[tuple[str, Floats, Mask]]:
    """What is greater where the candidate is weak: how much worse than the original it is, and its own errors."""
    known = rows.labelled
    if rows.kind == "quantity" and rows.labels is not None:
        before, after = (np.abs(model.decided - rows.labels) for model in (rows.original, rows.candidate))
    elif rows.kind != "other" and rows.labels is not None:
        before, after = (
            (model.decided != rows.labels).reshape(len(rows), -1).any(axis=1).astype(np.float64)
            for model in (rows.original, rows.candidate)
        )
    else:
        before, after = next(iter(rows.losses.values()))
        known = np.ones(len(rows), np.bool_)
    yield "change", after - before, known
    yield "candidate", after, known


def _groups(there: Mapping[str, tuple[Index, tuple[str, ...]]], values: Floats, known: Mask) -> Iterator[_Group]:
    chosen = values[known]
    for names in (*((name,) for name in there), *combinations(there, 2)):
        codes, count, wide = np.zeros(len(chosen), np.int64), 1, np.ones(len(chosen), np.bool_)
        for name in names:
            own, kinds_of = there[name]
            wide &= own[known] >= 0
            codes, count = codes * len(kinds_of) + np.maximum(own[known], 0), count * len(kinds_of)
        n = np.bincount(codes[wide], minlength=count).astype(np.float64)
        first = np.bincount(codes[wide], chosen[wide], count)
        second = np.bincount(codes[wide], chosen[wide] ** 2, count)
        for place in np.flatnonzero((n >= _LEAST_ROWS) & (len(chosen) - n >= _LEAST_ROWS)).tolist():
            yield _group(names, place, (n[place], first[place], second[place]), chosen, there)


def _group(
    names: tuple[str, ...],
    place: int,
    sums: tuple[float, float, float],
    chosen: Floats,
    there: Mapping[str, tuple[Index, tuple[str, ...]]],
) -> _Group:
    n, first, second = sums
    rest, total, squares = len(chosen) - n, float(chosen.sum()), float(np.square(chosen).sum())
    inside, outside = first / n, (total - first) / rest
    spread = max(second / n - inside**2, 0) / n + max((squares - second) / rest - outside**2, 0) / rest
    codes: list[int] = []
    for name in reversed(names):
        place, own = divmod(place, len(there[name][1]))
        codes.insert(0, own)
    title = ", ".join(f"{name}={there[name][1][code]}" for name, code in zip(names, codes, strict=True))
    return _Group(title, names, tuple(codes), int(n), float(inside), float(outside), float(spread**0.5))


def _best(groups: Sequence[_Group], there: Mapping[str, tuple[Index, tuple[str, ...]]]) -> list[_Group]:
    """The weakest, each of other rows."""
    found: list[tuple[_Group, Mask]] = []
    for group in sorted(groups, key=lambda group: (-group.least, len(group.columns), group.name)):
        if group.least <= 0 or len(found) == _MOST_SHOWN:
            break
        mine = np.all([there[name][0] == code for name, code in zip(group.columns, group.codes, strict=True)], axis=0)
        if not any((mine & other).sum() > _SAME * min(mine.sum(), other.sum()) for _, other in found):
            found.append((group, mine))
    return [group for group, _ in found]


def _entry(about: str, group: _Group, searched: int) -> dict[str, Any]:
    return {
        "about": about,
        "name": group.name,
        "rows": group.rows,
        "inside": group.inside,
        "outside": group.outside,
        "standard_error": group.error,
        "chance": min(1.0, searched * NormalDist().cdf(-(group.inside - group.outside) / max(group.error, _TINY))),
    }


def _sentence(entry: Mapping[str, Any]) -> str:
    what = "lost by the candidate" if entry["about"] == "change" else "the candidate's own error"
    chance = "less than one of 1,000" if entry["chance"] < 0.001 else f"{100 * entry['chance']:.2g} %"
    return (
        f"a lead, no verdict: {entry['name']} ({entry['rows']:,} rows): {what} {entry['inside']:.3g} a row, elsewhere "
        f"{entry['outside']:.3g}; some group looks as weak by chance in {chance} of searches; to judge it, declare it "
        "under [[slices]] and bring rows that were not looked at"
    )
