"""Delegates that a library brings: required, checked to run all of the model, and asked in every call."""

from __future__ import annotations

import _ctypes
import ctypes
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge_rai import BundleError, InferenceError, ProviderError, Source, load
from edge_rai.policy import Decision, FallbackRule, FeatureRule, InputRule, OutputRule, Policy
from support import litert_models as models
from support.bundles import write_bundle

SOURCE = Path(models.__file__).with_name("delegate.c")
ROWS = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)
Built = Callable[..., Path]


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """The library of a delegate that takes the first ADD of a model, or does what a macro says instead."""

    def build(macro: str = "TAKES") -> Path:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler")
        library = tmp_path / f"{macro}.so"
        subprocess.run([compiler, "-std=c11", "-shared", "-fPIC", f"-D{macro}", SOURCE, "-o", library], check=True)
        return library

    return build


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """float32 x (rows, 3) to its double, by one ADD."""
    path = tmp_path / "m.tflite"
    path.write_bytes(models.doubled(1))
    return path


def test_required_delegate_runs_the_model_in_every_call(built: Built, model: Path) -> None:
    library = built()
    session = load(model, provider="npu", provider_path=library)
    delegate = ctypes.CDLL(str(library))
    for turn, rows in enumerate((ROWS[:1], ROWS, ROWS[:1])):  # each planned anew
        before = delegate.delegate_runs()
        assert session.predict(rows).outputs["y"].tolist() == (2 * rows).tolist()
        assert delegate.delegate_runs() == before + 1, turn
    session.close()
    assert delegate.delegates_alive() == 0


def test_each_thread_has_a_delegate_of_its_own(built: Built, model: Path) -> None:
    session = load(model, provider="npu", provider_path=built())
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: session.predict(ROWS).outputs["y"].tolist(), range(50)))
    assert answers == [(2 * ROWS).tolist()] * 50


def test_delegate_that_takes_nothing_or_a_part_is_refused(built: Built, model: Path) -> None:
    with pytest.raises(ProviderError, match=r"npu must run all of .*m\.tflite, and leaves out ADD"):
        load(model, provider="npu", provider_path=built("TAKES_NOTHING"))
    model.write_bytes(models.doubled(2))
    with pytest.raises(ProviderError, match="npu must run all of .* leaves out ADD"):
        load(model, provider="npu", provider_path=built())


def test_library_that_brings_no_delegate_is_refused_in_its_words(built: Built, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"IS_MISSING\.so is no delegate .*: .*no device /dev/npu0"):
        load(model, provider="npu", provider_path=built("IS_MISSING"))
    with pytest.raises(ProviderError, match=r"npu: .* lacks tflite_plugin_create_delegate"):
        load(model, provider="npu", provider_path=_ctypes.__file__)
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(ProviderError, match=r"text\.so is no delegate"):
        load(model, provider="npu", provider_path=tmp_path / "text.so")


def test_policy_requires_a_delegate_that_the_caller_brings(built: Built, model: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "m.erai", model, policy(), {"x": ROWS}, golden_outputs={"y": 2 * ROWS})
    with pytest.raises(ProviderError, match="npu, which is no delegate that LiteRT has .*provider_path"):
        load(bundle)
    with pytest.raises(ProviderError, match="leaves out ADD"):
        load(bundle, provider_path=built("TAKES_NOTHING"))
    library = built()
    answer = load(bundle, provider_path=library).predict(ROWS)
    assert answer.outputs["y"].tolist() == (2 * ROWS).tolist()
    assert ctypes.CDLL(str(library)).delegate_runs() >= 2  # the golden vectors too


def test_run_that_a_delegate_fails_is_answered_by_the_chain(built: Built, model: Path, tmp_path: Path) -> None:
    library = built()
    bare = load(model, provider="npu", provider_path=library)
    rules = policy((FallbackRule(("default",)),))
    bundle = write_bundle(tmp_path / "m.erai", model, rules, {"x": ROWS}, golden_outputs={"y": 2 * ROWS})
    session = load(bundle, provider_path=library)
    ctypes.CDLL(str(library)).delegate_break()
    with pytest.raises(InferenceError, match=r"addition\) failed to invoke"):
        bare.predict(ROWS)
    answer = session.predict(ROWS)
    assert answer.outputs["y"].tolist() == np.full((4, 3), -1.0).tolist()
    assert set(answer.row_sources) == {Source.DEFAULT}
    with pytest.raises(BundleError, match=r"m\.erai: .* failed to invoke"):  # the golden vectors
        load(bundle, provider_path=library)


def policy(fallback: tuple[FallbackRule, ...] = ()) -> Policy:
    """(rows, 3) "x" to (rows, 3) "y", -1 by default, on a delegate."""
    return Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 3), (100, 3), features=(FeatureRule("x", -10, 10),)),),
        (OutputRule("y", "float32", (-1, 3), default=(-1.0,)),),
        decision=Decision(provider="npu"),
        fallback=fallback,
    )
