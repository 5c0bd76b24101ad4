"""Rows for the gate: people of two sexes and five groups, an original that errs, candidates that answer otherwise."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import numpy.typing as npt

from edge_rai_converters.gate import GateReport, Predicted, Rows, judge, parse_gate_policy

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SEXES = np.array(["F", "M"], object)
GROUPS = np.array(list("ABCDE"), object)
BY_SEX_AND_GROUP = """
format_version = 1
[margins]
accuracy = 0.05
[slice_margins]
accuracy = 0.05
[[slices]]
by = ["sex"]
[[slices]]
by = ["sex", "group"]
"""


def people(generator: np.random.Generator, count: int) -> tuple[npt.NDArray[np.int64], Floats, dict[str, npt.NDArray]]:
    """Labels, the original's scores of class 1, and columns that neither model sees."""
    labels = (generator.random(count) < 0.4).astype(np.int64)
    scores = np.clip(np.where(labels == 1, 0.75, 0.25) + generator.normal(0, 0.2, count), 0.01, 0.99)
    columns = {
        "sex": SEXES[generator.integers(0, 2, count)],
        "group": GROUPS[generator.integers(0, 5, count)],
        "age": generator.uniform(18, 90, count),
        "person": generator.integers(0, max(1, count // 4), count).astype(np.float64),
    }
    return labels, scores, columns


def two_columns(scores: Floats) -> Floats:
    """(n, 2) probabilities of both classes."""
    return np.stack([1 - scores, scores], axis=1)


def rows_of(
    labels: npt.NDArray[np.int64], before: Floats, after: Floats, columns: dict[str, npt.NDArray] | None = None
) -> Rows:
    """Rows of two classes, decided at one half."""
    return Rows(
        kind="classes",
        classes=("0", "1"),
        labels=labels,
        original=Predicted((before > 0.5).astype(np.int64), two_columns(before)),
        candidate=Predicted((after > 0.5).astype(np.int64), two_columns(after)),
        columns=columns or {},
    )


def flipped(scores: Floats, chosen: Mask) -> Floats:
    """The scores, on the other side of one half in the chosen rows."""
    return np.where(chosen, 1 - scores, scores)


def judged(rows: Rows, policy: str = BY_SEX_AND_GROUP) -> GateReport:
    """By a policy, on a day on which no waiver has expired."""
    return judge(rows, parse_gate_policy(policy), today=date(2026, 1, 1))


def figures(report: GateReport, metric: str) -> dict[str, tuple[float, float]]:
    """Of the original and the candidate, by slice."""
    return {entry.slice: (entry.original, entry.candidate) for entry in report.measured if entry.metric == metric}


@cache
def noisy_people() -> tuple[Rows, GateReport]:
    """3,000 people, and a candidate with some noise in its scores."""
    generator = np.random.default_rng(0)
    labels, before, columns = people(generator, 3000)
    after = np.clip(before + generator.normal(0, 0.1, len(before)), 0.001, 0.999)
    rows = rows_of(labels, before, after, columns)
    return rows, judged(rows)


def of_persons(count: int, each: int, wrong: float, seed: int) -> Rows:
    """Rows of people, of whom everything is wrong or nothing, with that chance, whatever the model is sure of."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(float(count)), each)
    labels = generator.integers(0, 2, len(person))
    decided = np.where(np.repeat(generator.random(count) < wrong, each), 1 - labels, labels)
    share = generator.uniform(0.51, 0.99, len(person))
    scores = np.where(decided == 1, share, 1 - share)
    return rows_of(labels, scores, scores, {"person": person})
