"""Relations that must hold between answers, whatever the labels: invariance, monotone features, independent batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rai_converters.gate.metrics import Measure, Paired
from edge_rai_converters.gate.robustness.asking import Contender, Said
from edge_rai_converters.gate.robustness.sample import Floats, Mask, Sample
from edge_rai_converters.gate.robustness.trial import Trial
from edge_rai_converters.gate.rows import Array
from edge_rai_converters.words import number_of

# Of a feature: where it is put, in shares of the rows that have less.
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_OTHERS = 5
# Scores are probabilities in float32: what is less than this is rounding.
_ROUNDING = 1e-6
_BATCH_ROWS = 16


@dataclass(frozen=True, eq=False, slots=True)
class _Broken:
    """Of one model: (n,) rows with a counterexample; and of each row the change that made one, NaN without."""

    rows: Mask
    before: Floats
    after: Floats


def relations(
    trial: Trial, positive: int | None, told: Callable[[str, float], None]
) -> Iterator[tuple[dict[str, Any], Measure | None]]:
    """One a declared relation, and what its margin is about where there is one.

    Args:
        trial: What is tried.
        positive: The place of the class whose score monotone features are about; None of quantities.
        told: Of the relation that begins, and the share of all that is done.
    """
    rule, declared = trial.rule, trial.rule.relations
    kinds: list[Callable[[Contender, Said], tuple[int, _Broken]]] = [
        *(_monotone(trial, name, 1.0 if way == "rising" else -1.0, positive) for name, way in rule.monotone.items()),
        *(_invariant(trial, name) for name in rule.invariant),
        *([_batch(trial)] if rule.batch_invariant else []),
    ]
    for place, (name, look) in enumerate(zip(declared, kinds, strict=True)):
        told(name, place / len(declared))
        queries, before = look(trial.original, trial.clean[0])
        _, after = look(trial.candidate, trial.clean[1])
        judged = None
        if name in rule.judged:
            everywhere = trial.among_all(np.ones(len(trial.sample), np.bool_))
            judged = Paired(name, everywhere, ~before.rows, ~after.rows, 1)
        yield _said(trial, name, queries, before, after), judged


def _said(trial: Trial, name: str, queries: int, before: _Broken, after: _Broken) -> dict[str, Any]:
    counts = {"original": int(before.rows.sum()), "candidate": int(after.rows.sum())}
    example, found = None, f"no counterexample in {number_of(queries, 'query', 'queries')}"
    if counts["candidate"]:
        row = int(after.rows.argmax())
        place = trial.judged.place(int(trial.sample.index[row]))
        example = {"row": place, "from": float(after.before[row]), "to": float(after.after[row])}
        found = f"the candidate breaks it in {number_of(counts['candidate'], 'row')} of {len(trial.sample):,}"
    said = f"{name}: {found}; the original in {counts['original']:,}"
    return {"relation": name, "queries": queries, "broken": counts, "example": example, "said": said}


def _monotone(
    trial: Trial, name: str, way: float, positive: int | None
) -> Callable[[Contender, Said], tuple[int, _Broken]]:
    """The feature takes rising values in each row; what is answered must not turn back."""
    sample, place = trial.sample, trial.sample.place_of(name)
    steps = np.unique(np.quantile(sample.values[:, place], _QUANTILES))

    def answers(said: Said) -> Floats:
        if positive is None:
            return np.asarray(said.decided, np.float64)
        return np.asarray(said.decided == positive, np.float64) if said.scores is None else said.scores[:, positive]

    def look(contender: Contender, _: Said) -> tuple[int, _Broken]:
        broken = _nothing(len(sample))
        highest, at = np.full(len(sample), -np.inf), np.full(len(sample), np.nan)
        for step in steps:
            values = sample.values.copy()
            values[:, place] = step
            said = contender.ask(sample.written(values))
            score = way * answers(said)
            tolerance = _ROUNDING * np.maximum(1.0, np.abs(score))
            _note(broken, (score < highest - tolerance) & ~said.lost, at, np.full(len(sample), step))
            rises = score > highest
            highest, at = np.where(rises, score, highest), np.where(rises, step, at)
        return len(steps) * len(sample), broken

    return look


def _invariant(trial: Trial, name: str) -> Callable[[Contender, Said], tuple[int, _Broken]]:
    """The feature, with all of its category, takes the values of other rows; the decision must stay."""
    sample, place = trial.sample, trial.sample.place_of(name)
    group = next((group for group in sample.groups if place in group), np.array([place]))

    def look(contender: Contender, clean: Said) -> tuple[int, _Broken]:
        generator, broken = np.random.default_rng(trial.rule.seed), _nothing(len(sample))
        for _ in range(_OTHERS):
            values = sample.values.copy()
            values[:, group] = sample.values[generator.permutation(len(sample))][:, group]
            moved = contender.ask(sample.written(values)).differs(clean.decided)
            _note(broken, moved, sample.values[:, place], values[:, place])
        return _OTHERS * len(sample), broken

    return look


def _batch(trial: Trial) -> Callable[[Contender, Said], tuple[int, _Broken]]:
    """Rows in batches of one size with other rows beside them, of which one is far from all: the same to the bit.

    Of another size they may round otherwise, which is no dependence.
    """
    sample = trial.sample
    count = len(sample) // _BATCH_ROWS * _BATCH_ROWS

    def look(contender: Contender, _: Said) -> tuple[int, _Broken]:
        broken = _nothing(len(sample))
        order = np.random.default_rng(trial.rule.seed).permutation(count)
        far = sample.values.copy()
        far[order[::_BATCH_ROWS]] = np.where(sample.numeric, sample.high + 10 * sample.scale, sample.high)
        kept = np.arange(len(sample)) < count
        kept[order[::_BATCH_ROWS]] = False
        first = contender.answers({name: array[:count] for name, array in sample.rows.items()}, _BATCH_ROWS)
        mixed = contender.answers({name: array[order] for name, array in sample.written(far).items()}, _BATCH_ROWS)
        for name, array in first.items():
            other = np.empty_like(array)
            other[order] = mixed[name]
            differs = np.zeros(len(sample), np.bool_)
            differs[:count] = ~_same(array, other).reshape(count, -1).all(axis=1)
            _note(broken, differs & kept, _wide(array, sample), _wide(other, sample))
        return 2 * count, broken

    return look


def _same(array: Array, other: Array) -> Mask:
    nothing = np.isnan(array) & np.isnan(other) if array.dtype.kind == "f" else np.zeros(array.shape, np.bool_)
    return np.asarray((array == other) | nothing)


def _wide(array: Array, sample: Sample) -> Floats:
    """(n,) the first value of each row; NaN of rows that were in no batch."""
    found = np.full(len(sample), np.nan)
    found[: len(array)] = array.reshape(len(array), -1)[:, 0]
    return found


def _nothing(count: int) -> _Broken:
    return _Broken(np.zeros(count, np.bool_), np.full(count, np.nan), np.full(count, np.nan))


def _note(broken: _Broken, rows: Mask, before: Floats, after: Floats) -> None:
    """The first counterexample of each row is kept."""
    new = rows & ~broken.rows
    broken.before[new], broken.after[new] = before[new], after[new]
    broken.rows[new] = True
