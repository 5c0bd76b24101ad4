"""What an audit found: one sentence a finding, how grave it is, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]

_ORDER: tuple[Severity, ...] = ("error", "warning", "info")
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing.

    Attributes:
        kind: Stable, for scripts: "exact_duplicates" and so on.
        severity: error: results will be wrong; warning: they may be; info: good to know.
        sentence: What was found, with its numbers.
        advice: What to do about it, one sentence.
        numbers: The same for machines; values that JSON has.
    """

    kind: str
    severity: Severity
    sentence: str
    advice: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was looked at, and what was found.

    Attributes:
        data: The file or folder.
        rows: In the data.
        rows_looked_at: Of these, for exact duplicates, columns, classes and slices.
        rows_compared: Of these, compared with one another for near duplicates.
        rows_with_neighbours: Of these, whose labels were held against those of their nearest rows.
        findings: The gravest first.
    """

    data: str
    rows: int
    rows_looked_at: int
    rows_compared: int
    rows_with_neighbours: int
    findings: tuple[Finding, ...]

    def has_errors(self) -> bool:
        """Whether some finding is of severity error."""
        return any(finding.severity == "error" for finding in self.findings)

    def sentences(self) -> list[str]:
        """What was looked at, then each finding with what to do, for people; one line each."""
        looked = f"looked at {_part(self.rows_looked_at, self.rows)} rows"
        if self.rows_compared:
            looked += f"; compared {self.rows_compared:,} with one another for near duplicates"
        if self.rows_with_neighbours:
            looked += f"; held the labels of {self.rows_with_neighbours:,} against their nearest rows"
        lines = [f"{finding.severity}: {finding.sentence}. {finding.advice}." for finding in self.findings]
        return [f"{looked}.", *(lines or ["nothing found."])]

    def as_json(self) -> dict[str, Any]:
        """For documents."""
        return {
            "data": self.data,
            "rows": self.rows,
            "rows_looked_at": self.rows_looked_at,
            "rows_compared": self.rows_compared,
            "rows_with_neighbours": self.rows_with_neighbours,
            "findings": [
                {
                    "kind": finding.kind,
                    "severity": finding.severity,
                    "sentence": finding.sentence,
                    "advice": finding.advice,
                    "numbers": dict(finding.numbers),
                }
                for finding in self.findings
            ],
        }


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def graded(share: float, warning: float, error: float = float("inf")) -> Severity:
    """How grave a share is that begins to matter at one bar, and to spoil results at the other."""
    return "error" if share >= error else "warning" if share >= warning else "info"


def listed(names: Sequence[object], show: Callable[[Any], str] = str, of: int | None = None) -> str:
    """The first few of them, and how many more.

    Args:
        names: Of all, or of the first.
        show: What to say of each.
        of: How many there are; None: as many as names.
    """
    more = (len(names) if of is None else of) - min(len(names), _SHOWN)
    return ", ".join(map(show, names[:_SHOWN])) + (f" and {more:,} more" if more > 0 else "")


def counted(count: int, of: int, what: str = "rows") -> str:
    """A number of things with its share: "12 of 400 rows (3.0 %)"."""
    return f"{count:,} of {of:,} {what} ({100 * count / max(of, 1):.3g} %)"


def _part(some: int, of: int) -> str:
    return f"all {of:,}" if some == of else f"{some:,} of {of:,}"
