"""TFLite models in bundles: under a policy, beside ONNX models, and with integers at their edges."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edge_rai import BundleError, IntegrityError, ProviderError, ReasonCode, Source, StoppedError, Verdict, load
from edge_rai.policy import Decision, FallbackRule, FeatureRule, InputRule, OutputRule, Policy
from support import litert_models as models
from support.bundles import read_tree, seal, write_bundle, write_tree
from support.children import run_python
from support.litert_models import BIAS, WEIGHTS, interpreter_run
from support.models import FLOAT, save

ROWS = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)
ANSWERS = ROWS @ WEIGHTS.T + BIAS


def policy(decision: Decision | None = None, fallback: tuple[FallbackRule, ...] = (), highest: float = 100) -> Policy:
    """(rows, 3) "x" within -10 and 10 to (rows, 2) "y" of at most ``highest``, and -1 by default."""
    features = tuple(FeatureRule(f"x{i}", -10, 10) for i in range(3))
    return Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 3), (1000, 3), feature_axis=1, features=features),),
        (OutputRule("y", "float32", (-1, 2), default=(-1.0,), range=(-100.0, highest)),),
        decision=decision,
        fallback=fallback,
    )


def onnx_model(path: Path, scale: float = 1) -> Path:
    """``models.linear`` times a number."""
    constants = {"w": WEIGHTS.T * np.float32(scale), "b": BIAS * np.float32(scale)}
    return save(
        path,
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        [("x", FLOAT, ["N", 3])],
        [("y", FLOAT, ["N", 2])],
        constants,
    )


def tflite_model(path: Path, **traits: Any) -> Path:
    path.write_bytes(models.linear(**traits))
    return path


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """One network in two formats."""
    sources = onnx_model(tmp_path / "m.onnx"), tflite_model(tmp_path / "m.tflite")
    return write_bundle(tmp_path / "both.erai", sources, policy(), {"x": ROWS}, atol=1e-5)


def test_bundle_of_two_formats_runs_the_one_asked_for_and_onnx_by_default(both: Path) -> None:
    for runtime, expected in ((None, "onnxruntime"), ("onnxruntime", "onnxruntime"), ("litert", "litert")):
        session = load(both, runtime=runtime)
        assert session.runtime == expected
        np.testing.assert_allclose(session.predict(ROWS).outputs["y"], ANSWERS, rtol=1e-6)


def test_bundle_of_two_formats_runs_what_is_installed(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERAI_ONNXRUNTIME", "/nowhere/libonnxruntime.so")
    session = load(both)
    assert session.runtime == "litert"
    np.testing.assert_allclose(session.predict(ROWS).outputs["y"], ANSWERS, rtol=1e-6)


def test_runtime_is_the_one_that_has_the_required_delegate(both: Path, tmp_path: Path) -> None:
    session = load(both, provider="XNNPACK")
    assert session.runtime == "litert"
    np.testing.assert_allclose(session.predict(ROWS).outputs["y"], ANSWERS, rtol=1e-6)
    sources = onnx_model(tmp_path / "m.onnx"), tflite_model(tmp_path / "m.tflite")
    required = policy(Decision(provider="XNNPACK"))
    assert load(write_bundle(tmp_path / "r.erai", sources, required, {"x": ROWS}, atol=1e-5)).runtime == "litert"
    assert load(both, provider="CPUExecutionProvider").runtime == "onnxruntime"


def test_provider_that_no_runtime_has_is_refused_in_the_words_of_both(both: Path) -> None:
    with pytest.raises(
        ProviderError, match=r"NpuProvider was asked for and this ONNX .*; and .*no delegate that LiteRT"
    ):
        load(both, provider="NpuProvider")
    with pytest.raises(ProviderError, match="XNNPACK was asked for and this ONNX Runtime .* has .*CPUExec") as refused:
        load(both, provider="XNNPACK", runtime="onnxruntime")
    assert "LiteRT" not in str(refused.value)


@pytest.mark.parametrize("fallback", ["onnx", "tflite", "both"])
def test_delegate_is_required_of_a_fallback_model_of_the_same_format_alone(tmp_path: Path, fallback: str) -> None:
    first = tflite_model(tmp_path / "m.tflite")
    seconds = {"onnx": onnx_model(tmp_path / "f.onnx", 0), "tflite": tflite_model(tmp_path / "f.tflite")}
    rules = policy(Decision(provider="XNNPACK"), (FallbackRule(("model",)),), highest=4)
    bundle = write_bundle(
        tmp_path / "m.erai",
        first,
        rules,
        {"x": ROWS},
        fallback=[*seconds.values()] if fallback == "both" else seconds[fallback],
        golden_outputs={"y": ANSWERS},
    )
    answer = load(bundle).predict(ROWS)
    (replaced,) = np.nonzero(answer.row_sources != Source.PRIMARY)
    assert len(replaced) > 0
    expected = 0 * BIAS if fallback == "onnx" else np.full(2, np.nan, np.float32)  # which is as high again
    np.testing.assert_array_equal(answer.outputs["y"][replaced], np.tile(expected, (len(replaced), 1)))


WITHOUT_RUNTIMES = """
import os, sys
for name in ("ai_edge_litert", "tflite_runtime"):
    sys.modules[name] = None
