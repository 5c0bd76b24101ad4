"""How far annotators agree beyond chance.

Cohen 1960, "A coefficient of agreement for nominal scales"; Fleiss 1971, "Measuring nominal scale agreement among many
raters"; Krippendorff 2011, "Computing Krippendorff's alpha-reliability". All are 1 for full agreement, 0 for that of
chance, and NaN where only one value was ever given, as chance alone would then agree as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_rai_converters.audit.material import Floats, encode
from edge_rai_converters.audit.report import Finding, Severity
from edge_rai_converters.data import Array

Level = Literal["nominal", "ordinal", "interval"]

LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")
# Krippendorff 2004, "Content Analysis", 2nd edition, page 241: rely on 0.8 and above, draw tentative conclusions down
# to 0.667.
_RELIABLE, _TENTATIVE = 0.8, 0.667
_EPSILON = 1e-12


def cohen_kappa(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Cohen's kappa of two annotators.

    Args:
        first: (n,) labels, numbers or text; every one is there.
        second: (n,) of the other.

    Raises:
        ValueError: There are none, or not as many of each.
    """
    given = np.asarray(first), np.asarray(second)
    if given[0].ndim != 1 or given[0].shape != given[1].shape or not len(given[0]):
        raise ValueError(f"two annotators label the same rows; got {given[0].shape} and {given[1].shape} labels")
    _, codes = np.unique(np.concatenate(given), return_inverse=True)
    left, right = codes[: len(given[0])], codes[len(given[0]) :]
    shares = [np.bincount(part, minlength=int(codes.max()) + 1) / len(part) for part in (left, right)]
    return _beyond_chance(float((left == right).mean()), float(shares[0] @ shares[1]))


def fleiss_kappa(counts: npt.ArrayLike) -> float:
    """Fleiss' kappa of any number of annotators, the same number for every row.

    Args:
        counts: (n, categories) how many annotators put each row into each category.

    Raises:
        ValueError: Rows differ in their number of annotators, or have fewer than two.
    """
    table = np.asarray(counts, np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"counts are (rows, categories); got shape {table.shape}")
    raters = table.sum(axis=1)
    if raters.min() != raters.max() or raters[0] < 2:
        raise ValueError(
            f"every row needs the same number of annotators, at least 2; there are {raters.min():g} to {raters.max():g}"
        )
    within = (np.square(table).sum(axis=1) - raters) / (raters * (raters - 1))
    shares = table.sum(axis=0) / table.sum()
    return _beyond_chance(float(within.mean()), float(shares @ shares))


def krippendorff_alpha(ratings: npt.ArrayLike, level: Level = "nominal") -> float:
    """Krippendorff's alpha of any number of annotators, of whom each may have left out rows.

    Args:
        ratings: (annotators, n) numbers, NaN where a row was left out; codes, for a nominal level.
        level: How labels differ: at all; by their ranks; by their values.

    Raises:
        ValueError: No row has two labels, or the level is none.
    """
    given = np.asarray(ratings, np.float64)
    if level not in LEVELS:
        raise ValueError(f"the level is {level!r}; it can be {', '.join(LEVELS)}")
    if given.ndim != 2:
        raise ValueError(f"ratings are (annotators, rows); got shape {given.shape}")
    values = np.unique(given[~np.isnan(given)])
    table = np.stack([(given == value).sum(axis=0) for value in values], axis=1) if len(values) else np.empty((0, 0))
    table = table[table.sum(axis=1) >= 2].astype(np.float64)
    if not len(table):
        raise ValueError("no row was labelled by two annotators; agreement needs some")
    weights = 1 / (table.sum(axis=1) - 1)
    coincidences = (table * weights[:, np.newaxis]).T @ table - np.diag(weights @ table)
    totals = coincidences.sum(axis=0)
    differences = _differences(values, totals, level)
    expected = float(totals @ differences @ totals)
    if expected <= _EPSILON:
        return float("nan")
    return 1 - (float(totals.sum()) - 1) * float((coincidences * differences).sum()) / expected


def _differences(values: Floats, totals: Floats, level: Level) -> Floats:
    """(values, values) squared differences."""
    if level == "nominal":
        return 1 - np.eye(len(values))
    if level == "ordinal":
        values = np.cumsum(totals) - totals / 2  # the middle of each value's ranks
    return np.asarray(np.square(values[:, np.newaxis] - values))


def _beyond_chance(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected) if expected < 1 - _EPSILON else float("nan")


def find_disagreement(labels: Mapping[str, Array]) -> list[Finding]:
    """One finding on how far annotators agree, where there are several.

    Args:
        labels: By annotator, (n,) each; see ``Material.labels``.
    """
    if len(labels) < 2:
        return []
    coded = encode(together(labels))
    codes = coded.codes.reshape(len(labels), -1)
    present = codes >= 0
    both = int((present.sum(axis=0) >= 2).sum())
    names = ", ".join(map(repr, labels))
    if not both:
        sentence = f"no row has two of the labels {names}"
        return [Finding("annotators", "error", sentence, "Give labels of the same rows", {"rows": 0})]
    full = codes[:, present.all(axis=0)]
    measured = {"alpha_nominal": krippendorff_alpha(np.where(present, codes, np.nan))}
    if coded.values is not None and len(coded.names) > 2:
        numbers = np.where(present, coded.values[codes], np.nan)
        measured |= {f"alpha_{level}": krippendorff_alpha(numbers, level) for level in LEVELS[1:]}
    if full.size:
        counts = np.stack([(full == code).sum(axis=0) for code in range(len(coded.names))], axis=1)
        measured |= {"fleiss": fleiss_kappa(counts)} if len(labels) > 2 else {"cohen": cohen_kappa(*full)}
    return [_finding(names, both, full.shape[1], measured)]


def together(labels: Mapping[str, Array]) -> Array:
    """All annotators' labels one after the other: numbers, or all of them as text."""
    columns = list(labels.values())
    if all(column.dtype.kind != "O" for column in columns):
        return np.concatenate(columns)
    return np.concatenate([column if column.dtype.kind == "O" else _as_text(column) for column in columns])


def _as_text(column: Array) -> Array:
    texts = np.empty(len(column), object)
    texts[:] = [value if np.isnan(value) else f"{value:.12g}" for value in column.tolist()]
    return texts


def _finding(names: str, rows: int, full: int, measured: Mapping[str, float]) -> Finding:
    alpha = measured["alpha_nominal"]
    titles = {"cohen": "Cohen's kappa", "fleiss": "Fleiss' kappa"}
    titles |= {f"alpha_{level}": f"Krippendorff's alpha ({level})" for level in LEVELS}
    told = ", ".join(f"{titles[name]} {value:.3f}" for name, value in measured.items())
    sentence = f"labels {names} on {rows:,} rows with two or more, {full:,} with all: {told}"
    numbers = {name: None if np.isnan(value) else value for name, value in measured.items()} | {"rows": rows}
    if np.isnan(alpha):
        severity: Severity = "warning"
        advice = "Every label is the same, so agreement cannot be told from chance; give rows of several classes"
    elif alpha >= _RELIABLE:
        severity, advice = "info", f"At {_RELIABLE} and above labels can be relied on"
    else:
        severity = "warning" if alpha >= _TENTATIVE else "error"
        advice = (
            f"Below {_RELIABLE} they should not be relied on, below {_TENTATIVE} not at all (Krippendorff): sharpen "
            "the instructions, and label the rows in dispute again"
        )
    return Finding("annotators", severity, sentence, advice, numbers)
