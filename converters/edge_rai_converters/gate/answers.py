"""From two models' answers, and labels as they were written, to rows that can be judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_rai.errors import UnsupportedModelError
from edge_rai_converters.answered import Answered
from edge_rai_converters.compare import Output
from edge_rai_converters.data import Array
from edge_rai_converters.data.labels import Classes, labelled, to_classes
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.rows import NO_LABEL, Floats, Predicted, Rows
from edge_rai_converters.gate.rules import AnswerRule, Kind
from edge_rai_converters.words import number_of

_ROUNDING = 1e-3
_MOST_CLASSES = 1000
# Standard deviations of the normal distribution around 95 % of it.
_Z = 1.96
_SAY_WHICH = "say which with output under [answer]"


@dataclass(frozen=True, eq=False, slots=True)
class Labels:
    """Labels as they were written.

    Attributes:
        values: (n, ...) of the rows that are judged; NaN in the place of a missing one. None: there are none.
        classes: Names or numbers of classes that the model knows, in the order of its scores.
        path: Of the data, for messages.
        place: What to call a row in a message.
    """

    values: Array | None
    classes: Classes | None
    path: Path
    place: Callable[[int], str]


@dataclass(frozen=True, eq=False, slots=True)
class _Read:
    """What ``Rows`` has of answers and labels."""

    classes: tuple[str, ...]
    labels: Array | None
    original: Predicted
    candidate: Predicted


def rows_of(
    original: Answered,
    candidate: Answered,
    labels: Labels,
    rule: AnswerRule,
    columns: Mapping[str, Array],
    losses: Mapping[str, tuple[Floats, Floats]] | None = None,
) -> Rows:
    """What both models decided.

    Args:
        original: Its answers.
        candidate: Its answers to the same rows.
        labels: Of these rows.
        rule: How answers become decisions.
        columns: (n,) each, see ``Rows``.
        losses: See ``Rows``.

    Raises:
        DataError: The answers, or the labels, are not what the rule says; or an answer is not finite.
    """
    kind = rule.kind
    if kind != "other":
        outputs = outputs_of(original, rule)
        _check_outputs(outputs, candidate.outputs, rule)
        kind = kind or _kind(outputs, labels.values, rule)
    if kind == "other":
        nothing = Predicted(np.zeros(sum(len(next(iter(part.values()))) for part in original.parts())))
        read = _Read((), None, nothing, nothing)
    else:
        read = _READERS[kind](original, candidate, labels, rule)
    return Rows(
        kind=kind,
        classes=read.classes,
        labels=read.labels,
        original=read.original,
        candidate=read.candidate,
        columns=columns,
        losses=losses or {},
        place=labels.place,
    )


def no_better(rows: Rows) -> Iterator[str]:
    """That both models answer no better than somebody who does not look: labels, classes or columns may be others'."""
    there = rows.labelled
    total = int(there.sum())
    if rows.kind != "classes" or rows.labels is None or not total:
        return
    classes, counts = np.unique(rows.labels[there], return_counts=True)
    share = float(counts.max()) / total
    right = [float((model.decided == rows.labels)[there].mean()) for model in (rows.original, rows.candidate)]
    if len(classes) == 1 or any(one - _Z * math.sqrt(one * (1 - one) / total) > share for one in right):
        return
    yield (
        f"the original has the class of the label in {100 * right[0]:.1f} % of the rows and the candidate in "
        f"{100 * right[1]:.1f} %, not measurably more than the {100 * share:.1f} % of somebody who always says "
        f"{rows.classes[classes[counts.argmax()]]}: see that the labels are these rows', that their classes are "
        "numbered as the models number them, and that the rows are prepared as in training (order of columns, scale, "
        "channels)"
    )


def shares_output(original: Answered, rule: AnswerRule) -> tuple[str, bool]:
    """The output with a number a class, and whether these are no shares yet but logarithms of odds.

    Args:
        original: Its answers are of classes, with such an output.
        rule: How answers become decisions.
    """
    outputs = original.outputs
    name = _scored(rule, outputs, 2) or _scored(rule, outputs, 1)
    return name, not _are_shares(outputs[name])


def outputs_of(original: Answered, rule: AnswerRule) -> Mapping[str, Output]:
    """The outputs that are read.

    Args:
        original: Its answers.
        rule: Whose kind is not "other".

    Raises:
        DataError: They have no fixed shape, or the rule names one that is not there.
    """
    try:
        outputs = original.outputs
    except UnsupportedModelError as error:
        raise DataError(
            f'{error}; what it answers can be judged by losses of your own: [answer] kind = "other", and losses from '
            "Python"
        ) from error
    if rule.output and rule.output not in outputs:
        raise DataError(f"there is no output {rule.output!r}; the models have {', '.join(map(repr, outputs))}")
    return outputs


