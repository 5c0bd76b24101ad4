"""A learned policy as a file for a person to edit: what its lines mean, what was seen, and what data cannot teach."""

from __future__ import annotations

from collections.abc import Iterator

from edge_rai.policy import FeatureReference, InputRule, Policy, Reference, policy_to_toml

_HEAD = """\
# What the guard holds rows to, learned from {rows:,} rows. Change what you know better, and give it back:
#     edge-rai convert MODEL --data DATA --policy policy.toml -o OUT.erai
# What is taken out is not checked, and a mistake is refused by its name. All fields: docs/how-to/write-a-policy.md.
"""
# By section and key, each said where it comes first.
_MEANINGS = {
    (
        "",
        "batched",
    ): "true: axis 0 of every input and output counts rows, and each row is judged by itself",
    ("inputs", "shape"): "-1: free",
    ("inputs", "max_shape"): "the most that a free axis may have",
    ("inputs", "finite"): "false: NaN is let through, and an infinity that the limits allow",
    (
        "inputs",
        "out_of_range",
    ): 'a row with a value beyond low or high: "reject" it, or "flag" it and let the model answer',
    ("inputs", "feature_axis"): "its indices are the features",
    ("inputs", "sketch_stride"): "so many values of a feature in a row make one that is counted for drift",
    (
        "inputs",
        "distance",
    ): "squared Mahalanobis, of a row; of rows like these so many are beyond the threshold",
    ("inputs", "features"): "low and high: what was seen, and half of its span more on each side, but not across zero",
    ("outputs", "finite"): "false: NaN and infinities are answers",
    (
        "outputs",
        "default",
    ): "what a rejected row is answered with; NaN cannot be mistaken for an answer, a likely value can",
    ("states", "input"): "kept by the session: what the output gave is the next call's input",
    ("drift", "average_run_length"): "rows from one alarm for nothing to the next, at least, on average",
    ("drift", "effect"): "what is no drift yet: a change of a mean by so many standard deviations",
    (
        "drift",
        "strides",
    ): "features that are looked at once in so many rows, as rows depend on those before; 0: not watched",
    ("observe", "kind"): "made of each row by the session, counted and watched as features are",
}
_FURTHER = """
# What data cannot teach. Take "# " away from a line to have it, and set its numbers.
#
# Of a feature, inside its braces: unit = "kg", integral = true, categories = [1.0, 2.0], missing = { becomes = 0.0 },
# stuck = 50 (rows alike, to the bit), step = 4.0 (from the row before), verdict = "flag" (who breaks one of these).
# Of an output that is shares of 1, below its name: range = [0.0, 1.0], confidence = 0.6, margin = 0.1, entropy = 0.65.
"""
_DECISION = """
# [decision]                                  # when the model is asked
# deadline_ms = 20.0                          # past it the run is stopped
# last_good = { max_age_s = 60.0 }            # how old an answer may be that a chain gives again
# rate_limit = { rows_per_second = 200.0, burst = 50 }
# breaker = { on = ["error", "deadline"], window = 16, failures = 8, cooldown_s = 30.0, probes = 3 }
#
# [[fallback]]                                # who answers what the model must not; the first rule that fits
# reasons = ["deadline", "rate_limited"]      # absent: any
# chain = ["last_good", "default"]            # or "model", "abstain", "reject"
"""


def commented(policy: Policy, reference: Reference, rows: int) -> str:
    """The written form of a learned policy, with comments; reads back to the same policy.

    Args:
        policy: As learned: without rules that data cannot teach.
        reference: What was seen of each feature.
        rows: That it was learned from.
    """
    text = _HEAD.format(rows=rows) + "\n" + "\n".join(_lines(policy, reference)) + "\n" + _FURTHER
    return text if policy.decision or policy.fallback else text + _DECISION


def _lines(policy: Policy, reference: Reference) -> Iterator[str]:
    known = {(entry.input, entry.name): entry for entry in reference.features}
    features = ((rule, feature.name) for rule in policy.inputs for feature in rule.features)
    section, unsaid = "", dict(_MEANINGS)
    for line in policy_to_toml(policy).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        if line.startswith("  {"):
            rule, name = next(features)
            said = _seen(rule, known.get((rule.name, name)))
        else:
            said = unsaid.pop((section, line.partition(" = ")[0]), "")
        yield f"{line}  # {said}" if said else line


def _seen(rule: InputRule, entry: FeatureReference | None) -> str:
    """What was seen of a feature of numbers; text has none."""
    if entry is None or rule.dtype == "string":
        return ""
    return f"mean {entry.mean:.5g}, standard deviation {entry.stddev:.5g}"
