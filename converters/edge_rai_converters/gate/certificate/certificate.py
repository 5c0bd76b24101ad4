"""Makes the certificate of a candidate, from rows that it had no part in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai_converters.data import drawn
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.certificate.rules import AbstentionRule, SetsRule
from edge_rai_converters.gate.certificate.sets import Limits, limits
from edge_rai_converters.gate.certificate.thresholds import (
    Found,
    Promise,
    Scored,
    certified,
    promising,
    rows_needed,
)
from edge_rai_converters.gate.clustered import clusters_of
from edge_rai_converters.gate.rows import Floats, Mask, Rows
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.gate.slices import Index, Slices
from edge_rai_converters.words import number_of

_LEARNED_ON_EVERY = 4
_SHOWN = 8


@dataclass(frozen=True, eq=False, slots=True)
class Deployed:
    """How the candidate is on a device, beside its answers.

    Attributes:
        admitted: (n,) rows whose answers the guard lets through; None: all.
        thresholds: In the order in which they are tested, learned elsewhere; or the only one, where the guard has it
            already. Empty: a quarter of the rows says which.
        wanted: Of the certified ones the one that the guard will have; None: the lowest.
        by_original: That quarter says it by the original's answers: they are the same for whatever is made of it.
    """

    admitted: Mask | None = None
    thresholds: Sequence[float] = ()
    wanted: float | None = None
    by_original: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """What may be promised of a candidate, or why it may not.

    Attributes:
        granted: All that was asked for is promised.
        sentences: For people: what is promised, or why it is not.
        groups: By slice, what was counted and what is promised.
        abstention: For the record; None: not asked for.
        sets: Likewise.
    """

    granted: bool
    sentences: tuple[str, ...]
    groups: tuple[Mapping[str, Any], ...] = ()
    abstention: Mapping[str, Any] | None = None
    sets: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The key "certificate" of gate.json, see docs/formats/gate.md."""
        return {
            "granted": self.granted,
            "sentences": list(self.sentences),
            "groups": [dict(entry) for entry in self.groups],
            "abstention": self.abstention,
            "sets": self.sets,
        }


@dataclass(frozen=True, slots=True)
class _Spent:
    """Chances of a promise that does not hold: of the candidate that is chosen, and of each one's test."""

    chosen: float
    each: float

    @property
    def sure(self) -> str:
        """For people."""
        return f"with {100 * (1 - self.chosen):.4g} % confidence"


@dataclass(frozen=True, eq=False, slots=True)
class _Judged:
    """What is judged, and which rows are one observation."""

    rows: Rows
    slices: Slices
    policy: GatePolicy
    clusters: Index | None


@dataclass(eq=False, slots=True)
class _Parts:
    """What a certificate is put together of."""

    sentences: list[str] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    granted: bool = True


def certificate(
    rows: Rows, slices: Slices, policy: GatePolicy, alpha: float, deployed: Deployed, candidates: int = 1
) -> Certificate:
    """Tests what the policy wants to promise.

    Args:
        rows: Which nothing was trained or calibrated with, and no threshold fitted to.
        slices: Of these.
        policy: Has a certificate.
        alpha: Of this look.
        deployed: The candidate on a device.
        candidates: Of so many one is chosen, by the same rows: each is tested at an equal part of alpha.

    Raises:
        DataError: The answers are no classes with shares.
    """
    rule = policy.certificate
    assert rule is not None
    check_classes(rows)
    parts, spent = _Parts(), _Spent(alpha, alpha / candidates)
    judged = _Judged(rows, slices, policy, clusters_of(rows, policy))
    if rule.abstention is not None:
        _add_abstention(parts, judged, rule.abstention, spent, deployed)
    if rule.sets is not None:
        _add_sets(parts, judged, rule.sets, spent, deployed)
    return Certificate(parts.granted, tuple(parts.sentences), **parts.known)


def check_classes(rows: Rows) -> None:
    """Refuses answers that no certificate is about."""
    if rows.labels is None:
        raise DataError("a certificate counts errors, and there are no labels; give --labels")
    if rows.kind != "classes" or rows.candidate.scores is None:
        raise DataError(
            "a certificate is about answers of classes with a share each, and these are none; leave [certificate] out, "
            "or name the output with the shares: [answer] output"
        )


