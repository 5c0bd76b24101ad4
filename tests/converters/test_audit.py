"""Faults planted in real data, and what an audit says of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from edge_rai.types import TensorSpec
from edge_rai_converters import data
from edge_rai_converters.audit import AuditReport, Finding, audit, audit_dataset
from edge_rai_converters.audit.columns import measure
from edge_rai_converters.audit.duplicates import find_near, group
from edge_rai_converters.audit.points import make_points
from edge_rai_converters.audit.sources import open_data
from edge_rai_converters.data import HELD_BACK_EVERY, drawn
from edge_rai_converters.errors import DataError

KINDS_OF_LABELS = {"classes_too_small_to_judge", "label_disagreement", "suspect_labels"}


def found(report: AuditReport, kind: str) -> Finding:
    (finding,) = (finding for finding in report.findings if finding.kind == kind)
    return finding


def kinds(report: AuditReport) -> set[str]:
    return {finding.kind for finding in report.findings}


def tumours() -> tuple[np.ndarray, np.ndarray]:
    loaded = load_breast_cancer()
    return loaded.data.copy(), loaded.target.copy()


def save(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def csv(folder: Path, **columns: object) -> Path:
    rows = zip(*columns.values(), strict=True)
    text = "\n".join(",".join(map(str, row)) for row in [list(columns), *rows])
    (folder / "data.csv").write_text(text + "\n")
    return folder / "data.csv"


def test_sound_data_are_left_in_peace(tmp_path: Path) -> None:
    wine = load_wine()
    report = audit(save(tmp_path, X=wine.data, y=wine.target), ["y"])
    assert kinds(report) <= KINDS_OF_LABELS
    assert {finding.severity for finding in report.findings} == {"info"}
    assert report.rows == report.rows_looked_at == report.rows_compared == report.rows_with_neighbours == 178


def test_planted_copies_are_found_each_with_its_original(tmp_path: Path) -> None:
    rows, _ = tumours()
    rows[500:520] = rows[:20]
    finding = found(audit(save(tmp_path, X=rows)), "exact_duplicates")
    assert finding.numbers["rows"] == 20
    assert finding.numbers["pairs"] == [f"row {500 + place} = row {place}" for place in range(20)]
    assert finding.severity == "warning", "3.5 % of the rows"


def test_copies_are_the_same_whatever_the_sign_of_zero_and_of_nan(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(64, 4))
    rows[:2] = [1.0, 0.0, np.nan, 2.0]
    rows[1] = [1.0, -0.0, np.frombuffer(np.uint64(0xFFF8000000000001).tobytes(), np.float64)[0], 2.0]
    assert found(audit(save(tmp_path, X=rows)), "exact_duplicates").numbers["pairs"] == ["row 1 = row 0"]


def test_copies_with_noise_are_near_duplicates_and_no_other_row_is(tmp_path: Path) -> None:
    rows, _ = tumours()
    noise = np.random.default_rng(0).normal(size=(15, 30))
    near = np.concatenate([rows, rows[100:115] + 0.01 * rows.std(axis=0) * noise])
    finding = found(audit(save(tmp_path, X=near)), "near_duplicates")
    assert finding.numbers["pairs"] == [f"row {100 + place} ~ row {569 + place}" for place in range(15)]
    assert finding.numbers["rows"] == 30


def test_near_duplicates_are_those_of_all_pairs(tmp_path: Path) -> None:
    rows, _ = tumours()
    copies = rows[:200] + 0.05 * rows.std(axis=0) * np.random.default_rng(1).random((200, 1))
    near = np.concatenate([rows, copies])
    path = save(tmp_path, X=near)
    material, _ = open_data(path, (), ())
    points = make_points(material, measure(material), material.index)
    distances = np.sqrt(np.square(points[:, None] - points).sum(axis=2))
    np.fill_diagonal(distances, np.inf)
    typical = np.median(np.sort(distances, axis=1)[:, 4])
    expected = (distances.min(axis=1) <= 0.1 * typical).sum()
    assert 50 < expected < 400, "some copies are near, some are not"
    assert found(audit(path), "near_duplicates").numbers["rows"] == expected


def test_leaks_between_calibration_and_held_back_rows_are_counted(tmp_path: Path) -> None:
    rows, _ = tumours()
    held_back = np.flatnonzero(drawn(len(rows), HELD_BACK_EVERY))
    calibrating = np.setdiff1d(np.arange(len(rows)), held_back)
    rows[held_back[:9]] = rows[calibrating[:9]]
    rows[held_back[9]] = rows[held_back[10]]
    report = audit(save(tmp_path, X=rows))
    assert found(report, "exact_duplicates").numbers["rows"] == 10
    leak = found(report, "leakage")
    assert leak.numbers["places"] == [f"row {row}" for row in held_back[:9]], "a copy on the same side is no leak"
    assert (leak.numbers["held_back"], leak.severity) == (142, "error"), "6.3 % of those held back"
    assert "near_leakage" not in kinds(report)


def test_near_copies_across_the_two_sides_are_near_leakage(tmp_path: Path) -> None:
    rows, _ = tumours()
    held_back = np.flatnonzero(drawn(len(rows), HELD_BACK_EVERY))
    calibrating = np.setdiff1d(np.arange(len(rows)), held_back)
    rows[held_back[:9]] = rows[calibrating[:9]] * 1.0001
    rows[held_back[20]] = rows[held_back[21]] * 1.0001
    leak = found(audit(save(tmp_path, X=rows)), "near_leakage")
    assert leak.numbers["places"] == [f"row {row}" for row in held_back[:9]]
    assert leak.severity == "warning"


def test_copies_with_different_labels_are_in_conflict(tmp_path: Path) -> None:
    rows, labels = tumours()
    rows[1], labels[0], labels[1] = rows[0], 0, 1
    rows[3], labels[2], labels[3] = rows[2], 1, 1
    finding = found(audit(save(tmp_path, X=rows, y=labels), ["y"]), "conflicting_labels")
    assert finding.numbers["places"] == ["row 0", "row 1"]


def test_idle_and_broken_columns_are_named(tmp_path: Path) -> None:
    rows, _ = tumours()
    names = np.array(load_breast_cancer().feature_names, str)
    rows[:, 3] = np.nan
    rows[:, 5] = 7.0
    rows[:200, 8] = np.nan
    rows[17, 9] = np.inf
    report = audit(save(tmp_path, X=rows, feature_names=names))
    assert found(report, "all_missing").numbers["columns"] == ["mean area"]
    assert found(report, "constant").numbers["columns"] == ["mean compactness"]
    assert found(report, "missing").numbers["shares"] == {"mean symmetry": 200 / 569}
    assert found(report, "non_finite").numbers["counts"] == {"mean fractal dimension": 1}
    assert [finding.severity for finding in report.findings][:2] == ["error", "error"]


def test_value_in_another_unit_is_out_of_range(tmp_path: Path) -> None:
    rows, _ = tumours()
    rows[40, 0] *= 1000
    finding = found(audit(save(tmp_path, X=rows)), "out_of_range")
    assert finding.numbers["counts"]["X[0]"] == 1
    assert f"X[0] (1 row, up to {rows[40, 0]:.6g})" in finding.sentence


@pytest.mark.parametrize("share", [10, 3], ids=["few", "a third"])
def test_code_for_a_missing_value_is_told_from_values_out_of_range(tmp_path: Path, share: int) -> None:
    rows, _ = tumours()
    rows[:: 3 * share, 2] = -999
    report = audit(save(tmp_path, X=rows))
    assert found(report, "code_for_missing").numbers == {"X[2]": {"value": -999, "rows": len(rows[:: 3 * share])}}
    assert "X[2]" not in found(report, "out_of_range").numbers["counts"]


@pytest.mark.parametrize(
    ("load", "share", "precision", "recall"),
    [
        (load_digits, 0.05, 0.9, 0.8),
        (load_digits, 0.1, 0.9, 0.8),
        (load_breast_cancer, 0.05, 0.75, 0.75),
        (load_breast_cancer, 0.1, 0.8, 0.75),
        (load_wine, 0.05, 0.75, 0.85),
        (load_wine, 0.1, 0.85, 0.7),
    ],
)
def test_planted_flips_of_labels_are_found(
    tmp_path: Path, load: Callable[[], Any], share: float, precision: float, recall: float
) -> None:
    loaded = load()
    reached = scores(tmp_path, loaded.data, loaded.target, round(share * len(loaded.target)))
    assert reached[0] >= precision
    assert reached[1] >= recall


def scores(folder: Path, rows: np.ndarray, labels: np.ndarray, flips: int) -> tuple[float, float]:
    """Precision and recall of the suspect labels."""
    generator = np.random.default_rng(0)
    flipped = generator.choice(len(rows), flips, replace=False)
    noisy = labels.copy()
    noisy[flipped] = (labels[flipped] + generator.integers(1, labels.max() + 1, flips)) % (labels.max() + 1)
    suspects = set(found(audit(save(folder, X=rows, y=noisy), ["y"]), "suspect_labels").numbers["places"])
    right = len(suspects & {f"row {row}" for row in flipped})
    return right / len(suspects), right / flips


def test_labels_against_their_neighbours_are_counted_as_scikit_learn_counts_them(tmp_path: Path) -> None:
    from sklearn.neighbors import NearestNeighbors

    digits = load_digits()
    pixels = digits.images[:, np.newaxis] + 1e-6 * np.random.default_rng(0).random((1797, 1, 8, 8))  # no ties
    labels = digits.target.copy()
    labels[::50] = 0
    others = NearestNeighbors(n_neighbors=11).fit(pixels.reshape(1797, 64)).kneighbors(return_distance=False)[:, :10]
    shared = (labels[others] == labels[:, np.newaxis]).sum(axis=1)
    numbers = found(audit(save(tmp_path, X=pixels, y=labels), ["y"]), "label_disagreement").numbers
    assert (numbers["alone"], numbers["outvoted"]) == ((shared == 0).sum(), (shared < 5).sum())
    assert numbers["alone"] > 20


def test_imbalance_and_classes_too_small_are_told(tmp_path: Path) -> None:
    wine = load_wine()
    chosen = np.concatenate([np.arange(59), np.arange(59, 130), np.arange(130, 137)])
    report = audit(save(tmp_path, X=wine.data[chosen], y=wine.target[chosen]), ["y"])
    assert found(report, "imbalance").numbers["ratio"] == pytest.approx(71 / 7)
    assert found(report, "small_classes").numbers["counts"] == {"2": 7}
    assert set(found(report, "classes_too_small_to_judge").numbers["held_back"]) == {"0", "1"}


def test_one_class_only_is_an_error(tmp_path: Path) -> None:
    report = audit(save(tmp_path, X=load_wine().data, y=np.ones(178)), ["y"])
    assert found(report, "one_class").severity == "error"


def test_labels_that_are_all_missing_are_no_quantities(tmp_path: Path) -> None:
    report = audit(save(tmp_path, X=load_wine().data, y=np.full(178, np.nan)), ["y"])
    assert found(report, "one_class").sentence == "no row has a label"
    assert "no_classes" not in kinds(report)


def test_labels_that_are_quantities_are_not_held_to_classes(tmp_path: Path) -> None:
    wine = load_wine()
    report = audit(save(tmp_path, X=wine.data[:, 1:], y=wine.data[:, 0]), ["y"])
    assert kinds(report) == {"no_classes"}


def test_slices_need_as_many_rows_as_the_interval_asks_for(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(800, 4))
    site = np.where(np.arange(800) < 480, "Ulm", "Bonn")
    path = csv(tmp_path, a=rows[:, 0], b=rows[:, 1], c=rows[:, 2], d=rows[:, 3], site=site)
    finding = found(audit(path, slices=["site"]), "slices_too_small")
    assert finding.numbers["held_back"] == {"Bonn": 80}
    assert finding.numbers["needed"] == 93, "Wilson's interval: 1.96 / (2 sqrt(93 + 1.96**2)) is 0.0996, of 92 0.1001"
    assert "Bonn (80, up to 11 points off)" in finding.sentence
    assert found(audit(path, slices=["a"]), "no_slices").numbers["values"] == 800


def test_column_that_numbers_the_rows_hides_no_duplicate(tmp_path: Path) -> None:
    wine = load_wine().data
    wine[100] = wine[50]
    columns = {f"c{place}": wine[:, place] for place in range(13)}
    sites = itertools.cycle(["Ulm", "Köln"])
    report = audit(csv(tmp_path, id=range(178), **columns, site=[next(sites) for _ in range(178)]))
    assert found(report, "left_out").numbers["columns"] == ["id"]
    assert found(report, "exact_duplicates").numbers["pairs"] == ["line 102 = line 52"]


def test_text_tells_rows_apart(tmp_path: Path) -> None:
    wine = load_wine().data
    wine[100], wine[101] = wine[50], wine[51]
    site = np.full(178, "Ulm", object)
    site[100] = "Bonn"
    site[7:9] = ""
    report = audit(csv(tmp_path, **{f"c{place}": wine[:, place] for place in range(13)}, site=site))
    assert found(report, "exact_duplicates").numbers["pairs"] == ["line 103 = line 53"]
    assert found(report, "missing").numbers["shares"] == {"site": 2 / 178}


def test_annotators_agree_on_nothing_and_their_majority_counts(tmp_path: Path) -> None:
    digits = load_digits()
    generator = np.random.default_rng(0)
    names = {f"by{place}": generator.permutation(digits.target) for place in range(3)}
    report = audit(save(tmp_path, X=digits.data, **names), list(names))
    finding = found(report, "annotators")
    assert abs(finding.numbers["fleiss"]) < 0.05
    assert finding.severity == "error"
    three = np.stack(list(names.values()))
    undecided = sum(len(set(column)) == 3 for column in three.T.tolist())
    assert found(report, "missing_labels").numbers["rows"] == undecided > 100


def test_equal_data_give_equal_reports(tmp_path: Path) -> None:
    digits = load_digits()
    path = save(tmp_path, X=digits.data, y=digits.target)
    assert audit(path, ["y"]).as_json() == audit(path, ["y"]).as_json()


@pytest.mark.parametrize(
    ("labels", "slices", "sentence"),
    [
        (["z"], [], "labels 'z' are neither a file nor in .*; it has 'X', 'y'"),
        ([], ["z"], "no column 'z' to make slices of; it has 'X', 'y'"),
        (["X"], [], "'X' has 2314 values for 178 rows; give one for each row"),
    ],
    ids=["labels", "slice", "shape"],
)
def test_what_is_not_in_the_data_is_refused_in_a_sentence(
    tmp_path: Path, labels: list[str], slices: list[str], sentence: str
) -> None:
    wine = load_wine()
    with pytest.raises(DataError, match=sentence):
        audit(save(tmp_path, X=wine.data, y=wine.target), labels, slices)


def test_conversion_audits_a_bounded_part_of_its_rows(tmp_path: Path) -> None:
    digits = load_digits()
    rows = np.tile(digits.data, (60, 1)).astype(np.float32)
    path = save(tmp_path, X=rows, y=np.tile(digits.target, 60))
    dataset = data.load(path, (TensorSpec("X", "float32", (None, 64)),), "y")
    report = audit_dataset(dataset, *dataset.split())
    assert (report.rows, report.rows_looked_at) == (107820, 100000)
    assert report.rows_with_neighbours == 4000
    leak = found(report, "leakage")
    assert leak.numbers["share"] > 0.99
    assert report.sentences()[0].startswith("looked at 100,000 of 107,820 rows; compared ")
    assert any(
        line.startswith("error: rows with the same values as a row that calibrates") for line in report.sentences()
    )


def test_conversion_has_text_and_numbers_looked_at_and_states_passed_over(tmp_path: Path) -> None:
    columns = {"age": [place % 50 for place in range(80)], "city": ["Ulm", "Bonn"] * 40, "ok": [1] * 80}
    inputs = tuple(TensorSpec(name, dtype, (None, 1)) for name, dtype in (("age", "int64"), ("city", "string")))
    state = (TensorSpec("ok", "float32", (None, 1)),)
    dataset = data.load(csv(tmp_path, **columns), inputs + state)
    report = audit_dataset(dataset, *dataset.split(), without=["ok"])
    assert found(report, "exact_duplicates").numbers["rows"] == 30, "50 ages, and each with the same city"
    assert "constant" not in kinds(report)
    assert found(audit_dataset(dataset, *dataset.split()), "constant").numbers["columns"] == ["ok"]


def test_columns_without_names_are_those_of_the_models_input(tmp_path: Path) -> None:
    rows = load_wine().data
    rows[:, 3] = 1
    path = save(tmp_path, X=rows)
    dataset = data.load(path, (TensorSpec("X", "float64", (None, 13)),))
    for report in (audit(path), audit_dataset(dataset, *dataset.split())):
        assert found(report, "constant").numbers["columns"] == ["X[3]"]


def test_comparison_for_near_duplicates_keeps_its_bounds_and_says_what_it_did(tmp_path: Path) -> None:
    digits = load_digits()
    material, _ = open_data(save(tmp_path, X=digits.data), (), ())
    measured, groups = measure(material), group(material)
    assert find_near(material, groups, measured, 32_000, 10**9)[1] == 32_000 // 61, "three of 64 columns are constant"
    assert 400 < find_near(material, groups, measured, 1 << 24, 100_000)[1] < 1200
    assert find_near(material, groups, measured, 1 << 24, 10**9)[1] == 1797


@pytest.mark.parametrize("count", [1, 3, 30])
def test_few_rows_are_no_fault_of_the_audit(tmp_path: Path, count: int) -> None:
    wine = load_wine()
    report = audit(save(tmp_path, X=wine.data[:count], y=wine.target[:count]), ["y"])
    assert report.rows == count
    assert "one_class" in kinds(report)


def test_numbers_at_the_ends_of_their_type_break_nothing(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).choice([1.7e308, -1.7e308, 5e-324, 0.0, np.inf, np.nan], (200, 6))
    labels = np.arange(200) % 2
    report = audit(save(tmp_path, X=rows, y=labels), ["y"])
    assert found(report, "non_finite").numbers["counts"]["X[0]"] == np.isinf(rows[:, 0]).sum()
    assert report.rows_with_neighbours == 200


def test_table_of_text_alone_is_audited(tmp_path: Path) -> None:
    names = [f"{place % 7}{'abcdefg'[place % 5]}" for place in range(60)]
    report = audit(csv(tmp_path, a=[name[0] for name in names], b=[name[1] for name in names], one=["x"] * 60))
    assert found(report, "constant").numbers["columns"] == ["one"]
    assert found(report, "exact_duplicates").numbers["rows"] == 60 - 35


def test_wide_rows_are_folded_and_their_near_duplicates_found(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    signals = generator.normal(size=(400, 3000)).cumsum(axis=1)
    signals[300:310] = signals[:10] + 0.001 * generator.normal(size=(10, 3000))
    finding = found(audit(save(tmp_path, X=signals)), "near_duplicates")
    assert finding.numbers["pairs"] == [f"row {place} ~ row {300 + place}" for place in range(10)]


def test_annotator_who_left_rows_out_is_heard_where_there_is_a_label(tmp_path: Path) -> None:
    wine = load_wine()
    first, second = wine.target.astype(float), wine.target.astype(float)
    first[:20], second[10:30] = np.nan, np.nan
    report = audit(save(tmp_path, X=wine.data, first=first, second=second), ["first", "second"])
    assert found(report, "missing_labels").numbers["rows"] == 10
    assert found(report, "annotators").numbers["alpha_nominal"] == 1


def test_labels_of_one_class_beside_another_that_nobody_agrees_on_are_one_class(tmp_path: Path) -> None:
    wine = load_wine()
    first, second = np.zeros(178), np.zeros(178)
    second[:5] = 1
    report = audit(save(tmp_path, X=wine.data, first=first, second=second), ["first", "second"])
    assert found(report, "one_class").sentence == "every label is 0"
