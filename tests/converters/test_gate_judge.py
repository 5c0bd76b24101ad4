"""Verdicts: what passes, what fails, what is not settled, and who answers for it."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from edge_rai.errors import PolicyError
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import GateReport, Predicted, Rows, judge, parse_gate_policy
from support.gate_rows import flipped, people, rows_of, two_columns

TODAY = date(2026, 6, 1)
HEAD = "format_version = 1\n"
SLICED = HEAD + '[margins]\naccuracy = 0.01\n[slice_margins]\naccuracy = 0.02\n[[slices]]\nby = ["sex", "group"]\n'


def judged(rows: Rows, policy: str) -> GateReport:
    return judge(rows, parse_gate_policy(policy), today=TODAY)


def verdicts(report: GateReport) -> dict[str, str]:
    return {cell.name: cell.verdict for cell in report.cells}


def harmed(seed: int, count: int = 20_000) -> Rows:
    """The candidate is worse by 3 points where sex=F and group=A, and better elsewhere by as many rows."""
    generator = np.random.default_rng(seed)
    labels, before, columns = people(generator, count)
    right = (before > 0.5) == labels
    there = (columns["sex"] == "F") & (columns["group"] == "A")
    lost = generator.permutation(np.flatnonzero(there & right))[: round(0.03 * there.sum())]
    gained = generator.permutation(np.flatnonzero(~there & ~right))[: len(lost)]
    chosen = np.zeros(count, np.bool_)
    chosen[np.r_[lost, gained]] = True
    return rows_of(labels, before, flipped(before, chosen), columns)


@pytest.mark.parametrize("seed", range(4))
def test_harm_to_one_intersection_is_never_passed_though_accuracy_is_the_same(seed: int) -> None:
    report = judged(harmed(seed), SLICED)
    found = verdicts(report)
    assert found["accuracy of all rows"] == "pass"
    assert found["accuracy of sex=F, group=A"] == "fail"
    assert report.verdict == "fail"
    assert report.cells[0].name == "accuracy of sex=F, group=A"


def test_harm_beyond_all_doubt_is_not_said_to_have_no_chance_at_all() -> None:
    labels = np.ones(3000, np.int64)
    report = judged(rows_of(labels, labels * 0.9, labels * 0.1, {}), HEAD + "[margins]\naccuracy = 0.01\n")
    assert report.cells[0].reason == (
        "harm is shown: 3,000 lost and 0 gained of 3,000 rows (p below 1e-300 after Holm), and it is not shown to be "
        "below 1.00 points"
    )


def one_of_eight_passes(candidates: int) -> float:
    """Share of 100 choices among eight candidates in which one passes, all of them worse by exactly the margin."""
    run, candidate = (axis.ravel().astype(str).astype(object) for axis in np.indices((100, 8, 400))[:2])
    drawn = np.random.default_rng(9).random(run.size)
    lost, gained = drawn < 0.07, (drawn >= 0.07) & (drawn < 0.09)
    labels = np.ones(run.size, np.int64)
    rows = Rows(
        "classes",
        ("0", "1"),
        labels,
        Predicted(np.where(gained, 0, labels)),
        Predicted(np.where(lost, 0, labels)),
        {"run": run, "candidate": candidate},
    )
    policy = HEAD + '[slice_margins]\naccuracy = 0.05\n[[slices]]\nby = ["run", "candidate"]\n'
    report = judge(rows, parse_gate_policy(policy), today=TODAY, candidates=candidates)
    passing = {cell.measured.slice.partition(",")[0] for cell in report.cells if cell.verdict == "pass"}
    return len(passing) / 100


def test_of_eight_candidates_worse_by_the_margin_none_is_chosen_in_nineteen_of_twenty_conversions() -> None:
    assert one_of_eight_passes(1) > 0.2
    assert one_of_eight_passes(8) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 100)


def test_each_of_several_candidates_is_held_to_its_part_of_alpha_and_the_choice_is_what_is_spoken_of() -> None:
    rows = harmed(0)
    policy = parse_gate_policy(SLICED)
    one_of_five = judge(rows, policy, today=TODAY, candidates=5)
    alone = judge(rows, policy, today=TODAY, alpha=0.01)
    for mine, theirs in zip(one_of_five.cells, alone.cells, strict=True):
        assert (mine.verdict, mine.loss_low, mine.loss_high) == (theirs.verdict, theirs.loss_low, theirs.loss_high)
    assert (one_of_five.alpha, one_of_five.candidates, alone.candidates) == (pytest.approx(0.05), 5, 1)
    assert one_of_five.as_json()["candidates"] == 5
    passing = next(cell for cell in one_of_five.cells if cell.verdict == "pass")
    assert passing.reason.endswith("with 95 % confidence")
    (said,) = one_of_five.notes
    assert said.startswith("one of 5 candidates is chosen by these rows, and each is held to an alpha of 0.01 in the ")
    assert said.endswith("place of 0.05: so 95 % confidence is that of the choice as a whole")


@pytest.mark.parametrize("seed", range(3))
def test_identical_copy_passes_where_rows_suffice_and_never_fails(seed: int) -> None:
    labels, before, columns = people(np.random.default_rng(seed), 3000)
    metrics = "accuracy = 0.02\ntpr = 0.02\nfpr = 0.02\nprecision = 0.05\nbrier = 0.02\nflips = 0.02\n"
    report = judged(rows_of(labels, before, before, columns), HEAD + f"[margins]\n{metrics}")
    assert report.verdict == "pass"
    small = judged(rows_of(labels, before, before, columns), HEAD + f"[slice_margins]\n{metrics}" + SLICED[-33:])
    assert "fail" not in verdicts(small).values()


def test_few_rows_settle_nothing_and_say_how_many_would() -> None:
    labels, before, _ = people(np.random.default_rng(0), 163)
    cell = judged(rows_of(labels, before, before), HEAD + "[margins]\naccuracy = 0.01").cells[0]
    assert cell.verdict == "inconclusive"
    assert cell.rows_needed == pytest.approx(299, abs=4)
    assert "163 rows cannot pass whatever is in them; about" in cell.reason
    labels, before, _ = people(np.random.default_rng(0), 299)
    assert judged(rows_of(labels, before, before), HEAD + "[margins]\naccuracy = 0.01").verdict == "pass"


def test_small_slices_are_judged_within_their_parent_by_size_alone() -> None:
    labels, before, columns = people(np.random.default_rng(1), 2000)
    columns["group"][columns["sex"] == "F"] = "A"
    columns["group"][np.flatnonzero(columns["sex"] == "F")[:40]] = "B"
    policy = (
        HEAD + '[slice_margins]\naccuracy = 0.02\n[[slices]]\nby = ["sex"]\n'
        '[[slices]]\nby = ["sex", "group"]\nmerge_into = ["sex"]\n'
    )
    rows = rows_of(labels, before, before, columns)
    cells = {cell.name: cell for cell in judged(rows, policy).cells}
    assert cells["accuracy of sex=F, group=B"].merged_into == "sex=F"
    assert cells["accuracy of sex=F, group=B"].verdict == "pass"
    assert cells["accuracy of sex=F, group=A"].merged_into is None
    assert cells["accuracy of sex=F, group=B"].measured.rows == cells["accuracy of sex=F"].measured.rows


def test_parent_that_is_too_small_itself_passes_on_to_its_own() -> None:
    labels, before, columns = people(np.random.default_rng(1), 400)
    policy = (
        HEAD
        + '[margins]\naccuracy = 0.01\n[slice_margins]\naccuracy = 0.01\n[[slices]]\nby = ["sex"]\nmerge_into = []\n'
        '[[slices]]\nby = ["sex", "group"]\nmerge_into = ["sex"]\n'
    )
    merged = {cell.merged_into for cell in judged(rows_of(labels, before, before, columns), policy).cells}
    assert merged == {None, "all rows"}


WAIVER = """
[[waivers]]
cell = "accuracy of sex=F, group=A"
person = "R. Maier"
reason = "retrained next month"
expires = 2026-06-01
"""


def test_waiver_lets_its_cell_alone_pass_and_is_shown() -> None:
    report = judged(harmed(0), SLICED + WAIVER)
    assert report.verdict == "pass"
    cell = next(cell for cell in report.cells if cell.waiver)
    assert (cell.name, cell.verdict, cell.stands) == ("accuracy of sex=F, group=A", "fail", False)
    waived = next(entry for entry in report.as_json()["cells"] if entry["waiver"])
    assert waived["waiver"] == {
        "cell": "accuracy of sex=F, group=A", "person": "R. Maier", "reason": "retrained next month",
        "expires": "2026-06-01",
    }  # fmt: skip


def test_expired_waiver_does_nothing_and_is_told() -> None:
    report = judged(harmed(0), SLICED + WAIVER.replace("06-01", "05-31"))
    assert report.verdict == "fail"
    assert report.notes == ("the waiver of R. Maier for accuracy of sex=F, group=A expired on 2026-05-31",)


def test_waiver_of_no_cell_is_refused() -> None:
    with pytest.raises(
        PolicyError, match="is for 'accuracy of sex=X', which is no cell; there are 'accuracy of all rows'"
    ):
        judged(harmed(0, 2000), SLICED + WAIVER.replace("sex=F, group=A", "sex=X"))


def test_rows_of_one_person_are_one_observation() -> None:
    labels, before, columns = people(np.random.default_rng(2), 4000)
    # Twenty people, of whom one has all his answers lost: by rows that is shown, by people it is one of twenty.
    columns["person"] = np.repeat(np.arange(20.0), 200)
    right = (before > 0.5) == labels
    rows = rows_of(labels, before, flipped(before, (columns["person"] == 7) & right), columns)
    policy = HEAD + "[margins]\naccuracy = 0.02\n"
    assert judged(rows, policy).verdict == "fail"
    clustered = judged(rows, 'clusters = "person"\n' + policy)
    assert clustered.verdict == "inconclusive"
    assert clustered.cells[0].method == "clustered_betting"


def test_many_people_let_an_unchanged_candidate_pass() -> None:
    labels, before, columns = people(np.random.default_rng(3), 4000)
    policy = (
        'clusters = "person"\n'
        + HEAD
        + "[margins]\naccuracy = 0.03\nbrier = 0.03\nflips = 0.03\nselection_rate = 0.03\n"
    )
    assert judged(rows_of(labels, before, before, columns), policy).verdict == "pass"


@pytest.mark.parametrize(("metric", "instead"), [("precision", "tpr and fpr")])
def test_clusters_refuse_what_is_no_mean_over_rows(metric: str, instead: str) -> None:
    labels, before, columns = people(np.random.default_rng(3), 400)
    policy = f'clusters = "person"\n{HEAD}[margins]\n{metric} = 0.03\n'
    with pytest.raises(DataError, match=f"no mean over rows, which clusters need; declare {instead} instead"):
        judged(rows_of(labels, before, before, columns), policy)


def unlabelled(before: np.ndarray, after: np.ndarray, labels: np.ndarray, known: int) -> Rows:
    partly = np.where(np.arange(len(labels)) < known, labels, -1)
    return rows_of(partly, before, after)


def test_flips_of_rows_without_labels_count_as_losses() -> None:
    labels, before, _ = people(np.random.default_rng(4), 3000)
    policy = HEAD + 'unlabelled = "flips"\n[margins]\naccuracy = 0.02\n'
    some = np.arange(3000) % 200 == 5
    right = judged(unlabelled(before, flipped(before, some), labels, 100), policy).cells[0]
    assert right.verdict == "pass"
    assert right.measured.rows == 3000
    assert right.measured.original == ((before[:100] > 0.5) == labels[:100]).mean()
    many = np.arange(3000) % 30 == 5
    assert judged(unlabelled(before, flipped(before, many), labels, 100), policy).cells[0].verdict == "inconclusive"
    with pytest.raises(DataError, match="2,900 rows of 3,000 without a label, first row 100; label them"):
        judged(unlabelled(before, before, labels, 100), policy.replace('"flips"', '"refuse"'))


def test_selection_rate_is_judged_without_any_label() -> None:
    _, before, _ = people(np.random.default_rng(5), 3000)
    rows = rows_of(np.zeros(3000, np.int64), before, before)
    nameless = Rows("classes", ("0", "1"), None, rows.original, rows.candidate)
    assert judged(nameless, HEAD + "[margins]\nselection_rate = 0.01\nflips = 0.01").verdict == "pass"
    with pytest.raises(DataError, match="'tpr' needs labels; give --labels, or declare selection_rate and flips"):
        judged(nameless, HEAD + "[margins]\ntpr = 0.01")


@pytest.mark.parametrize("direction", [1, -1])
def test_change_of_selection_either_way_is_a_loss(direction: int) -> None:
    labels, before, _ = people(np.random.default_rng(6), 3000)
    after = np.clip(before + 0.15 * direction, 0.001, 0.999)
    cell = judged(rows_of(labels, before, after), HEAD + "[margins]\nselection_rate = 0.02").cells[0]
    assert (cell.verdict, cell.loss > 0.05) == ("fail", True)


def test_precision_is_settled_by_many_rows_and_harm_to_it_is_shown() -> None:
    generator = np.random.default_rng(7)
    labels, before, _ = people(generator, 8000)
    policy = HEAD + "[margins]\nprecision = 0.03"
    assert judged(rows_of(labels, before, before), policy).verdict == "pass"
    false_alarms = (labels == 0) & (generator.random(8000) < 0.15)
    cell = judged(rows_of(labels, before, np.where(false_alarms, 0.9, before)), policy).cells[0]
    assert cell.verdict == "fail"
    assert cell.loss_low <= cell.loss <= cell.loss_high


def test_limits_hold_the_loss_and_pass_is_a_limit_below_the_margin() -> None:
    generator = np.random.default_rng(8)
    labels, before, columns = people(generator, 4000)
    after = np.clip(before + generator.normal(0, 0.05, 4000), 0.001, 0.999)
    metrics = (
        "accuracy = 0.02\ntpr = 0.04\nfpr = 0.03\nprecision = 0.08\nselection_rate = 0.03\nbrier = 0.01\nflips = 0.04\n"
    )
    policy = HEAD + f"[margins]\n{metrics}[slice_margins]\n{metrics}" + '[[slices]]\nby = ["group"]\n'
    for cell in judged(rows_of(labels, before, after, columns), policy).cells:
        assert cell.loss_low <= cell.loss + 1e-9, cell.name
        assert cell.loss <= cell.loss_high + 1e-9, cell.name
        assert (cell.verdict == "pass") == (cell.loss_high < cell.margin), cell.name


def test_losses_of_ones_own_are_judged_by_their_span() -> None:
    generator = np.random.default_rng(9)
    before = generator.beta(2, 8, 3000)
    nothing = Predicted(np.zeros(3000))
    policy = HEAD + "[margins]\niou = 0.02\n[loss_spans]\niou = 1.0\n"
    rows = Rows("other", (), None, nothing, nothing, losses={"iou": (before, before)})
    assert judged(rows, policy).verdict == "pass"
    worse = Rows("other", (), None, nothing, nothing, losses={"iou": (before, np.clip(before + 0.1, 0, 1))})
    assert judged(worse, policy).verdict == "fail"
    with pytest.raises(DataError, match="loss 'iou' runs from .* and its span is 0.1"):
        judged(rows, policy.replace("1.0", "0.1"))


def test_equal_arguments_give_equal_reports() -> None:
    assert judged(harmed(3, 3000), SLICED).as_json() == judged(harmed(3, 3000), SLICED).as_json()


def test_less_alpha_asks_for_more_rows() -> None:
    labels, before, _ = people(np.random.default_rng(0), 299)
    policy = parse_gate_policy(HEAD + "[margins]\naccuracy = 0.01")
    rows = rows_of(labels, before, before)
    assert judge(rows, policy, today=TODAY).verdict == "pass"
    assert judge(rows, policy, today=TODAY, alpha=0.01).verdict == "inconclusive"


def test_bins_and_missing_values_make_groups() -> None:
    labels, before, columns = people(np.random.default_rng(0), 900)
    columns["age"][:50] = np.nan
    columns["sex"][:7] = np.nan
    policy = (
        HEAD + "[slice_margins]\naccuracy = 0.1\n[columns.age]\nbins = [30, 50.5]\n"
        '[[slices]]\nby = ["age"]\n[[slices]]\nby = ["sex"]\n'
    )
    sizes = {entry.name: entry.rows for entry in judged(rows_of(labels, before, before, columns), policy).slices}
    assert list(sizes) == [
        "all rows", "age=below 30", "age=30 to below 50.5", "age=50.5 and above", "age=missing",
        "sex=F", "sex=M", "sex=missing",
    ]  # fmt: skip
    assert (sizes["age=missing"], sizes["sex=missing"]) == (50, 7)
    assert sizes["age=below 30"] == (columns["age"] < 30).sum()


def test_intersections_without_rows_are_told() -> None:
    labels, before, columns = people(np.random.default_rng(0), 2000)
    columns["group"][columns["sex"] == "F"] = "A"
    columns["sex"][:9] = np.nan
    report = judged(rows_of(labels, before, before, columns), SLICED)
    assert report.notes == (
        "nothing is said of 4 intersections without a row: sex=F, group=B; sex=F, group=C; sex=F, group=D; and 1 more",
    )


def test_share_above_its_margin_asks_for_no_rows_to_pass() -> None:
    labels, before, _ = people(np.random.default_rng(0), 4000)
    after = flipped(before, np.arange(4000) < 41)
    cell = judged(rows_of(labels, before, after), HEAD + "[margins]\nflips = 0.01").cells[0]
    assert cell.verdict == "inconclusive"
    assert cell.reason.startswith("not settled: 41 of 4,000 rows flipped, perhaps worse by as much as ")
    assert cell.reason.endswith("so that more rows like them can only fail it")


def test_refusals_are_one_sentence() -> None:
    labels, before, columns = people(np.random.default_rng(0), 400)
    rows = rows_of(labels, before, before, columns)
    for policy, said in (
        (
            '[[slices]]\nby = ["site"]',
            "there is no column 'site' to make slices of; the data have 'sex', 'group', 'age'",
        ),
        ('[[slices]]\nby = ["sex"]\n[columns.sex]\ngroups = ["F", "X"]', "column 'sex' has no row of the group 'X'"),
        (
            '[[slices]]\nby = ["age"]\n[columns.age]\nbins = [10, 17, 200]',
            "column 'age' has no row of the group 'below 10', which the bins of [columns.age] declare; give",
        ),
        ('[[slices]]\nby = ["age"]', "different values, which make no slices; declare bins for it under"),
        ('[[slices]]\nby = ["sex"]\n[columns.sex]\nbins = [1]', "column 'sex' holds text, which no bins divide"),
        ("[margins]\nmae = 0.1\n[answer]\nlargest_error = 1", "'mae' is declared, but the models answer classes"),
        ("[margins]\n'tpr[x]' = 0.1", "there is no class 'x'; there are '0', '1'"),
        ("[margins]\ntpr = 0.1\n[answer]\npositive = 'ill'", "positive is 'ill', and the classes are '0', '1'"),
        ("[margins]\niou = 0.1\n[loss_spans]\niou = 1", "[loss_spans] declares 'iou', and no such loss was given"),
    ):
        wanted = policy if policy.startswith("[margins]") else f"[slice_margins]\naccuracy = 0.1\n{policy}"
        with pytest.raises(DataError, match=said.replace("[", r"\[").replace("(", r"\(")):
            judged(rows, HEAD + wanted)


def test_slice_of_one_class_has_no_rate_to_judge() -> None:
    labels, before, columns = people(np.random.default_rng(0), 400)
    labels[columns["sex"] == "F"] = 0
    policy = HEAD + '[slice_margins]\ntpr = 0.3\n[[slices]]\nby = ["sex"]\n'
    with pytest.raises(DataError, match="tpr of sex=F is not defined: none of its rows are of the class"):
        judged(rows_of(labels, before, before, columns), policy)
    merged = judged(rows_of(labels, before, before, columns), policy + "merge_into = []\n")
    assert {cell.merged_into for cell in merged.cells if "sex=F" in cell.name} == {"all rows"}


def test_answers_that_are_no_numbers_are_refused() -> None:
    labels, before, _ = people(np.random.default_rng(0), 100)
    after = before.copy()
    after[17] = np.nan
    with pytest.raises(DataError, match="the candidate's answer is not finite in 1 of 100 rows, first row 17"):
        rows_of(labels, before, after)
    with pytest.raises(DataError, match="the candidate's answers are of 99 rows, the original's of 100"):
        Rows("classes", ("0", "1"), labels, Predicted(labels, two_columns(before)), Predicted(labels[:99]))


def test_nothing_that_was_declared_is_passed_over() -> None:
    with pytest.raises(PolicyError, match="slice_margins are declared and no slices; give"):
        parse_gate_policy(HEAD + "[slice_margins]\naccuracy = 0.1")
    sliced = HEAD + '[margins]\naccuracy = 0.1\n[[slices]]\nby = ["sex"]\n'
    with pytest.raises(PolicyError, match="^gate.toml: slices by sex are declared and no margin of theirs; give"):
        parse_gate_policy(sliced)
    parse_gate_policy(sliced + '[[slices]]\nby = ["sex", "age"]\nmerge_into = ["sex"]\nmargins = { accuracy = 0.1 }')
    with pytest.raises(PolicyError, match=r"\[columns.sex\] is declared, and no slices are by it; name it in"):
        parse_gate_policy(HEAD + '[margins]\naccuracy = 0.1\n[columns.sex]\ngroups = ["F"]')
    labels, before, _ = people(np.random.default_rng(0), 400)
    rows = rows_of(labels, before, before)
    scoreless = Rows("classes", rows.classes, labels, Predicted(labels), Predicted(labels))
    with pytest.raises(DataError, match="'brier' is declared, but the models answer no probabilities"):
        judged(scoreless, HEAD + "[margins]\nbrier = 0.1")
    declared = "accuracy = 0.1\ntpr = 0.1\nfnr = 0.1\nfpr = 0.1\ntnr = 0.1\nprecision = 0.2\nselection_rate = 0.1\n"
    declared += "flips = 0.1\nnegative_flips = 0.1\nbrier = 0.1\nlog_loss = 0.5\n"
    report = judged(rows, HEAD + f"[margins]\n{declared}")
    assert {cell.measured.metric for cell in report.cells} == {line.split()[0] for line in declared.splitlines()}
