"""Checks beyond range and finiteness, as people write them, and what they are to the guard program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from edge_rai.types import Verdict

Bounds = tuple[float, float]
Breaks = Literal["reject", "flag"]  # what a row gets that breaks a rule
Pardons = Literal["accept", "flag", "reject"]
Kind = Literal["full", "low_rank", "diagonal"]

VERDICTS = {"accept": Verdict.ACCEPT, "flag": Verdict.FLAG, "reject": Verdict.REJECT}


@dataclass(frozen=True, slots=True)
class Missing:
    """A value that is allowed to be missing.

    Attributes:
        becomes: What the model sees instead; None: what came, for models that know missing values.
        value: The value that means "missing"; None: NaN.
        verdict: Of its row.
    """

    becomes: float | None = None
    value: float | None = None
    verdict: Pardons = "accept"

    def __post_init__(self) -> None:
        check_word("missing.verdict", self.verdict, Pardons)
        for name, value in (("becomes", self.becomes), ("value", self.value)):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"missing.{name} is {value}; it must be a finite number, or left out")


@dataclass(frozen=True, slots=True)
class Clipped:
    """How much of a row may stand at the ends of its scale.

    Attributes:
        low: A value of at most this is clipped.
        high: A value of at least this is clipped.
        share: The greatest share of a row's values that may be.
    """

    low: float
    high: float
    share: float

    def __post_init__(self) -> None:
        check_bounds("clipped, [low, high],", (self.low, self.high))
        if not 0 <= self.share <= 1:
            raise ValueError(f"clipped.share is {self.share}; it must be 0 to 1")


@dataclass(frozen=True, slots=True)
class Age:
    """How old a time stamp may be.

    Attributes:
        max_s: The greatest age.
        ahead_s: How far in the future it may be: clocks differ.
        unit_s: Seconds a unit of the values, counted from 1970: 1e-3 for milliseconds.
    """

    max_s: float
    ahead_s: float = 0.0
    unit_s: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("max_s", 0.0), ("ahead_s", 0.0), ("unit_s", 1e-12)):
            value = getattr(self, name)
            if not least <= value <= 1e12:
                raise ValueError(f"age.{name} is {value}; it must be {least:g} to 1e12")


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a row may be from the reference, over all features of an input; its numbers are in reference.json.

    Attributes:
        threshold: Of the squared Mahalanobis distance.
        kind: "full" (all covariances), "low_rank" (the leading directions), "diagonal" (variances alone).
        false_rejection_rate: Of rows like the reference, as measured on rows held back.
        verdict: Of a row that is farther.
    """

    threshold: float
    kind: Kind = "full"
    false_rejection_rate: float = 0.0
    verdict: Breaks = "reject"

    def __post_init__(self) -> None:
        check_word("distance.kind", self.kind, Kind)
        check_word("distance.verdict", self.verdict, Breaks)
        if not (math.isfinite(self.threshold) and self.threshold > 0):
            raise ValueError(f"distance.threshold is {self.threshold}; it must be more than 0")
        if not 0 <= self.false_rejection_rate <= 1:
            raise ValueError(f"distance.false_rejection_rate is {self.false_rejection_rate}; it must be 0 to 1")


def check_word(name: str, value: object, words: Any) -> None:
    """Refuses what is none of a Literal's words: written policies are held to them, Python's own calls only here."""
    if value not in get_args(words):
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, get_args(words)))}")


_GREATEST = {"float16": 65504.0, "bfloat16": float.fromhex("0x1.fep127"), "float32": float.fromhex("0x1.fffffep127")}


def has_value(dtype: str, low: float, high: float) -> bool:
    """Whether a number from low to high is one of this type; infinities are none."""
    if dtype.startswith(("float", "bfloat")):
        most = _GREATEST.get(dtype, math.inf)
        return low <= most and high >= -most
    bits = 1 if dtype == "bool" else int(dtype.lstrip("uint"))
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype.startswith("int") else (0, (1 << bits) - 1)
    first = least if low <= least else math.ceil(low)
    last = most if high >= most else math.floor(high)
    return first <= min(last, most)


def check_bounds(name: str, bounds: Bounds | None) -> None:
    """Refuses bounds that are out of order or bound nothing."""
    if bounds is not None and not (bounds[0] <= bounds[1] and any(map(math.isfinite, bounds))):
        raise ValueError(f"{name} is {list(bounds)}; expected [low, high], at least one of them finite")


