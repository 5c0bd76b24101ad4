from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_rai import InferenceError, InputRejectedError, ReasonCode, Session, Source, Verdict, load
from edge_rai.policy import FeatureRule, InputRule, OutputRule, Policy
from support.bundles import write_bundle
from support.children import run_python
from support.models import FLOAT, reference_run, save, save_identities

ROWS = np.linspace(-3, 3, 12, dtype=np.float32).reshape(4, 3)
DEFAULT = [0.25, 0.75]


@pytest.fixture
def session(linear_bundle: Path):
    with load(linear_bundle) as opened:
        yield opened


def outputs_of(model: Path, values: np.ndarray) -> np.ndarray:
    return reference_run(model, {"x": values})["y"]


# ---- Rows ----


def test_clean_rows_are_answered_as_the_bare_runtime_does(session: Session, linear_model: Path) -> None:
    answer = session.predict(ROWS)
    assert (answer.verdict, answer.source, answer.reasons) == (Verdict.ACCEPT, Source.PRIMARY, ())
    assert answer.row_verdicts.tolist() == answer.row_sources.tolist() == [0, 0, 0, 0]
    assert answer.outputs["y"].tobytes() == outputs_of(linear_model, ROWS).tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 10.000001, -11.0])
@pytest.mark.parametrize("row", [0, 2, 3])
def test_bad_row_costs_that_row_alone(session: Session, bad: float, row: int) -> None:
    clean = session.predict(ROWS).outputs["y"]
    values = ROWS.copy()
    values[row, 1] = bad
    answer = session.predict(values)
    others = np.arange(4) != row
    assert answer.outputs["y"][others].tobytes() == clean[others].tobytes()
    assert answer.outputs["y"][row].tolist() == DEFAULT
    assert answer.row_verdicts.tolist() == (~others * Verdict.REJECT).tolist()
    assert answer.row_sources.tolist() == (~others * Source.DEFAULT).tolist()
    assert (answer.verdict, answer.source) == (Verdict.REJECT, Source.DEFAULT)
    (reason,) = answer.reasons
    assert (reason.subject, reason.row, reason.element) == ("texture", row, 1)
    assert reason.value == np.float32(bad) or np.isnan(reason.value)


def test_limits_are_inclusive(session: Session) -> None:
    values = np.array([[10, -10, 10]], np.float32)
    assert session.predict(values).verdict is Verdict.ACCEPT
    values[0, 2] = np.nextafter(np.float32(10), np.float32(11))
    (reason,) = session.predict(values).reasons
    assert (reason.code, reason.subject, reason.limit) == (ReasonCode.ABOVE_RANGE, "area", 10)


def test_rejected_row_without_a_default_is_nan_and_nobody_answered_it(linear_model: Path) -> None:
    values = ROWS.copy()
    values[1] = np.nan
    with load(linear_model) as session:
        answer = session.predict(values)
    assert np.isnan(answer.outputs["y"][1]).all()
    assert np.isfinite(answer.outputs["y"][[0, 2, 3]]).all()
    assert answer.row_sources.tolist() == [0, Source.NONE, 0, 0]


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1), (4, 0), (2000, 3), (), (1,) * 9, (2**31 - 1, 0)])
def test_first_call_of_a_refused_shape_is_an_answer_of_the_declared_shape(session: Session, shape: tuple[int]) -> None:
    answer = session.predict(np.ones(shape, np.float32))
    believed = shape[0] if len(shape) == 2 and 1 <= shape[0] <= 1024 and 0 not in shape else 1
    if shape == (2000, 3):
        believed = 1
    assert answer.verdict is Verdict.REJECT
    assert answer.outputs["y"].tolist() == [DEFAULT] * answer.rows
    assert answer.row_verdicts.tolist() == [Verdict.REJECT] * answer.rows
    (reason,) = answer.reasons
    assert (reason.subject, reason.row) == ("x", -1)
    assert reason.code is (ReasonCode.SHAPE if len(shape) == 2 else ReasonCode.RANK)
    assert answer.rows == believed


def test_shape_reason_names_axis_extent_and_limit(session: Session) -> None:
    for shape, expected in (((2, 4), (4, 3, 1)), ((2000, 3), (2000, 1024, 0)), ((4, 0), (0, 3, 1))):
        (reason,) = session.predict(np.zeros(shape, np.float32)).reasons
        assert (reason.value, reason.limit, reason.element) == expected


def test_all_rows_rejected_gives_answers_before_and_after_the_first_run(session: Session) -> None:
    bad = np.full((2, 3), np.nan, np.float32)
    for rows in (bad, bad, ROWS, bad, np.full((7, 3), 99, np.float32), ROWS[:1]):
        answer = session.predict(rows)
        assert answer.outputs["y"].shape == (len(rows), 2)
        assert (answer.outputs["y"] == DEFAULT).all() == (answer.verdict is Verdict.REJECT)


