"""Compressed classifiers of people: what an accuracy gate would have shipped, and what this one says of each slice.

And whether certificates on such models are kept. Writes benchmarks/results/gate.txt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest

from edge_rai_converters.answered import Answered
from edge_rai_converters.data import drawn
from edge_rai_converters.gate import GateReport, Predicted, Rows, judge, parse_gate_policy
from edge_rai_converters.gate.answers import Labels, rows_of
from edge_rai_converters.gate.certificate.certificate import Deployed, certificate, promise_of
from edge_rai_converters.gate.certificate.sets import limits
from edge_rai_converters.gate.certificate.thresholds import Promise, Scored, certified, counted, promising
from edge_rai_converters.gate.rules import AnswerRule, GatePolicy
from edge_rai_converters.gate.slices import Family, Slices, make_slices
from edge_rai_converters.passes.contract import Material, apply
from edge_rai_converters.passes.prune import prune
from edge_rai_converters.passes.quantize import dynamic_int8, static_int8
from edge_rai_converters.runner import Runner, feeds
from edge_rai_converters.threshold import refit_threshold
from support.networks import Chain, Graph, Linear, Relu, digits_mlp, train
from support.people_tables import TABLES, Table
from support.told import Told, telling

pytestmark = pytest.mark.proof

TODAY = date(2026, 1, 1)
SEEDS = range(5)
SPLITS = 500
# What is promised of all rows; of each sex so many times as much.
ERRORS, ABSTAINS, MORE = 0.08, 0.3, 1.4
MOST_BROKEN = 0.05 + 2 * np.sqrt(0.05 * 0.95 / SPLITS)
STEPS = {
    "static int8": (static_int8(),),
    "dynamic int8": (dynamic_int8(),),
    "50 % pruned": (prune(keep=0.5),),
    "80 % pruned": (prune(keep=0.2),),
}
CALIBRATION_ROWS = 2000
REFITTED = ", re-fitted"
METRICS = ("accuracy", "tpr")
POLICY = """
format_version = 1
[margins]
accuracy = 0.01
tpr = 0.02
[slice_margins]
accuracy = 0.02
tpr = 0.03
"""
SLICES = {
    "COMPAS": '[[slices]]\nby = ["sex"]\n[[slices]]\nby = ["race"]\nmerge_into = []\n[[slices]]\nby = ["age_cat"]\n',
    "German credit": '[[slices]]\nby = ["sex"]\n',
    "census income": '[columns.age]\nbins = [30, 50]\n[[slices]]\nby = ["sex"]\n[[slices]]\nby = ["race"]\n'
    'merge_into = []\n[[slices]]\nby = ["age"]\n[[slices]]\nby = ["sex", "age"]\nmerge_into = ["sex"]\n',
}


SECTION = (
    "Classifiers of people, and certificates: pytest -s -o python_files='proof_*.py' "
    "tests/converters/proof_gate_tables.py"
)


@pytest.fixture(scope="module")
def tell() -> Iterator[Told]:
    with telling("gate.txt", SECTION) as told:
        yield told


class Made(NamedTuple):
    """A network and what compression made of it; each name has the rows of the gate, at the threshold that it has."""

    original: onnx.ModelProto
    rows: dict[str, Rows]


@cache
def made(name: str, seed: int) -> Made:
    table = TABLES[name](seed)
    generator = np.random.default_rng(seed)
    width = table.features.shape[1]
    network = Chain(Linear(generator, width, 64), Relu(), Linear(generator, 64, 32), Relu(), Linear(generator, 32, 2))
    x, y = table.features[~table.test], table.labels[~table.test]
    train(network, x, y, epochs=max(4, 400_000 // len(x) if len(x) < 20_000 else 8), seed=seed, rate=1e-3, batch=128)
    graph = Graph()
    original = graph.model((width,), network.write(graph, "x"), 2)
    chosen = generator.permutation(len(x))[:CALIBRATION_ROWS]
    calls = [{"x": x[chosen[start : start + 100]]} for start in range(0, len(chosen), 100)]
    rows = {}
    for candidate, steps in STEPS.items():
        compressed = apply(steps, original, Material(lambda: iter(calls), len(chosen), batched=True, seed=seed))
        rows[candidate] = asked(table, original, compressed, 1 if candidate == "dynamic int8" else 256)
        rows[candidate + REFITTED] = refitted(rows[candidate], original, compressed, x[chosen], y[chosen])
    return Made(original, rows)


def asked(table: Table, original: onnx.ModelProto, compressed: onnx.ModelProto, batch_rows: int) -> Rows:
    features = {"x": table.features[table.test][:, np.newaxis]}
    index = np.arange(int(table.test.sum()))

    def calls() -> Iterator[dict[str, np.ndarray]]:
        return feeds(features, index, batched=True, most_rows=batch_rows)

    before = Answered(Runner(original.SerializeToString(), "the original"), calls, batched=True)
    after = before.by(Runner(compressed.SerializeToString(), "the candidate"))
    labels = Labels(table.labels[table.test], None, Path("data"), str)
    columns = {name: values[table.test] for name, values in table.columns.items()}
    return rows_of(before, after, labels, AnswerRule(), columns)


def refitted(rows: Rows, original: onnx.ModelProto, compressed: onnx.ModelProto, x: np.ndarray, y: np.ndarray) -> Rows:
    """The candidate at a threshold that rows of the training say is better; the gate's had no part in it."""
    before, after = (
        Runner(model.SerializeToString(), "a model").call({"x": x})["scores"] for model in (original, compressed)
    )
    apart = np.arange(len(x)) % 4 == 0
    found = refit_threshold(before[~apart], after[~apart], y[~apart], after[apart], y[apart])
    share = 1 / (1 + np.exp(-found.threshold))
    scores = rows.candidate.scores
    assert scores is not None
    return replace(rows, candidate=Predicted((scores[:, 1] > share).astype(np.int64), scores))


