"""Judges a candidate against its original: every declared metric of every declared slice.

"Every cell passes" is an intersection-union test: each cell at alpha, uncorrected, makes the chance of passing a
candidate that is worse by the margin somewhere alpha at most. "Some cell fails" is corrected by Holm over all cells.
Where one of several candidates is chosen by the same rows, each is held to an equal part of alpha, so that the chance
of choosing one that is worse by the margin somewhere is alpha at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from edge_rai_converters.errors import DataError
from edge_rai_converters.gate.calibration import calibrations
from edge_rai_converters.gate.cells import Cell, GateReport, Measured, together, worst_first
from edge_rai_converters.gate.certificate.certificate import Deployed, certificate, check_classes
from edge_rai_converters.gate.clustered import clusters_of, with_clusters
from edge_rai_converters.gate.confusion import confusions
from edge_rai_converters.gate.counted import Counted
from edge_rai_converters.gate.fairness import fairness
from edge_rai_converters.gate.leads import check_weaknesses, leads
from edge_rai_converters.gate.means import count_means
from edge_rai_converters.gate.metrics import Beside, Events, Means, Measure, Paired, expanded, measures
from edge_rai_converters.gate.paired import Floats, holm
from edge_rai_converters.gate.precision import count_precision
from edge_rai_converters.gate.rows import Rows
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.gate.sentences import sentence
from edge_rai_converters.gate.shares import count_events, count_paired
from edge_rai_converters.gate.slices import Index, Slices, make_slices
from edge_rai_converters.gate.waivers import waived
from edge_rai_converters.words import number_of

_SHOWN = 3


def judge(
    rows: Rows,
    policy: GatePolicy,
    *,
    today: date,
    alpha: float | None = None,
    facts: Mapping[str, Any] | None = None,
    candidates: int = 1,
    deployed: Deployed | None = None,
    beside: Sequence[Beside] = (),
) -> GateReport:
    """Judges; pure: equal arguments give an equal report.

    Args:
        rows: What both models answered.
        policy: Slices, metrics and margins, all of which were chosen before these rows were seen.
        today: Decides which waivers have expired.
        alpha: Of this look; None: the policy's.
        facts: For the record.
        candidates: Of so many one is chosen by these rows: each is held to an equal part of alpha.
        deployed: How the candidate is on a device, for a certificate; None: no guard is before or behind it.
        beside: Measures beside the policy's own, and their margins.

    Raises:
        DataError: The rows have no such column, group, metric or label; or a slice cannot have a metric.
        PolicyError: A waiver is for a cell that is not there.
    """
    level = policy.alpha if alpha is None else alpha
    slices, margins = divided(rows, policy)
    for measure, *wanted in beside:
        whole, each = (np.nan if margin is None else margin for margin in wanted)
        margins[measure.metric] = np.where(np.arange(len(slices)) == 0, whole, each)
    table = _Table(slices, level / candidates, 1 - level)
    measured = _filled(table, margins, (*measures(rows, policy), *(entry.measure for entry in beside)), rows, policy)
    cells, notes = waived(table.cells(), policy.waivers, today)
    promised = None
    if policy.certificate is not None:
        promised = certificate(rows, slices, policy, level, deployed or Deployed(), candidates)
    return GateReport(
        verdict=together(cells, certified=promised is None or promised.granted),
        confidence=policy.confidence,
        alpha=level,
        slices=slices.slices,
        cells=worst_first(cells),
        measured=tuple(_all_measured(measured, slices)),
        fairness=tuple(fairness(measured, slices)),
        calibration=tuple(calibrations(rows, policy, slices)),
        notes=(*notes, *_notes(rows, policy), *_empty(slices), *_one_of(candidates, level)),
        facts=facts or {},
        further={
            "confusion": list(confusions(rows, slices)),
            **({} if promised is None else {"certificate": promised.as_json()}),
            **({"leads": leads(rows, policy.leads)} if policy.leads else {}),
        },
        candidates=candidates,
    )


def divided(rows: Rows, policy: GatePolicy) -> tuple[Slices, dict[str, Floats]]:
    """Slices and their margins; nothing is looked at but who the rows are of.

    Args:
        rows: What both models answered.
        policy: See ``judge``.

    Returns:
        The slices, and by metric (S,) margins, NaN where none is declared.

    Raises:
        DataError: The rows lack labels, a column or a group; or the margin is of a metric that they cannot have.
    """
    _refuse_unlabelled(rows, policy)
    if policy.certificate is not None:
        check_classes(rows)
    if policy.leads:
        check_weaknesses(rows)
    slices = make_slices(rows.columns, rows.labelled, policy)
    return slices, _margins(slices, rows, policy)


def _filled(
    table: _Table, margins: Mapping[str, Floats], every: Sequence[Measure], rows: Rows, policy: GatePolicy
) -> dict[str, Counted]:
    """Every metric of every slice, by name; the table then has those with margins."""
    slices, clusters = table.slices, clusters_of(rows, policy)
    measured: dict[str, Counted] = {}
    for measure in every:
        counted = measured[measure.metric] = _counted(measure, slices, table.alpha)
        if measure.metric in margins:
            judged = counted if clusters is None else with_clusters(counted, measure, clusters, slices, table.alpha)
            table.add(measure.metric, judged, margins[measure.metric])
    if lost := margins.keys() - measured.keys():
        raise DataError(f"the margin of {min(lost)!r} is declared, and these answers have no such metric")
    return measured


def _counted(measure: Measure, slices: Slices, alpha: float) -> Counted:
    if isinstance(measure, Paired):
        return count_paired(measure, slices, alpha)
    if isinstance(measure, Events):
        return count_events(measure, slices, alpha)
    if isinstance(measure, Means):
        return count_means(measure, slices, alpha)
    return count_precision(measure, slices, alpha)


@dataclass(frozen=True, eq=False, slots=True)
class _Entry:
    """The cells of one metric.

    Attributes:
        metric: Its name.
        counted: Of these cells' slices.
        places: (cells,) of the slices that are declared.
        used: (cells,) of those that are judged: itself or an ancestor.
        margins: (cells,).
    """

    metric: str
    counted: Counted
    places: Index
    used: Index
    margins: Floats


@dataclass(eq=False, slots=True)
class _Table:
    """All cells, judged once all are there: Holm's correction is over all of them.

    Attributes:
        slices: Of all cells.
        alpha: Of each cell of this candidate.
        confidence: Of what is said of the candidate that is chosen; of several less than 1 - alpha.
        entries: One a metric.
    """

    slices: Slices
    alpha: float
    confidence: float
    entries: list[_Entry] = field(default_factory=list)

    def add(self, metric: str, counted: Counted, margins: Floats) -> None:
        """The cells of a metric.

        Args:
            metric: Its name.
            counted: Of all slices.
            margins: (S,) NaN where none is declared.

        Raises:
            DataError: A slice has no row that the metric is about.
        """
        places = np.flatnonzero(~np.isnan(margins))
        wide = np.where(np.isnan(margins), np.nanmax(margins), margins)
        used = self._used(counted, places, wide[places])
        empty = places[counted.rows[used] == 0]
        if empty.size:
            raise DataError(
                f"{metric} of {self.slices.slices[empty[0]].name} is not defined: none of its rows are of the class or "
                "have the label that it takes; merge the slice into another, or declare no margin for it"
            )
        self.entries.append(_Entry(metric, counted.at(used), places, used, wide[places]))

    def _used(self, counted: Counted, places: Index, margins: Floats) -> Index:
        """What is judged in the place of slices that could not pass if nothing had changed; by their sizes alone."""
        used = np.array(places, np.int64)
        while True:
            able = counted.at(used).proof.can_pass(margins)
            parents = self.slices.parents[used]
            merging = ~able & (parents >= 0)
            if not merging.any():
                return used
            used[merging] = parents[merging]

    def cells(self) -> list[Cell]:
        """One a declared metric and slice."""
        worse = [entry.counted.proof.worse(entry.margins) for entry in self.entries]
        adjusted = holm(np.concatenate(worse)) if worse else np.empty(0)
        ends = np.cumsum([len(part) for part in worse])[:-1]
        found: list[Cell] = []
        for entry, shown in zip(self.entries, np.split(adjusted, ends), strict=True):
            found += self._cells(entry, shown, len(adjusted))
        return found

    def _cells(self, entry: _Entry, shown: Floats, count: int) -> Iterator[Cell]:
        counted, proof, margins = entry.counted, entry.counted.proof, entry.margins
        refuted, methods = proof.not_worse(margins), proof.methods()
        low, high = proof.limits()
        able = proof.can_pass(margins)
        passed = refuted <= self.alpha
        failed = ~passed & (shown <= self.alpha)
        needed = np.full(len(passed), np.inf)
        open_ones = np.flatnonzero(~passed & ~failed)
        if open_ones.size:
            needed[open_ones] = proof.at(open_ones).rows_needed(margins[open_ones], count)
        names = [entry.name for entry in self.slices.slices]
        for place, (own, used) in enumerate(zip(entry.places.tolist(), entry.used.tolist(), strict=True)):
            flips = None if counted.flips is None else counted.flips[place].astype(np.int64).tolist()
            cell = Cell(
                measured=Measured(
                    entry.metric,
                    names[own],
                    int(counted.rows[place]),
                    float(counted.original[place]),
                    float(counted.candidate[place]),
                ),
                margin=float(margins[place]),
                loss=float(counted.loss[place]),
                loss_low=float(low[place]),
                loss_high=float(high[place]),
                losses=flips[0] if flips else None,
                gains=flips[1] if flips else None,
                method=methods[place],
                p_not_worse=float(refuted[place]),
                p_worse=float(shown[place]),
                verdict="pass" if passed[place] else "fail" if failed[place] else "inconclusive",
                reason="",
                rows_needed=int(needed[place]) if np.isfinite(needed[place]) else None,
                merged_into=None if used == own else names[used],
            )
            yield replace(cell, reason=sentence(cell, self.confidence, able=bool(able[place])))


def _margins(slices: Slices, rows: Rows, policy: GatePolicy) -> dict[str, Floats]:
    """(S,) by metric; NaN where none is declared."""
    found: dict[str, Floats] = {}
    for family in slices.families:
        for declared, margin in policy.margins_of(family.rule).items():
            for metric in expanded(declared, rows, policy):
                entry = found.setdefault(metric, np.full(len(slices), np.nan))
                entry[family.first : family.first + family.count] = margin
    return found


def _all_measured(measured: Mapping[str, Counted], slices: Slices) -> Iterator[Measured]:
    for metric, counted in measured.items():
        columns = (counted.rows.astype(np.int64), counted.original, counted.candidate)
        for entry, figures in zip(
            slices.slices, zip(*(column.tolist() for column in columns), strict=True), strict=True
        ):
            yield Measured(metric, entry.name, *figures)


def _refuse_unlabelled(rows: Rows, policy: GatePolicy) -> None:
    count = len(rows) - int(rows.labelled.sum())
    if rows.labels is not None and count and policy.unlabelled == "refuse":
        first = rows.place(int(np.argmin(rows.labelled)))
        raise DataError(
            f"{number_of(count, 'row')} of {len(rows):,} without a label, first {first}; label them, leave them out, "
            'or count their flips as losses: unlabelled = "flips"'
        )


def _empty(slices: Slices) -> Sequence[str]:
    if not slices.empty:
        return ()
    shown, count = "; ".join(slices.empty[:_SHOWN]), len(slices.empty)
    more = f"; and {count - _SHOWN:,} more" * (count > _SHOWN)
    return (f"nothing is said of {number_of(count, 'intersection')} without a row: {shown}{more}",)


def _one_of(candidates: int, alpha: float) -> Sequence[str]:
    if candidates == 1:
        return ()
    said = (
        f"one of {candidates} candidates is chosen by these rows, and each is held to an alpha of "
        f"{alpha / candidates:.3g} in the place of {alpha:.3g}: so {100 * (1 - alpha):.4g} % confidence is that of the "
        "choice as a whole"
    )
    return (said,)


def _notes(rows: Rows, policy: GatePolicy) -> Sequence[str]:
    most = policy.answer.largest_error
    if rows.kind != "quantity" or most is None or rows.labels is None:
        return ()
    said = []
    for name, model in (("original", rows.original), ("candidate", rows.candidate)):
        beyond = int((np.abs(model.decided - rows.labels)[rows.labelled] > most).sum())
        if beyond:
            said.append(f"{number_of(beyond, 'error')} of the {name} beyond {most:g} count as {most:g}")
    return said