def is_single(shape: tuple[int, ...], batched: bool) -> bool:
    """Whether an output has one value along its last axis, that of rows aside: a probability, a score, a quantity."""
    return len(shape) <= int(batched) or shape[-1] == 1


def one_kind(categories: Any) -> Any:
    """For pydantic: refuses a list of categories that are not all numbers, or all strings, in one sentence."""
    if not isinstance(categories, list) or all(isinstance(item, str) for item in categories):
        return tuple(categories) if isinstance(categories, list) else categories
    for item in categories:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise ValueError(f"categories is {categories!r:.80}; expected numbers, or strings, and not both")
        if isinstance(item, int) and abs(item) > 2**53:
            raise ValueError(f"categories holds {item}; whole numbers up to 2**53 are compared exactly")
    return tuple(map(float, categories))


def check_text(name: str, value: str) -> None:
    """Refuses what no guard program can hold."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        size = -1
    if size < 0 or "\0" in value or size > 1024:
        raise ValueError(f"{name} is {value!r:.80}; expected text of at most 1024 bytes in UTF-8 and without NUL")


def character_ranges(classes: str) -> tuple[int, ...]:
    """Code points of a class like "a-z0-9_ ": first and last of each range; a leading or trailing "-" is itself."""
    ranges: list[int] = []
    at = 0
    while at < len(classes):
        if at + 2 < len(classes) and classes[at + 1] == "-":
            first, last = ord(classes[at]), ord(classes[at + 2])
            if first > last:
                raise ValueError(f"characters has the range {classes[at : at + 3]!r}, which goes backwards")
            at += 3
        else:
            first = last = ord(classes[at])
            at += 1
        ranges += [first, last]
    if not ranges:
        raise ValueError("characters is empty; name at least one, or leave it out")
    return tuple(ranges)


def feature_checks(rule: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and arguments of PolicyBuilder.add_check for what a FeatureRule asks for beyond its range."""
    verdict = VERDICTS[rule.verdict]
    if rule.missing is not None:
        missing = rule.missing
        yield (
            "missing",
            {
                "verdict": VERDICTS[missing.verdict],
                "limit": math.nan if missing.becomes is None else missing.becomes,
                "values": () if missing.value is None else (missing.value,),
            },
        )
    if rule.categories:
        kind = "texts" if isinstance(rule.categories[0], str) else "values"
        yield "categories", {"verdict": verdict, kind: sorted(rule.categories, key=_in_c_order)}
    for name in ("integral", "monotonic"):
        if getattr(rule, name):
            yield name, {"verdict": verdict}
    if rule.stuck is not None:
        yield "stuck", {"verdict": verdict, "window": rule.stuck}
    if rule.step is not None:
        yield "step", {"verdict": verdict, "limit": rule.step}
    for name in ("mean", "stddev", "length"):
        bounds = getattr(rule, name)
        if bounds is not None:
            yield name, {"verdict": verdict, "low": bounds[0], "high": bounds[1]}
    if rule.clipped is not None:
        clipped = rule.clipped
        yield "clipped", {"verdict": verdict, "low": clipped.low, "high": clipped.high, "limit": clipped.share}
    if rule.characters is not None:
        yield "characters", {"verdict": verdict, "values": character_ranges(rule.characters)}
    if rule.age is not None:
        yield "age", {"verdict": verdict, "low": -rule.age.ahead_s, "high": rule.age.max_s, "limit": rule.age.unit_s}


def output_checks(rule: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and arguments of PolicyBuilder.add_check for what an OutputRule asks for."""
    verdict = VERDICTS[rule.verdict]
    for name in ("range", "sum"):
        bounds = getattr(rule, name)
        if bounds is not None:
            yield name, {"verdict": verdict, "low": bounds[0], "high": bounds[1]}
    for name in ("confidence", "margin"):
        least = getattr(rule, name)
        if least is not None:
            yield name, {"verdict": verdict, "low": least}
    if rule.entropy is not None:
        yield "entropy", {"verdict": verdict, "high": rule.entropy}


def _in_c_order(category: float | str) -> float | bytes:
    return category.encode() if isinstance(category, str) else category