def of(report: GateReport, metric: str, name: str = "all rows") -> float:
    return next(entry.change for entry in report.measured if (entry.metric, entry.slice) == (metric, name))


@pytest.mark.parametrize("name", TABLES)
def test_accuracy_gates_ship_what_harms_a_group_and_this_gate_does_not(name: str, tell: Told) -> None:
    policy = parse_gate_policy(POLICY + SLICES[name])
    tell(f"{name}: 5 seeds; p pass, f fail, i inconclusive, capital: judged within its parent; a letter a seed")
    plain = [made(name, seed).rows["static int8"] for seed in SEEDS]
    for candidate in made(name, 0).rows:
        every = [made(name, seed).rows[candidate] for seed in SEEDS]
        same = [
            bool(np.array_equal(a.candidate.decided, b.candidate.decided)) for a, b in zip(every, plain, strict=True)
        ]
        if candidate.endswith(REFITTED) and all(same):
            continue
        plain = every
        reports = [judge(rows, policy, today=TODAY) for rows in every]
        tell(summary(candidate, reports))
        for entry in reports[0].slices if not candidate.endswith(REFITTED) else ():
            both = (f"{metric} {''.join(letter(r, metric, entry.name) for r in reports)}" for metric in METRICS)
            tell(f"    {entry.name:35} {entry.rows:6,} rows  {'  '.join(both)}")
        for report in reports:  # what passes was shown to, cell by cell
            assert report.passed == all(cell.loss_high < cell.margin for cell in report.cells)
            assert not report.passed or of(report, "accuracy") > -0.01
    tell()


def summary(candidate: str, reports: list[GateReport]) -> str:
    accuracy, tpr = ([100 * of(report, metric) for report in reports] for metric in METRICS)
    verdicts = Counter(report.verdict for report in reports)
    shipped = sum(change >= -1 for change in accuracy)
    return (
        f"{candidate:24} accuracy {np.mean(accuracy):+.2f} points, tpr {np.mean(tpr):+.2f} (worst seed "
        f"{min(tpr):+.2f}); an accuracy gate of 1 point ships {shipped} of 5, this gate "
        f"{verdicts['pass']} ({verdicts['fail']} fail, {verdicts['inconclusive']} inconclusive)"
    )