def score_of(rows: Rows, rule: AbstentionRule, admitted: Mask | None) -> Floats:
    """(n,) what the guard compares with its limit; -inf where it rejects the row for something else."""
    shares = np.sort(np.asarray(rows.candidate.scores), axis=1)
    score = shares[:, -1] if rule.score == "confidence" else shares[:, -1] - shares[:, -2]
    return np.asarray(score if admitted is None else np.where(admitted, score, -np.inf))


def order(rows: Rows, slices: Slices, rule: AbstentionRule, admitted: Mask | None, count: int) -> tuple[float, ...]:
    """Thresholds in the order in which so many other rows are to test them."""
    return promising(_scored(rows, slices, rule, admitted), promise_of(rule, slices), count)


def choosing(rows: Rows, policy: GatePolicy) -> Mask:
    """(n,) rows that say in which order thresholds are tested, where nothing else does: of clusters, all or none."""
    clusters = clusters_of(rows, policy)
    if clusters is None:
        return drawn(len(rows), _LEARNED_ON_EVERY)
    return np.asarray(drawn(int(clusters.max()) + 1, _LEARNED_ON_EVERY)[clusters])


def promise_of(rule: AbstentionRule, slices: Slices) -> Promise:
    """By slice, all rows first."""
    wanted = ((rule.errors, rule.slice_errors), (rule.abstains, rule.slice_abstains))
    rest = len(slices) - 1
    return Promise(*(np.array([whole, *[np.nan if part is None else part] * rest]) for whole, part in wanted))


def _scored(
    rows: Rows, slices: Slices, rule: AbstentionRule, admitted: Mask | None, clusters: Index | None = None
) -> Scored:
    return Scored(score_of(rows, rule, admitted), np.asarray(rows.candidate.decided != rows.labels), slices, clusters)


def _add_abstention(parts: _Parts, judged: _Judged, rule: AbstentionRule, spent: _Spent, deployed: Deployed) -> None:
    rows, slices = judged.rows, judged.slices
    scored, promise = _scored(rows, slices, rule, deployed.admitted, judged.clusters), promise_of(rule, slices)
    thresholds, learned = deployed.thresholds, np.zeros(len(rows), np.bool_)
    if not thresholds:
        learned = choosing(rows, judged.policy)
        told = scored
        if deployed.by_original:
            told = _scored(replace(rows, candidate=rows.original), slices, rule, None, judged.clusters)
        thresholds = promising(told.of(learned), promise, int((~learned).sum()))
    test = scored.of(~learned)
    found = certified(test, promise, thresholds, spent.each, deployed.wanted)
    needed = None if found.granted else rows_needed(found, promise, spent.each)
    parts.granted &= found.granted
    said = _granted(rule, spent, found, test) if found.granted else _refused(rule, found, slices, needed)
    parts.sentences.append(said)
    parts.known |= {
        "groups": tuple(_groups(found, promise, slices)),
        "abstention": {
            "granted": found.granted,
            "score": rule.score,
            "threshold": found.threshold,
            "certified": list(found.kept),
            "alpha": spent.each,
            "p_value": found.p_value,
            "tested": found.tested,
            "rows": int(found.counts.rows[0]),
            "clusters": _count(test.clusters),
            "rows_chosen_on": int(learned.sum()),
            "rows_needed": needed,
        },
    }


def _count(clusters: Index | None) -> int | None:
    return None if clusters is None else len(np.unique(clusters))


def _groups(found: Found, promise: Promise, slices: Slices) -> Sequence[Mapping[str, Any]]:
    counts = found.counts
    with np.errstate(invalid="ignore", divide="ignore"):
        abstained, erred = 1 - counts.answered / counts.rows, counts.wrong / counts.answered
    return [
        {
            "name": entry.name,
            "rows": int(counts.rows[place]),
            "answered": int(counts.answered[place]),
            "errors": int(counts.wrong[place]),
            "abstained": float(abstained[place]),
            "erred": float(erred[place]),
            "abstains_at_most": float(promise.abstains[place]) if found.granted else float("nan"),
            "errs_at_most": float(promise.errors[place]) if found.granted else float("nan"),
        }
        for place, entry in enumerate(slices.slices)
    ]


