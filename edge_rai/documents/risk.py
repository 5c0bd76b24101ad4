"""risk.toml: what a model is for, what it can do to people, and what may change without asking again.

Its answers make a class of risk, and the class makes documents and gates mandatory (docs/formats/documents.md). The
classes are this project's own, by the rules below and nothing else: they are no legal opinion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict

from edge_rai.documents.questions import answered

RISK_FILE = "risk.toml"

RiskClass = Literal["minimal", "limited", "high"]
Document = Literal[
    "card",
    "gate",
    "slices",
    "certificate",
    "robustness",
    "datasheet",
    "labelling",
    "bom",
    "risk",
    "change_plan",
    "evidence_map",
]
Change = Literal[
    "model", "source", "fallback", "data", "policy", "gate", "inputs", "outputs", "requirements", "tools"
]  # fmt: skip
# Where a person's rights are at stake, after the headings of Annex III of Regulation (EU) 2024/1689.
Area = Literal[
    "none", "biometrics", "infrastructure", "education", "employment", "services", "law_enforcement", "migration",
    "justice",
]  # fmt: skip

MANDATORY: Mapping[RiskClass, tuple[Document, ...]] = {
    "minimal": (),
    "limited": ("gate", "datasheet"),
    "high": ("gate", "slices", "robustness", "datasheet", "labelling", "bom", "change_plan"),
}
_FORBIDDING: ConfigDict = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Use:
    """What the model is for, in the words of who answers for it."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    purpose: str = field(metadata={"question": "What is it for?"})
    users: str = field(metadata={"question": "Who uses its answers?"})
    affected: str = field(default="", metadata={"question": "Who is affected by them?"})
    not_for: tuple[str, ...] = field(default=(), metadata={"question": "What is it not for?"})
    limits: tuple[str, ...] = field(default=(), metadata={"question": "What are its known limits?"})
    oversight: str = field(default="", metadata={"question": "Who watches over it, and how do they stop it?"})
    contact: str = field(default="", metadata={"question": "Who answers questions about it?"})
    license: str = field(default="", metadata={"question": "Under what licence is the model given?"})

    def __post_init__(self) -> None:
        for name in ("purpose", "users"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} must not be empty: a card cannot say what nobody said")


@dataclass(frozen=True, slots=True)
class Stakes:
    """What a wrong answer can do."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    people: bool = field(metadata={"question": "Are its answers about people, or do they affect them?"})
    harm: Literal["none", "reversible", "lasting"] = field(
        metadata={"question": "What is the worst that a wrong answer can do to somebody?"}
    )
    decides_alone: bool = field(metadata={"question": "Does an answer take effect without a person in between?"})
    safety: bool = field(metadata={"question": "Is it a safety component, or in a product that safety law governs?"})
    area: Area = field(metadata={"question": "In which area of people's rights is it used?"})


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """Changes that were thought of beforehand: a new bundle with no others, and no greater loss, is inside the plan.

    Attributes:
        allowed: What may change.
        largest_loss: By metric, how much worse the new bundle's figure may be than the old one's, in any slice.
        person: Who decided that.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    allowed: tuple[Change, ...]
    largest_loss: Mapping[str, float] = field(default_factory=dict)
    person: str = ""

    def __post_init__(self) -> None:
        for metric, loss in self.largest_loss.items():
            if not 0 <= loss < float("inf"):
                raise ValueError(f"largest_loss.{metric} is {loss:g}; it must be a number of 0 or more")


@dataclass(frozen=True, slots=True)
class Risk:
    """All of risk.toml."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBIDDING

    format_version: Literal[1]
    use: Use
    stakes: Stakes
    change_plan: ChangePlan | None = None

    @property
    def risk_class(self) -> RiskClass:
        """high, limited or minimal."""
        if any(self._high()):
            return "high"
        return "limited" if any(self._limited()) else "minimal"

    @property
    def because(self) -> tuple[str, ...]:
        """The answers that made it that class."""
        return tuple(self._high()) or tuple(self._limited()) or ("no answer raises it",)

    @property
    def mandatory(self) -> tuple[Document, ...]:
        """What a bundle of this class must have."""
        return MANDATORY[self.risk_class]

    def _high(self) -> Iterator[str]:
        stakes = self.stakes
        if stakes.safety:
            yield "it is a safety component, or in a product that safety law governs"
        if stakes.area != "none":
            yield f"it is used in the area {stakes.area}"
        if stakes.harm == "lasting":
            yield "a wrong answer can do lasting harm"
        if stakes.people and stakes.decides_alone and stakes.harm != "none":
            yield "its answers take effect on people without a person in between"

    def _limited(self) -> Iterator[str]:
        if self.stakes.people:
            yield "its answers affect people"
        if self.stakes.harm != "none":
            yield "a wrong answer can do harm that can be undone"


def parse_risk(text: bytes, where: str = RISK_FILE) -> Risk:
    """Checks the text of a risk questionnaire.

    Raises:
        PolicyError: It is none; names the field, the value and what is allowed.
    """
    return answered(text, Risk, where)
