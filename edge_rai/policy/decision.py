"""When the model is asked, who answers when it must not, and what a session carries from call to call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edge_rai.policy.checks import check_word
from edge_rai.types import ReasonCode, Source

_MOST = 65536
_MOST_AXES = 8  # ERAI_MAX_RANK

Step = Literal["model", "last_good", "default", "abstain", "reject"]
Cause = Literal["error", "deadline", "reject", "drift"]

STEPS: dict[str, Source] = {
    "model": Source.FALLBACK_MODEL,
    "last_good": Source.LAST_GOOD,
    "default": Source.DEFAULT,
    "abstain": Source.ABSTAIN,
    "reject": Source.NONE,
}
# The default too: a policy whose outputs have none may not name it.
_ALWAYS_ANSWER = ("default", "reject")


@dataclass(frozen=True, slots=True)
class FallbackRule:
    """Who answers rows that were rejected for one of these reasons; the first rule that fits a row counts.

    Attributes:
        chain: Tried in this order: "model" (the bundle's second model), "last_good", "default" (of the outputs),
            "abstain" (the review queue), "reject" (nobody: NaN, -1 or 0).
        reasons: Names of reasons as in ``ReasonCode``, lower case; empty: any.
    """

    chain: tuple[Step, ...]
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.chain or len(set(self.chain)) != len(self.chain):
            raise ValueError(f"chain is {list(self.chain)}; expected at least one step, and each once")
        for step in self.chain:
            check_word("a step of a chain", step, Step)
        for step in self.chain[:-1]:
            if step in _ALWAYS_ANSWER:
                raise ValueError(
                    f"chain is {list(self.chain)}; {step} always answers, so nothing after it is ever asked; put it "
                    "last"
                )
        known = [code.name.lower() for code in ReasonCode]
        for name in self.reasons:
            if name not in known:
                raise ValueError(f"reason {name!r} is not known; expected one of {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class LastGood:
    """The answer a key had before.

    Attributes:
        max_age_s: The oldest one that still serves.
        keys: How many keys have theirs remembered; the one used longest ago leaves first.
        shared: Calls without a key share one. Only where every caller may see every answer.
    """

    max_age_s: float
    keys: int = 1024
    shared: bool = False

    def __post_init__(self) -> None:
        _check_seconds("last_good.max_age_s", self.max_age_s)
        _check_count("last_good.keys", self.keys)


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """After ``after`` bad rows in a row the fallback chain answers, until ``until`` in a row were good."""

    after: int
    until: int

    def __post_init__(self) -> None:
        _check_count("hysteresis.after", self.after)
        _check_count("hysteresis.until", self.until)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Stops asking a failing model.

    Attributes:
        on: What is a failure: the runtime's errors, missed deadlines, calls whose every row was rejected, at least one
            of them for what the model answered. A call counts once, however many rows it has. "drift": an alarm
            opens it at once, and keeps it open until it has been reset.
        window: The last calls looked at, at most 64.
        failures: So many among them open it.
        cooldown_s: Open so long, then half open.
        probes: So many good calls in a row close it again.
    """

    on: tuple[Cause, ...] = ("error", "deadline")
    window: int = 16
    failures: int = 8
    cooldown_s: float = 30.0
    probes: int = 3

    def __post_init__(self) -> None:
        if not self.on:
            raise ValueError("breaker.on is empty; expected some of error, deadline, reject, drift")
        for cause in self.on:
            check_word("an item of breaker.on", cause, Cause)
        if not 1 <= self.failures <= self.window <= 64:
            raise ValueError(f"breaker: {self.failures} failures of {self.window}; expected 1 to window, at most 64")
        _check_count("breaker.probes", self.probes)
        _check_seconds("breaker.cooldown_s", self.cooldown_s)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: ``rows_per_second`` flow in, at most ``burst`` stay, a row takes one."""

    rows_per_second: float
    burst: int

    def __post_init__(self) -> None:
        _check_seconds("rate_limit.rows_per_second", self.rows_per_second)
        _check_count("rate_limit.burst", self.burst, 2**32 - 1)


@dataclass(frozen=True, slots=True)
class Decision:
    """When the model is asked, and for how long; None: no such rule.

    Attributes:
        deadline_ms: Of a call, from its start; past it the model is stopped and the fallback chain answers.
        review_rows: How many rows the step "abstain" may have waiting.
        provider: The execution provider that must run all of the model.
        last_good: For the step of that name.
        hysteresis: Against flapping between model and fallback.
        breaker: Against a model that keeps failing.
        rate_limit: Against too many rows.
    """

    deadline_ms: float | None = None
    review_rows: int | None = None
    provider: str | None = None
    last_good: LastGood | None = None
    hysteresis: Hysteresis | None = None
    breaker: CircuitBreaker | None = None
    rate_limit: RateLimit | None = None

    def __post_init__(self) -> None:
        if self.deadline_ms is not None:
            _check_seconds("deadline_ms", self.deadline_ms, 1e-6)
        if self.review_rows is not None:
            _check_count("review_rows", self.review_rows)
        if self.provider is not None and not (self.provider and self.provider.isprintable()):
            raise ValueError(f"provider is {self.provider!r}; it must be a name such as CPUExecutionProvider")

    @property
    def flags(self) -> tuple[str, ...]:
        """Of erai_decision_rule."""
        causes = self.breaker.on if self.breaker else ()
        return (
            *(["shared"] if self.last_good and self.last_good.shared else []),
            *(f"break_on_{cause}" for cause in sorted(set(causes))),
        )

    def numbers(self) -> dict[str, float]:
        """Fields of erai_decision_rule; what is absent is 0 there."""
        found: dict[str, float] = {
            "deadline_ns": round((self.deadline_ms or 0) * 1e6),
            "review_rows": self.review_rows or 0,
        }
        if self.last_good:
            found |= {
                "last_good_age_ns": round(self.last_good.max_age_s * 1e9),
                "last_good_keys": self.last_good.keys,
            }
        if self.hysteresis:
            found |= {"hold_after": self.hysteresis.after, "hold_until": self.hysteresis.until}
        if self.breaker:
            found |= {
                "breaker_window": self.breaker.window,
                "breaker_failures": self.breaker.failures,
                "breaker_probes": self.breaker.probes,
                "breaker_cooldown_ns": round(self.breaker.cooldown_s * 1e9),
            }
        if self.rate_limit:
            found |= {"rate_per_second": self.rate_limit.rows_per_second, "rate_burst": self.rate_limit.burst}
        return found


def without_alarm(decision: Decision | None) -> Decision | None:
    """The same where nothing is watched for drift, so that no breaker can wait for an alarm."""
    if decision is None or decision.breaker is None:
        return decision
    on = tuple(cause for cause in decision.breaker.on if cause != "drift")
    return replace(decision, breaker=replace(decision.breaker, on=on) if on else None)


@dataclass(frozen=True, slots=True)
class StateRule:
    """A recurrent state, carried by the session: what ``output`` gave is the next call's ``input``.

    Attributes:
        input: That callers leave out.
        output: Of the same type and shape.
        row_axis: The axis that counts rows; None: it is kept or taken as a whole.
    """

    input: str
    output: str
    row_axis: int | None = None

    def __post_init__(self) -> None:
        if self.row_axis is not None and not 0 <= self.row_axis < _MOST_AXES:
            raise ValueError(f"row_axis of {self.input!r} is {self.row_axis}; it must be 0 to {_MOST_AXES - 1}")


def check_chains(rules: tuple[FallbackRule, ...], decision: Decision, *, has_default: bool) -> None:
    """Refuses rules and steps that nothing ever comes to, and steps that have nothing to answer with."""
    if any(not rule.reasons for rule in rules[:-1]):
        raise ValueError("a fallback rule without reasons fits any, so none after it is ever asked; put it last")
    before: set[str] = set()
    for place, rule in enumerate(rules):
        if rule.reasons and before.issuperset(rule.reasons):
            raise ValueError(
                f"fallback[{place}] is never asked: rules before it have all of its reasons, {', '.join(rule.reasons)}"
            )
        before.update(rule.reasons)
    steps = {step for rule in rules for step in rule.chain}
    for step, field, given in (
        ("last_good", "decision.last_good", decision.last_good),
        ("abstain", "decision.review_rows", decision.review_rows),
    ):
        if step in steps and given is None:
            raise ValueError(f'a fallback chain has "{step}", but {field} is not set; without it nothing answers')
        if step not in steps and given is not None:
            raise ValueError(f'{field} is set, but no fallback chain has "{step}"')
    if "default" in steps and not has_default:
        raise ValueError('a fallback chain has "default", but no output has a default')


def _check_count(name: str, value: int, most: int = _MOST) -> None:
    if not 1 <= value <= most:
        raise ValueError(f"{name} is {value}; it must be 1 to {most}")


def _check_seconds(name: str, value: float, least: float = 1e-9) -> None:
    """At least a nanosecond, and less than 32 years."""
    if not least <= value <= 1e9:
        raise ValueError(f"{name} is {value}; it must be {least:g} to 1e9")