def _check_outputs(wanted: Mapping[str, Output], there: Mapping[str, Output], rule: AnswerRule) -> None:
    missing = [name for name in wanted if name not in there]
    if missing and (not rule.output or rule.output in missing):
        raise DataError(
            f"the candidate has no output {missing[0]!r}, which the original has; its own are "
            f"{', '.join(map(repr, there))}: make it of the original, and export a scikit-learn model without ZipMap "
            "(zipmap=False) both times, or both times with it"
        )


def _kind(outputs: Mapping[str, Output], labels: Array | None, rule: AnswerRule) -> Kind:
    if labels is not None:
        if labels.reshape(len(labels), -1).shape[1] > 1:
            _refuse_one_hot(labels)
            return "labels"
        if labels.dtype.kind == "f" and not np.array_equal(np.nan_to_num(labels), np.nan_to_num(labels).round()):
            return "quantity"
    chosen = [outputs[rule.output]] if rule.output else list(outputs.values())
    answers = any(entry.whole and entry.size == 1 for entry in chosen)
    answers |= any(entry.floating and entry.size > 1 and max(entry.shape) == entry.size for entry in chosen)
    scores = labels is not None and any(entry.floating and entry.size == 1 for entry in chosen)
    return "classes" if answers or scores else "other"


def _refuse_one_hot(labels: Array) -> None:
    """Classes that are written as several labels would be judged as such: each score by a threshold of its own."""
    if labels.dtype.kind in "fiub" and (labels.reshape(len(labels), -1).sum(axis=1) == 1).all():
        raise DataError(
            "every row has exactly one of its labels, as one-hot labels do; give one class a row (numpy.argmax(labels, "
            'axis=1)), or say kind = "labels" under [answer]'
        )


def _scored(rule: AnswerRule, outputs: Mapping[str, Output], least: int) -> str:
    """The output with a number a class; "" without one."""
    if rule.output:
        return rule.output if outputs[rule.output].floating else ""
    names = [name for name, entry in outputs.items() if entry.floating and least <= entry.size <= _MOST_CLASSES]
    return names[0] if names else ""


def _classes(original: Answered, candidate: Answered, labels: Labels, rule: AnswerRule) -> _Read:
    outputs = original.outputs
    scored = _scored(rule, outputs, 2) or _scored(rule, outputs, 1)
    decides = next((name for name, entry in outputs.items() if entry.whole and entry.size == 1), "")
    if scored and (rule.output or rule.threshold is not None or rule.candidate_threshold is not None):
        decides = ""
    if not scored and not decides:
        raise DataError(f"no output of the models is a class or has a number a class; {_SAY_WHICH}")
    odds = bool(scored) and not _are_shares(outputs[scored])
    found = []
    for model, threshold in zip((original, candidate), _thresholds(rule), strict=True):
        scores = _probabilities(model.all_of(scored), odds) if scored else None
        if decides:
            decided = _places(model.all_of(decides).reshape(-1).astype(np.int64), labels.classes)
        else:
            decided = _decided(np.asarray(scores), threshold, rule, labels.classes)
        found.append(Predicted(decided, scores))
    widths = [model.scores.shape[1] for model in found if model.scores is not None]
    count = max([2, *widths, *(int(model.decided.max()) + 1 for model in found)])
    truth, names = _class_labels(labels, rule, count)
    names = (*names, *map(str, range(len(names), count)))
    fit = [model if [len(names)] == widths[:1] else Predicted(model.decided) for model in found]
    return _Read(names, truth, *fit)


def _thresholds(rule: AnswerRule) -> tuple[float | None, float | None]:
    own = rule.candidate_threshold
    return rule.threshold, rule.threshold if own is None else own


def _decided(
    scores: Floats, threshold: float | None, rule: AnswerRule, classes: Classes | None
) -> npt.NDArray[np.int64]:
    if scores.shape[1] != 2:
        if threshold is not None:
            raise DataError("a threshold is of two classes, or of labels; leave it out for answers of several classes")
        return np.asarray(scores.argmax(axis=1), np.int64)
    if threshold is None:
        return (scores[:, 1] > scores[:, 0]).astype(np.int64)
    names = list(rule.classes or map(str, classes or (0, 1)))
    place = names.index(rule.positive) if rule.positive in names else rule.positive
    if not isinstance(place, int) or place not in (0, 1):
        raise DataError(f"positive is {rule.positive!r}, and the classes are {', '.join(map(repr, names))}")
    return np.where(scores[:, place] > threshold, place, 1 - place).astype(np.int64)


