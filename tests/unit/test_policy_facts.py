"""What a policy decides, in words: every rule that is set has a line, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_rai.cli.layout import lines_of
from edge_rai.errors import PolicyError
from edge_rai.policy import Measured, Policy, Table, number, parse_policy, policy_data, policy_tables

HOWTO = (Path(__file__).parents[2] / "docs/how-to/write-a-policy.md").read_text(encoding="utf-8")
FULL = re.search(r"<!-- every field -->\n```toml\n(.*?)```", HOWTO, re.DOTALL).group(1)  # type: ignore[union-attr]

SMALLEST = """
format_version = 1
batched = true
outputs = [{ name = "y", dtype = "float32", shape = [-1, 2] OUTPUT }]
[[inputs]]
name = "x"
dtype = "float32"
shape = [-1, 1]
max_shape = [64, 1]
feature_axis = 1
features = [{ name = "a" RULE }]
INPUT
"""


def rows(policy: Policy, title: str) -> list[tuple[str, ...]]:
    (table,) = (table for table in policy_tables(policy) if table.title == title)
    return list(table.rows)


def asking(rule: str = "", output: str = "", more: str = "", entry: str = "") -> Policy:
    text = SMALLEST.replace(" RULE", rule and f", {rule}").replace("INPUT", entry)
    return parse_policy(text.replace(" OUTPUT", output and f", {output}") + more)


def test_rules_that_are_not_set_have_no_line() -> None:
    policy = asking()
    assert [table.title for table in policy_tables(policy)] == [
        "Input x",
        "Output y",
        "Who answers a rejected row",
        "When the model is asked",
    ]
    assert rows(policy, "Input x") == [
        ("type and shape", "float32 (1 to 64 rows, 1)", "reject"),
        ("every value", "neither NaN nor infinite", "reject"),
        ("a", "no limits", ""),
    ]
    assert rows(policy, "Output y") == [
        ("type and shape", "float32 (any number of rows, 2)", "reject"),
        ("every value", "neither NaN nor infinite", "reject"),
    ]
    nobody = "nobody (NaN, of signed integers -1, of others 0 or nothing)"
    assert rows(policy, "Who answers a rejected row") == [("any reason", nobody)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("low = -40, high = 125, unit = 'degC'", [("a", "-40 to 125 degC", "flag")]),
        ("low = 0.25", [("a", "at least 0.25", "flag")]),
        ("high = 1e9, step = 5, stuck = 600", [
            ("a", "at most 1000000000", "flag"),
            ("a", "not the same for 600 rows in a row; at most 5 from the row before", "reject"),
        ]),
        ("low = 0, integral = true, verdict = 'flag'", [("a", "at least 0; whole numbers", "flag")]),
        ("categories = [1, 2.5]", [("a", "one of 1, 2.5", "reject")]),
        ("missing = {}", [("a", "may be missing: NaN stays as it came", "accept")]),
        ("missing = { value = -999, becomes = 20, verdict = 'flag' }", [
            ("a", "may be missing: -999 becomes 20", "flag")]),
        ("mean = [10, 245], stddev = [3, inf]", [
            ("a", "mean of a row 10 to 245; standard deviation of a row at least 3", "reject")]),
        ("clipped = { low = 0, high = 255, share = 0.3 }", [
            ("a", "at most 30 % of a row's values are at most 0 or at least 255", "reject")]),
        ("clipped = { low = -inf, high = 255, share = 0 }", [
            ("a", "at most 0 % of a row's values are at least 255", "reject")]),
        ("monotonic = true, age = { max_s = 900, ahead_s = 0.5, unit_s = 1e-9 }", [
            ("a", "never goes back; at most 900 s old and 500 ms ahead of the clock (a unit is 1 ns, from 1970)",
             "reject")]),
    ],
)  # fmt: skip
def test_feature_says_what_is_allowed_and_what_a_breach_gets(rule: str, expected: list[tuple[str, ...]]) -> None:
    assert rows(asking(rule, entry='out_of_range = "flag"'), "Input x")[2:] == expected


def test_nan_is_allowed_only_where_it_means_missing() -> None:
    said = {rule: rows(asking(rule), "Input x")[1] for rule in ("missing = {}", "missing = { value = -1 }")}
    assert said["missing = {}"][1] == "neither NaN nor infinite; NaN only where it means missing"
    assert said["missing = { value = -1 }"][1] == "neither NaN nor infinite"
    loose = rows(asking(entry="finite = false"), "Input x")[1]
    assert loose == ("every value", "may be NaN, and infinite where its limits allow it", "accept")


def test_strings_have_categories_length_characters_and_a_stand_in() -> None:
    text = (
        SMALLEST.replace('"x"\ndtype = "float32"', '"x"\ndtype = "string"').replace("INPUT", "").replace(" OUTPUT", "")
    )
    rule = ", categories = ['b', 'a'], length = [0, 280], characters = 'a-z ', stand_in = 'none', verdict = 'flag'"
    assert rows(parse_policy(text.replace(" RULE", rule)), "Input x")[1:] == [
        ("a", "one of 'b', 'a'; 0 to 280 characters long; only the characters 'a-z '", "flag"),
        ("a", "in place of a rejected row's text the model sees 'none'", ""),
    ]


def test_distance_has_its_stated_rate_and_the_measured_one() -> None:
    two = SMALLEST.replace("[-1, 1]\nmax_shape = [64, 1]", "[-1, 2]\nmax_shape = [64, 2]")
    two = two.replace(" RULE }", ' }, { name = "b" }').replace(" OUTPUT", "")
    text = two.replace("INPUT", "distance = { threshold = 21.75, kind = 'low_rank', false_rejection_rate = 0.01 }")
    table = policy_tables(parse_policy(text), {"x": Measured(2, 142)})[0]
    assert ("a, b", "no limits", "") in table.rows
    expected = (
        "squared Mahalanobis distance (low_rank) to the reference at most 21.75; stated: 1 % of good rows are beyond; "
        "measured: 2 of 142 held-back rows (1.4 %)"
    )
    assert table.rows[2] == ("every row", expected, "reject")
    assert "measured" not in policy_tables(parse_policy(text))[0].rows[2][1]


def test_output_rules_and_the_default_answer() -> None:
    rules = "range = [0, 1], sum = [0.999, inf], confidence = 0.6, margin = 0.1, entropy = 0.65, default = [nan, 0.5]"
    assert rows(asking(output=rules + ", verdict = 'flag'"), "Output y")[2:] == [
        ("range", "every value 0 to 1", "flag"),
        ("sum", "along the last axis at least 0.999", "flag"),
        ("confidence", "the greatest share is at least 0.6", "flag"),
        ("margin", "the greatest share exceeds the second by at least 0.1", "flag"),
        ("entropy", "of the shares, at most 0.65 nats", "flag"),
        ("default answer", "NaN, 0.5", ""),
    ]
    scores = rows(asking(output="logits = true, confidence = 0.6, default = [-1]"), "Output y")
    assert ("shares", "softmax along the last axis", "") in scores
    assert ("default answer", "-1 in every place", "") in scores
    single = SMALLEST.replace("[-1, 2]", "[-1, 1]").replace(" RULE", "").replace("INPUT", "")
    for given, said in (("", "the value p and 1 - p"), (", logits = true", "p and 1 - p of the sigmoid p")):
        policy = parse_policy(single.replace(" OUTPUT", f", margin = 0.2{given}"))
        assert ("shares", said, "") in rows(policy, "Output y")


def test_fallback_chain_is_said_in_its_order_and_to_its_end() -> None:
    more = """
        [decision]
        review_rows = 7
        last_good = { max_age_s = 60 }
        [[fallback]]
        reasons = ["deadline", "breaker_open"]
        chain = ["last_good", "model", "default"]
        [[fallback]]
        reasons = ["step"]
        chain = ["abstain"]
    """
    policy = asking(output="default = [0, 1]", more=more)
    values = "unless values of the row were rejected"
    nobody = "nobody (NaN, of signed integers -1, of others 0 or nothing)"
    assert rows(policy, "Who answers a rejected row") == [
        (
            "deadline, breaker_open",
            f"the last good answer; else the fallback model, {values}; else the outputs' defaults",
        ),
        ("step", f"a person, from the review queue; else {nobody}"),
        ("any other reason", "the outputs' defaults"),
    ]
    asked = dict(row[:2] for row in rows(policy, "When the model is asked"))
    assert asked["runtime error"] == "the fallback chain answers"
    assert asked["review queue"] == "at most 7 rows wait; when it is full the chain goes on"
    assert asked["last good answer"] == (
        "at most 60 s old, of the row's own key; 1024 keys are remembered; a call without a key has none"
    )


def test_breaker_says_what_each_of_its_causes_is() -> None:
    causes = {
        "error": "the inference runtime failed",
        "deadline": "the deadline was missed",
        "reject": "every row was rejected, and not every one for its input",
    }
    for cause, said in causes.items():
        more = f"[decision]\nbreaker = {{ on = ['{cause}'], window = 10, failures = 5, probes = 2 }}"
        found = rows(asking(more=more), "When the model is asked")
        assert found[1][1].startswith("open, which is that the model is not asked, after 5 failures among the last 10")
        assert "30 s later it is tried, and 2 good calls in a row close it" in found[1][1]
        assert found[2] == ("its failures", said, "")


def test_breaker_may_open_on_an_alarm_of_drift_where_something_is_watched() -> None:
    more = "[decision]\nbreaker = { on = ['drift'], window = 10, failures = 5, probes = 2 }"
    with pytest.raises(PolicyError, match="breaker.on has drift, and nothing is watched for it; add \\[drift\\]"):
        asking(more=more)
    found = rows(asking(more=f"{more}\n[drift]\naverage_run_length = 1e5"), "When the model is asked")
    assert found[2:4] == [
        ("its failures", "none", ""),
        ("its alarm", "one of drift opens it at once, and it stays open until that is reset", "reject"),
    ]


def test_every_rule_of_the_manual_has_words() -> None:
    """A number that stands in the policy stands in its words."""
    policy = parse_policy(FULL)
    said = " ".join(cell for table in policy_tables(policy) for row in table.rows for cell in row)
    numbers = {number(value) for value in leaves(policy_data(policy)) if isinstance(value, float)}
    # As shares, in other units, or of nothing: 20 ms is said in seconds and milliseconds alike.
    as_percent = {number(100 * float(value)) for value in numbers & {"0.01", "0.3"}}
    for value in (numbers - {"0.01", "0.3", "0.001"}) | as_percent | {"1 ms"}:
        assert re.search(rf"(?<![\d.]){re.escape(value)}(?![\d.]*\d)", said), value
    for word in ("whole numbers", "never goes back", "the same", "review queue", "CPUExecutionProvider", "hysteresis"):
        assert word in said or any(word == row[0] for table in policy_tables(policy) for row in table.rows), word
    titles = [table.title for table in policy_tables(policy)]
    assert titles[-2:] == ["Drift", "Events"]
    assert not {"Input state", "Output next state"} & set(titles), "of states no rule of tensors is looked at"


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    return [leaf for inner in value for leaf in leaves(inner)] if isinstance(value, list) else [value]


def test_data_for_programs_leaves_out_what_is_not_set_and_is_strict_json() -> None:
    data = policy_data(asking("low = 1, stddev = [2, inf]", output="default = [nan, 0]"))
    assert data["inputs"][0]["features"] == [
        {"name": "a", "low": 1.0, "integral": False, "stddev": [2.0, "inf"], "monotonic": False, "verdict": "reject"}
    ]
    assert data["outputs"][0]["default"] == ["nan", 0.0]
    assert "decision" not in data


def test_table_folds_its_widest_column_and_keeps_the_others_aligned() -> None:
    table = Table("T", ("what", "allowed"), (("a", "one two three four five six seven"), ("bcd", "x")))
    assert list(lines_of(table, 30)) == [
        "T",
        "  what  allowed",
        "  a     one two three four",
        "        five six seven",
        "  bcd   x",
    ]
    wide = Table("T", ("", ""), (("n" * 70, "w " * 70),))
    assert max(map(len, lines_of(wide, 100))) <= 100
    assert next(iter(lines_of(wide, 100))) == "T"
    assert not list(lines_of(wide, 100))[1].startswith("   ")
