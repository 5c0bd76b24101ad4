"""datasheet.md: what is known of the data, from a short questionnaire and from the audit of the data themselves.

The questions are a short form of Gebru et al., Datasheets for Datasets, Communications of the ACM 64 (12), 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from edge_rai.documents.questions import answered, questions

DATASHEET_FILE = "datasheet.md"
NOT_ANSWERED = "not answered"
_FORBIDDING: ConfigDict = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Motivation:
    """Why there are these data."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    purpose: str = field(metadata={"question": "What were they collected for?"})
    made_by: str = field(default="", metadata={"question": "By whom?"})


@dataclass(frozen=True, slots=True)
class Composition:
    """What is in them."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    row: str = field(metadata={"question": "What is a row?"})
    population: str = field(default="", metadata={"question": "Of what population are the rows, and how drawn?"})
    absent: tuple[str, ...] = field(default=(), metadata={"question": "Who or what is not in them?"})
    personal: str = field(default="", metadata={"question": "What in them is personal, and on what ground is it used?"})
    synthetic_share: float | None = field(default=None, metadata={"question": "What share of the rows is synthetic?"})

    def __post_init__(self) -> None:
        if self.synthetic_share is not None and not 0 <= self.synthetic_share <= 1:
            raise ValueError(f"synthetic_share is {self.synthetic_share:g}; it must be a share, 0 to 1")


@dataclass(frozen=True, slots=True)
class Collection:
    """How they came."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    how: str = field(default="", metadata={"question": "How, and with which instruments?"})
    where: str = field(default="", metadata={"question": "Where?"})
    first_day: date | None = field(default=None, metadata={"question": "From which day?"})
    last_day: date | None = field(default=None, metadata={"question": "To which day?"})

    def __post_init__(self) -> None:
        if self.first_day is not None and self.last_day is not None and self.last_day < self.first_day:
            raise ValueError(f"last_day is {self.last_day}, before first_day, {self.first_day}")


@dataclass(frozen=True, slots=True)
class Labelling:
    """Who said what is right."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    guideline: str = field(default="", metadata={"question": "By which guideline were rows labelled?"})
    guideline_sha256: str = field(default="", metadata={"question": "What is its SHA-256?"})
    annotators: int | None = field(default=None, metadata={"question": "By how many people?"})
    agreement: str = field(default="", metadata={"question": "By what is their agreement measured?"})
    agreement_value: float | None = field(default=None, metadata={"question": "How much do they agree?"})
    audited: date | None = field(default=None, metadata={"question": "On which day were the labels audited?"})
    auditor: str = field(default="", metadata={"question": "By whom?"})

    def __post_init__(self) -> None:
        if self.annotators is not None and self.annotators < 1:
            raise ValueError(f"annotators is {self.annotators}; it must be 1 or more, or left out")
        if self.agreement_value is not None and not -1 <= self.agreement_value <= 1:
            raise ValueError(f"agreement_value is {self.agreement_value:g}; it must be -1 to 1, as kappa and alpha are")

    @property
    def complete(self) -> bool:
        """Guideline, its digest, and who audited the labels when: what a release of high risk stands on."""
        return bool(self.guideline and self.guideline_sha256 and self.audited and self.auditor)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What becomes of them."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    recommended: tuple[str, ...] = field(default=(), metadata={"question": "What are they fit for?"})
    not_for: tuple[str, ...] = field(default=(), metadata={"question": "What are they not fit for?"})
    kept_until: date | None = field(default=None, metadata={"question": "Until which day are they kept?"})
    contact: str = field(default="", metadata={"question": "Who answers questions about them?"})


@dataclass(frozen=True, slots=True)
class Datasheet:
    """All of datasheet.toml."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    format_version: Literal[1]
    motivation: Motivation
    composition: Composition
    collection: Collection = field(default_factory=Collection)
    labelling: Labelling = field(default_factory=Labelling)
    maintenance: Maintenance = field(default_factory=Maintenance)


def parse_datasheet(text: bytes, where: str = "datasheet.toml") -> Datasheet:
    """Checks the text of a questionnaire about data.

    Raises:
        PolicyError: It is none; names the field, the value and what is allowed.
    """
    return answered(text, Datasheet, where)


def datasheet_md(answers: Datasheet, audit: Mapping[str, Any], data_sha256: str, name: str) -> bytes:
    """The data sheet as Markdown in UTF-8.

    Args:
        answers: What people say.
        audit: evidence/audit.json: what the data themselves say.
        data_sha256: Of the data.
        name: Of the bundle.
    """
    return ("\n".join(_lines(answers, audit, data_sha256, name)) + "\n").encode()


def _lines(answers: Datasheet, audit: Mapping[str, Any], data_sha256: str, name: str) -> Iterator[str]:
    yield from (f"# Data sheet of {name}", "")
    yield f"{audit['rows']:,} rows, sha256 `{data_sha256}`. First what people answered, then what an audit found."
    yield ""
    for part in fields(answers):
        if part.name == "format_version":
            continue
        section = getattr(answers, part.name)
        yield from (f"## {part.name.capitalize()}", "", f"{type(section).__doc__}", "")
        yield from ("| question | answer |", "|---|---|")
        for question, answer in questions(section).values():
            yield f"| {question} | {said(answer)} |"
        yield ""
    yield from _audited(audit)


def _audited(audit: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## What an audit of the data found", "")
    findings: Sequence[Mapping[str, Any]] = audit["findings"]
    if not findings:
        yield "Nothing."
    yield from (f"- {entry['severity']}: {entry['sentence']}. {entry['advice']}." for entry in findings)
    yield ""
    yield f"It looked at {audit['rows_looked_at']:,} rows; all of it is in `evidence/audit.json`."


def said(answer: Any) -> str:
    """An answer as a document prints it, within a cell of a table."""
    if answer is None or answer in ("", ()):
        return NOT_ANSWERED
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, float):
        return f"{answer:g}"
    text = "; ".join(map(str, answer)) if isinstance(answer, tuple) else str(answer)
    return " ".join(text.split()).replace("|", "\\|")