def letter(report: GateReport, metric: str, name: str) -> str:
    cell = next((cell for cell in report.cells if (cell.measured.metric, cell.measured.slice) == (metric, name)), None)
    if cell is None:
        return "-"
    return cell.verdict[0] if cell.merged_into is None else cell.verdict[0].upper()


# ---- Certificates ----


def drawn_from(rows: Rows, index: np.ndarray) -> Rows:
    candidate = rows.candidate
    assert rows.labels is not None
    assert candidate.scores is not None
    part = Predicted(candidate.decided[index], candidate.scores[index])
    columns = {name: values[index] for name, values in rows.columns.items()}
    return Rows("classes", rows.classes, rows.labels[index], part, part, columns)


def promise_policy(errors: float, abstains: float) -> GatePolicy:
    """The same of both sexes, with some more room."""
    return parse_gate_policy(
        f"""
        format_version = 1
        [margins]
        accuracy = 0.5
        [certificate.abstention]
        errors = {errors}
        abstains = {abstains}
        slice_errors = {MORE * errors}
        slice_abstains = {MORE * abstains}
        [[slices]]
        by = ["sex"]
        margins = {{accuracy = 0.5}}
        """
    )


@pytest.mark.parametrize("candidate", ["float", "static int8"])
@pytest.mark.parametrize("count", [1000, 3000, 8000])
def test_certificates_are_broken_in_at_most_one_of_twenty_splits(candidate: str, count: int, tell: Told) -> None:
    """Each split is drawn from the test rows with replacement, so that what is true of the rows is known exactly."""
    rows = made("census income", 0).rows["static int8"]
    if candidate == "float":
        rows = replace(rows, candidate=rows.original)
    policy = promise_policy(ERRORS, ABSTAINS)
    rule = policy.certificate.abstention
    slices = make_slices(rows.columns, rows.labelled, policy)
    whole = Scored(rows.candidate.scores.max(axis=1), rows.candidate.decided != rows.labels, slices)
    promise = promise_of(rule, slices)
    generator = np.random.default_rng(0)
    granted, broken, answered, naive = 0, 0, [], 0
    for _ in range(SPLITS):
        some = drawn_from(rows, generator.integers(0, len(rows), count))
        found = certificate(some, make_slices(some.columns, some.labelled, policy), policy, 0.05, Deployed())
        naive += is_broken(whole, promise, by_eye(some, rule.errors))[0]
        if found.granted:
            granted += 1
            harm, share = is_broken(whole, promise, found.abstention["threshold"])
            broken += harm
            answered.append(share)
    mean = f"{np.mean(answered):.1%}" if answered else "-"
    tell(
        f"certificate, {candidate:11} {count:5,} rows: abstains on at most {ABSTAINS:.0%}, errs on at most "
        f"{ERRORS:.0%} (of each sex {MORE * ABSTAINS:.0%} and {MORE * ERRORS:.1%}): granted in {granted} of {SPLITS} "
        f"splits, broken in {broken} ({broken / SPLITS:.1%}), answers {mean}; the lowest threshold that keeps it in "
        f"the split itself breaks it in {naive / SPLITS:.0%}"
    )
    assert broken / SPLITS <= MOST_BROKEN