def test_model_does_not_run_when_every_row_is_rejected(tmp_path: Path) -> None:
    indices = helper.make_node("Cast", ["x"], ["at"], to=TensorProto.INT64)
    gather = helper.make_node("Gather", ["table", "at"], ["y"])
    table = {"table": np.arange(4, dtype=np.float32)}
    model = save(tmp_path / "m.onnx", [indices, gather], [("x", FLOAT, ["N"])], [("y", FLOAT, ["N"])], table)
    policy = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1,), (9,), features=(FeatureRule("x", 0, 8),)),),
        (OutputRule("y", "float32", (-1,)),),
    )
    bundle = write_bundle(tmp_path / "b.erai", model, policy, {"x": np.array([1], np.float32)})
    with load(bundle) as session:
        with pytest.raises(InferenceError, match="indices element out of data bounds"):
            session.predict(np.array([7], np.float32))
        assert session.predict(np.array([9], np.float32)).source is Source.NONE
        assert session.predict(np.array([3], np.float32)).outputs["y"].tolist() == [3]
        snapshot = session.snapshot()
    assert (snapshot.errors, snapshot.calls, snapshot.rows) == (1, 2, 2)


def test_flagged_row_is_answered_by_the_model(linear_model: Path, linear_policy: Policy, tmp_path: Path) -> None:
    rule = linear_policy.inputs[0]
    flagging = InputRule(**{**{name: getattr(rule, name) for name in rule.__slots__}, "out_of_range": "flag"})
    policy = Policy(1, True, (flagging,), linear_policy.outputs)
    bundle = write_bundle(tmp_path / "b.erai", linear_model, policy, {"x": ROWS})
    values = ROWS.copy()
    values[1, 0], values[2, 0] = 50, np.inf
    with load(bundle) as session:
        answer = session.predict(values)
        flagged_only = session.predict(values[:2])
    assert answer.row_verdicts.tolist() == [Verdict.ACCEPT, Verdict.FLAG, Verdict.REJECT, Verdict.ACCEPT]
    assert answer.outputs["y"][:2].tobytes() == outputs_of(linear_model, values)[:2].tobytes()
    assert (flagged_only.verdict, flagged_only.source) == (Verdict.FLAG, Source.PRIMARY)


def test_output_that_is_not_finite_rejects_its_row_and_stays_where_no_rule_has_an_answer(tmp_path: Path) -> None:
    model = save(
        tmp_path / "log.onnx",
        [helper.make_node("Log", ["x"], ["y"])],
        [("x", FLOAT, ["N", 2])],
        [("y", FLOAT, ["N", 2])],
    )
    with load(model) as session:
        answer = session.predict(np.array([[1, 1], [1, -1], [0, 1]], np.float32))
    assert answer.row_verdicts.tolist() == [0, 2, 2]
    assert [(reason.code, reason.row, reason.element) for reason in answer.reasons] == [
        (ReasonCode.OUTPUT_NOT_FINITE, 1, 1),
        (ReasonCode.OUTPUT_NOT_FINITE, 2, 0),
    ]
    assert answer.reasons[1].value == -np.inf
    assert np.array_equal(answer.outputs["y"], [[0, 0], [0, np.nan], [-np.inf, 0]], equal_nan=True)


# ---- What is the caller's fault ----


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16", "complex64", "object", "U3", "M8[s]", "i4,f4"])
def test_other_dtypes_are_a_type_error_that_says_what_to_do(session: Session, dtype: str) -> None:
    for values in (np.zeros((1, 3), dtype), {"x": np.zeros((1, 3), dtype)}):
        with pytest.raises(TypeError, match=r"input 'x': expected float32, got .*astype\(numpy.float32\)"):
            session.predict(values)


@pytest.mark.parametrize("values", [[[1.0, 2.0, 3.0]], None, 1.0, "x", {"x": [1.0, 2.0, 3.0]}, {"x": None}])
def test_anything_but_an_array_is_a_type_error(session: Session, values: object) -> None:
    with pytest.raises(TypeError, match="expected a numpy array of float32"):
        session.predict(values)  # type: ignore[arg-type]


def test_names_that_do_not_fit_are_a_value_error_that_lists_the_models(session: Session) -> None:
    with pytest.raises(ValueError, match="missing: x; the model has: x"):
        session.predict({})
    with pytest.raises(ValueError, match="unknown: z; the model has: x"):
        session.predict({"x": ROWS, "z": ROWS})
    assert session.predict({"x": ROWS}).verdict is Verdict.ACCEPT


def test_array_for_a_model_of_two_inputs_is_a_type_error(tmp_path: Path) -> None:
    with load(save_identities(tmp_path / "m.onnx", [1, 1])) as session, pytest.raises(TypeError, match="x0, x1"):
        session.predict(np.zeros(3, np.float32))


