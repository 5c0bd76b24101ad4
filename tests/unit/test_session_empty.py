"""Calls without a row: rejected as a call where the policy does not allow them, else for the model to answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edge_rai import (
    Answer,
    Batcher,
    InputRejectedError,
    ReasonCode,
    Session,
    Source,
    UnsupportedModelError,
    Verdict,
    load,
)
from edge_rai.policy import Policy
from support.bundles import write_bundle
from support.children import run_python
from support.models import FLOAT, save, save_zip_map

ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
NO_ROWS = ROWS[:0]


def assert_rejected(answer: Answer, outputs: dict[str, tuple[int, ...]]) -> None:
    assert (answer.verdict, answer.source, answer.rows) == (Verdict.REJECT, Source.NONE, 0)
    assert {name: values.shape for name, values in answer.outputs.items()} == outputs
    for of_rows in (answer.row_verdicts, answer.row_sources, answer.review_ids):
        assert of_rows.shape == (0,)


def test_call_without_a_row_is_rejected_as_a_call_before_and_after_the_first_run(linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        for _ in range(2):
            answer = session.predict(NO_ROWS)
            assert_rejected(answer, {"y": (0, 2)})
            assert answer.outputs["y"].dtype == np.float32
            assert [str(reason) for reason in answer.reasons] == ["x is empty: 0 rows"]
            assert session.predict(ROWS).verdict is Verdict.ACCEPT


def test_strict_call_without_a_row_says_that_it_is_empty(linear_bundle: Path) -> None:
    with load(linear_bundle) as session, pytest.raises(InputRejectedError, match="^x is empty: 0 rows$"):
        session.predict(NO_ROWS, strict=True)


def test_call_without_a_row_is_counted_as_a_call_and_not_as_a_row(linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        session.predict(NO_ROWS)
        snapshot = session.snapshot()
    assert (snapshot.calls, snapshot.errors, snapshot.rows, snapshot.rows_by_source.sum()) == (1, 0, 0, 0)
    assert snapshot.reasons.nonzero()[0].tolist() == [ReasonCode.ROWS]


def test_columns_and_keys_of_no_row_are_a_call_without_one(linear_bundle: Path) -> None:
    none: dict[str, list[float]] = {"radius": [], "texture": [], "area": []}
    with load(linear_bundle) as session:
        for given in (none, NO_ROWS):
            for key in (None, "ann", []):
                assert_rejected(session.predict(given, key=key), {"y": (0, 2)})
        with pytest.raises(ValueError, match="1 keys for 0 rows"):
            session.predict(NO_ROWS, key=["ann"])


def test_policy_that_allows_it_has_the_model_answer(linear_model: Path, linear_policy: Policy, tmp_path: Path) -> None:
    policy = replace(linear_policy, inputs=(replace(linear_policy.inputs[0], empty=True),))
    bundle = write_bundle(tmp_path / "b.erai", linear_model, policy, {"x": ROWS})
    with load(bundle) as session:
        for given in (NO_ROWS, NO_ROWS, ROWS, NO_ROWS, ROWS, NO_ROWS):
            answer = session.predict(given, strict=True)
            assert (answer.verdict, answer.source, answer.rows) == (Verdict.ACCEPT, Source.PRIMARY, len(given))
            assert (answer.outputs["y"].shape, answer.outputs["y"].dtype) == ((len(given), 2), np.float32)
            assert answer.row_verdicts.tolist() == [Verdict.ACCEPT] * len(given)
        with Batcher(session) as batcher:
            assert batcher.predict(NO_ROWS).outputs["y"].shape == (0, 2)


def test_batcher_rejects_a_call_without_a_row_for_its_caller_alone(linear_bundle: Path) -> None:
    with load(linear_bundle) as session, Batcher(session, max_wait_s=0.05) as batcher:
        empty, full = batcher.submit(NO_ROWS), batcher.submit(ROWS)
        assert_rejected(empty.result(), {"y": (0, 2)})
        assert full.result().outputs["y"].tolist() == session.predict(ROWS).outputs["y"].tolist()
        with pytest.raises(InputRejectedError, match="^x is empty: 0 rows$"):
            batcher.predict(NO_ROWS, strict=True)


@pytest.fixture
def adder(tmp_path: Path) -> Session:
    """(N, 2) "a" and "b" to (N, 2) "sum"."""
    pair = [(name, FLOAT, ["N", 2]) for name in ("a", "b")]
    return load(save(tmp_path / "m.onnx", [helper.make_node("Add", ["a", "b"], ["s"])], pair, [("s", FLOAT, ["N", 2])]))


def test_rows_are_those_of_the_first_input_when_another_has_none(adder: Session) -> None:
    some, none = np.ones((2, 2), np.float32), np.ones((0, 2), np.float32)
    answer = adder.predict({"a": some, "b": none})
    assert (answer.rows, answer.row_verdicts.tolist()) == (2, [Verdict.REJECT] * 2)
    assert [str(reason) for reason in answer.reasons] == ["b has 0 rows, another input 2"]
    for other in (some, none):
        answer = adder.predict({"a": none, "b": other})
        assert_rejected(answer, {"s": (0, 2)})
        assert [str(reason) for reason in answer.reasons] == ["a is empty: 0 rows"]


def test_other_axis_of_no_extent_is_named(linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        answer = session.predict(np.ones((4, 0), np.float32))
    assert [str(reason) for reason in answer.reasons] == ["x is empty on axis 1"]
    assert answer.rows == 1


def test_sequence_of_maps_without_a_row_is_an_empty_list(tmp_path: Path) -> None:
    rows = np.array([[0.25, 0.75], [1, 0]], np.float32)
    with load(save_zip_map(tmp_path / "m.onnx")) as session:
        for _ in range(2):
            answer = session.predict(rows[:0])
            assert (answer.verdict, answer.rows, answer.outputs) == (Verdict.REJECT, 0, {"z": []})
            assert len(session.predict(rows).outputs["z"]) == 2


RECURRENT = """
import sys, numpy, edge_rai
none, some = numpy.zeros((0, 2, 3), numpy.float32), numpy.ones((5, 2, 3), numpy.float32)
with edge_rai.load(sys.argv[1]) as session, edge_rai.Batcher(session) as batcher:
    assert session.batched
    for predict in (session.predict, batcher.predict):
        for given in (none, some, none):
            answer = predict(given)
            print(answer.verdict.name, answer.rows, answer.outputs["y"].shape)