os.environ["ERAI_ONNXRUNTIME"] = "/nowhere/libonnxruntime.so"
import edge_rai
try:
    edge_rai.load(sys.argv[1])
except edge_rai.RuntimeMissingError as error:
    print(error)
"""


def test_bundle_that_nothing_here_runs_names_both_runtimes(both: Path) -> None:
    said = run_python(WITHOUT_RUNTIMES, both).stdout
    assert "ONNX Runtime was not found" in said
    assert "; and models/model.tflite is a TFLite model, and LiteRT is not installed" in said
    assert said.count("pip install") == 2
    assert said.endswith("pip install ai-edge-litert\n")


def test_model_that_keeps_state_is_not_opened_for_rows(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.running_sum())
    model = tmp_path / "m.tflite"

    def rules(*, batched: bool, most: int) -> Policy:
        shape = (-1, 2) if batched else (1, 2)
        given = InputRule("x", "float32", shape, (most, 2), features=(FeatureRule("x", -9, 9),))
        return Policy(1, batched, (given,), (OutputRule("y", "float32", shape),))

    row = np.ones((1, 2), np.float32)
    golden: dict[str, Any] = {"golden_outputs": {"y": row}}
    refused = write_bundle(tmp_path / "r.erai", model, rules(batched=True, most=100), {"x": row}, **golden)
    with pytest.raises(BundleError, match="keeps state from call to call and takes one row, and the policy allows 100"):
        load(refused)
    for batched in (True, False):
        bundle = write_bundle(tmp_path / "m.erai", model, rules(batched=batched, most=1), {"x": row}, **golden)
        session = load(bundle)
        assert [session.predict(row).outputs["y"].tolist() for _ in range(2)] == [[[1, 1]], [[2, 2]]]


def test_onnx_model_of_one_row_runs_rows_one_by_one_as_litert_does(tmp_path: Path) -> None:
    constants = {"w": WEIGHTS.T, "b": BIAS}
    gemm = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    model = save(tmp_path / "m.onnx", gemm, [("x", FLOAT, [1, 3])], [("y", FLOAT, [1, 2])], constants)
    bundle = write_bundle(tmp_path / "m.erai", model, policy(), {"x": ROWS[:1]}, atol=1e-5)
    rows = ROWS.copy()
    rows[2, 1] = np.nan
    for session in (load(model), load(bundle), load(tflite_model(tmp_path / "m.tflite", free=False))):
        assert session.batched
        for given in (ROWS, ROWS[:1], ROWS[:3]):
            np.testing.assert_allclose(session.predict(given).outputs["y"], ANSWERS[: len(given)], rtol=1e-6)
        answer = session.predict(rows)
        assert answer.row_verdicts.tolist() == [0, 0, 2, 0]
        np.testing.assert_allclose(answer.outputs["y"][[0, 1, 3]], ANSWERS[[0, 1, 3]], rtol=1e-6)


def test_snapshot_names_the_model_that_answered(both: Path) -> None:
    files = read_tree(both)
    for runtime, path in (("onnxruntime", "models/model.onnx"), ("litert", "models/model.tflite")):
        assert load(both, runtime=runtime).snapshot().model_digest == hashlib.sha256(files[path]).hexdigest()


@pytest.mark.parametrize(("primary", "fallback"), [("tflite", "onnx"), ("onnx", "tflite"), ("tflite", "tflite")])
def test_fallback_model_may_be_of_another_format(tmp_path: Path, primary: str, fallback: str) -> None:
    made = {
        "tflite": lambda path, scale: tflite_model(path, weights=WEIGHTS * scale),
        "onnx": lambda path, scale: onnx_model(path, scale),
    }
    first = made[primary](tmp_path / f"m.{primary}", 1)
    second = made[fallback](tmp_path / f"f.{fallback}", 0)
    rules = policy(fallback=(FallbackRule(("model",)),), highest=4)
    bundle = write_bundle(
        tmp_path / "m.erai", first, rules, {"x": ROWS}, fallback=second, golden_outputs={"y": ANSWERS}
    )
    answer = load(bundle).predict(ROWS)
    too_high = (ANSWERS > 4).any(1)
    assert too_high.any()
    assert not too_high.all()
    sources = np.where(too_high, Source.FALLBACK_MODEL, Source.PRIMARY)
    assert answer.row_sources.tolist() == sources.tolist()
    bias = BIAS if fallback == "tflite" else 0 * BIAS
    np.testing.assert_allclose(answer.outputs["y"], np.where(too_high[:, None], bias, ANSWERS), rtol=1e-5)


def test_inputs_and_outputs_are_matched_by_name(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.difference(swapped=True))
    rules = Policy(
        1,
        True,
        tuple(InputRule(n, "float32", (-1, 2), (100, 2), features=(FeatureRule(n, -10, 10),)) for n in "pq"),
        (OutputRule("d", "float32", (-1, 2)),),
    )
    given = {"p": ROWS[:, :2], "q": ROWS[::-1, 1:]}
    bundle = write_bundle(
        tmp_path / "m.erai", tmp_path / "m.tflite", rules, given, golden_outputs={"d": given["p"] - given["q"]}
    )
    session = load(bundle)
    assert [spec.name for spec in session.inputs] == ["p", "q"]
    np.testing.assert_allclose(session.predict(given).outputs["d"], given["p"] - given["q"])


def test_model_with_other_names_than_the_policys_is_refused(tmp_path: Path) -> None:
    model = tflite_model(tmp_path / "m.tflite", names=("features", "scores"))
    bundle = write_bundle(tmp_path / "m.erai", model, policy(), {"x": ROWS}, golden_outputs={"y": ANSWERS})
    with pytest.raises(BundleError, match="the model has no input 'x', which the guard program has"):
        load(bundle)


@pytest.mark.parametrize("free", [True, False], ids=["one call for all rows", "row by row"])
def test_call_without_a_row_is_answered_where_the_policy_allows_it(tmp_path: Path, free: bool) -> None:
    model = tflite_model(tmp_path / "m.tflite", free=free)
    rules = policy()
    rules = replace(rules, inputs=(replace(rules.inputs[0], empty=True),))
    bundle = write_bundle(tmp_path / "m.erai", model, rules, {"x": ROWS}, golden_outputs={"y": ANSWERS}, atol=1e-5)
    session = load(bundle)
    for rows in (0, 4, 0):
        answer = session.predict(ROWS[:rows])
        assert answer.verdict is Verdict.ACCEPT
        np.testing.assert_allclose(answer.outputs["y"], ANSWERS[:rows], rtol=1e-6)


# ---- Integers at the edges ----


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """int8 to uint8 in the file, float32 in the policy."""
    (tmp_path / "m.tflite").write_bytes(models.requantized())
    rules = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 4), (100, 4), features=(FeatureRule("x", -20, 20),)),),
        (OutputRule("y", "float32", (-1, 4), default=(-1.0,)),),
    )
    rows = np.array([[0, 0.5, -3.5, 1.25]], np.float32)
    return write_bundle(
        tmp_path / "q.erai", tmp_path / "m.tflite", rules, {"x": rows}, golden_outputs={"y": np.round(rows * 2) / 2}
    )


def test_floats_are_quantized_on_their_way_in_and_out(quantized: Path) -> None:
    session = load(quantized)
    rows = np.random.default_rng(0).uniform(-15, 15, (50, 4)).astype(np.float32)
    answer = session.predict(rows)
    assert answer.outputs["y"].dtype == np.float32
    np.testing.assert_array_equal(answer.outputs["y"], np.round(rows * 2) / 2)


def test_nan_that_integers_cannot_hold_is_rejected_before_it_is_one(quantized: Path) -> None:
    answer = load(quantized).predict(np.array([[1, 2, 3, 4], [1, np.nan, 3, 4]], np.float32))
    assert answer.row_verdicts.tolist() == [0, 2]
    assert answer.reasons[0].code is ReasonCode.NOT_FINITE
    assert answer.outputs["y"].tolist() == [[1, 2, 3, 4], [-1, -1, -1, -1]]


# ---- What a bundle says ----


def test_golden_vectors_are_replayed_by_litert(tmp_path: Path) -> None:
    model = tflite_model(tmp_path / "m.tflite")
    bundle = write_bundle(tmp_path / "m.erai", model, policy(), {"x": ROWS}, golden_outputs={"y": ANSWERS + 1})
    with pytest.raises(IntegrityError, match="golden output 'y', element 0: this device's LiteRT answers"):
        load(bundle)


def test_a_model_may_have_golden_vectors_of_its_own(tmp_path: Path) -> None:
    model = tflite_model(tmp_path / "m.tflite")
    bundle = write_bundle(tmp_path / "m.erai", model, policy(), {"x": ROWS}, golden_outputs={"y": ANSWERS + 1})
    tree = read_tree(bundle)
    manifest = json.loads(tree["manifest.json"])
    tree["own.bin"] = ANSWERS.astype(np.float32).tobytes()
    (output,) = manifest["golden"]["outputs"]
    own = {**manifest["golden"], "outputs": [{**output, "path": "own.bin"}], "atol": 1e-5}
    changed = [{**entry, "golden": own} for entry in manifest["models"]]
    assert load(write_tree(tmp_path / "own.erai", seal(tree, models=changed))).runtime == "litert"


def test_required_version_of_litert_is_enforced(tmp_path: Path) -> None:
    model = tflite_model(tmp_path / "m.tflite")
    for least, match in ((">=1.0", None), (">=99", r"requires litert >=99 and [0-9.]+ is here; update LiteRT")):
        bundle = write_bundle(
            tmp_path / "m.erai",
            model,
            policy(),
            {"x": ROWS},
            golden_outputs={"y": ANSWERS},
            requirements={"litert": least},
        )
        if match is None:
            load(bundle)
        else:
            with pytest.raises(BundleError, match=match):
                load(bundle)


def test_policy_may_require_that_a_delegate_runs_the_whole_model(tmp_path: Path) -> None:
    def bundle(data: bytes, answers: np.ndarray[Any, Any]) -> Path:
        (tmp_path / "m.tflite").write_bytes(data)
        rules = Policy(
            1,
            True,
            (InputRule("x", "float32", (-1, 3), (100, 3), features=(FeatureRule("x", -10, 10),)),),
            (OutputRule("y", "float32", (-1, 3)),),
            decision=Decision(provider="XNNPACK"),
        )
        return write_bundle(
            tmp_path / "m.erai", tmp_path / "m.tflite", rules, {"x": ROWS}, golden_outputs={"y": answers}
        )

    assert load(bundle(models.through_two_kernels(both=True), -np.abs(ROWS))).predict(ROWS).verdict is Verdict.ACCEPT
    with pytest.raises(ProviderError, match="leaves out REVERSE_V2"):
        load(bundle(models.through_two_kernels(both=False), np.abs(ROWS)[:, ::-1]))


def test_damaged_model_never_reaches_litert(both: Path, tmp_path: Path) -> None:
    tree = read_tree(both)
    tree["models/model.tflite"] = b"\x1c\x00\x00\x00TFL3" + tree["models/model.tflite"][8:]
    with pytest.raises(IntegrityError, match=r"models/model\.tflite"):
        load(write_tree(tmp_path / "damaged.erai", tree), runtime="litert")
    with pytest.raises(BundleError, match=r"models/model\.tflite: "):
        load(write_tree(tmp_path / "sealed.erai", seal(tree)), runtime="litert")


def test_stopped_session_asks_no_model(both: Path, tmp_path: Path) -> None:
    session = load(both, runtime="litert", spool=tmp_path / "spool")
    session.stop("recalled")
    with pytest.raises(StoppedError, match="recalled"):
        session.predict(ROWS)
    session.resume()
    np.testing.assert_array_equal(
        session.predict(ROWS).outputs["y"], interpreter_run(tmp_path / "m.tflite", {"x": ROWS})["y"]
    )
