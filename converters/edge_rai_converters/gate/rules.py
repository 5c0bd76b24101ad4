"""What a gate is to hold a candidate to, as frozen dataclasses that refuse what could not be judged."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, Literal

from pydantic import ConfigDict

from edge_rai.documents.risk import Document
from edge_rai_converters.gate.certificate.rules import CertificateRule
from edge_rai_converters.gate.robustness.rules import RobustnessRule

Kind = Literal["classes", "labels", "quantity", "other"]

ALL_ROWS = "all rows"
# Metrics that can be judged, by what has to be known of a row.
UNLABELLED = ("selection_rate", "flips")
OF_CLASSES = (
    "accuracy", "tpr", "fnr", "fpr", "tnr", "precision", "selection_rate", "flips", "negative_flips", "brier",
    "log_loss", "hamming_loss",
)  # fmt: skip
OF_QUANTITIES = ("mae", "rmse", "signed_error")
METRICS = (*OF_CLASSES, *OF_QUANTITIES)
# One for each class, written as "tpr[NAME]"; of two classes "tpr" is that of the positive one.
BY_CLASS = ("tpr", "fnr", "fpr", "tnr", "precision", "selection_rate")
_WITH_CLASS = re.compile(r"([a-z_]+)\[(.+)\]")


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """How an answer becomes a decision; what is not said is found out as ``convert`` does.

    Attributes:
        output: Of the models; empty: the first that answers a class.
        kind: ``classes``: one of two or more; ``labels``: any number of them, a score each; ``quantity``: a number;
            ``other``: only losses and values are judged.
        positive: The class, or of text its name, that tpr, fpr, precision and selection_rate of two classes are about.
        classes: Names of the classes in the order of the models; empty: their numbers, or the labels' texts.
        threshold: Of a score, of two classes or of labels; None: 0.5 of probabilities, and 0 of logarithms of odds.
        candidate_threshold: The candidate's own, where it was re-fitted; None: the same.
        largest_error: Errors of quantities count as this at most; mae, rmse and signed_error need it, since no
            statement about a mean holds that one unseen row could overturn.
        log_loss_floor: Probabilities count as this at least in log_loss, for the same reason.
        batch_rows: Rows a call, as on the device: some models, of dynamic int8, answer otherwise in a batch.
    """

    output: str = ""
    kind: Kind | None = None
    positive: int | str = 1
    classes: tuple[str, ...] = ()
    threshold: float | None = None
    candidate_threshold: float | None = None
    largest_error: float | None = None
    log_loss_floor: float = 0.001
    batch_rows: int = 1

    @property
    def of_truths(self) -> bool:
        """What is judged is no class, and labels are read as they are: numbers, several a row, or of any shape."""
        return self.kind not in (None, "classes")

    def __post_init__(self) -> None:
        _positive("largest_error", self.largest_error)
        if not 0 < self.log_loss_floor < 0.5:
            raise ValueError("log_loss_floor must be above 0 and below 0.5")
        if self.batch_rows < 1:
            raise ValueError("batch_rows must be 1 or more")


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """How a column of the data makes groups.

    Attributes:
        bins: Rising edges of a column of numbers: [30, 50] makes "below 30", "30 to below 50", "50 and above". A group
            without a row is refused.
        groups: The values that must be there; a group without a row is refused. Empty: whatever is there.
    """

    bins: tuple[float, ...] = ()
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(not math.isfinite(edge) for edge in self.bins) or sorted(set(self.bins)) != list(self.bins):
            raise ValueError("bins must be finite and rise")


@dataclass(frozen=True, slots=True)
class SliceRule:
    """Rows with equal values in some columns are a slice.

    Attributes:
        by: The columns; several make intersections.
        merge_into: Some of these columns: a slice with too few rows to pass at all is judged within that slice. Empty
            list: within all rows. None: it stays inconclusive.
        margins: By metric, where they differ from ``slice_margins``.
    """

    by: tuple[str, ...]
    merge_into: tuple[str, ...] | None = None
    margins: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.by or len(set(self.by)) != len(self.by):
            raise ValueError("by must name at least one column, and none twice")
        if self.merge_into is not None and not set(self.merge_into) < set(self.by):
            raise ValueError("merge_into must name some of the columns in by, and not all")


@dataclass(frozen=True, slots=True)
class ValueRule:
    """A number for each row and model that columns of the data say, such as a cost.

    Attributes:
        columns: One a class, in their order: what deciding for that class is worth in this row. Or two, ``original``
            and ``candidate``: what the decision of each model was worth.
        largest: The span of these values: no row's differs from another's by more.
        better: Whether more is better.
    """

    columns: tuple[str, ...]
    largest: float
    better: Literal["higher", "lower"] = "higher"
    by: Literal["class", "model"] = "class"

    def __post_init__(self) -> None:
        _positive("largest", self.largest)
        if len(self.columns) < 2 or (self.by == "model" and len(self.columns) != 2):
            raise ValueError("columns must name one a class, or with by = 'model' the original's and the candidate's")


@dataclass(frozen=True, slots=True)
class HoldoutRule:
    """Data that are looked at a limited number of times.

    Attributes:
        sha256: Of the data file; other data are refused.
        attempts: How many looks there will be at most; each has an equal part of alpha.
    """

    sha256: str
    attempts: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError("sha256 must be 64 digits of 0-9 and a-f: what sha256sum prints")
        if not 1 <= self.attempts <= 1000:
            raise ValueError("attempts must be 1 to 1000")


@dataclass(frozen=True, slots=True)
class Waiver:
    """Somebody answers for a cell that did not pass.

    Attributes:
        cell: As the report names it: "tpr of sex=F".
        person: Who.
        reason: Why.
        expires: The last day on which it counts.
    """

    cell: str
    person: str
    reason: str
    expires: date

    def __post_init__(self) -> None:
        for name in ("person", "reason"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} must not be empty: a waiver is somebody's, for a reason")


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """A policy of the release gate.

    Attributes:
        format_version: 1.
        margins: By metric, the change for the worse that would be too much in all rows together: 0.01 is one point.
        slice_margins: The same of every slice.
        confidence: Of each verdict "pass"; and of all verdicts "fail" together.
        answer: How answers become decisions.
        columns: How columns make groups.
        slices: Which slices there are; all rows together always are one.
        clusters: A column: rows with the same value in it, of one person or device, are one observation.
        unlabelled: ``refuse`` rows without labels, or count each of their ``flips`` as a loss.
        calibration_bins: Of the reliability curve.
        values: By name, what columns say a decision is worth.
        loss_spans: By name of a loss given from Python: no two values of it differ by more.
        required: Documents without which nothing is converted.
        holdout: The data are sealed.
        waivers: Cells for which somebody answers.
        certificate: What is to be promised of the candidate beside.
        leads: Columns in whose groups weak slices are looked for.
        robustness: What else both models are tried on; None: nothing.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    format_version: Literal[1]
    margins: Mapping[str, float] = field(default_factory=dict)
    slice_margins: Mapping[str, float] = field(default_factory=dict)
    confidence: float = 0.95
    answer: AnswerRule = field(default_factory=AnswerRule)
    columns: Mapping[str, ColumnRule] = field(default_factory=dict)
    slices: tuple[SliceRule, ...] = ()
    clusters: str | None = None
    unlabelled: Literal["refuse", "flips"] = "refuse"
    calibration_bins: int = 15
    values: Mapping[str, ValueRule] = field(default_factory=dict)
    loss_spans: Mapping[str, float] = field(default_factory=dict)
    required: tuple[Document, ...] = ()
    holdout: HoldoutRule | None = None
    waivers: tuple[Waiver, ...] = ()
    certificate: CertificateRule | None = None
    leads: tuple[str, ...] = ()
    robustness: RobustnessRule | None = None

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            raise ValueError("confidence must be 0.5 or more and below 1")
        if not 2 <= self.calibration_bins <= 1000:
            raise ValueError("calibration_bins must be 2 to 1000")
        if not (self.margins or self.slice_margins or any(rule.margins for rule in self.slices)):
            raise ValueError("no margin is declared, so nothing can be judged; give [margins], such as accuracy = 0.01")
        if self.slice_margins and not self.slices:
            raise ValueError("slice_margins are declared and no slices; give [[slices]], or [margins] of all rows")
        self._check_slices()
        for margins in (self.margins, self.slice_margins, *(rule.margins for rule in self.slices)):
            for metric, margin in margins.items():
                self._check_margin(metric, margin)
        seen = [frozenset(rule.by) for rule in self.slices]
        if len(set(seen)) != len(seen):
            raise ValueError("two slices are by the same columns")
        for name, span in self.loss_spans.items():
            _positive(f"loss_spans.{name}", span)
        for name in (*self.values, *self.loss_spans):
            if split(name)[0] in METRICS or name in self.values.keys() & self.loss_spans.keys():
                raise ValueError(f"{name!r} is a metric already; call the one under [values] or [loss_spans] otherwise")
        self._check_parents(set(seen))

    def _check_slices(self) -> None:
        """Refuses what would be passed over: slices that nothing is judged of, and groups of no slice."""
        parents = {frozenset(rule.merge_into or ()) for rule in self.slices}
        for rule in self.slices:
            if not self.margins_of(rule) and frozenset(rule.by) not in parents:
                raise ValueError(
                    f"slices by {', '.join(rule.by)} are declared and no margin of theirs; give [slice_margins], such "
                    "as accuracy = 0.02, or margins under [[slices]]"
                )
        unused = self.columns.keys() - {name for rule in self.slices for name in rule.by}
        idle = sorted(name for name, rule in self.columns.items() if not rule.bins and not rule.groups)
        if idle:
            raise ValueError(f"[columns.{idle[0]}] declares neither bins nor groups; give some, or leave it out")
        if unused:
            raise ValueError(f"[columns.{min(unused)}] is declared, and no slices are by it; name it in [[slices]]")

    def _check_margin(self, metric: str, margin: float) -> None:
        name, _ = split(metric)
        if name == "ece":
            raise ValueError("ece cannot be judged: it is above 0 even where nothing is wrong; declare brier instead")
        if name not in METRICS and metric not in self.values and metric not in self.loss_spans:
            known = ", ".join((*METRICS, *self.values, *self.loss_spans))
            raise ValueError(
                f"there is no metric {metric!r}; there are {known}, and names in [values] and [loss_spans]"
            )
        span = self.values[metric].largest if metric in self.values else self.loss_spans.get(metric, 1.0)
        highest = math.inf if name in (*OF_QUANTITIES, "log_loss") else span
        if not 0 < margin < highest:
            raise ValueError(f"the margin of {metric} is {margin:g}; it must be above 0 and below {highest:g}")
        if name in OF_QUANTITIES and self.answer.largest_error is None:
            raise ValueError(f"{name} needs [answer] largest_error: what an error counts at most")

    def _check_parents(self, families: set[frozenset[str]]) -> None:
        for rule in self.slices:
            parent = frozenset(rule.merge_into or ())
            if parent and parent not in families:
                raise ValueError(f"slices by {', '.join(rule.by)} merge into slices that are not declared themselves")

    @property
    def alpha(self) -> float:
        """The chance that is taken."""
        return 1 - self.confidence

    def margins_of(self, rule: SliceRule | None) -> Mapping[str, float]:
        """By metric, of the slices of a rule; None: of all rows."""
        return self.margins if rule is None else {**self.slice_margins, **rule.margins}


def split(metric: str) -> tuple[str, str | None]:
    """A metric's name, and the class that it is of: "tpr[cat]" is of "cat"."""
    found = _WITH_CLASS.fullmatch(metric)
    return (found[1], found[2]) if found else (metric, None)


def _positive(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0")
