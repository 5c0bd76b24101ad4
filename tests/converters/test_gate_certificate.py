"""What may be promised of a candidate: thresholds by Learn-then-Test, and what a bundle's session then keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rai
from edge_rai import bundle, cli
from edge_rai.errors import PolicyError, UnsupportedModelError
from edge_rai.policy import Decision, FallbackRule, InputRule, OutputRule, Policy, parse_policy
from edge_rai.types import Source
from edge_rai_converters import AccuracyDropError, convert
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import GateReport, Predicted, Rows, gate, judge, parse_gate_policy
from edge_rai_converters.gate.certificate.certificate import Deployed
from edge_rai_converters.gate.certificate.deployed import own_limit, with_limit
from edge_rai_converters.gate.certificate.sets import limits, rank
from edge_rai_converters.gate.certificate.thresholds import Promise, Scored, certified, promising
from edge_rai_converters.gate.inside import common
from edge_rai_converters.gate.slices import Family, Slices
from support.gate_rows import of_persons, people, rows_of
from support.json_schema import faults

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/formats/gate.schema.json").read_text())
PLAIN = "format_version = 1\n[margins]\naccuracy = 0.3\n"
PROMISE = PLAIN + "[certificate.abstention]\nerrors = 0.06\nabstains = 0.4\n"
BY_SEX = PROMISE + 'slice_errors = 0.09\nslice_abstains = 0.5\n[[slices]]\nby = ["sex"]\nmargins = {accuracy = 0.3}\n'
SETS = PLAIN + "[certificate.sets]\ncoverage = 0.9\n"


def judged(rows: Rows, policy: str = PROMISE, deployed: Deployed | None = None, candidates: int = 1) -> GateReport:
    today = date(2026, 1, 1)
    return judge(rows, parse_gate_policy(policy), today=today, deployed=deployed, candidates=candidates)


def promised(report: GateReport) -> dict[str, Any]:
    assert list(faults(report.as_json(), SCHEMA)) == []
    return dict(report.as_json()["certificate"])


def some_people(count: int, seed: int = 0) -> Rows:
    labels, scores, columns = people(np.random.default_rng(seed), count)
    return rows_of(labels, scores, scores, columns)


def test_what_is_promised_is_counted_on_rows_that_did_not_choose_the_threshold() -> None:
    rows = some_people(4000)
    report = judged(rows)
    found = promised(report)
    assert report.passed
    assert found["granted"]
    assert found["sentences"][0].startswith(
        "abstains on at most 40 % and errs on at most 6 % of what it answers, with 95 % confidence"
    )
    assert (found["abstention"]["rows"], found["abstention"]["rows_chosen_on"]) == (3000, 1000)
    whole, threshold = found["groups"][0], found["abstention"]["threshold"]
    answered = rows.candidate.scores.max(axis=1) >= threshold
    assert whole["answered"] < answered.sum()
    assert whole["abstained"] < 0.4
    assert whole["erred"] < 0.06
    assert (whole["abstains_at_most"], whole["errs_at_most"]) == (0.4, 0.06)


def test_too_few_rows_give_no_certificate_and_the_report_says_how_many_would() -> None:
    report = judged(some_people(200))
    found = promised(report)
    assert report.verdict == "inconclusive"
    assert not found["granted"]
    assert found["groups"][0]["errs_at_most"] is None
    needed = found["abstention"]["rows_needed"]
    assert found["sentences"][0].startswith("no certificate: where it answers from a confidence of ")
    assert found["sentences"][0].endswith(f"; about {needed:,} rows would do")
    assert 150 < needed < 5000


def test_what_the_candidate_does_not_keep_is_not_promised_by_any_number_of_rows() -> None:
    found = promised(judged(some_people(4000), PROMISE.replace("0.4", "0.05")))
    assert not found["granted"]
    assert found["abstention"]["rows_needed"] is None
    assert found["sentences"][0].endswith("; more rows like these would not do")


def test_slices_are_promised_together_with_all_rows() -> None:
    labels, scores, columns = people(np.random.default_rng(1), 6000)
    noisy = np.where(columns["sex"] == "F", 1 - scores, scores)
    swapped = np.where(np.random.default_rng(2).random(6000) < 0.12, noisy, scores)
    fair, unfair = (judged(rows_of(labels, scores, after, columns), BY_SEX) for after in (scores, swapped))
    assert fair.passed
    assert [entry["name"] for entry in promised(fair)["groups"]] == ["all rows", "sex=F", "sex=M"]
    assert promised(fair)["groups"][1]["errs_at_most"] == 0.09
    assert not promised(unfair)["granted"]
    assert " of sex=F and errs in " in promised(unfair)["sentences"][0]


def test_slices_without_a_promise_have_their_figures() -> None:
    policy = PROMISE + '[[slices]]\nby = ["sex"]\nmargins = {accuracy = 0.3}\n'
    groups = promised(judged(some_people(4000), policy))["groups"]
    assert groups[1]["erred"] > 0
    assert groups[1]["errs_at_most"] is None


def test_rows_that_the_guard_rejects_are_not_answered() -> None:
    rows = some_people(4000)
    admitted = np.arange(4000) % 4 != 0
    found = promised(judged(rows, deployed=Deployed(admitted)))
    assert found["groups"][0]["abstained"] >= 0.24
    nobody = promised(judged(rows, deployed=Deployed(np.zeros(4000, bool))))
    assert not nobody["granted"]
    assert nobody["groups"][0]["erred"] is None


def test_threshold_that_the_guard_has_is_tested_alone_by_all_rows() -> None:
    found = promised(judged(some_people(3000), deployed=Deployed(None, (0.7,))))
    assert (found["abstention"]["threshold"], found["abstention"]["tested"]) == (0.7, 1)
    assert found["abstention"]["rows"] == 3000


def test_one_of_several_candidates_has_a_part_of_alpha() -> None:
    found = promised(judged(some_people(4000), PROMISE + SETS[len(PLAIN) :], candidates=5))
    for promise, said in zip(("abstention", "sets"), found["sentences"], strict=True):
        assert found[promise]["alpha"] == pytest.approx(0.01)
        assert "with 95 % confidence" in said


def test_of_the_certified_thresholds_the_one_that_a_guard_will_have_is_taken() -> None:
    rows = some_people(4000)
    lowest = promised(judged(rows))
    other = max(lowest["abstention"]["certified"])
    found = promised(judged(rows, deployed=Deployed(wanted=other)))
    assert lowest["abstention"]["threshold"] < other == found["abstention"]["threshold"]
    assert found["groups"][0]["answered"] < lowest["groups"][0]["answered"]
    assert f"it answers where its confidence is {other:.6g} or more" in found["sentences"][0]


def test_margin_may_be_what_is_compared() -> None:
    rows = some_people(4000)
    found = [promised(judged(rows, PROMISE + f"score = '{score}'\n")) for score in ("confidence", "margin")]
    thresholds = [entry["abstention"]["threshold"] for entry in found]
    assert thresholds[1] == pytest.approx(2 * thresholds[0] - 1, abs=1e-3)
    assert found[0]["groups"][0]["answered"] == pytest.approx(found[1]["groups"][0]["answered"], abs=5)


def test_rows_without_a_label_count_as_errors() -> None:
    labels, scores, columns = people(np.random.default_rng(3), 4000)
    labels[::2] = -1
    found = promised(judged(rows_of(labels, scores, scores, columns), 'unlabelled = "flips"\n' + PROMISE))
    assert not found["granted"]
    assert found["groups"][0]["erred"] > 0.4


def one_slice(rows: int) -> Slices:
    return Slices((), np.full(1, -1), (Family(None, np.zeros(rows, np.int64), 0, 1),))


def test_thresholds_are_certified_as_often_as_the_exact_test_allows() -> None:
    """The error share is exactly the limit at every threshold: whatever is certified breaks its promise."""
    generator = np.random.default_rng(4)
    promise, broken = Promise(np.array([0.1]), np.array([0.9])), 0
    for _ in range(100):
        learned, tested = (
            Scored(generator.uniform(0.5, 1, 200), generator.random(200) < 0.1, one_slice(200)) for _ in range(2)
        )
        order = promising(learned, promise, 200)
        broken += certified(tested, promise, order, 0.05).granted
    assert broken / 100 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 100)


def test_p_values_and_tests_in_order_agree_with_mapie() -> None:
    control = pytest.importorskip("mapie.risk_control", reason="mapie is not installed")
    methods = pytest.importorskip("mapie.risk_control.methods", reason="mapie is not installed")
    generator = np.random.default_rng(5)
    score = generator.uniform(0.5, 1, 2000)
    scored = Scored(score, generator.random(2000) < 1.1 - score, one_slice(2000))
    promise = Promise(np.array([0.2]), np.array([np.nan]))
    thresholds = np.linspace(0.95, 0.5, 40)
    answered = np.array([(score >= t).sum() for t in thresholds])
    # MAPIE rounds counts up from shares, which the last digit of a double makes one more of.
    risks = np.array([scored.wrong[score >= t].mean() for t in thresholds]) - 1e-12
    theirs = methods.compute_hoeffding_bentkus_p_value(risks, answered, 0.2, binary=True)[:, 0]
    for threshold, p_value in zip(thresholds, theirs, strict=True):
        ours = certified(scored, promise, [threshold], 0.05).p_value
        assert ours == pytest.approx(p_value, abs=1e-6)
    kept = control.control_fwer(theirs, 0.05, "fixed_sequence")
    assert certified(scored, promise, thresholds.tolist(), 0.05).threshold == thresholds[max(kept)]


@pytest.mark.filterwarnings("ignore:WARNING. your conformalization dataset has less labels")
def test_limits_of_sets_agree_with_mapie_class_by_class() -> None:
    pytest.importorskip("mapie.classification", reason="mapie is not installed")
    from mapie.classification import SplitConformalClassifier

    generator = np.random.default_rng(6)
    labels = generator.integers(0, 3, 900)
    shares = generator.dirichlet(np.ones(3), 900) * 0.5 + np.eye(3)[labels] * 0.5
    ours = limits(shares, labels, 0.9, 0.05)
    for place in range(3):
        own = shares[labels == place]
        level = 1 - (rank(len(own), 0.9, 0.05)) / (len(own) + 1)
        theirs = SplitConformalClassifier(Given(), confidence_level=level, prefit=True, conformity_score="lac")
        theirs.conformalize(own, np.full(len(own), place))
        held = theirs.predict_set(shares)[1][:, place, 0]
        # MAPIE breaks ties and rounds the other way: at most the row on the limit itself differs.
        assert np.abs(held.astype(int) - ours.sets(shares)[:, place]).sum() <= 1


class Given:
    """A classifier whose rows are its probabilities."""

    classes_ = np.arange(3)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, *_: object) -> Given:
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return rows.argmax(axis=1)

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return rows


def test_rank_of_a_limit_is_the_binomial_tolerance_limit() -> None:
    assert [rank(rows, 0.9, 0.05) for rows in (28, 29, 45, 46, 1000)] == [0, 1, 1, 2, 85]
    from scipy.stats import binom

    assert binom.cdf(84, 1000, 0.1) <= 0.05 < binom.cdf(85, 1000, 0.1)


def test_sets_have_a_limit_a_class_and_a_class_of_few_rows_is_in_each() -> None:
    generator = np.random.default_rng(7)
    labels = np.where(np.arange(2000) < 20, 2, generator.integers(0, 2, 2000))
    scores = generator.dirichlet(np.ones(3), 2000) * 0.6 + np.eye(3)[labels] * 0.4
    answers = Predicted(scores.argmax(axis=1), scores)
    found = promised(judged(Rows("classes", ("a", "b", "rare"), labels, answers, answers), SETS))
    assert found["granted"]
    assert found["abstention"] is None
    least = {entry["class"]: entry["at_least"] for entry in found["sets"]["classes"]}
    assert least["rare"] == 0 < least["a"]
    assert found["sentences"][0].endswith("in every set, as too few rows speak of them: rare")
    numbers = np.bincount(labels)
    assert [entry["rows"] for entry in found["sets"]["classes"]] == numbers.tolist()
    assert f"of 2,000 such rows (a {numbers[0]}, b {numbers[1]}, rare 20) they hold" in found["sentences"][0]
    for place, name in enumerate("ab"):
        assert (scores[labels == place, place] >= least[name]).mean() >= 0.9


def test_sets_promise_of_rows_that_the_guard_lets_through_and_that_have_a_label_and_count_these() -> None:
    labels, scores, columns = people(np.random.default_rng(8), 2000)
    labels[::5] = -1
    admitted = labels != 0  # the guard rejects whatever is of the first class
    admitted[labels == 0] = np.arange((labels == 0).sum()) % 2 == 0
    policy = 'unlabelled = "flips"\n' + SETS
    rows = rows_of(labels, scores, scores, columns)
    found, bare = (promised(judged(rows, policy, deployed)) for deployed in (Deployed(admitted), None))
    kept = np.bincount(labels[admitted & (labels >= 0)])
    assert [entry["rows"] for entry in found["sets"]["classes"]] == kept.tolist()
    assert found["sets"]["rows"] == kept.sum() < bare["sets"]["rows"] == (labels >= 0).sum()
    said = "of the rows of each class that the guard lets through and that have a label, with 95 % confidence for each"
    assert said in found["sentences"][0]
    assert f"of {kept.sum():,} such rows (0 {kept[0]:,}, 1 {kept[1]:,})" in found["sentences"][0]
    assert "of the rows of each class that have a label, with 95 % confidence for each" in bare["sentences"][0]
    nobody = promised(judged(rows, policy, Deployed(np.zeros(2000, bool))))
    assert nobody["sets"]["mean_size"] is None
    assert nobody["sentences"][0].endswith("there is no such row; in every set, as too few rows speak of them: 0, 1")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (PLAIN + "[certificate]\n", "promises nothing; give \\[certificate.abstention\\]"),
        (PROMISE.replace("0.06", "0"), "errors is 0; it must be above 0 and below 1"),
        (PROMISE + "slice_errors = 0.1\n", "slice_errors and slice_abstains are one promise"),
    ],
)
def test_policies_that_promise_nothing_that_can_be_kept_are_refused(policy: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_gate_policy(policy)


def test_answers_without_shares_or_labels_have_no_certificate() -> None:
    rows = some_people(100)
    bare = Rows("classes", ("0", "1"), rows.labels, *(Predicted(rows.original.decided) for _ in range(2)))
    with pytest.raises(DataError, match="these are none; leave \\[certificate\\] out"):
        judged(bare)
    unlabelled = Rows("classes", ("0", "1"), None, rows.original, rows.candidate)
    with pytest.raises(DataError, match="there are no labels; give --labels"):
        judged(unlabelled, PROMISE.replace("accuracy", "flips"))


# ---- Rows of one person are one observation ----

BY_PERSON = 'clusters = "person"\n'


def test_what_is_certified_of_people_is_broken_no_more_often_than_was_said() -> None:
    # Exactly as many errors as must not be exceeded: whatever is certified is broken.
    policy = PROMISE.replace("0.4\n", "0.9\n").replace("0.06", "0.1")
    granted = {"": 0, BY_PERSON: 0}
    for seed in range(30):
        rows = of_persons(120, 20, 0.1, seed)
        for clusters in granted:
            granted[clusters] += promised(judged(rows, clusters + policy))["granted"]
    assert granted[""] > 5
    assert granted[BY_PERSON] <= 1


def test_many_people_are_promised_something_and_counted() -> None:
    found = promised(judged(of_persons(1500, 4, 0.01, 0), BY_PERSON + PROMISE))
    assert found["granted"]
    assert "for rows like these 4,500 of 1,125 clusters" in found["sentences"][0]
    assert (found["abstention"]["rows"], found["abstention"]["clusters"]) == (4500, 1125)
    assert found["abstention"]["rows_chosen_on"] == 1500  # a quarter of the people, each with all rows


def test_too_few_people_are_told_how_many_rows_would_do() -> None:
    policy = BY_PERSON + PROMISE
    found = promised(judged(of_persons(60, 4, 0.01, 1), policy))
    assert not found["granted"]
    needed = found["abstention"]["rows_needed"]
    assert needed > 180
    assert not promised(judged(of_persons(60, 40, 0.01, 1), policy))["granted"]  # more rows of the same people


def test_sets_of_people_cover_in_as_many_draws_as_was_said() -> None:
    broken = {"rows": 0, "people": 0}
    for seed in range(100):
        generator = np.random.default_rng(seed)
        own = np.repeat(generator.random(80), 10)  # the true class's share, the same in all rows of a person
        shares, numbers = np.stack([own, 1 - own], axis=1), np.repeat(np.arange(80), 10)
        labels = np.zeros(800, np.int64)
        broken["rows"] += limits(shares, labels, 0.9, 0.05).at_least[0] > 0.1
        broken["people"] += limits(shares, labels, 0.9, 0.05, numbers).at_least[0] > 0.1
    assert broken["rows"] > 20
    assert broken["people"] <= 5
    many = limits(np.stack([own, 1 - own], axis=1), labels, 0.5, 0.05, numbers).at_least
    assert 0 < many[0] < 0.5
    assert many[1] == 0  # of a class without a row nothing is known


# ---- As deployed ----

OUTPUTS = (OutputRule("label", "int64", (-1,)), OutputRule("scores", "float32", (-1, 2)))
RULES = Policy(1, True, (InputRule("x", "float32", (-1, 3), (8, 3)),), OUTPUTS)


def test_limit_is_written_where_the_guard_looks_and_what_it_rejects_waits_for_a_person() -> None:
    made = with_limit(RULES, "scores", "margin", 0.25, logits=True)
    assert made.outputs == (OUTPUTS[0], replace(OUTPUTS[1], margin=0.25, logits=True))
    assert made.fallback == (FallbackRule(("abstain", "reject"), ("margin",)),)
    assert made.decision == Decision(review_rows=1024)
    assert own_limit(made, "scores", "margin") == 0.25
    assert own_limit(made, "scores", "confidence") is own_limit(RULES, "label", "margin") is None


@pytest.mark.parametrize("reasons", [("confidence", "margin"), ()])
def test_chains_that_say_already_who_answers_stay(reasons: tuple[str, ...]) -> None:
    chain = FallbackRule(("abstain", "reject"), reasons)
    own = replace(RULES, fallback=(chain,), decision=Decision(review_rows=5))
    made = with_limit(own, "scores", "confidence", 0.75, logits=False)
    assert (made.fallback, made.decision) == (own.fallback, own.decision)
    assert made.outputs[1].confidence == 0.75


def test_chain_for_other_reasons_stays_behind_that_of_the_limit() -> None:
    own = replace(RULES, fallback=(FallbackRule(("model", "reject")),))
    made = with_limit(own, "scores", "confidence", 0.75, logits=False)
    assert made.fallback == (FallbackRule(("abstain", "reject"), ("confidence",)), *own.fallback)


DEVICE = (
    "format_version = 1\n[margins]\naccuracy = 0.3\n[certificate.abstention]\nerrors = {errors}\nabstains = 0.4\n"
    "[certificate.sets]\ncoverage = 0.8\n"
)


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "gate.toml").write_text(text)
    return tmp_path / "gate.toml"


@pytest.fixture(scope="module")
def certified_bundle(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certified")
    convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        folder / "out",
        labels="y",
        quantize="int8",
        prune="none",
        max_drop=5,
        gate=written(folder, DEVICE.format(errors=0.06)),
        reproducible=True,
    )
    return folder / "out"


def test_bundle_answers_and_errs_on_exactly_the_rows_that_were_certified(certified_bundle: Path, tumours: Path) -> None:
    held = bundle.read(certified_bundle)
    report = json.loads(held.files["evidence/gate.json"])
    promise = report["certificate"]
    assert promise["granted"]
    # The original may break a certificate too, so that two may be chosen; alpha is divided once.
    assert (report["candidates"], report["alpha"]) == (2, pytest.approx(0.05))
    assert promise["abstention"]["alpha"] == promise["sets"]["alpha"] == pytest.approx(0.025)
    whole, limit = promise["groups"][0], promise["abstention"]["threshold"]
    rules = parse_policy(held.files["policy.toml"].decode())
    assert [rule.confidence for rule in rules.outputs if rule.confidence is not None] == [limit]
    assert (rules.fallback[0].chain, rules.fallback[0].reasons) == (("abstain", "reject"), ("confidence",))
    stored = np.load(tumours / "data.npz")
    rows, labels = stored["X"], stored["y"]
    apart = np.sort(np.flatnonzero(held_back(len(rows))))
    with edge_rai.load(certified_bundle) as session:
        answers = [session.predict(rows[row : row + 1]) for row in apart]
    sources = np.array([answer.row_sources[0] for answer in answers])
    label = next(name for name, values in answers[0].outputs.items() if values.dtype.kind in "iu")
    decided = np.array([answer.outputs[label].ravel()[0] for answer in answers])
    answered = sources == Source.PRIMARY
    assert (len(apart), answered.sum()) == (whole["rows"], whole["answered"])
    assert (decided != labels[apart])[answered].sum() == whole["errors"]
    assert (sources == Source.ABSTAIN).sum() > 0


def held_back(count: int) -> np.ndarray:
    from edge_rai_converters.data import drawn

    return drawn(count, 4)


def test_card_and_command_tell_what_is_promised(
    certified_bundle: Path, tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = str(written(tmp_path, DEVICE.format(errors=0.2)))
    arguments = ["gate", str(certified_bundle), "--against", str(tumours / "mlp.onnx"), "--labels", "y"]
    arguments += ["--data", str(tumours / "data.npz"), "--policy", policy]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "certificate: abstains on at most 40 % and errs on at most 20 % of what it answers" in said
    assert cli.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["certificate"]
    limit = json.loads(bundle.read(certified_bundle).files["evidence/gate.json"])["certificate"]["abstention"]
    # The guard's own threshold is the only one that is tested.
    assert (found["abstention"]["threshold"], found["abstention"]["tested"]) == (limit["threshold"], 1)
    assert found["abstention"]["rows"] == len(np.load(tumours / "data.npz")["y"])


def test_command_says_no_where_nothing_is_certified(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = str(written(tmp_path, DEVICE.format(errors=0.001)))
    arguments = ["gate", str(tumours / "mlp.onnx"), "--against", str(tumours / "mlp.onnx"), "--labels", "y"]
    arguments += ["--data", str(tumours / "data.npz"), "--policy", policy, "--junit", str(tmp_path / "j.xml")]
    assert cli.main(arguments) == 1
    said = capsys.readouterr().out
    assert "certificate: no certificate: where it answers from a confidence of" in said
    assert said.splitlines()[-1].startswith("inconclusive: 1 of 1 cells pass")
    assert 'name="certificate"' in (tmp_path / "j.xml").read_text()
    assert 'failures="1"' in (tmp_path / "j.xml").read_text()


def test_conversion_without_a_certificate_writes_nothing(tumours: Path, tmp_path: Path) -> None:
    policy = written(tmp_path, DEVICE.format(errors=0.001))
    with pytest.raises(AccuracyDropError, match="the model as it came has no certificate"):
        convert(
            tumours / "mlp.onnx",
            tumours / "data.npz",
            tmp_path / "out",
            labels="y",
            quantize="none",
            prune="none",
            gate=policy,
        )
    assert not (tmp_path / "out").exists()


def test_two_targets_are_certified_at_one_threshold_that_each_of_their_sessions_keeps(
    tumours: Path, tmp_path: Path
) -> None:
    convert(
        tumours / "mlp.onnx",
        tumours / "data.npz",
        tmp_path / "out",
        labels="y",
        quantize="none",
        prune="none",
        gate=written(tmp_path, DEVICE.format(errors=0.15)),
        target="onnx,tflite",
        reproducible=True,
    )
    files = bundle.read(tmp_path / "out").files
    promises = [json.loads(files[f"evidence/{name}.json"])["certificate"] for name in ("gate", "gate.tflite")]
    (limit,) = {promise["abstention"]["threshold"] for promise in promises}
    assert all(limit in promise["abstention"]["certified"] and promise["granted"] for promise in promises)
    rules = parse_policy(files["policy.toml"].decode())
    assert [rule.confidence for rule in rules.outputs if rule.confidence is not None] == [limit]
    rows = np.load(tumours / "data.npz")["X"]
    apart = np.sort(np.flatnonzero(held_back(len(rows))))
    tested = apart[~held_back(len(apart))]  # a quarter of these chose the order, the same for both
    for promise, runtime in zip(promises, ("onnxruntime", "litert"), strict=True):
        with edge_rai.load(tmp_path / "out", runtime=runtime) as session:
            answered = sum(session.predict(rows[row : row + 1]).row_sources[0] == Source.PRIMARY for row in tested)
        assert (len(tested), answered) == (promise["groups"][0]["rows"], promise["groups"][0]["answered"])


def test_targets_without_a_threshold_in_common_are_not_certified_together() -> None:
    judged_at = [
        replace(judged(some_people(2000)), further={"certificate": {"abstention": {"certified": limits}}})
        for limits in ([0.7, 0.8], [0.9])
    ]
    with pytest.raises(UnsupportedModelError, match="no threshold is certified for each of the targets"):
        common(dict(zip(("onnx", "tflite"), judged_at, strict=True)))


def test_a_model_by_itself_is_certified_without_a_guard(tumours: Path) -> None:
    policy = parse_gate_policy(DEVICE.format(errors=0.15))
    report = gate(tumours / "mlp.onnx", tumours / "mlp.onnx", tumours / "data.npz", policy, labels="y")
    assert report.as_json()["certificate"]["granted"]
