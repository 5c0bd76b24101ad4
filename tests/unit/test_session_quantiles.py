"""Sketches of quantiles that a session feeds: the same as by hand, of the rows of its histograms, by any thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edge_rai
from edge_rai import ManualClock, QuantileSettings, QuantileSketch
from edge_rai.policy import Drift, FeatureReference, FeatureRule, InputRule, OutputRule, Policy, Reference
from support.bundles import write_bundle
from support.models import save_linear

Rows = npt.NDArray[np.float32]
NOWHERE, BEGAN = "0" * 32, 10**18
EDGES = np.linspace(-2, 2, 31)


def make_bundle(folder: Path, features: int, *, watched: bool = False, referenced: bool = True) -> Path:
    """Columns f0, f1 and on, in +-50; `watched` for drift."""
    names = [f"f{index}" for index in range(features)]
    rules = tuple(FeatureRule(name, low=-50.0, high=50.0) for name in names)
    inputs = (InputRule("x", "float32", (-1, features), max_shape=(4096, features), feature_axis=1, features=rules),)
    drift = Drift(average_run_length=1e9) if watched else None
    policy = Policy(1, True, inputs, (OutputRule("y", "float32", (-1, 1)),), drift=drift)
    counts = np.full(32, 100, np.uint64)
    entries = tuple(FeatureReference("x", name, 3200, 0.0, 1.0, EDGES, counts) for name in names)
    model = save_linear(folder / "model.onnx", features, 1)
    golden = {"x": np.zeros((2, features), np.float32)}
    return write_bundle(folder / "m.erai", model, policy, golden, Reference(entries) if referenced else None)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("small"), 3)


def opened(path: Path, quantiles: Any = 200, **given: Any) -> edge_rai.Session:
    return edge_rai.load(path, threads=1, clock=ManualClock(unix_ns=BEGAN), quantiles=quantiles, **given)


def drawn(count: int, features: int = 3) -> Rows:
    return np.random.default_rng(count).normal(size=(count, features)).astype(np.float32)


def by_hand(rows: Rows, k: int = 200, window: int = BEGAN) -> Iterator[tuple[str, QuantileSketch]]:
    for index, column in enumerate(rows.T):
        sketch = QuantileSketch(k, seed=QuantileSketch.seed_of(NOWHERE, f"f{index}", window))
        sketch.update(column)
        yield f"f{index}", sketch


def check_same(found: dict[str, QuantileSketch], rows: Rows, k: int = 200, window: int = BEGAN) -> None:
    expected = dict(by_hand(rows, k, window))
    assert found.keys() == expected.keys()
    for name, sketch in expected.items():
        assert (found[name].n, found[name].nan) == (sketch.n, sketch.nan)
        assert found[name].to_bytes() == sketch.to_bytes()


@pytest.mark.parametrize(
    ("features", "watched", "referenced"),
    [(3, False, True), (3, True, True), (3, False, False), (300, False, True), (300, False, False)],
)
def test_sketches_are_those_of_the_same_values_by_hand(
    features: int, watched: bool, referenced: bool, tmp_path: Path
) -> None:
    rows = drawn(1500, features)
    with opened(make_bundle(tmp_path, features, watched=watched, referenced=referenced)) as session:
        for start in (*range(700), 700, 1100):  # one by one, and many at a time
            session.predict(rows[start : start + 1 if start < 700 else start + 400])
        check_same(session.quantiles(), rows)


def test_of_rejected_rows_sketches_take_what_histograms_take(small: Path) -> None:
    rows = drawn(900)
    rows[::7, 0], rows[3::11, 1], rows[5::13, 2] = np.nan, np.inf, 1e6
    with opened(small) as session:
        for row in rows:
            session.predict(row[None])
        found, counted = session.quantiles(), session.snapshot().features
    check_same(found, np.where(np.isfinite(rows), rows, np.nan).astype(np.float32))
    assert [sketch.n for sketch in found.values()] == [int(np.sum(each.histogram)) for each in counted]


def test_every_nth_row_from_the_first_on(small: Path) -> None:
    rows = drawn(1000)
    rows[::9, 1] = np.nan
    with opened(small, QuantileSettings(100, every=7)) as session:
        for start in range(0, 1000, 5):
            session.predict(rows[start : start + 5])
        check_same(session.quantiles(), rows[::7], 100)


def test_only_the_features_asked_for_have_one(small: Path) -> None:
    rows = drawn(50)
    with opened(small, QuantileSettings(features=["f2", "f0"])) as session:
        session.predict(rows)
        found = session.quantiles()
    assert {name: sketch.n for name, sketch in found.items()} == {"f0": 50, "f2": 50}


def test_what_is_given_is_a_copy_and_begin_begins_anew(small: Path) -> None:
    rows, clock = drawn(600), ManualClock(unix_ns=BEGAN)
    with edge_rai.load(small, clock=clock, quantiles=200) as session:
        session.predict(rows[:400])
        first = session.quantiles()
        clock.unix_ns += 5
        taken = session.quantiles(begin=True)
        session.predict(rows[400:])
        second = session.quantiles()
    check_same(first, rows[:400])
    check_same(taken, rows[:400])
    check_same(second, rows[400:], window=BEGAN + 5)


def test_a_flush_leaves_them_as_they_are(small: Path, tmp_path: Path) -> None:
    with opened(small, spool=tmp_path / "spool") as session:
        session.predict(drawn(40))
        session.flush()
        session.predict(drawn(60))
        assert {sketch.n for sketch in session.quantiles().values()} == {100}


def test_no_row_of_any_thread_is_lost_or_comes_twice(small: Path) -> None:
    rows, each, taken = drawn(300), 300, []
    with opened(small) as session:

        def call() -> None:
            for start in range(each):
                session.predict(rows[start : start + 1])

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            taken.append(session.quantiles(begin=True))
            threads[0].join(0.01)
        for thread in threads:
            thread.join()
        taken.append(session.quantiles(begin=True))
    assert {sum(one[name].n for one in taken) for name in ("f0", "f1", "f2")} == {4 * each}


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (7, ValueError, "quantiles: k is 7; expected 8 to 65535, of which 200 is usual"),
        ("200", TypeError, "quantiles is '200'.*expected a k, of which 200 is usual, or QuantileSettings"),
        (True, TypeError, "quantiles is True"),
        ({"features": "f1"}, TypeError, "quantiles: features is 'f1'.*expected names of features"),
        ({"features": []}, ValueError, "quantiles: features has no name"),
        ({"features": [3]}, TypeError, "quantiles: a feature's name is 3"),
        ({"features": ["f9"]}, ValueError, "'f9' is no feature of the policy with one number a row"),
        ({"every": 0}, ValueError, "quantiles: every is 0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(wrong: Any, kind: type, message: str, small: Path) -> None:
    with pytest.raises(kind, match=message):
        opened(small, QuantileSettings(**wrong) if isinstance(wrong, dict) else wrong).close()


def test_without_sketches_asking_for_them_says_how_to_have_them(small: Path) -> None:
    with opened(small, None) as session, pytest.raises(ValueError, match="open it with quantiles, k of 200 is usual"):
        session.quantiles()


def test_a_model_without_columns_has_none_to_sketch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no input has one number a feature and row"):
        opened(save_linear(tmp_path / "model.onnx", 3, 1))
