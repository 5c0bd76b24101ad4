"""The gate's metrics against scikit-learn; and what is undefined stays undefined."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from edge_rai.errors import PolicyError
from edge_rai_converters.errors import DataError
from edge_rai_converters.gate import Predicted, Rows, parse_gate_policy
from support.gate_rows import figures, judged, noisy_people, people, rows_of

ONE_MARGIN = "format_version = 1\n[margins]\naccuracy = 0.1"


ORACLES = {
    "accuracy": sk.accuracy_score,
    "tpr": sk.recall_score,
    "fnr": lambda y, d: 1 - sk.recall_score(y, d),
    "fpr": lambda y, d: d[y == 0].mean(),
    "tnr": lambda y, d: sk.recall_score(y, d, pos_label=0),
    "precision": sk.precision_score,
    "selection_rate": lambda _, d: d.mean(),
}


@pytest.mark.parametrize("metric", ORACLES)
def test_rates_agree_with_oracles_in_every_slice(metric: str) -> None:
    rows, report = noisy_people()
    sex, group = rows.columns["sex"], rows.columns["group"]
    for name, values in figures(report, metric).items():
        chosen = np.ones(len(rows), bool)
        for part in name.split(", ") if name != "all rows" else ():
            column, value = part.split("=")
            chosen &= {"sex": sex, "group": group}[column] == value
        for model, value in zip((rows.original, rows.candidate), values, strict=True):
            assert value == pytest.approx(ORACLES[metric](rows.labels[chosen], model.decided[chosen]), abs=1e-12)


def test_scores_agree_with_scikit_learn() -> None:
    rows, report = noisy_people()
    for place, model in enumerate((rows.original, rows.candidate)):
        brier = figures(report, "brier")["all rows"][place]
        assert brier == pytest.approx(sk.brier_score_loss(rows.labels, model.scores[:, 1]), abs=1e-12)
        clipped = np.clip(model.scores, 0.001, 0.999)
        loss = figures(report, "log_loss")["all rows"][place]
        assert loss == pytest.approx(sk.log_loss(rows.labels, clipped[:, 1]), abs=1e-12)


def test_flips_are_counted() -> None:
    rows, report = noisy_people()
    flips = rows.original.decided != rows.candidate.decided
    assert figures(report, "flips")["all rows"] == (0, flips.mean())
    negative = flips & (rows.original.decided == rows.labels)
    assert figures(report, "negative_flips")["all rows"] == (0, negative.mean())


def test_ece_of_a_calibrated_model_is_about_its_null_value() -> None:
    generator = np.random.default_rng(4)
    null = {}
    for rows in (300, 20_000):
        read = []
        for _ in range(20):
            scores = np.clip(generator.beta(1, 1.5, rows), 0.001, 0.999)
            labels = (generator.random(rows) < scores).astype(np.int64)
            entry = judged(rows_of(labels, scores, scores), ONE_MARGIN).calibration[0]
            read.append(entry["original"]["ece"])
        null[rows] = entry["original"]["ece_null"]
        assert np.mean(read) == pytest.approx(null[rows], rel=0.12)
    assert null[300] / null[20_000] == pytest.approx(np.sqrt(20_000 / 300), rel=0.1)
    wrong = judged(rows_of(labels, np.clip(scores + 0.1, 0, 0.999), scores), ONE_MARGIN).calibration[0]["original"]
    assert wrong["ece"] > 10 * wrong["ece_null"]


def test_reliability_curve_holds_every_row() -> None:
    labels, before, _ = people(np.random.default_rng(5), 500)
    entry = judged(rows_of(labels, before, before), ONE_MARGIN).calibration[0]
    assert sum(part["original"]["rows"] for part in entry["bins"]) == 500
    for part in entry["bins"]:
        assert part["low"] <= part["original"]["mean_score"] <= part["high"]


def many(labels: np.ndarray, decided: tuple[np.ndarray, np.ndarray], count: int) -> Rows:
    names = tuple("abcdefgh"[:count])
    scores = [np.eye(count)[part] * 0.7 + 0.3 / count for part in decided]
    return Rows("classes", names, labels, Predicted(decided[0], scores[0]), Predicted(decided[1], scores[1]))


def test_classes_have_a_rate_each() -> None:
    generator = np.random.default_rng(6)
    labels = generator.integers(0, 3, 900)
    decided = tuple(np.where(generator.random(900) < 0.8, labels, generator.integers(0, 3, 900)) for _ in range(2))
    report = judged(many(labels, decided, 3), "format_version = 1\n[margins]\ntpr = 0.3\n'precision[b]' = 0.3")
    assert {cell.measured.metric for cell in report.cells} == {"tpr[a]", "tpr[b]", "tpr[c]", "precision[b]"}
    recalls = sk.recall_score(labels, decided[1], average=None)
    precisions = sk.precision_score(labels, decided[1], average=None)
    for place, name in enumerate("abc"):
        assert figures(report, f"tpr[{name}]")["all rows"][1] == pytest.approx(recalls[place], abs=1e-12)
        assert figures(report, f"precision[{name}]")["all rows"][1] == pytest.approx(precisions[place], abs=1e-12)
    one_hot = np.eye(3)[labels]
    expected = np.square(np.eye(3)[decided[1]] * 0.7 + 0.1 - one_hot).sum(axis=1).mean()
    assert figures(report, "brier")["all rows"][1] == pytest.approx(expected, abs=1e-12)


def test_labels_of_several_columns_are_judged_one_by_one_and_together() -> None:
    generator = np.random.default_rng(7)
    truth = (generator.random((800, 3)) < 0.4).astype(np.int64)
    scores = [np.clip(truth * 0.6 + 0.2 + generator.normal(0, 0.2, truth.shape), 0.01, 0.99) for _ in range(2)]
    rows = Rows("labels", ("x", "y", "z"), truth, *(Predicted(part > 0.5, part) for part in scores))
    report = judged(rows, "format_version = 1\n[margins]\naccuracy = 0.3\nhamming_loss = 0.2\n'tpr[y]' = 0.3")
    for place, part in enumerate(scores):
        assert figures(report, "hamming_loss")["all rows"][place] == pytest.approx(sk.hamming_loss(truth, part > 0.5))
        assert figures(report, "accuracy")["all rows"][place] == pytest.approx(sk.accuracy_score(truth, part > 0.5))
        recalls = sk.recall_score(truth, part > 0.5, average=None)
        assert figures(report, "tpr[y]")["all rows"][place] == pytest.approx(recalls[1], abs=1e-12)


def test_quantities_have_errors() -> None:
    generator = np.random.default_rng(8)
    truth = generator.normal(50, 10, 2000)
    before, after = truth + generator.normal(0, 2, 2000), truth + generator.normal(0.1, 2.2, 2000)
    rows = Rows("quantity", (), truth, Predicted(before), Predicted(after))
    policy = "format_version = 1\n[answer]\nlargest_error = 20\n[margins]\nmae = 1\nrmse = 1\nsigned_error = 2"
    report = judged(rows, policy)
    assert figures(report, "mae")["all rows"][1] == pytest.approx(sk.mean_absolute_error(truth, after))
    assert figures(report, "rmse")["all rows"][1] == pytest.approx(sk.root_mean_squared_error(truth, after))
    assert figures(report, "signed_error")["all rows"][1] == pytest.approx((after - truth).mean())
    assert report.verdict == "pass"
    worse = Rows("quantity", (), truth, Predicted(before), Predicted(before + 3))
    assert {cell.measured.metric: cell.verdict for cell in judged(worse, policy).cells} == {
        "mae": "fail", "rmse": "fail", "signed_error": "fail"
    }  # fmt: skip


def test_errors_beyond_the_largest_are_clipped_and_told() -> None:
    truth = np.zeros(400)
    after = np.r_[np.full(3, 1000.0), np.zeros(397)]
    policy = "format_version = 1\n[answer]\nlargest_error = 10\n[margins]\nmae = 1"
    report = judged(Rows("quantity", (), truth, Predicted(truth), Predicted(after)), policy)
    assert figures(report, "mae")["all rows"][1] == pytest.approx(30 / 400)
    assert report.notes == ("3 errors of the candidate beyond 10 count as 10",)


def test_values_of_decisions_come_from_columns() -> None:
    labels, before, columns = people(np.random.default_rng(9), 1000)
    columns |= {"if_0": np.zeros(1000), "if_1": np.where(labels == 1, 5.0, -1.0)}
    policy = 'format_version = 1\n[margins]\nprofit = 0.5\n[values.profit]\ncolumns = ["if_0", "if_1"]\nlargest = 6.0\n'
    report = judged(rows_of(labels, before, before, columns), policy)
    earned = np.where(before > 0.5, columns["if_1"], 0)
    assert figures(report, "profit")["all rows"] == pytest.approx((earned.mean(), earned.mean()))
    assert report.verdict == "pass"
    nobody = judged(rows_of(labels, before, before * 0.1, columns), policy)
    assert nobody.verdict == "fail"
    with pytest.raises(DataError, match="'profit' differs by 5 in a row, and largest is 2; declare more"):
        judged(rows_of(labels, before, before * 0.1, columns), policy.replace("6.0", "2.0"))


def test_answers_that_nobody_can_read_without_labels_are_said_to_need_them() -> None:
    nothing = Predicted(np.zeros(50))
    with pytest.raises(DataError, match="without labels it is not known whether .* give --labels, or kind under"):
        judged(Rows("other", (), None, nothing, nothing), ONE_MARGIN)


@pytest.mark.parametrize(
    "policy",
    [
        "[loss_spans]\naccuracy = 1.0\n",
        "[values.flips]\ncolumns = ['a', 'b']\nlargest = 1.0\n",
        "[values.'tpr[1]']\ncolumns = ['a', 'b']\nlargest = 1.0\n",
        "[loss_spans]\nprofit = 1.0\n[values.profit]\ncolumns = ['a', 'b']\nlargest = 1.0\n",
    ],
)
def test_two_metrics_of_one_name_are_refused(policy: str) -> None:
    with pytest.raises(PolicyError, match="is a metric already; call the one under"):
        parse_gate_policy(ONE_MARGIN + "\n" + policy)