@pytest.mark.parametrize("count", [300, 1000, 3000, 8000])
def test_learned_order_certifies_more_than_a_part_of_alpha_for_each_threshold(count: int, tell: Told) -> None:
    rows = made("census income", 0).rows["static int8"]
    score, wrong = rows.candidate.scores.max(axis=1), rows.candidate.decided != rows.labels
    promise = Promise(np.array([ERRORS]), np.array([ABSTAINS]))
    generator = np.random.default_rng(2)
    granted: dict[str, list[float]] = {
        "order learned on a quarter": [],
        "11 thresholds, Bonferroni": [],
        "from the top": [],
    }
    for _ in range(SPLITS):
        index = generator.integers(0, len(rows), count)
        some = Scored(score[index], wrong[index], one_slice(count))
        learned = drawn(count, 4)
        parts = [Scored(some.score[part], some.wrong[part], one_slice(int(part.sum()))) for part in (learned, ~learned)]
        order = promising(parts[0], promise, int((~learned).sum()))
        fixed = [certified(some, promise, [threshold], 0.05 / 11) for threshold in np.linspace(0.5, 1, 12)[:-1]]
        top = certified(some, promise, np.linspace(0.99, 0.5, 50).tolist(), 0.05)
        for found, kept in zip(
            ([certified(parts[1], promise, order, 0.05)], fixed, [top]), granted.values(), strict=True
        ):
            kept += [min(entry.threshold for entry in found if entry.granted)] if any(e.granted for e in found) else []
    shares = ", ".join(
        f"{name} {len(kept) / SPLITS:.0%} (answers {np.mean([(score >= t).mean() for t in kept]) if kept else 0:.0%})"
        for name, kept in granted.items()
    )
    tell(f"certificates granted of {SPLITS}, {count:5,} rows, all rows alone: {shares}")
    assert len(granted["order learned on a quarter"]) >= len(granted["11 thresholds, Bonferroni"])


def one_slice(rows: int) -> Slices:
    return Slices((), np.full(1, -1), (Family(None, np.zeros(rows, np.int64), 0, 1),))


def is_broken(whole: Scored, promise: Promise, threshold: float) -> tuple[bool, float]:
    counts = counted(whole, [threshold]).first()
    erred, abstained = counts.wrong / np.maximum(counts.answered, 1), 1 - counts.answered / counts.rows
    harm = bool((erred > promise.errors).any() or (abstained > promise.abstains).any())
    return harm, float(1 - abstained[0])


def by_eye(rows: Rows, errors: float) -> float:
    """The lowest threshold that errs on so few of these rows."""
    score, wrong = rows.candidate.scores.max(axis=1), rows.candidate.decided != rows.labels
    order = np.argsort(-score)
    shares = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    kept = np.flatnonzero(shares <= errors)
    return float(score[order][kept[-1]]) if kept.size else 1.0


@pytest.mark.parametrize("candidate", ["float", "static int8"])
def test_sets_miss_a_class_beyond_their_promise_in_at_most_one_of_twenty_splits(candidate: str, tell: Told) -> None:
    digits = digits_mlp(0)
    model = digits.model
    if candidate != "float":
        calls = [{"x": digits.x_train[:400]}]
        model = apply(STEPS[candidate], model, Material(lambda: iter(calls), 400, batched=True))
    # Blurred by noise, so that there is something to miss.
    seen = digits.x_test + np.random.default_rng(2).normal(0, 0.35, digits.x_test.shape).astype(np.float32)
    odds = Runner(model.SerializeToString(), "digits").call({"x": seen})["scores"].astype(np.float64)
    shares = np.exp(odds - odds.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    generator = np.random.default_rng(1)
    broken, sizes = np.zeros(10), []
    for _ in range(SPLITS):
        chosen = generator.integers(0, len(shares), 600)
        found = limits(shares[chosen], digits.y_test[chosen], 0.9, 0.05)
        sets = found.sets(shares)
        covered = np.array([sets[digits.y_test == place, place].mean() for place in range(10)])
        broken += covered < 0.9
        sizes.append(sets.sum(axis=1).mean())
    missed = ", ".join(f"{share:.1%}" for share in broken / SPLITS)
    tell(
        f"sets, {candidate:11}: 10 digits in noise, 600 rows, 90 % of each class: broken in {missed} of {SPLITS} "
        f"splits, {np.mean(sizes):.2f} classes a set"
    )
    assert (broken / SPLITS).max() <= MOST_BROKEN
