"""The audit: what is looked at, in which order, and within which bounds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_rai_converters.audit.agreement import find_disagreement
from edge_rai_converters.audit.columns import find_columns, measure
from edge_rai_converters.audit.duplicates import find_exact, find_near, group
from edge_rai_converters.audit.giveaways import find_giveaways
from edge_rai_converters.audit.labels import are_classes, consensus, find_classes, find_suspects
from edge_rai_converters.audit.material import Material
from edge_rai_converters.audit.report import AuditReport, Finding, by_severity, listed
from edge_rai_converters.audit.slices import find_slices
from edge_rai_converters.audit.sources import of_dataset, open_data
from edge_rai_converters.data import Dataset, Index
from edge_rai_converters.given import DATA, check_there
from edge_rai_converters.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What is compared at most.

    Attributes:
        values: Of rows that are compared for near duplicates, in memory at once.
        pairs: Of such rows.
        neighbour_rows: Rows whose nearest others are found; the cost is its square.
    """

    values: int
    pairs: int
    neighbour_rows: int


_THOROUGH = _Bounds(values=1 << 24, pairs=2 * 10**9, neighbour_rows=20_000)
_QUICK = _Bounds(values=1 << 21, pairs=10**8, neighbour_rows=4_000)
_QUICK_ROWS = 100_000
_QUICK_VALUES = 1 << 26


def audit(
    data: str | Path,
    labels: Sequence[str | Path] = (),
    slices: Sequence[str] = (),
    *,
    progress: Progress = silent,
) -> AuditReport:
    """Looks for what is wrong with data before a model is judged by it.

    All rows are read for exact duplicates, columns, classes and slices, part by part; of arrays and images only a part
    is in memory. Near duplicates are sought among at most 16 million values and 2,000 million pairs, labels held
    against their nearest rows in at most 20,000 rows; the report says how many it was. Equal data give equal reports.

    Args:
        data: .csv, .parquet, .npz, .npy, or a folder of images, whose sub-folders are labels.
        labels: Columns, keys or .npy files with the class of each row, one an annotator.
        slices: Columns or keys whose values divide the rows.
        progress: Told of each stage.

    Raises:
        DataError: The data cannot be read, or there is no such column.
        MissingExtraError: A package that reads this kind of file is not there.
        MissingFileError: There is nothing at that path.
        OSError: A file cannot be read.
    """
    check_there(data, DATA)
    progress("reading")
    material, left_out = open_data(Path(data), labels, slices, lambda share: progress("reading", share))
    return _report(material, left_out, _THOROUGH, progress)


def audit_dataset(
    dataset: Dataset,
    calibration: Index,
    held_back: Index,
    *,
    without: Collection[str] = (),
    progress: Progress = silent,
) -> AuditReport:
    """Looks at a bounded part of a conversion's data: at most 100,000 rows and 64 million values, spread evenly.

    Of these 4,000 rows are asked for their nearest ones, and at most 100 million pairs compared.

    Args:
        dataset: Reference rows.
        calibration: Rows that calibrate, ascending.
        held_back: Rows for comparison, ascending; no row is both.
        without: Inputs that hold no data, such as recurrent states.
        progress: Told of each stage.
    """
    material = of_dataset(dataset, calibration, held_back, without, _QUICK_ROWS, _QUICK_VALUES)
    return _report(material, (), _QUICK, progress)


def _report(material: Material, left_out: Sequence[str], bounds: _Bounds, progress: Progress) -> AuditReport:
    findings = [_left_out(left_out)] if left_out else []
    progress("columns")
    measured = measure(material)
    findings += find_columns(material, measured)
    labels = consensus(material.labels)
    classes = labels if labels is not None and are_classes(labels) else None
    if labels is not None:
        findings += find_giveaways(material, labels)
    progress("exact duplicates")
    groups = group(material)
    findings += find_exact(material, groups, classes)
    progress("near duplicates")
    near, compared = find_near(material, groups, measured, bounds.values, bounds.pairs)
    findings += near
    looked_up = 0
    if classes is not None:
        progress("labels")
        suspects, looked_up = find_suspects(material, classes, measured, bounds.neighbour_rows)
        findings += [*find_classes(material, classes), *suspects]
    elif labels is not None and not labels.names:
        findings += find_classes(material, labels)
    elif labels is not None:
        findings.append(_no_classes(len(labels.names)))
    findings += find_slices(material)
    findings += find_disagreement(material.labels)
    return AuditReport(
        data=material.path,
        rows=material.count,
        rows_looked_at=len(material),
        rows_compared=compared,
        rows_with_neighbours=looked_up,
        findings=by_severity(findings),
    )


def _left_out(names: Sequence[str]) -> Finding:
    return Finding(
        "left_out",
        "info",
        f"not compared, as they only number the rows or hold no value for each: {listed(names, repr)}",
        "If a model is given one of them, it can learn rows by heart",
        {"columns": list(names)},
    )


def _no_classes(values: int) -> Finding:
    return Finding(
        "no_classes",
        "info",
        f"labels have {values:,} different values, and are taken for quantities and not for classes",
        "If they are classes, give whole numbers or text",
        {"values": values},
    )
