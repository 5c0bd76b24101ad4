"""Runs of TFLite models that are late, keep state, or come from many threads."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rai import Batcher, InferenceError, ReasonCode, Session, Source, Verdict, load
from edge_rai._native import Stream
from edge_rai.policy import Decision, FallbackRule, FeatureRule, InputRule, OutputRule, Policy
from support import litert_models as models
from support.bundles import write_bundle
from support.children import run_python
from support.litert_models import BIAS, WEIGHTS
from support.tflite_models import write as write_tflite
from support.tflite_samples import SAMPLES

Floats = np.ndarray[Any, np.dtype[np.float32]]
ONE = np.ones((1, 2), np.float32)
ONE_BYTES = np.float32(1).tobytes()
LAYERS, SIDE = 120, 512


def square(scale: float = 1) -> Floats:
    return np.full((1, SIDE, SIDE), scale, np.float32)


@pytest.fixture
def late(tmp_path: Path) -> Session:
    """A model of some 100 ms and more under a deadline of 10 ms; who has no row of its own answers -1."""
    (tmp_path / "m.tflite").write_bytes(models.slow(LAYERS, SIDE))
    rules = Policy(
        1,
        False,
        (InputRule("x", "float32", (1, SIDE, SIDE), (1, SIDE, SIDE), features=(FeatureRule("x", -10, 10),)),),
        (OutputRule("y", "float32", (1, SIDE, SIDE), default=(-1.0,)),),
        decision=Decision(deadline_ms=10),
        fallback=(FallbackRule(("default",)),),
    )
    bundle = write_bundle(
        tmp_path / "m.erai", tmp_path / "m.tflite", rules, {"x": square()}, golden_outputs={"y": square()}
    )
    return load(bundle)


def test_late_run_is_answered_by_the_chain_and_so_is_who_comes_while_it_lasts(late: Session) -> None:
    for _ in range(3):
        began = time.perf_counter()
        answer = late.predict(square())
        taken = time.perf_counter() - began
        assert answer.source is Source.DEFAULT
        assert answer.reasons[0].code is ReasonCode.DEADLINE
        assert (answer.outputs["y"] == -1).all()
        assert taken >= 0.01
    late.close()  # waits for the run


EXITS = """
import sys, numpy, edge_rai
session = edge_rai.load(sys.argv[1])
print(session.predict(numpy.ones((1, 512, 512), numpy.float32)).source.name)
"""


def test_process_ends_well_while_a_late_run_lasts(late: Session, tmp_path: Path) -> None:
    late.close()
    child = run_python(EXITS, tmp_path / "m.erai")
    assert (child.returncode, child.stdout) == (0, "DEFAULT\n"), child.stderr


def test_loop_that_never_ends_is_answered_by_the_chain_and_ends_with_its_process(tmp_path: Path) -> None:
    """As of a counter whose step was damaged: no check of a file finds all of those."""
    graph = SAMPLES["loop"]()
    step = next(held for held in graph.model.buffers if held.data is not None and bytes(held.data) == ONE_BYTES)
    step.data = np.zeros(4, np.uint8)
    (tmp_path / "m.tflite").write_bytes(write_tflite(graph.model))
    rules = Policy(
        1,
        False,
        (InputRule("x", "float32", (1,), (1,)),),
        (OutputRule("y", "float32", (1,), default=(-1.0,)),),
        decision=Decision(deadline_ms=10),
        fallback=(FallbackRule(("default",)),),
    )
    begun = {"x": np.full(1, 9, np.float32)}
    golden = {"y": np.full(1, 4.5, np.float32)}
    bundle = write_bundle(tmp_path / "m.erai", tmp_path / "m.tflite", rules, begun, golden_outputs=golden)
    code = [sys.executable, "-c", ENDLESS, str(bundle)]
    child = subprocess.Popen(code, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "DEFAULT\n"
        child.terminate()
        assert child.wait(60) == -signal.SIGTERM
    finally:
        child.kill()
        child.communicate()


ENDLESS = """
import sys, numpy, edge_rai
session = edge_rai.load(sys.argv[1])
print(session.predict(numpy.zeros(1, numpy.float32)).source.name, flush=True)
"""


FORKS_LATE = """
import os, sys, numpy, edge_rai
session = edge_rai.load(sys.argv[1])
x = numpy.ones((1, 512, 512), numpy.float32)
session.predict(x)
child = os.fork()
if not child:
    print(session.predict(x).source.name, flush=True)
    sys.exit()
