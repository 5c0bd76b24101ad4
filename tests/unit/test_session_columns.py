"""Values by column name, and the keys of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_rai import ReasonCode, Session, Source, Verdict, load
from edge_rai.cli.rows import read_rows
from edge_rai.policy import (
    Decision,
    FallbackRule,
    FeatureRule,
    InputRule,
    LastGood,
    Missing,
    OutputRule,
    Policy,
)
from support.bundles import write_bundle
from support.models import save, save_identities

ROW = {"radius": 1, "texture": 2.0, "area": np.float64(3)}
ANSWER = [[12.0, 15.0]]
Table = Callable[..., Session]


@pytest.fixture
def session(linear_bundle: Path) -> Iterator[Session]:
    with load(linear_bundle) as opened:
        yield opened


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Opens a model that returns its (rows, columns) input of a type."""

    def make(dtype: Any, *features: FeatureRule, golden: Any = 1, finite: bool = True) -> Session:
        element = TensorProto.STRING if dtype == "string" else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        node = helper.make_node("Identity", ["x"], ["y"])
        form = ["N", len(features)]
        model = save(tmp_path / "m.onnx", [node], [("x", element, form)], [("y", element, form)])
        shape, most = (-1, len(features)), (100, len(features))
        rule = InputRule("x", dtype, shape, most, feature_axis=1, features=features, finite=finite)
        policy = Policy(1, True, (rule,), (OutputRule("y", dtype, shape, finite=False),))
        row = np.full((1, len(features)), golden, object if dtype == "string" else dtype)
        return load(write_bundle(tmp_path / "b.erai", model, policy, {"x": row}))

    return make


# ---- Values by column ----


def test_scalars_make_one_row_in_any_order(session: Session) -> None:
    for given in (ROW, dict(reversed(ROW.items()))):
        answer = session.predict(given)
        assert (answer.rows, answer.outputs["y"].tolist()) == (1, ANSWER)


def test_sequences_of_equal_length_make_rows(session: Session) -> None:
    for make in (list, tuple, np.array, np.float16, lambda values: np.array(values)[::-1].copy()[::-1]):
        answer = session.predict({"radius": make([1, -1]), "texture": make([2, 0]), "area": make([3, 1])})
        assert answer.outputs["y"].tolist() == [[12, 15], [3, 3]]
    assert session.predict({"radius": [1], "texture": [2], "area": [3]}).outputs["y"].tolist() == ANSWER


def test_bad_value_of_a_column_is_found_in_its_row(session: Session) -> None:
    answer = session.predict({"radius": [1, 99], "texture": [float("nan"), 0], "area": [3, 1]})
    assert [(reason.row, reason.subject, reason.code) for reason in answer.reasons] == [
        (0, "texture", ReasonCode.NOT_FINITE),
        (1, "radius", ReasonCode.ABOVE_RANGE),
    ]


def test_missing_and_unknown_names_are_both_listed(session: Session) -> None:
    with pytest.raises(
        ValueError, match=r"missing: radius, area; unknown: weight, 7; input 'x' has: radius, texture, area"
    ):
        session.predict({"texture": 1, "weight": 2, 7: 3})
    with pytest.raises(ValueError, match=r"missing: x; unknown: z; the model has: x, or the columns radius, texture"):
        session.predict({"z": 1})
    assert session.snapshot().calls == 0