def _class_labels(labels: Labels, rule: AnswerRule, count: int) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    """(n,) classes, -1 for none, and names of classes as far as there are some."""
    known = labels.classes or rule.classes
    names = rule.classes or tuple(map(str, known or range(count)))
    if labels.values is None:
        return None, names
    flat = labels.values.reshape(-1)
    there = labelled(flat)
    if not there.any():
        raise DataError(f"{labels.path}: not one of the rows has a label")
    index = np.flatnonzero(there)
    classes, found = to_classes(labels.path, flat[there], known, lambda row: labels.place(int(index[row])))
    if found and not known and len(found) < count:
        raise DataError(
            f"{labels.path}: labels are text of {len(found)} classes, {', '.join(map(repr, found))}, and the models "
            f"have {count}; name all of them in the models' order as classes under [answer]"
        )
    classes = _places(classes, known)
    names = names if known or not found else found
    if classes.min() < 0 or classes.max() >= max(count, len(names)):
        raise DataError(
            f"{labels.path}: labels run from {classes.min()} to {classes.max()}, and the models have the classes 0 to "
            f"{count - 1}"
        )
    truth = np.full(len(flat), NO_LABEL, np.int64)
    truth[there] = classes
    return truth, names


def _places(classes: npt.NDArray[np.int64], known: Classes | None) -> npt.NDArray[np.int64]:
    """Numbers that the model gives its classes, as places among its scores; others stay as they are."""
    if not known or isinstance(known[0], str):
        return classes
    numbers = np.array(known, np.int64)
    order = np.argsort(numbers)
    at = np.minimum(np.searchsorted(numbers, classes, sorter=order), len(numbers) - 1)
    return np.where(numbers[order[at]] == classes, order[at], classes)


def _labels(original: Answered, candidate: Answered, labels: Labels, rule: AnswerRule) -> _Read:
    scored = _scored(rule, original.outputs, 1)
    if not scored:
        raise DataError(f"no output of the models has a number a label; {_SAY_WHICH}")
    odds = not _are_shares(original.outputs[scored])
    before, after = (_shares(_flat(model.all_of(scored)), odds) for model in (original, candidate))
    truth = None if labels.values is None else _label_matrix(labels, labels.values, before.shape[1])
    limits = [0.5 if threshold is None else threshold for threshold in _thresholds(rule)]
    names = rule.classes or tuple(map(str, range(before.shape[1])))
    if len(names) != before.shape[1]:
        raise DataError(f"[answer] classes names {len(names)} labels, and the models score {before.shape[1]}")
    return _Read(names, truth, Predicted(before > limits[0], before), Predicted(after > limits[1], after))


def _label_matrix(labels: Labels, values: Array, count: int) -> npt.NDArray[np.int64]:
    wide = values.reshape(len(values), -1)
    if wide.dtype.kind not in "fiub" or wide.shape[1] != count:
        raise DataError(
            f"{labels.path}: labels have {number_of(wide.shape[1], 'column')} of {wide.dtype}, and the models "
            f"{count} scores"
        )
    numbers = wide.astype(np.float64)
    numbers = np.where(np.isnan(numbers), NO_LABEL, numbers)
    if not np.isin(numbers, (NO_LABEL, 0, 1)).all():
        raise DataError(f"{labels.path}: labels in several columns are 0 or 1, and empty where they are not known")
    return numbers.astype(np.int64)


def _quantity(original: Answered, candidate: Answered, labels: Labels, rule: AnswerRule) -> _Read:
    name = rule.output or next((name for name, entry in original.outputs.items() if entry.size == 1), "")
    if not name or original.outputs[name].size != 1:
        raise DataError(f"no output of the models is one number a row; {_SAY_WHICH}")
    truth = None
    if labels.values is not None:
        if labels.values.dtype.kind not in "fiub":
            raise DataError(f"{labels.path}: labels hold {labels.values.dtype}; numbers are needed for a quantity")
        truth = labels.values.reshape(-1).astype(np.float64)
    before, after = (Predicted(_flat(model.all_of(name))[:, 0]) for model in (original, candidate))
    return _Read((), truth, before, after)


_READERS: Mapping[Kind, Callable[[Answered, Answered, Labels, AnswerRule], _Read]] = {
    "classes": _classes,
    "labels": _labels,
    "quantity": _quantity,
}


def _are_shares(output: Output) -> bool:
    return output.low >= -_ROUNDING and output.high <= 1 + _ROUNDING


def _flat(scores: Array) -> Floats:
    return scores.reshape(len(scores), -1).astype(np.float64)


def _shares(scores: Floats, odds: bool) -> Floats:
    """Probabilities of logarithms of odds, or as they are; NaN stays."""
    if odds:
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-scores)))
    return np.clip(scores, 0.0, 1.0)


def _probabilities(scores: Array, odds: bool) -> Floats:
    """(n, classes) of (n, classes) or (n,) scores; a single one is of the second of two classes."""
    flat = _flat(scores)
    if flat.shape[1] == 1:
        one = _shares(flat, odds)
        return np.concatenate([1 - one, one], axis=1)
    if not odds:
        return np.clip(flat, 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        grown = np.exp(flat - flat.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True))