os.waitpid(child, 0)
print("ended", flush=True)
"""


def test_forked_child_ends_though_a_late_run_of_its_parents_lasted(late: Session, tmp_path: Path) -> None:
    late.close()
    child = run_python(FORKS_LATE, tmp_path / "m.erai")
    assert (child.returncode, child.stdout) == (0, "DEFAULT\nended\n"), child.stderr


# ---- Interruptions ----


INTERRUPTED_OPENING = """
import sys, edge_rai
class Interrupts:
    def find_spec(self, name, *others):
        if name.startswith("ai_edge_litert"):
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
try:
    edge_rai.load(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
"""
INTERRUPTED_RUNS = """
import signal, sys, numpy, edge_rai
session = edge_rai.load(sys.argv[1])
x = numpy.ones((1, 4), numpy.float32)
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
for _ in range(60):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        while True:
            session.predict(x)
    except KeyboardInterrupt:
        pass
print(session.predict(x).verdict.name)
"""


def test_interruption_while_a_model_is_opened_is_its_callers(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.linear())
    child = run_python(INTERRUPTED_OPENING, tmp_path / "m.tflite")
    assert (child.stdout, child.stderr) == ("interrupted\n", "")


def test_interruption_of_a_run_is_its_callers_and_no_failure_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.positives())  # which Python is asked about after each run
    child = run_python(INTERRUPTED_RUNS, tmp_path / "m.tflite")
    assert (child.returncode, child.stdout) == (0, "ACCEPT\n"), child.stderr


# ---- State that the model keeps ----


@pytest.fixture
def running_sum(tmp_path: Path) -> Callable[..., Session]:
    """Opens a model whose answer is the sum of all inputs so far."""

    def open_session(**options: Any) -> Session:
        (tmp_path / "m.tflite").write_bytes(models.running_sum())
        return load(tmp_path / "m.tflite", **options)

    return open_session


def total(session: Session, value: float = 1) -> float:
    return float(session.predict(ONE * np.float32(value)).outputs["y"][0, 0])


def test_state_goes_on_from_call_to_call_and_begins_anew_on_reset(running_sum: Callable[..., Session]) -> None:
    session = running_sum()
    assert not session.rows_independent
    assert [total(session) for _ in range(3)] == [1, 2, 3]
    session.reset()
    assert [total(session, 2) for _ in range(2)] == [2, 4]


def test_sessions_share_no_state(running_sum: Callable[..., Session]) -> None:
    one, other = running_sum(), running_sum()
    assert [total(one), total(one), total(other), total(one)] == [1, 2, 1, 3]


def test_rejected_input_leaves_the_state_as_it_was(running_sum: Callable[..., Session]) -> None:
    session = running_sum()
    total(session)
    assert session.predict(ONE * np.float32("nan")).verdict is Verdict.REJECT
    assert total(session) == 2


def test_threads_take_turns_at_a_model_with_state(running_sum: Callable[..., Session]) -> None:
    session, found = running_sum(), list[float]()

    def use() -> None:
        found.extend(total(session) for _ in range(100))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 401))


def test_cache_and_batcher_are_refused_where_an_answer_depends_on_those_before(
    running_sum: Callable[..., Session],
) -> None:
    with pytest.raises(ValueError, match="this session has a model with states: leave cache_bytes 0"):
        running_sum(cache_bytes=1 << 16)
    with pytest.raises(ValueError, match="this session cannot be batched"):
        Batcher(running_sum())


def test_golden_vectors_leave_no_state_behind(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.running_sum())
    rules = Policy(
        1,
        False,
        (InputRule("x", "float32", (1, 2), (1, 2), features=(FeatureRule("x", -10, 10),)),),
        (OutputRule("y", "float32", (1, 2)),),
    )
    bundle = write_bundle(tmp_path / "m.erai", tmp_path / "m.tflite", rules, {"x": ONE}, golden_outputs={"y": ONE})
    assert total(load(bundle)) == 1


# ---- Numbers without axes ----


def test_numbers_without_axes_are_given_and_answered(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.scaled_total())
    generator = np.random.default_rng(0)
    with load(tmp_path / "m.tflite") as session:
        for _ in range(50):
            x, k = generator.normal(size=(1, 3)).astype(np.float32), np.array(generator.normal(), np.float32)
            answer = session.predict({"x": x, "k": k})
            assert (answer.verdict, answer.outputs["y"].shape) == (Verdict.ACCEPT, ())
            np.testing.assert_allclose(answer.outputs["p"], k * x, rtol=1e-6)
            np.testing.assert_allclose(answer.outputs["y"], np.sum(k * x), atol=1e-5)


def test_interpreter_of_numbers_without_axes_ends_with_its_session(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.scaled_total())
    before = {id(stream) for stream in _streams()}
    with load(tmp_path / "m.tflite") as session:
        session.predict({"x": np.ones((1, 3), np.float32), "k": np.array(2, np.float32)})
        streams = [weakref.ref(stream) for stream in _streams() if id(stream) not in before]
    del session
    gc.collect()
    assert streams
    assert not any(stream() for stream in streams)


def _streams() -> list[Stream]:
    return [found for found in gc.get_objects() if isinstance(found, Stream)]


# ---- Failures ----


def test_each_of_many_failures_says_itself_alone_and_nothing_of_them_piles_up(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.looked_up())
    said = set()
    with load(tmp_path / "m.tflite") as session:
        for _ in range(200):
            with pytest.raises(InferenceError) as caught:
                session.predict(np.array([[0, 7]], np.int32))
            said.add(str(caught.value))
            assert session.predict(np.array([[0, 2]], np.int32)).outputs["y"].tolist() == [[10, 12]]
        assert max(stream.said() for stream in _streams()) < 8192
    (only,) = said
    assert only.count("failed to invoke") == 1


# ---- Threads ----


@pytest.mark.parametrize("free", [True, False], ids=["one call for all rows", "row by row"])
def test_threads_have_interpreters_of_their_own(tmp_path: Path, free: bool) -> None:
    (tmp_path / "m.tflite").write_bytes(models.linear(free=free))
    session, wrong = load(tmp_path / "m.tflite"), list[int]()

    def use(seed: int) -> None:
        generator = np.random.default_rng(seed)
        for rows in generator.integers(1, 5, 100):
            x = generator.normal(size=(rows, 3)).astype(np.float32)
            y = session.predict(x).outputs["y"]
            if not np.allclose(y, x @ WEIGHTS.T + BIAS, atol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_batcher_puts_rows_of_many_threads_into_one_call(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.linear())
    rules = Policy(
        1,
        True,
        (InputRule("x", "float32", (-1, 3), (64, 3), features=(FeatureRule("x", -10, 10),)),),
        (OutputRule("y", "float32", (-1, 2)),),
    )
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3)
    y = x @ WEIGHTS.T + BIAS
    bundle = write_bundle(tmp_path / "m.erai", tmp_path / "m.tflite", rules, {"x": x}, golden_outputs={"y": y})
    with Batcher(load(bundle), max_batch=8, max_wait_s=0.005) as batcher, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(batcher.predict, np.split(x, 8)))
    np.testing.assert_allclose(np.concatenate([answer.outputs["y"] for answer in answers]), y, atol=1e-5)


def test_forked_child_goes_on_with_its_parents_session(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(models.linear())
    child = run_python(FORKS, tmp_path / "m.tflite")
    assert (child.returncode, child.stdout) == (0, "ACCEPT\nACCEPT\n"), child.stderr


FORKS = """
import os, sys, numpy, edge_rai
session = edge_rai.load(sys.argv[1])
x = numpy.ones((1, 3), numpy.float32)
session.predict(x)
if os.fork() == 0:
    print(session.predict(x).verdict.name, flush=True)
    os._exit(0)
os.wait()
print(session.predict(x).verdict.name)
"""
