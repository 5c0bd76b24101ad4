from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edge_rai_converters.candidates import Candidate
from edge_rai_converters.choose import GENTLER, Budgets, choose, too_much_lost
from edge_rai_converters.compare import Comparison
from edge_rai_converters.errors import AccuracyDropError, BudgetError
from edge_rai_converters.measure import Cost

SAME = Comparison(0.95, 1.0, None, 0.0, 0.0, 0.0, 0.0)
FLOAT = Candidate("float", "none", 1000, True, SAME, {})
INT8 = Candidate("int8", "static_int8_qdq", 300, True, Comparison(0.945, 0.99, None, 0.1, 0.01, 0.1, 0.0), {})
PRUNED = Candidate("pruned", "none", 290, True, replace(SAME, agreement=0.995), {})
BUDGETS = Budgets(max_drop=1.0)


def cost(low: float, speed_up: float, high: float, p50_ns: int = 1000) -> Cost:
    return Cost(p50_ns // 2, p50_ns, 2 * p50_ns, speed_up, low, high, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": 901}, r"saves less than 10 %"),
        ({"accuracy": 0.93}, r"loses 2\.00 points of accuracy on the held-back rows, more than the 1 allowed"),
        ({"accuracy": None, "agreement": 0.979}, r"another class in 2\.1 % of the held-back rows, more than the 2 all"),
        ({"accuracy": None, "agreement": None, "quantity_difference": 0.051}, r"up to 5\.1 % of an output's range"),
        ({"accuracy": None, "agreement": None, "quantity_difference": float("nan")}, "of an output's range"),
        ({"quantity_difference": 0.06}, r"differs by up to 6\.0 % of an output's range, more than the 5 allowed"),
        ({"largest_difference": float("inf")}, "is not finite in answers where the float model is"),
        ({"rows_independent": False}, "makes a row's answer depend on the other rows of its batch"),
    ],
)
def test_float_is_kept_when_a_candidate_does_not_pay(changes: dict[str, object], reason: str) -> None:
    compared = {key: value for key, value in changes.items() if hasattr(SAME, key)}
    entry = replace(INT8, **{key: value for key, value in changes.items() if key not in compared})
    entry = replace(entry, comparison=replace(entry.comparison, **compared))
    choice = choose([FLOAT, entry], {}, ["float", "int8"], BUDGETS, "float")
    assert choice.recipe == "float"
    assert re.search(reason, choice.reason)
    assert re.search(reason, choice.objections["int8"])


def test_reason_says_why_a_recipe_gave_no_candidate() -> None:
    choice = choose([FLOAT], {"int8": "cannot be made: it has no layers"}, ["float", "int8"], BUDGETS, "float")
    assert choice.reason == "float is kept because int8 cannot be made: it has no layers"


def test_smaller_candidate_that_keeps_the_budgets_is_taken() -> None:
    choice = choose([FLOAT, INT8], {}, ["float", "int8"], BUDGETS, "float")
    same_class = "gives the same class in 99.0 % of the held-back rows"
    assert (choice.recipe, choice.reason) == ("int8", f"int8 is 70 % smaller, {same_class}; accuracy -0.50 points")


def test_simplest_is_taken_among_equals_unless_another_is_faster_beyond_doubt() -> None:
    asked = ["float", "pruned", "int8"]
    assert choose([FLOAT, PRUNED, INT8], {}, asked, BUDGETS, "float").recipe == "pruned"
    slow, fast = replace(PRUNED, cost=cost(0.9, 1.0, 1.2)), replace(INT8, cost=cost(1.1, 1.5, 1.9))
    original = replace(FLOAT, cost=cost(1.0, 1.0, 1.0))
    assert choose([original, slow, fast], {}, asked, BUDGETS, "float").recipe == "pruned"
    fast = replace(INT8, cost=cost(1.3, 1.5, 1.9))
    assert choose([original, slow, fast], {}, asked, BUDGETS, "float").recipe == "int8"


def test_candidate_neither_smaller_nor_measurably_faster_is_dropped_with_its_speed_up() -> None:
    original, entry = replace(FLOAT, cost=cost(1.0, 1.0, 1.0)), replace(INT8, size=990, cost=cost(0.97, 1.02, 1.1))
    choice = choose([original, entry], {}, ["float", "int8"], BUDGETS, "float")
    assert choice.recipe == "float"
    assert "is not measurably faster (1.02 times as fast, 0.97 to 1.10)" in choice.objections["int8"]
    faster = replace(entry, cost=cost(1.01, 1.2, 1.3))
    assert "int8" not in choose([original, faster], {}, ["float", "int8"], BUDGETS, "float").objections


def test_budgets_of_size_and_latency_exclude_the_float_model_too() -> None:
    original, entry = replace(FLOAT, cost=cost(1, 1, 1, 3_000_000)), replace(INT8, cost=cost(1, 1, 1, 1_000_000))
    choice = choose([original, entry], {}, ["float", "int8"], Budgets(1.0, latency_ms=2), "float")
    assert choice.recipe == "int8"
    assert choice.objections == {"float": "takes 3 ms a call, more than the 2 allowed"}
    with pytest.raises(BudgetError, match=r"float is 1,000 bytes, more than the 10 allowed; int8 is 300 bytes"):
        choose([original, entry], {}, ["float", "int8"], Budgets(1.0, size=10), "float")


