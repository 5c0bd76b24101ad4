"""Metrics, as what is known of each row under the original and under the candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.rows import Array, Floats, Mask, Predicted, Rows
from edge_rai_converters.gate.rules import BY_CLASS, OF_QUANTITIES, UNLABELLED, GatePolicy, ValueRule, split

Better = Literal[1, 0, -1]


@dataclass(frozen=True, eq=False, slots=True)
class Paired:
    """A share of rows, such as of right ones.

    Attributes:
        metric: Its name.
        chosen: (n,) rows that it is about.
        original: (chosen rows,) which of these count under the original.
        candidate: The same under the candidate.
        better: 1: a higher share is better; -1: a lower one; 0: neither is, and a change is a loss.
        presumed: (chosen rows,) rows without a label, of which every flip is taken for a loss; None: there are none.
    """

    metric: str
    chosen: Mask
    original: Mask
    candidate: Mask
    better: Better
    presumed: Mask | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Events:
    """The share of rows in which something happens between the two models; attributes as of ``Paired``."""

    metric: str
    chosen: Mask
    happened: Mask


@dataclass(frozen=True, eq=False, slots=True)
class Precision:
    """The share of right ones among the rows decided for a class.

    Attributes:
        metric: Its name.
        chosen: (n,) labelled rows.
        truth: (chosen rows,) of the class.
        original: Decided for it by the original.
        candidate: By the candidate.
    """

    metric: str
    chosen: Mask
    truth: Mask
    original: Mask
    candidate: Mask


@dataclass(frozen=True, eq=False, slots=True)
class Means:
    """The mean of a value, or with ``root`` its square root.

    Attributes:
        metric: Its name.
        chosen: (n,) rows that it is about.
        original: (chosen rows,) values under the original.
        candidate: Under the candidate.
        span: No two values differ by more.
        better: As of ``Paired``.
        root: The square root of the mean is the metric.
    """

    metric: str
    chosen: Mask
    original: Floats
    candidate: Floats
    span: float
    better: Better
    root: bool = False


Measure = Paired | Events | Precision | Means


class Beside(NamedTuple):
    """A measure beside a policy's own, and its margins: of all rows together, of each slice; None: it has none."""

    measure: Measure
    margin: float | None
    slice_margin: float | None


def measures(rows: Rows, policy: GatePolicy) -> Iterator[Measure]:
    """Every metric that these rows have.

    Raises:
        DataError: A column that a value needs is not there, or has no number in a row.
    """
    if rows.kind in ("classes", "labels"):
        yield from _of_decisions(rows, policy)
    elif rows.kind == "quantity":
        yield from _of_quantities(rows, policy)
    everywhere = np.ones(len(rows), np.bool_)
    for name, rule in policy.values.items():
        yield _of_columns(rows, name, rule)
    for name in policy.loss_spans:
        if name not in rows.losses:
            raise DataError(f"[loss_spans] declares {name!r}, and no such loss was given; give it from Python")
    for name, (original, candidate) in rows.losses.items():
        span = policy.loss_spans.get(name)
        if span is None:
            raise DataError(
                f"loss {name!r} has no span; declare {name} under [loss_spans]: how far its values can differ"
            )
        both = np.concatenate([original, candidate])
        if np.ptp(both) > span * (1 + 1e-9):
            raise DataError(f"loss {name!r} runs from {both.min():g} to {both.max():g}, and its span is {span:g}")
        yield Means(name, everywhere, original, candidate, span, -1)


def expanded(metric: str, rows: Rows, policy: GatePolicy) -> list[str]:
    """The metrics that a declared one stands for: of many classes "tpr" is one a class.

    Raises:
        DataError: These rows have no such metric; says why.
    """
    name, of = split(metric)
    if metric in policy.values or metric in policy.loss_spans:
        return [metric]
    _refuse_impossible(metric, name, rows, policy)
    if name not in BY_CLASS:
        if of is not None:
            raise DataError(f"{metric!r}: {name} is of all classes together")
        return [name]
    if of is not None and of not in rows.classes:
        raise DataError(f"{metric!r}: there is no class {of!r}; there are {', '.join(map(repr, rows.classes))}")
    if rows.kind == "classes" and len(rows.classes) == 2:
        positive = rows.classes[positive_of(rows, policy)]
        if of not in (None, positive):
            raise DataError(f"{metric!r}: of two classes it is the positive one's, {positive!r}; see [answer] positive")
        return [name]
    return [metric] if of is not None else [f"{name}[{entry}]" for entry in rows.classes]


