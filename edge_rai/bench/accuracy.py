"""How right a session's answers are, so that a fast wrong model shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_rai.bench.contenders import Array, Rows, inputs_of, row_count
from edge_rai.session import Session
from edge_rai.types import Verdict

_Z_95 = 1.959964
_CHUNK = 256


def accuracy_of(session: Session, rows: Rows, labels: Array, most_rows: int) -> dict[str, Any]:
    """Of what callers get: where the guard rejects a row, of the fallback's answer.

    Args:
        session: Its first output that fits the labels is held against them: equal where both are whole numbers or
            texts; the index of the greatest, where it has several values a row; 0 or 1 by the nearer, for shares of
            one value where the labels are 0 and 1; else numbers, by the mean absolute error.
        rows: See contenders.Model.
        labels: (n,) One a row.
        most_rows: Rows that one call may have.

    Returns:
        "metric" ("accuracy" or "mean absolute error"), "value", "low_95", "high_95", "rows" and "rejected".

    Raises:
        ValueError: There are more or fewer labels than rows, one of them is no finite number, or no output fits them.
    """
    count = row_count(session, rows)
    if labels.shape != (count,):
        raise ValueError(f"the labels have shape {list(labels.shape)}; expected [{count}], one a row")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.argmin(np.isfinite(labels)))
        raise ValueError(f"the label of row {row} is {labels[row]}; expected a label of each row")
    chunk = min(_CHUNK, most_rows)
    answers: list[dict[str, Any]] = []
    rejected = 0
    for first in range(0, count, chunk):
        answer = session.predict(inputs_of(session, rows, first, min(chunk, count - first)))
        answers.append(answer.outputs)
        rejected += int((answer.row_verdicts == Verdict.REJECT).sum())
    for name in answers[0]:
        found = (
            _against(np.concatenate([answer[name] for answer in answers]), labels) if _whole(answers, name) else None
        )
        if found is not None:
            return {"output": name, **found, "rows": count, "rejected": rejected}
    raise ValueError(f"no output of {', '.join(answers[0])} can be held against labels of type {labels.dtype}")


def _whole(answers: list[dict[str, Any]], name: str) -> bool:
    return all(isinstance(answer[name], np.ndarray) and answer[name].ndim for answer in answers)


def _against(values: Array, labels: Array) -> dict[str, Any] | None:
    if len(values) != len(labels):
        return None
    values = values.reshape(len(values), -1)
    texts = labels.dtype.kind in "USO"
    if texts != (values.dtype.kind in "USO"):
        return None
    if texts or (values.dtype.kind in "iub" and labels.dtype.kind in "iub" and values.shape[1] == 1):
        return _share(values[:, 0].astype(str) == labels.astype(str) if texts else values[:, 0] == labels)
    if values.shape[1] > 1:
        return _share(values.argmax(axis=1) == labels)
    if np.isin(labels, (0, 1)).all():
        return _share((values[:, 0] > 0.5) == (labels == 1))
    return _error(np.abs(values[:, 0].astype(np.float64) - labels))


def _share(right: Array) -> dict[str, Any]:
    """With Wilson's interval (Probable inference, the law of succession, and statistical inference, 1927)."""
    n, p, z = len(right), float(right.mean()), _Z_95
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {"metric": "accuracy", "value": p, "low_95": max(0.0, middle - half), "high_95": min(1.0, middle + half)}


def _error(errors: Array) -> dict[str, Any] | None:
    if not np.isfinite(errors).all():
        errors = errors[np.isfinite(errors)]
    if not len(errors):
        return None
    mean, half = float(errors.mean()), _Z_95 * float(errors.std()) / math.sqrt(len(errors))
    return {"metric": "mean absolute error", "value": mean, "low_95": max(0.0, mean - half), "high_95": mean + half}