"""


def test_recurrent_model_whose_rows_come_first_never_gets_a_batch_without_one(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    model = save(
        tmp_path / "m.onnx",
        [
            helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
            helper.make_node("LSTM", ["steps", "w", "r"], ["", "last"], hidden_size=4),
            helper.make_node("Transpose", ["last"], ["y"], perm=[1, 0, 2]),
        ],
        [("x", FLOAT, ["N", 2, 3])],
        [("y", FLOAT, ["N", 1, 4])],
        {
            "w": generator.normal(size=(1, 16, 3)).astype(np.float32),
            "r": generator.normal(size=(1, 16, 4)).astype(np.float32),
        },
    )
    child = run_python(RECURRENT, model)  # the bare runtime ends its process
    expected = "REJECT 0 (0, 1, 4)\nACCEPT 5 (5, 1, 4)\nREJECT 0 (0, 1, 4)\n" * 2
    assert (child.returncode, child.stdout) == (0, expected), child.stderr


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
def test_recurrent_model_that_takes_only_an_empty_batch_is_refused_by_name(tmp_path: Path, operator: str) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    weights = {name: np.ones((1, gates * 4, width), np.float32) for name, width in (("w", 3), ("r", 4))}
    recurrent = helper.make_node(operator, ["x", "w", "r"], ["y"], hidden_size=4)
    model = save(tmp_path / "m.onnx", [recurrent], [("x", FLOAT, [2, 0, 3])], [("y", FLOAT, [2, 1, 0, 4])], weights)
    with pytest.raises(UnsupportedModelError, match="input 'x' of a recurrent model holds no value: its axis 1 is 0"):
        load(model)