def _granted(rule: AbstentionRule, spent: _Spent, found: Found, test: Scored) -> str:
    said = (
        f"abstains on at most {_percent(rule.abstains)} and errs on at most {_percent(rule.errors)} of what it answers"
    )
    if rule.slice_errors is not None and rule.slice_abstains is not None:
        said += f", and in every slice on at most {_percent(rule.slice_abstains)} and {_percent(rule.slice_errors)}"
    sure = f"{spent.sure}, for rows like these {int(found.counts.rows[0]):,}"
    if test.clusters is not None:
        sure += f" of {number_of(len(np.unique(test.clusters)), 'cluster')}"
    return f"{said}, {sure}; it answers where its {rule.score} is {found.threshold:.6g} or more"


def _refused(rule: AbstentionRule, found: Found, slices: Slices, needed: int | None) -> str:
    counts = found.counts
    worst = int(np.argmax(counts.p_values(promise_of(rule, slices))))
    errors, abstains = (
        (rule.errors, rule.abstains) if worst == 0 else (rule.slice_errors or 0.0, rule.slice_abstains or 0.0)
    )
    rows, answered, wrong = (int(part[worst]) for part in (counts.rows, counts.answered, counts.wrong))
    more = "; more rows like these would not do" if needed is None else f"; about {needed:,} rows would do"
    where = "" if worst == 0 else f" of {slices.slices[worst].name}"
    return (
        f"no certificate: where it answers from a {rule.score} of {found.threshold:.6g} on, it answers {answered:,} of "
        f"{number_of(rows, 'row')}{where} and errs in {wrong:,}, which does not show that it abstains on at most "
        f"{_percent(abstains)} and errs on at most {_percent(errors)}{more}"
    )


def _add_sets(parts: _Parts, judged: _Judged, rule: SetsRule, spent: _Spent, deployed: Deployed) -> None:
    rows, clusters = judged.rows, judged.clusters
    chosen = rows.labelled if deployed.admitted is None else rows.labelled & deployed.admitted
    shares, labels = np.asarray(rows.candidate.scores)[chosen], np.asarray(rows.labels)[chosen]
    found = limits(shares, labels, rule.coverage, spent.each, None if clusters is None else clusters[chosen])
    sizes = found.sets(shares).sum(axis=1)
    parts.sentences.append(_of_sets(rows.classes, rule, spent, found, sizes, guarded=deployed.admitted is not None))
    parts.known["sets"] = {
        "coverage": rule.coverage,
        "alpha": spent.each,
        "rows": len(labels),
        "mean_size": float(sizes.mean()) if sizes.size else None,
        "empty_share": float((sizes == 0).mean()) if sizes.size else None,
        "classes": [
            {"class": name, "rows": int(count), "at_least": float(least)}
            for name, count, least in zip(rows.classes, found.rows, found.at_least, strict=True)
        ],
    }


def _of_sets(
    classes: Sequence[str],
    rule: SetsRule,
    spent: _Spent,
    found: Limits,
    sizes: npt.NDArray[np.int64],
    *,
    guarded: bool,
) -> str:
    """What is promised, and of which rows: nothing is known of others."""
    which = "that the guard lets through and that have a label" if guarded else "that have a label"
    counts = _few([f"{name} {count:,}" for name, count in zip(classes, found.rows.tolist(), strict=True)])
    held = "there is no such row"
    if sizes.size:
        held = f"of {number_of(len(sizes), 'such row')} ({counts}) they hold {sizes.mean():.3g} classes on average"
    said = (
        f"sets of classes hold the true one in at least {_percent(rule.coverage)} of the rows of each class {which}, "
        f"{spent.sure} for each; {held}"
    )
    trivial = [name for name, least in zip(classes, found.at_least, strict=True) if least == 0]
    return f"{said}; in every set, as too few rows speak of them: {_few(trivial)}" if trivial else said


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + " ..." * (len(names) > _SHOWN)


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
