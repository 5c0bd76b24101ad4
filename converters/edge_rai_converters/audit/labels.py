"""Labels: whether their nearest rows share them, which are probably wrong, and whether there are enough of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edge_rai_converters.audit.agreement import together
from edge_rai_converters.audit.columns import Columns
from edge_rai_converters.audit.material import Coded, Material, drawn_evenly, encode
from edge_rai_converters.audit.neighbours import nearest
from edge_rai_converters.audit.points import make_points
from edge_rai_converters.audit.report import Finding, counted, listed
from edge_rai_converters.audit.slices import NEEDED, WIDTH
from edge_rai_converters.data import Array, Index
from edge_rai_converters.words import number_of

NEIGHBOURS = 10
_FEWEST = 10
_MOST_CLASSES = 1000
_UNBALANCED = 10.0
_SUSPECT = 0.01
_TOLD = 1000


def consensus(labels: Mapping[str, Array]) -> Coded | None:
    """The label that most annotators gave each row, missing where two are given as often; None without labels.

    Args:
        labels: By annotator; see ``Material.labels``.
    """
    if not labels:
        return None
    coded = encode(together(labels))
    if len(labels) == 1:
        return coded
    codes = coded.codes.reshape(len(labels), -1)
    best, most, tied = np.full(codes.shape[1], -1, np.int64), np.zeros(codes.shape[1]), np.zeros(codes.shape[1], bool)
    for code in range(len(coded.names)):
        votes = (codes == code).sum(axis=0)
        tied = np.where(votes > most, False, tied | ((votes == most) & (votes > 0)))
        best = np.where(votes > most, code, best)
        most = np.maximum(most, votes)
    return Coded(np.where(tied, -1, best), coded.names, coded.values)


def are_classes(labels: Coded) -> bool:
    """Whether labels are classes: text or whole numbers, and not too many different ones."""
    whole = labels.values is None or bool((labels.values == np.floor(labels.values)).all())
    return whole and 0 < len(labels.names) <= _MOST_CLASSES


def find_classes(material: Material, labels: Coded) -> Iterator[Finding]:
    """Missing labels, an imbalance of classes, and classes that are too small."""
    lost = np.flatnonzero(labels.codes < 0)
    if lost.size:
        told = material.name_rows(lost[:_TOLD])
        tied = ", or with two given as often" * (len(material.labels) > 1)
        yield Finding(
            "missing_labels",
            "warning",
            f"rows without a label{tied}: {counted(len(lost), len(material))}: {listed(told, of=len(lost))}",
            "Label them if you can: convert judges by rows with a label, and lets the others calibrate only",
            {"rows": len(lost), "places": told},
        )
    counts = labels.counts()
    there = np.flatnonzero(counts)
    if len(there) < 2:
        sentence = f"every label is {labels.names[there[0]]}" if there.size else "no row has a label"
        yield Finding("one_class", "error", sentence, "Give rows of the other classes, or leave labels out")
        return
    ratio = float(counts.max() / counts[there].min())
    if ratio >= _UNBALANCED:
        most, least = (
            f"{labels.names[place]} ({counts[place]:,})" for place in (counts.argmax(), there[counts[there].argmin()])
        )
        yield Finding(
            "imbalance",
            "warning",
            f"the largest class has {ratio:.3g} times the rows of the smallest: {most} and {least}",
            "Accuracy hides what happens to small classes: look at each class, or at balanced accuracy",
            {"ratio": ratio, "counts": dict(zip(labels.names, counts.tolist(), strict=True))},
        )
    yield from _small(labels, counts, labels.codes[material.held_back])


def _small(labels: Coded, counts: Index, held_back: Index) -> Iterator[Finding]:
    tiny = np.flatnonzero(counts < _FEWEST)
    if tiny.size:
        shown = {labels.names[place]: int(counts[place]) for place in tiny}
        yield Finding(
            "small_classes",
            "warning",
            f"{number_of(len(tiny), 'class', 'classes')} with fewer than {_FEWEST} rows: {_sizes(shown)}",
            "Nothing can be said of them: add rows, or merge the classes",
            {"counts": shown},
        )
    judged = np.bincount(held_back[held_back >= 0], minlength=len(counts))
    unsure = [place for place in np.flatnonzero(judged < NEEDED) if counts[place] >= _FEWEST]
    if unsure:
        shown = {labels.names[place]: int(judged[place]) for place in unsure}
        yield Finding(
            "classes_too_small_to_judge",
            "info",
            f"{len(unsure)} of {len(counts)} classes with fewer than {NEEDED} held-back rows: {_sizes(shown)}",
            f"The accuracy of one of them alone is not known to {WIDTH}; add rows, or judge all classes together",
            {"held_back": shown, "needed": NEEDED},
        )


def _sizes(counts: Mapping[str, int]) -> str:
    return listed(list(counts.items()), lambda entry: f"{entry[0]} ({entry[1]:,})")


def find_suspects(material: Material, labels: Coded, measured: Columns, most_rows: int) -> tuple[list[Finding], int]:
    """Labels that their nearest rows do not share, and those that are probably wrong; and how many were looked at."""
    labelled = np.flatnonzero(labels.codes >= 0)
    rows = labelled[drawn_evenly(len(labelled), most_rows)]
    if len(rows) <= 2 * NEIGHBOURS or len(labels.names) < 2:
        return [], 0
    points = make_points(material, measured, rows)
    if not points.shape[1]:
        return [], 0
    codes = labels.codes[rows]
    others = codes[nearest(points, NEIGHBOURS)]
    shared = (others == codes[:, np.newaxis]).sum(axis=1)
    alone, outvoted = int((shared == 0).sum()), int((2 * shared < NEIGHBOURS).sum())
    findings = []
    if outvoted:
        findings.append(
            Finding(
                "label_disagreement",
                "info",
                f"labels that none of the {NEIGHBOURS} nearest rows has: {counted(alone, len(rows))}; that most of "
                f"them have not: {counted(outvoted, len(rows))}",
                "Where that is many, the columns tell the classes badly apart, or labels are noisy",
                {"rows": len(rows), "alone": alone, "outvoted": outvoted, "neighbours": NEIGHBOURS},
            )
        )
    likely = likely_labels(others, codes)
    wrong = np.flatnonzero(likely != codes)
    if wrong.size:
        margins = shared - (others == likely[:, np.newaxis]).sum(axis=1)
        findings.append(_suspects(material, labels, rows, wrong[np.argsort(margins[wrong], kind="stable")], likely))
    return findings, len(rows)


def _suspects(material: Material, labels: Coded, rows: Index, wrong: Index, likely: Index) -> Finding:
    places = material.name_rows(rows[wrong[:_TOLD]])
    told = [
        f"{place} ({labels.names[labels.codes[rows[entry]]]}, probably {labels.names[likely[entry]]})"
        for place, entry in zip(places, wrong[:_TOLD], strict=True)
    ]
    many = counted(len(wrong), len(rows))
    return Finding(
        "suspect_labels",
        # Never an error: of classes that do not lie together, neighbours are no witnesses.
        "warning" if len(wrong) > _SUSPECT * len(rows) else "info",
        f"labels that their nearest rows speak against: {many}: {listed(told, of=len(wrong))}",
        "Look at the first ones first; where near rows often differ in class, most of them are right",
        {"rows": len(wrong), "share": len(wrong) / len(rows), "places": places},
    )


def likely_labels(others: Index, codes: Index) -> Index:
    """(n,) the class that each row most probably has: its own, unless another one is confident.

    Confident learning (Northcutt, Jiang, Chuang 2021, "Confident learning: estimating uncertainty in dataset labels"),
    with the share of its nearest other rows that has a class as a row's leave-one-out probability of it: a class is
    confident of a row when that is at least its average over the rows that carry the class, to half a neighbour. Of
    several the most probable counts; a row that its own class is as sure of keeps it.

    Args:
        others: (n, k) classes of the nearest rows of each.
        codes: (n,) the labels given.
    """
    k = others.shape[1]
    own = (others == codes[:, np.newaxis]).sum(axis=1)
    carried = np.bincount(codes)
    bars = np.bincount(codes, weights=own) / np.maximum(carried, 1) - 0.5
    votes = np.stack([(others == others[:, [place]]).sum(axis=1) for place in range(k)], axis=1)
    confident = (votes >= bars[others]) & (votes > own[:, np.newaxis])
    # Of classes with as many votes the lowest, whatever the order of the neighbours.
    best = np.where(confident, votes * len(carried) - others, -1).argmax(axis=1)
    return np.where(confident.any(axis=1), others[np.arange(len(codes)), best], codes)