def test_columns_of_other_lengths_are_named(session: Session) -> None:
    for other, message in (
        ([1, 2], "column 'radius' has 3 values and column 'texture' 2 values"),
        (1, "column 'radius' has 3 values and column 'texture' a single value"),
    ):
        with pytest.raises(ValueError, match=message):
            session.predict({"radius": [1, 2, 3], "texture": other, "area": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"column 'area' has shape \[1, 2\]; expected one value, or one a row"):
        session.predict({**ROW, "area": [[1, 2]]})


def test_value_of_another_kind_is_named(session: Session) -> None:
    for wrong, shown in (("3", "'3'"), ([1, "b"], "'b'|'1'"), (1j, "1j"), ({}, "{}"), ([1, object()], "<object")):
        with pytest.raises(TypeError, match=rf"column 'area': expected float32, got ({shown})"):
            session.predict({**ROW, "area": wrong})


def test_none_in_a_column_of_floats_is_a_nan_that_the_policy_judges(session: Session) -> None:
    (reason,) = session.predict({**ROW, "area": None}).reasons
    assert (reason.code, reason.subject) == (ReasonCode.NOT_FINITE, "area")
    answer = session.predict({"radius": [1, None], "texture": [2, 2], "area": [3, 3]})
    assert answer.row_verdicts.tolist() == [Verdict.ACCEPT, Verdict.REJECT]


def test_number_too_great_for_float32_is_infinite_and_judged(session: Session) -> None:
    (reason,) = session.predict({**ROW, "radius": 1e300}).reasons
    assert (reason.code, reason.value) == (ReasonCode.NOT_FINITE, np.inf)


def test_missing_value_takes_what_the_policy_says_for_it(table: Table) -> None:
    features = (
        FeatureRule("a", -5, 5, missing=Missing(becomes=2.0)),
        FeatureRule("b", -5, 5, missing=Missing(becomes=3.0, value=-1.0)),
        FeatureRule("c", -5, 5),
    )
    with table("float32", *features) as session:
        answer = session.predict({"a": [None, float("nan"), 1], "b": [None, 1, -1], "c": [1, 1, 1]})
        assert (answer.verdict, answer.outputs["y"].tolist()) == (Verdict.ACCEPT, [[2, 3, 1], [2, 1, 1], [1, 3, 1]])
        assert session.predict({"a": None, "b": None, "c": 1}).outputs["y"].tolist() == [[2, 3, 1]]
        assert session.predict({"a": 1, "b": float("nan"), "c": 1}).verdict is Verdict.REJECT


def test_columns_of_integers_take_whole_numbers_of_any_type(table: Table) -> None:
    features = (FeatureRule("a"), FeatureRule("b", missing=Missing(becomes=7, value=-1)))
    with table("int8", *features) as session:
        for given in (3, 3.0, np.uint64(3), True + 2):
            assert session.predict({"a": given, "b": None}).outputs["y"].tolist() == [[3, 7]]
        for wrong in (3.5, 128, -129, 2.0**70, float("nan"), float("inf"), [1, 200]):
            with pytest.raises(ValueError, match=r"column 'a': .* is no int8"):
                session.predict({"a": wrong, "b": [1, 1] if isinstance(wrong, list) else 1})
        for wrong in (None, "1"):
            with pytest.raises(TypeError, match=r"column 'a': expected int8, got (None|'1')"):
                session.predict({"a": wrong, "b": 1})


@pytest.mark.parametrize(("dtype", "most"), [("int64", 2**63 - 1), ("uint64", 2**64 - 1)])
def test_greatest_integers_keep_every_bit(table: Table, dtype: str, most: int) -> None:
    with table(dtype, FeatureRule("a"), FeatureRule("b")) as session:
        assert session.predict({"a": most, "b": [1][0]}).outputs["y"].tolist() == [[most, 1]]
        for wrong in (most + 1, float(most)):
            with pytest.raises((ValueError, TypeError), match="column 'a'"):
                session.predict({"a": wrong, "b": 1})


def test_missing_value_beside_great_integers_leaves_them_every_bit(table: Table) -> None:
    features = (FeatureRule("a", missing=Missing(value=-1)), FeatureRule("b"))
    great = 2**53 + 1
    with table("int64", *features) as session:
        for given in ([great, None], np.array([great, None], object), [great, -1.0], (np.int64(great), np.float32(-1))):
            assert session.predict({"a": given, "b": [1, 2]}).outputs["y"].tolist() == [[great, 1], [-1, 2]]
        for wrong in ([great, "1"], [great, [1]], [great, 1j]):
            with pytest.raises(TypeError, match="column 'a': expected int64, got "):
                session.predict({"a": wrong, "b": [1, 2]})
    with table("uint64", FeatureRule("a"), FeatureRule("b")) as session:
        assert session.predict({"a": [2**63 + 1, 5], "b": [1, 2]}).outputs["y"].tolist() == [[2**63 + 1, 1], [5, 2]]


def test_columns_of_booleans_take_nothing_else(table: Table) -> None:
    with table("bool", FeatureRule("a"), FeatureRule("b")) as session:
        given = {"a": [True, False], "b": np.array([False, False])}
        assert session.predict(given).outputs["y"].tolist() == [[True, False], [False, False]]
        with pytest.raises(TypeError, match="column 'a': expected bool, got 1"):
            session.predict({"a": 1, "b": True})


def test_columns_of_strings(table: Table) -> None:
    with table("string", FeatureRule("a"), FeatureRule("b"), golden="g") as session:
        given = {"a": ["x", "yy"], "b": np.array(["z", "東"])}
        assert session.predict(given).outputs["y"].tolist() == [["x", "z"], ["yy", "東"]]
        assert session.predict({"a": "one row", "b": b"too"}).outputs["y"].tolist() == [["one row", "too"]]
        for wrong in (None, 3):
            with pytest.raises(TypeError, match=r"element \[0, 1\] is (NoneType|int), expected str or bytes"):
                session.predict({"a": "x", "b": wrong})


def test_columns_without_a_row_are_a_rejected_call(session: Session) -> None:
    assert session.predict({"radius": [], "texture": [], "area": []}).verdict is Verdict.REJECT


def test_name_of_the_input_goes_before_those_of_columns(linear_bundle: Path) -> None:
    with load(linear_bundle) as session:
        assert session.predict({"x": np.array([[1, 2, 3]], np.float32)}).outputs["y"].tolist() == ANSWER


def test_model_of_two_inputs_takes_no_columns(tmp_path: Path) -> None:
    with (
        load(save_identities(tmp_path / "m.onnx", [2, 2])) as session,
        pytest.raises(ValueError, match=r"missing: x0, x1; unknown: a; the model has: x0, x1$"),
    ):
        session.predict({"a": 1})


def test_array_with_a_mask_is_refused_by_name_and_other_subclasses_are_arrays(session: Session) -> None:
    row = np.array([[1, 2, 3]], np.float32)
    masked = np.ma.masked_array(row, mask=[[0, 1, 0]])
    for given in (masked, {"x": masked}):
        with pytest.raises(TypeError, match=r"input 'x': expected an array without a mask, got MaskedArray; .*filled"):
            session.predict(given)
    for column in (np.ma.masked_array([1, 2], mask=[0, 1]), np.ma.masked):
        with pytest.raises(TypeError, match="column 'radius': expected an array without a mask, got Masked"):
            session.predict({"radius": column, "texture": 2, "area": 3})
    for kind in (np.matrix, np.recarray):
        assert session.predict(row.view(kind)).outputs["y"].tolist() == ANSWER
    assert session.snapshot().calls == 2


# ---- Keys ----


@pytest.fixture
def keyed(linear_model: Path, linear_policy: Policy, tmp_path: Path) -> Iterator[Session]:
    policy = Policy(
        1,
        True,
        linear_policy.inputs,
        (OutputRule("y", "float32", (-1, 2)),),
        decision=Decision(last_good=LastGood(60.0)),
        fallback=(FallbackRule(("last_good", "reject")),),
    )
    golden = {"x": np.ones((1, 3), np.float32)}
    with load(write_bundle(tmp_path / "keyed.erai", linear_model, policy, golden)) as session:
        yield session


GOOD, BAD = np.array([[1, 2, 3]], np.float32), np.full((1, 3), np.nan, np.float32)


@pytest.mark.parametrize("key", ["ann", b"ann", 7, "東京", "x" * 64, np.int64(-3)])
def test_key_of_every_kind_gets_its_own_last_good_answer(keyed: Session, key: Any) -> None:
    keyed.predict(GOOD, key=key)
    answer = keyed.predict(BAD, key=key)
    assert (answer.source, answer.outputs["y"].tolist()) == (Source.LAST_GOOD, ANSWER)
    for other in ("bob", b"an", 70, None, ""):
        answer = keyed.predict(BAD, key=other)
        assert answer.source is Source.NONE
        assert np.isnan(answer.outputs["y"]).all()


def test_integer_key_is_its_decimal_text(keyed: Session) -> None:
    keyed.predict(GOOD, key=-12)
    assert keyed.predict(BAD, key="-12").source is Source.LAST_GOOD


def test_bytes_of_any_kind_are_one_key_and_not_one_a_row(keyed: Session) -> None:
    for number, kind in enumerate((bytes, bytearray, memoryview)):
        keyed.predict(GOOD, key=kind(b"ab%d" % number))
        for key in (kind(b"ab%d" % number), f"ab{number}", [kind(b"ab%d" % number)] * 3):
            answer = keyed.predict(np.repeat(BAD, 3, axis=0), key=key)
            assert answer.row_sources.tolist() == [Source.LAST_GOOD] * 3


@pytest.mark.parametrize("make", [list, tuple, lambda keys: np.array(keys, object)])
def test_one_key_a_row(keyed: Session, make: Callable[[list[Any]], Any]) -> None:
    keyed.predict(np.concatenate([GOOD, GOOD + 1, GOOD + 2]), key=make(["a", b"b", None]))
    answer = keyed.predict(np.repeat(BAD, 4, axis=0), key=make(["b", "a", None, "c"]))
    assert answer.row_sources.tolist() == [Source.LAST_GOOD, Source.LAST_GOOD, Source.NONE, Source.NONE]
    assert answer.outputs["y"][:2].tolist() == [[16.5, 21.0], [12.0, 15.0]]


def test_keys_that_do_not_fit_are_a_value_error_and_leave_nothing_behind(keyed: Session) -> None:
    keyed.predict(GOOD, key="a")
    for key, message in (
        (["a", "b"], "2 keys for 1 rows; expected one for all, or one a row"),
        ([], "0 keys for 1 rows"),
        ("x" * 65, "65 bytes; at most 64 are allowed"),
        ("é" * 33, "66 bytes"),
    ):
        with pytest.raises(ValueError, match=message):
            keyed.predict(BAD, key=key)
    with pytest.raises(ValueError, match="1 keys for 2 rows"):
        keyed.predict(np.repeat(BAD, 2, axis=0), key=["a"])
    for wrong in (1.5, [1.5], [True], {"a"}, object(), np.array("a"), np.array(7), np.array([["a"]])):
        with pytest.raises(TypeError, match=r"expected str, bytes"):
            keyed.predict(BAD, key=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected float32"):
        keyed.predict(BAD.astype(np.float64), key="a")
    assert keyed.predict(BAD).source is Source.NONE  # that key was of the call that failed


def test_keys_of_a_call_whose_shape_is_refused_are_no_error(keyed: Session) -> None:
    for shape in ((3, 2), (2, 3, 1), (3,)):
        answer = keyed.predict(np.ones(shape, np.float32), key=["a", "b", "c"][: shape[0]])
        assert answer.verdict is Verdict.REJECT


def test_inputs_of_one_column_each_take_values_by_name(tmp_path: Path) -> None:
    given = [
        helper.make_tensor_value_info("city", TensorProto.STRING, ["N", 1]),
        helper.make_tensor_value_info("age", TensorProto.FLOAT, ["N", 1]),
    ]
    gives = [
        helper.make_tensor_value_info("place", TensorProto.STRING, ["N", 1]),
        helper.make_tensor_value_info("years", TensorProto.FLOAT, ["N", 1]),
    ]
    nodes = [helper.make_node("Identity", ["city"], ["place"]), helper.make_node("Identity", ["age"], ["years"])]
    model = helper.make_model(helper.make_graph(nodes, "g", given, gives), ir_version=8)
    model.opset_import[0].version = 17
    onnx.save(model, tmp_path / "m.onnx")
    with load(tmp_path / "m.onnx") as session:
        answer = session.predict({"age": 40, "city": "Graz"})
        assert (answer.outputs["place"].tolist(), answer.outputs["years"].tolist()) == ([["Graz"]], [[40.0]])
        answer = session.predict({"age": [40, 41.5], "city": ["Graz", "Wien"]})
        assert answer.outputs["years"].tolist() == [[40.0], [41.5]]
        with pytest.raises(TypeError, match="column 'age': expected float32, got 'old'"):
            session.predict({"age": "old", "city": "Graz"})


def test_missing_values_of_inputs_of_one_column_each_are_what_the_policy_says(tmp_path: Path) -> None:
    types = {
        "a": ("float32", TensorProto.FLOAT),
        "b": ("int64", TensorProto.INT64),
        "c": ("float32", TensorProto.FLOAT),
    }
    missing = {"a": Missing(becomes=3.0), "b": Missing(becomes=4.0, value=-9.0), "c": Missing(becomes=5.0, value=-1.0)}
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", [name], [f"{name}y"]) for name in types],
        [(name, onnx_type, ["N", 1]) for name, (_, onnx_type) in types.items()],
        [(f"{name}y", onnx_type, ["N", 1]) for name, (_, onnx_type) in types.items()],
    )
    policy = Policy(
        1,
        True,
        tuple(
            InputRule(
                name, dtype, (-1, 1), (9, 1), features=(FeatureRule(f"{name} as told", -99, 99, missing=missing[name]),)
            )
            for name, (dtype, _) in types.items()
        ),
        tuple(OutputRule(f"{name}y", dtype, (-1, 1)) for name, (dtype, _) in types.items()),
    )
    ones = {name: np.ones((1, 1), dtype) for name, (dtype, _) in types.items()}
    with load(write_bundle(tmp_path / "m.erai", model, policy, ones)) as session:
        answer = session.predict({"a": None, "b": None, "c": None})
        assert (answer.verdict, [array.item() for array in answer.outputs.values()]) == (Verdict.ACCEPT, [3.0, 4, 5.0])
        answer = session.predict({"a": [1, None], "b": [None, 2], "c": [7, None]})
        assert [array.ravel().tolist() for array in answer.outputs.values()] == [[1, 3], [4, 2], [7, 5]]
        (tmp_path / "rows.csv").write_text("a,b,c\n,2,\n8,,6\n")
        answer = session.predict(read_rows(tmp_path / "rows.csv", session))
        assert [array.ravel().tolist() for array in answer.outputs.values()] == [[3, 8], [2, 4], [5, 6]]
