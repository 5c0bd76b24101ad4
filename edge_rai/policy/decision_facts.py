"""Who answers, and when the model is asked, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_rai.policy.decision import CircuitBreaker, Decision, FallbackRule, LastGood, StateRule
from edge_rai.policy.words import Row, Table, number, seconds

_NOBODY = "nobody (NaN, of signed integers -1, of others 0 or nothing)"
_STEPS = {
    "model": "the fallback model, unless values of the row were rejected",
    "last_good": "the last good answer",
    "default": "the outputs' defaults",
    "abstain": "a person, from the review queue",
    "reject": _NOBODY,
}
_FAILURES = {
    "error": "the inference runtime failed",
    "deadline": "the deadline was missed",
    "reject": "every row was rejected, and not every one for its input",
}


def decision_tables(
    fallback: Sequence[FallbackRule], decision: Decision, states: Sequence[StateRule], *, has_default: bool
) -> Iterator[Table]:
    """Who answers rejected rows; when the model is asked; what is carried from call to call."""
    chains = tuple(_chains(fallback, _STEPS["default"] if has_default else _NOBODY))
    yield Table("Who answers a rejected row", ("rejected for", "answered by"), chains)
    yield Table("When the model is asked", ("rule", "what it does", "verdict"), tuple(_asked(decision, bool(fallback))))
    if states:
        carried = (
            "is what the session gives to input {0.input} in the next call, which callers leave out; zeros at first; "
            "a rejected row does not advance it"
        )
        rows = [(f"output {state.output}", carried.format(state), "") for state in states]
        rows.append(("not finite, or of another shape", "the state begins anew", "flag"))
        yield Table("Recurrent states", ("what", "what is done", "verdict"), tuple(rows))


def _chains(fallback: Sequence[FallbackRule], last: str) -> Iterator[Row]:
    for rule in fallback:
        steps = [_STEPS[step] for step in rule.chain]
        if rule.chain[-1] not in ("default", "reject"):
            steps.append(_NOBODY)
        rest = "any other reason" if len(fallback) > 1 else "any reason"
        yield ", ".join(rule.reasons) or rest, "; else ".join(steps)
    if not fallback:
        yield "any reason", last
    elif fallback[-1].reasons:
        yield "any other reason", last


def _asked(decision: Decision, has_chain: bool) -> Iterator[Row]:
    failed = "the fallback chain answers" if has_chain else "predict raises InferenceError: there is no fallback chain"
    yield "runtime error", failed, "reject" if has_chain else ""
    if decision.provider is not None:
        yield "provider", f"{decision.provider} must run all of the model, or the bundle does not load", ""
    if decision.deadline_ms is not None:
        yield "deadline", f"after {seconds(decision.deadline_ms / 1e3)} the model is stopped", "reject"
    if decision.rate_limit is not None:
        limit = decision.rate_limit
        said = f"{number(limit.rows_per_second)} rows a second, {limit.burst} at once; others are not asked"
        yield "rate limit", said, "reject"
    if decision.breaker is not None:
        yield from _breaker(decision.breaker)
    if decision.hysteresis is not None:
        after, until = decision.hysteresis.after, decision.hysteresis.until
        said = (
            f"after {after} rows in a row that the output rules rejected the fallback chain answers, until {until} in "
            "a row were good; the model goes on being asked"
        )
        yield "hysteresis", said, "reject"
    if decision.last_good is not None:
        yield "last good answer", _last_good(decision.last_good), ""
    if decision.review_rows is not None:
        yield "review queue", f"at most {decision.review_rows} rows wait; when it is full the chain goes on", ""


def _breaker(rule: CircuitBreaker) -> Iterator[Row]:
    said = (
        f"open, which is that the model is not asked, after {rule.failures} failures among the last {rule.window} calls"
        f" that asked it; {seconds(rule.cooldown_s)} later it is tried, and {rule.probes} good calls in a row close it,"
        " one failure opens it again"
    )
    yield "circuit breaker", said, "reject"
    failures = [_FAILURES[cause] for cause in rule.on if cause != "drift"]
    yield "its failures", "; ".join(failures) or "none", ""
    if "drift" in rule.on:
        yield "its alarm", "one of drift opens it at once, and it stays open until that is reset", "reject"


def _last_good(rule: LastGood) -> str:
    without = "calls without a key share one" if rule.shared else "a call without a key has none"
    return f"at most {seconds(rule.max_age_s)} old, of the row's own key; {rule.keys} keys are remembered; {without}"
