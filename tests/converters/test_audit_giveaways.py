"""Columns that were made from the outcome are found in real data, and honest ones are left in peace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from edge_rai.types import TensorSpec
from edge_rai_converters import data
from edge_rai_converters.audit import AuditReport, Finding, audit, audit_dataset
from edge_rai_converters.audit.giveaways import find_giveaways
from edge_rai_converters.audit.labels import consensus
from edge_rai_converters.audit.sources import open_data

LOADERS = (load_breast_cancer, load_digits, load_iris, load_wine)


def save(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def leak(report: AuditReport) -> Finding | None:
    found = [finding for finding in report.findings if finding.kind == "target_leakage"]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("load", LOADERS)
def test_honest_columns_are_left_in_peace_however_strong(tmp_path: Path, load: Callable[[], Any]) -> None:
    loaded = load()
    # Of petals both columns tell setosa from the others by themselves.
    for labels in (loaded.target, *(loaded.target == kind for kind in range(len(loaded.target_names)))):
        material, _ = open_data(save(tmp_path, X=loaded.data, y=labels), ["y"], [])
        known = consensus(material.labels)
        assert known is not None
        assert list(find_giveaways(material, known)) == []


def planted(labels: np.ndarray, form: str) -> np.ndarray:
    generator = np.random.default_rng(0)
    kinds = {
        "another code": 7 - 3 * labels,
        "a code that is wrong in 1 %": np.where(generator.random(len(labels)) < 0.01, labels[::-1], labels),
        "words": np.array(["ja", "nein", "weiss", *"abcdefg"])[labels],
        "a measure of it": labels + generator.normal(0, 0.05, len(labels)),
        "known only of one class": np.where(labels == 0, np.nan, generator.normal(5, 3, len(labels))),
    }
    return kinds[form]


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("form", ["another code", "a code that is wrong in 1 %", "words"])
def test_column_with_a_value_for_each_class_is_found(tmp_path: Path, load: Callable[[], Any], form: str) -> None:
    loaded = load()
    path = save(tmp_path, X=loaded.data, leak=planted(loaded.target, form), y=loaded.target)
    finding = leak(audit(path, ["y"]))
    assert finding is not None
    assert list(finding.numbers["columns"]) == ["leak"]
    assert finding.numbers["columns"]["leak"] > 0.98
    assert finding.severity == "warning"


@pytest.mark.parametrize("load", [load_breast_cancer, load_digits, load_wine])
def test_column_of_numbers_far_above_the_next_is_found(tmp_path: Path, load: Callable[[], Any]) -> None:
    loaded = load()
    path = save(tmp_path, X=loaded.data, leak=planted(loaded.target, "a measure of it"), y=loaded.target)
    finding = leak(audit(path, ["y"]))
    assert finding is not None
    assert list(finding.numbers["columns"]) == ["leak"]


def test_column_that_is_missing_for_one_class_is_found(tmp_path: Path) -> None:
    loaded = load_breast_cancer()
    path = save(tmp_path, X=loaded.data, biopsy=planted(loaded.target, "known only of one class"), y=loaded.target)
    finding = leak(audit(path, ["y"]))
    assert finding is not None
    assert finding.sentence == (
        "1 column that may give the label away: biopsy (alone right in 99.8 % of the rows); the next column is X[23] "
        "(alone right in 91.9 % of the rows)"
    )
    assert finding.advice.startswith("If it is made from the outcome, or known only after it, leave it out and train")


def test_order_of_the_file_gives_no_column_away(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.sort(generator.integers(0, 3, 600))
    flat = generator.integers(0, 4, size=(600, 3)).astype(np.float64)
    rare = np.where(generator.random(600) < 0.02, generator.random(600), 0.0)  # nearly all rows have one value
    assert leak(audit(save(tmp_path, X=flat, rare=rare, y=labels), ["y"])) is None


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_guessing_the_frequent_class_is_no_merit(tmp_path: Path, share: float) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random(2000) < share).astype(int)
    rows = generator.normal(size=(2000, 5))
    assert leak(audit(save(tmp_path, X=rows, y=labels), ["y"])) is None
    finding = leak(audit(save(tmp_path, X=rows, leak=labels, y=labels), ["y"]))
    assert finding is not None
    assert list(finding.numbers["columns"]) == ["leak"]


def test_quantity_in_another_scale_is_found_by_its_order(tmp_path: Path) -> None:
    loaded = load_diabetes()
    labels = loaded.target + 0.5
    assert leak(audit(save(tmp_path, X=loaded.data, y=labels), ["y"])) is None
    noise = np.random.default_rng(0).normal(0, 5, len(labels))
    finding = leak(audit(save(tmp_path, X=loaded.data, leak=-np.sqrt(labels + noise + 10), y=labels), ["y"]))
    assert finding is not None
    assert "leak (rank correlation -0.99" in finding.sentence
    whole = leak(audit(save(tmp_path, X=loaded.data, leak=np.exp(loaded.target / 100), y=loaded.target), ["y"]))
    assert whole is not None


def test_conversion_finds_it_and_names_the_column(tmp_path: Path) -> None:
    loaded = load_breast_cancer()
    rows = np.column_stack([loaded.data, planted(loaded.target, "another code")])
    names = np.array([*map(str, loaded.feature_names), "outcome"])
    path = save(tmp_path, X=rows, feature_names=names, y=loaded.target)
    dataset = data.load(path, (TensorSpec("X", "float32", (None, 31)),), "y")
    finding = leak(audit_dataset(dataset, *dataset.split()))
    assert finding is not None
    assert finding.numbers["columns"] == {"outcome": 1.0}
    assert set(finding.numbers["next"]) == {"worst area"}


def test_pictures_and_few_rows_have_no_such_column(tmp_path: Path) -> None:
    digits = load_digits()
    marked = digits.images[:, np.newaxis].copy()
    marked[:, 0, 0, 0] = digits.target
    assert leak(audit(save(tmp_path, X=marked, y=digits.target), ["y"])) is None
    few = np.arange(48) % 2
    assert leak(audit(save(tmp_path, X=np.random.default_rng(0).normal(size=(48, 3)), leak=few, y=few), ["y"])) is None