def _refuse_impossible(metric: str, name: str, rows: Rows, policy: GatePolicy) -> None:
    quantity = name in OF_QUANTITIES
    if rows.kind == "other" and rows.labels is None and policy.answer.kind is None:
        raise DataError(
            f"{metric!r} is declared, and without labels it is not known whether the models answer classes or "
            "quantities; give --labels, or kind under [answer]"
        )
    if quantity != (rows.kind == "quantity") or rows.kind == "other":
        raise DataError(f"{metric!r} is declared, but the models answer {_ANSWERS[rows.kind]}")
    if name == "hamming_loss" and rows.kind != "labels":
        raise DataError("'hamming_loss' is of answers with any number of labels; declare accuracy")
    if name in ("brier", "log_loss") and (rows.original.scores is None or rows.candidate.scores is None):
        raise DataError(f"{name!r} is declared, but the models answer no probabilities")
    if name not in UNLABELLED and rows.labels is None:
        raise DataError(f"{metric!r} needs labels; give --labels, or declare selection_rate and flips, which need none")


_ANSWERS = {
    "classes": "classes",
    "labels": "labels",
    "quantity": "a quantity",
    "other": "neither classes nor a quantity, so that losses and values alone are judged",
}


def positive_of(rows: Rows, policy: GatePolicy) -> int:
    """The place of the positive one of two classes.

    Raises:
        DataError: There is no such class.
    """
    positive = policy.answer.positive
    if isinstance(positive, str):
        if positive not in rows.classes:
            raise DataError(f"positive is {positive!r}, and the classes are {', '.join(map(repr, rows.classes))}")
        return rows.classes.index(positive)
    if not 0 <= positive < len(rows.classes):
        raise DataError(f"positive is {positive}, and the classes are 0 to {len(rows.classes) - 1}")
    return positive


def _of_decisions(rows: Rows, policy: GatePolicy) -> Iterator[Measure]:
    original, candidate = rows.original.decided, rows.candidate.decided
    everywhere, labelled = np.ones(len(rows), np.bool_), rows.labelled
    flipped = (original != candidate).reshape(len(rows), -1).any(axis=1)
    yield Events("flips", everywhere, flipped)
    if rows.labels is not None:
        right = [(model == rows.labels).reshape(len(rows), -1).all(axis=1) for model in (original, candidate)]
        if policy.unlabelled == "flips" and not labelled.all():
            yield Paired(
                "accuracy", everywhere, right[0], np.where(labelled, right[1], right[0] ^ flipped), 1, ~labelled
            )
        else:
            yield Paired("accuracy", labelled, right[0][labelled], right[1][labelled], 1)
        yield Events("negative_flips", labelled, (right[0] & ~right[1])[labelled])
        if rows.kind == "labels":
            wrong = [(model != rows.labels)[labelled].mean(axis=1) for model in (original, candidate)]
            yield Means("hamming_loss", labelled, wrong[0], wrong[1], 1.0, -1)
        yield from _of_scores(rows, policy, labelled)
    for suffix, place in _class_places(rows, policy):
        yield from _of_class(rows, suffix, place, labelled)


def _class_places(rows: Rows, policy: GatePolicy) -> Iterator[tuple[str, int]]:
    """What metrics of single classes are called, and the classes' places."""
    if rows.kind == "classes" and len(rows.classes) == 2:
        yield "", positive_of(rows, policy)
    else:
        yield from ((f"[{name}]", place) for place, name in enumerate(rows.classes))


def _of_class(rows: Rows, suffix: str, place: int, labelled: Mask) -> Iterator[Measure]:
    def has(values: Array) -> Mask:
        return np.asarray(values == place if rows.kind == "classes" else values[:, place] == 1)

    everywhere = np.ones(len(rows), np.bool_)
    original, candidate = has(rows.original.decided), has(rows.candidate.decided)
    yield Paired(f"selection_rate{suffix}", everywhere, original, candidate, 0)
    if rows.labels is None:
        return
    truth = has(rows.labels)
    kinds: tuple[tuple[str, Mask, bool, Better], ...] = (
        ("tpr", truth, True, 1), ("fnr", truth, False, -1), ("fpr", ~truth, True, -1), ("tnr", ~truth, False, 1)
    )  # fmt: skip
    for name, which, decided, better in kinds:
        chosen = labelled & which
        yield Paired(f"{name}{suffix}", chosen, original[chosen] == decided, candidate[chosen] == decided, better)
    yield Precision(f"precision{suffix}", labelled, truth[labelled], original[labelled], candidate[labelled])