def test_strict_raises_and_says_why(session: Session) -> None:
    values = ROWS.copy()
    values[1, 0] = 99
    with pytest.raises(InputRejectedError, match=r"row 1: radius above range: 99 \(limit 10\)"):
        session.predict(values, strict=True)
    assert session.predict(ROWS, strict=True).verdict is Verdict.ACCEPT
    assert session.snapshot().rows_by_verdict.tolist() == [7, 0, 1]


def test_closed_session_says_so(linear_bundle: Path, tmp_path: Path) -> None:
    session = load(linear_bundle, spool=tmp_path / "spool")
    session.predict(ROWS)
    session.close()
    session.close()
    for use in (lambda: session.predict(ROWS), session.flush, session.snapshot, session.drift):
        with pytest.raises(ValueError, match="session is closed"):
            use()


def test_negative_threads_are_a_value_error(linear_model: Path) -> None:
    with pytest.raises(ValueError, match="threads is -1"):
        load(linear_model, threads=-1)


# ---- Counting ----


def test_snapshot_counts_rows_reasons_and_calls(session: Session) -> None:
    values = ROWS.copy()
    values[0, 0], values[0, 1], values[2, 2] = np.nan, 99, -99
    session.predict(values)
    session.predict(ROWS)
    session.predict(np.ones((2, 2), np.float32))
    with pytest.raises(TypeError):
        session.predict(np.zeros((1, 3)))
    snapshot = session.snapshot()
    assert (snapshot.calls, snapshot.errors) == (3, 0)
    assert snapshot.rows_by_verdict.tolist() == [6, 0, 4]
    assert snapshot.rows_by_source.tolist() == [6, 0, 0, 4, 0, 0]
    assert {ReasonCode(code).name: int(n) for code, n in enumerate(snapshot.reasons) if n} == {
        "NOT_FINITE": 1,
        "ABOVE_RANGE": 1,
        "BELOW_RANGE": 1,
        "SHAPE": 1,
    }
    assert int(snapshot.latency.sum()) == 3
    assert [feature.not_finite for feature in snapshot.features] == [1, 0, 0]
    assert [int(feature.histogram.sum()) for feature in snapshot.features] == [7, 8, 8]


def test_drift_shows_a_shifted_feature(session: Session) -> None:
    generator = np.random.default_rng(0)
    values = generator.choice([-2, 0, 1, 3], size=(1000, 3), p=[0.2, 0.3, 0.3, 0.2]).astype(np.float32)
    session.predict(values)
    assert all(feature.psi < 0.05 for feature in session.drift())
    values[:, 1] += 3
    session.predict(values)
    by_name = {feature.name: feature.psi for feature in session.drift()}
    assert by_name["texture"] > 0.25 > 0.05 > max(by_name["radius"], by_name["area"])


def test_drift_report_is_a_sequence_a_sentence_and_a_page_of_one_window(session: Session) -> None:
    session.predict(ROWS)
    report = session.drift()
    session.predict(ROWS)  # after it was made
    assert [feature.name for feature in report] == ["radius", "texture", "area"]
    assert report[0] == report[:1][0]
    assert len(report) == 3
    assert report.window.rows == len(ROWS)
    assert str(report) == "Nothing is watched: the policy has no [drift]."
    page = report.html("Drift of <this>").decode()
    assert "Drift of &lt;this&gt;" in page
    assert f"{len(ROWS)} row" in page
    assert all(feature.name in page for feature in report)


def test_session_without_a_reference_has_no_drift(linear_model: Path) -> None:
    with load(linear_model) as session:
        session.predict(ROWS)
        assert len(session.drift()) == 0


def test_flush_without_a_spool_says_what_to_give(session: Session) -> None:
    with pytest.raises(ValueError, match="give a spool directory"):
        session.flush()


def test_loading_and_predicting_import_no_heavy_package(linear_bundle: Path) -> None:
    code = textwrap.dedent(
        """
        import sys, numpy, edge_rai
        edge_rai.load(sys.argv[1]).predict(numpy.zeros((1, 3), numpy.float32))
        heavy = {"onnxruntime", "onnx", "pydantic", "google.protobuf", "opentelemetry", "sqlite3", "rich"}
        print(sorted(heavy & set(sys.modules)))
        """
    )
    child = run_python(code, linear_bundle)
    assert (child.returncode, child.stdout) == (0, "[]\n"), child.stderr


def test_file_name_that_is_not_utf8(linear_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "mod\udce9le.onnx"
    path.write_bytes(linear_model.read_bytes())
    with load(path, spool=tmp_path / "sp\udce9ol") as session:
        assert session.predict(ROWS).verdict is Verdict.ACCEPT
        assert (tmp_path / "sp\udce9ol" / session.flush()).is_file()