def test_candidate_slower_than_float_is_dropped_where_another_saves_bytes_and_is_not() -> None:
    asked = ["float", "pruned", "int8"]
    original, good = replace(FLOAT, cost=cost(1, 1, 1)), replace(PRUNED, size=700, cost=cost(0.98, 1.01, 1.05))
    slow = replace(INT8, cost=cost(0.7, 0.8, 0.9))
    choice = choose([original, good, slow], {}, asked, BUDGETS, "float")
    assert choice.recipe == "pruned"
    assert choice.objections["int8"] == "is slower than float (0.80 times as fast, 0.70 to 0.90), and pruned is not"
    assert choose([original, slow], {}, asked, BUDGETS, "float").recipe == "int8"


def test_without_labels_agreement_is_held_to_the_budget_of_what_is_insisted_on_too() -> None:
    nobody_knows = replace(INT8, comparison=replace(INT8.comparison, accuracy=None, agreement=0.9))
    with pytest.raises(AccuracyDropError, match=r"int8 gives another class in 10\.0 % .* more than the 1 allowed"):
        choose([FLOAT, nobody_knows], {}, ["int8"], Budgets(0.0), "int8")


def test_insisting_overrides_everything_but_accuracy_and_budgets() -> None:
    worse = replace(INT8, size=2000, rows_independent=False, comparison=replace(INT8.comparison, agreement=0.5))
    assert choose([FLOAT, worse], {}, ["int8"], BUDGETS, "int8").recipe == "int8"
    with pytest.raises(AccuracyDropError, match=r"int8 loses 0\.50 points of accuracy .* more than the 0\.1 allowed"):
        choose([FLOAT, INT8], {}, ["int8"], Budgets(0.1), "int8")
    with pytest.raises(AccuracyDropError, match="int8 was asked for, but int8 cannot be made: no layers"):
        choose([FLOAT], {"int8": "cannot be made: no layers"}, ["int8"], BUDGETS, "int8")


def test_candidate_that_keeps_the_budgets_and_is_not_taken_has_its_reason() -> None:
    asked = ["float", "pruned", "int8"]
    choice = choose([FLOAT, replace(PRUNED, size=400), INT8], {}, asked, BUDGETS, "float")
    assert choice.objections == {
        "float": "keeps the budgets, but int8 is 70 % smaller",
        "pruned": "keeps the budgets, but int8 is 25 % smaller",
    }
    choice = choose([FLOAT, PRUNED, INT8], {}, asked, BUDGETS, "float")
    assert choice.objections["int8"] == "keeps the budgets, but pruned is about as small and simpler"
    slow, fast = replace(PRUNED, cost=cost(0.9, 1.0, 1.1)), replace(INT8, cost=cost(1.3, 1.5, 1.9))
    choice = choose([replace(FLOAT, cost=cost(1, 1, 1)), slow, fast], {}, asked, BUDGETS, "float")
    assert choice.objections["pruned"] == "keeps the budgets, but int8 is about as small and faster"


def test_loss_of_all_that_is_allowed_is_allowed() -> None:
    """As floats, 100 * (0.91 - 0.90) is more than 1."""
    before, after = replace(SAME, accuracy=0.91), replace(INT8.comparison, accuracy=0.90)
    assert too_much_lost(replace(FLOAT, comparison=before), replace(INT8, comparison=after), 1.0) == ""
    worse = replace(INT8, comparison=replace(after, accuracy=0.89))
    assert "loses 2.00 points" in too_much_lost(replace(FLOAT, comparison=before), worse, 1.0)


def test_what_was_tried_of_less_pruning_stands_behind_the_objection() -> None:
    lost = replace(PRUNED, comparison=replace(SAME, accuracy=0.9), notes={GENTLER: "pruned with 50% fails"})
    choice = choose([FLOAT, lost], {}, ["float", "pruned"], BUDGETS, "float")
    assert choice.objections["pruned"].endswith("more than the 1 allowed; pruned with 50% fails")


def test_quantities_may_differ_by_as_many_percent_as_points_may_be_lost_and_by_no_less_than_five() -> None:
    differs = replace(
        INT8, comparison=replace(INT8.comparison, accuracy=None, agreement=None, quantity_difference=0.08)
    )
    said = r"int8 was asked for, but int8 differs by up to 8\.0 % of an output's range, more than the 5 allowed"
    with pytest.raises(AccuracyDropError, match=said):
        choose([FLOAT, differs], {}, ["int8"], BUDGETS, "int8")
    assert choose([FLOAT, differs], {}, ["int8"], Budgets(10), "int8").recipe == "int8"


def test_reason_that_holds_for_several_candidates_is_said_once_with_their_names() -> None:
    failed = dict.fromkeys(("pruned", "int8"), "cannot be made: it has no layers")
    choice = choose([FLOAT], failed, ["float", "pruned", "int8"], BUDGETS, "float")
    assert choice.reason == "float is kept because pruned, int8 cannot be made: it has no layers"
    assert choice.unsaid() == []
    choice = choose(
        [FLOAT, replace(INT8, recipe="fp16")], failed, ["float", "pruned", "int8", "fp16"], BUDGETS, "float"
    )
    assert choice.unsaid() == [
        "float keeps the budgets, but fp16 is 70 % smaller",
        "pruned, int8 cannot be made: it has no layers",
    ]


def test_without_labels_the_reason_says_how_far_the_numbers_are_too() -> None:
    measured = replace(INT8.comparison, accuracy=None)
    choice = choose([FLOAT, replace(INT8, comparison=measured)], {}, ["float", "int8"], BUDGETS, "float")
    assert choice.reason.endswith("of the held-back rows; differs by at most 10.0 % of an output's range")
