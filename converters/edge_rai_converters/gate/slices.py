"""Slices: rows with equal values in declared columns, which the models need never have seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, pairwise, product

import numpy as np
import numpy.typing as npt

from edge_rai_converters.audit.material import encode
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.cells import Slice
from edge_rai_converters.gate.rows import Array, Mask
from edge_rai_converters.gate.rules import ALL_ROWS, ColumnRule, GatePolicy, SliceRule

MISSING = "missing"
_MOST_GROUPS, _MOST_SLICES = 100, 10_000
_SHOWN = 8

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Family:
    """The slices of one rule, which divide the rows.

    Attributes:
        rule: None: all rows are the only slice.
        codes: (n,) place of each row's slice in the family.
        first: Place of the family's first slice among all slices.
        count: How many slices.
    """

    rule: SliceRule | None
    codes: Index
    first: int
    count: int


@dataclass(frozen=True, eq=False, slots=True)
class Slices:
    """All slices of a policy.

    Attributes:
        slices: All rows first.
        parents: (S,) place of the slice that stands in for each; -1: none.
        families: All rows first.
        empty: Names of intersections that no row is in, of groups that there are.
    """

    slices: tuple[Slice, ...]
    parents: Index
    families: tuple[Family, ...]
    empty: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.parents)

    def sums(self, chosen: Mask, weights: Array | None = None) -> Array:
        """(S,) rows of each slice among the chosen ones, or the sums of their weights, which are (chosen rows,)."""
        return np.concatenate(
            [np.bincount(family.codes[chosen], weights, family.count) for family in self.families]
        ).astype(np.float64)

    def table(self, chosen: Mask, kinds: Index, count: int) -> Array:
        """(S, count) how many rows of each kind each slice has among the chosen ones; kinds are (chosen rows,)."""
        return np.concatenate(
            [
                np.bincount(family.codes[chosen] * count + kinds, minlength=family.count * count).reshape(-1, count)
                for family in self.families
            ]
        ).astype(np.float64)

    def of(self, chosen: Mask) -> Slices:
        """The same slices of the chosen rows alone; some may have none."""
        return replace(self, families=tuple(replace(entry, codes=entry.codes[chosen]) for entry in self.families))

    def rows_of(self, place: int) -> Mask:
        """(n,) the rows of a slice."""
        family = next(entry for entry in reversed(self.families) if entry.first <= place)
        return np.asarray(family.codes == place - family.first)


def make_slices(columns: Mapping[str, Array], labelled: Mask, policy: GatePolicy) -> Slices:
    """The slices that a policy declares, of rows as they are.

    Args:
        columns: (n,) each; see ``Rows``.
        labelled: (n,) which rows have a label.
        policy: Says which slices.

    Raises:
        DataError: A column is not there, has too many values to make groups, or lacks a group that must be there.
    """
    count = len(labelled)
    used = dict.fromkeys(name for rule in policy.slices for name in rule.by)
    groups = {name: _groups(name, columns, policy.columns.get(name, ColumnRule())) for name in used}
    families = [Family(None, np.zeros(count, np.int64), 0, 1)]
    named: list[Mapping[str, str]] = [{}]
    for rule in policy.slices:
        codes, names = _intersections(rule, groups)
        families.append(Family(rule, codes, len(named), len(names)))
        named += names
    places = {frozenset(family.rule.by) if family.rule else frozenset(): family for family in families}
    parents = np.concatenate([_parents(family, places) for family in families])
    rows = np.concatenate([np.bincount(family.codes, minlength=family.count) for family in families])
    known = np.concatenate([np.bincount(family.codes[labelled], minlength=family.count) for family in families])
    titles = [_title(entry) for entry in named]
    made = tuple(
        Slice(titles[place], entry, int(rows[place]), int(known[place]), titles[parent] if parent >= 0 else None)
        for place, (entry, parent) in enumerate(zip(named, parents.tolist(), strict=True))
    )
    there = {frozenset(entry.items()) for entry in named}
    empty = (entry for rule in policy.slices if len(rule.by) > 1 for entry in _every(rule, groups))
    absent = tuple(_title(entry) for entry in empty if frozenset(entry.items()) not in there)
    return Slices(made, parents, tuple(families), absent)


def _title(groups: Mapping[str, str]) -> str:
    return ", ".join(f"{column}={group}" for column, group in groups.items()) or ALL_ROWS


def _every(rule: SliceRule, groups: Mapping[str, tuple[Index, tuple[str, ...]]]) -> Iterator[Mapping[str, str]]:
    """Every intersection that a rule could make of groups that have a name, as far as they can be counted."""
    names = [[group for group in groups[name][1] if group != MISSING] for name in rule.by]
    return (dict(zip(rule.by, entry, strict=True)) for entry in islice(product(*names), _MOST_SLICES))


def _groups(name: str, columns: Mapping[str, Array], rule: ColumnRule) -> tuple[Index, tuple[str, ...]]:
    """(n,) place of each row's group, and the groups' names; rows without a value are a group of their own."""
    if name not in columns:
        raise DataError(f"there is no column {name!r} to make slices of; the data have {_listed(tuple(columns))}")
    column = columns[name]
    if rule.bins:
        codes, names = _binned(name, column, rule.bins)
    else:
        codes, names = kinds(column)
    absent = [group for group in rule.groups if group not in names]
    if absent:
        raise DataError(f"column {name!r} has no row of the group {absent[0]!r}; it has {_listed(names)}")
    if len(names) > _MOST_GROUPS:
        raise DataError(
            f"column {name!r} has {len(names):,} different values, which make no slices; declare bins for it under "
            f"[columns.{name}], or put its values into at most {_MOST_GROUPS} groups"
        )
    if (codes < 0).any():
        codes, names = np.where(codes < 0, len(names), codes), (*names, MISSING)
    return codes, names


def kinds(column: Array) -> tuple[Index, tuple[str, ...]]:
    """(n,) place of each row's value, -1 for a missing one, and the values' names.

    As ``audit.encode`` has it, of text in one look at each row.
    """
    if column.dtype.kind != "O":
        coded = encode(column)
        return coded.codes, coded.names
    seen: dict[object, int] = {}
    places = np.array([seen.setdefault(value, len(seen)) for value in column.tolist()], np.int64)
    names = sorted(value for value in seen if isinstance(value, str))
    order = {name: place for place, name in enumerate(names)}
    return np.array([order[value] if isinstance(value, str) else -1 for value in seen], np.int64)[places], tuple(names)


def _binned(name: str, column: Array, bins: tuple[float, ...]) -> tuple[Index, tuple[str, ...]]:
    if column.dtype.kind not in "fiub":
        raise DataError(f"column {name!r} holds text, which no bins divide; leave bins out under [columns.{name}]")
    codes, names = binned(column, bins)
    empty = np.bincount(codes[codes >= 0], minlength=len(names)) == 0
    if empty.any():
        absent = names[int(empty.argmax())]
        raise DataError(
            f"column {name!r} has no row of the group {absent!r}, which the bins of [columns.{name}] declare; give "
            "data with such rows, or take that edge out"
        )
    return codes, names


def binned(column: Array, bins: tuple[float, ...]) -> tuple[Index, tuple[str, ...]]:
    """(n,) place of each row's bin, -1 for a missing value, and the bins' names.

    Args:
        column: (n,) numbers.
        bins: Edges that rise; at least one.
    """
    edges = [f"{edge:g}" for edge in bins]
    between = [f"{low} to below {high}" for low, high in pairwise(edges)]
    names = (f"below {edges[0]}", *between, f"{edges[-1]} and above")
    values = column.astype(np.float64)
    return np.where(np.isnan(values), -1, np.digitize(values, bins)).astype(np.int64), names


def _intersections(
    rule: SliceRule, groups: Mapping[str, tuple[Index, tuple[str, ...]]]
) -> tuple[Index, list[Mapping[str, str]]]:
    combined, count = np.zeros(len(next(iter(groups.values()))[0]), np.int64), 1
    for name in rule.by:
        codes, names = groups[name]
        there = np.bincount(combined * len(names) + codes, minlength=count * len(names)) > 0
        count = int(there.sum())
        if count > _MOST_SLICES:
            raise DataError(
                f"slices by {', '.join(rule.by)} are more than {_MOST_SLICES:,}; use fewer columns, or bins"
            )
        combined = (np.cumsum(there) - 1)[combined * len(names) + codes]
    first = _first_rows(combined, count)
    return combined, [{name: groups[name][1][groups[name][0][row]] for name in rule.by} for row in first]


def _first_rows(codes: Index, count: int) -> Index:
    """(count,) some row of each."""
    rows = np.empty(count, np.int64)
    rows[codes] = np.arange(len(codes))
    return rows


def _parents(family: Family, places: Mapping[frozenset[str], Family]) -> Index:
    """(slices of the family,) the place of each one's parent; all its rows have the parent's."""
    if family.rule is None or family.rule.merge_into is None:
        return np.full(family.count, -1, np.int64)
    parent = places[frozenset(family.rule.merge_into)]
    return np.asarray(parent.codes[_first_rows(family.codes, family.count)] + parent.first)


def _listed(names: tuple[str, ...]) -> str:
    return (", ".join(map(repr, names[:_SHOWN])) or "none") + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