def _of_scores(rows: Rows, policy: GatePolicy, labelled: Mask) -> Iterator[Measure]:
    if rows.original.scores is None or rows.candidate.scores is None or rows.labels is None:
        return
    labels = rows.labels[labelled]
    wanted = labels == 1 if rows.kind == "labels" else np.arange(len(rows.classes)) == labels[:, np.newaxis]
    # Of two classes both columns say the same: half of the sum is the Brier score of one of them.
    sums = len(rows.classes) > 2 and rows.kind == "classes"
    floor = policy.answer.log_loss_floor

    def brier(model: Predicted) -> Floats:
        squares = np.square(np.asarray(model.scores)[labelled] - wanted)
        return np.asarray(squares.sum(axis=1) if sums else squares.mean(axis=1))

    def log_loss(model: Predicted) -> Floats:
        scores = np.asarray(model.scores)[labelled]
        if rows.kind == "labels":
            held = np.clip(np.where(wanted, scores, 1 - scores), floor, 1 - floor)
            return np.asarray(-np.log(held).mean(axis=1))
        return np.asarray(-np.log(np.clip(scores[np.arange(len(labels)), labels], floor, 1 - floor)))

    kinds: tuple[tuple[str, Callable[[Predicted], Floats], float], ...] = (
        ("brier", brier, 2.0 if sums else 1.0),
        ("log_loss", log_loss, float(np.log((1 - floor) / floor))),
    )
    for name, loss, span in kinds:
        yield Means(name, labelled, loss(rows.original), loss(rows.candidate), span, -1)


def _of_quantities(rows: Rows, policy: GatePolicy) -> Iterator[Measure]:
    if rows.labels is None:
        return
    labelled, most = rows.labelled, policy.answer.largest_error
    errors = [(model.decided - rows.labels)[labelled] for model in (rows.original, rows.candidate)]
    bound = float(max(np.abs(error).max(initial=0.0) for error in errors)) or 1.0
    if most is not None:
        errors, bound = [np.clip(error, -most, most) for error in errors], most
    original, candidate = errors
    yield Means("mae", labelled, np.abs(original), np.abs(candidate), bound, -1)
    yield Means("rmse", labelled, np.square(original), np.square(candidate), bound**2, -1, root=True)
    yield Means("signed_error", labelled, original, candidate, 2 * bound, 0)


def _of_columns(rows: Rows, name: str, rule: ValueRule) -> Means:
    table = np.stack([_numbers(rows.columns, name, column) for column in rule.columns], axis=1)
    if rule.by == "model":
        original, candidate = table.T
    else:
        if rows.kind != "classes" or len(rule.columns) != len(rows.classes):
            raise DataError(
                f"value {name!r} has {len(rule.columns)} columns by class, and the models answer "
                f"{len(rows.classes) if rows.kind == 'classes' else 'no'} classes"
            )
        every = np.arange(len(rows))
        original, candidate = table[every, rows.original.decided], table[every, rows.candidate.decided]
    apart = float(np.abs(original - candidate).max())
    if apart > rule.largest:
        raise DataError(f"value {name!r} differs by {apart:g} in a row, and largest is {rule.largest:g}; declare more")
    better: Better = 1 if rule.better == "higher" else -1
    return Means(name, np.ones(len(rows), np.bool_), original, candidate, rule.largest, better)


def _numbers(columns: Mapping[str, Array], name: str, column: str) -> Floats:
    if column not in columns:
        raise DataError(f"value {name!r} needs the column {column!r}, and the data have none of that name")
    values = columns[column]
    if values.dtype.kind not in "fiub" or not np.isfinite(values.astype(np.float64)).all():
        raise DataError(f"value {name!r} needs a number in every row of the column {column!r}")
    return values.astype(np.float64)
