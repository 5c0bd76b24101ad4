"""What robustness costs, how near its attack comes to the boundary, and what it says of an int8 model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier

from edge_rai_converters import convert
from edge_rai_converters.gate import gate, parse_gate_policy
from edge_rai_converters.gate.robustness.boundary import Room, hop_skip_jump
from edge_rai_converters.runner import Runner
from support.children import run_python
from support.told import Told, telling

pytestmark = pytest.mark.proof
ROWS = 2000
SECONDS, MEGABYTES = 60, 700

SECTION = "Robustness: pytest -s -o python_files='proof_*.py' tests/converters/proof_robustness.py"

TIMED = """
import json, resource, sys, time
from edge_rai_converters.gate import gate

began = time.monotonic()
report = gate(*sys.argv[1:5], labels="y")
seconds = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
found = {"seconds": seconds, "cpu": time.process_time(), "megabytes": peak, "verdict": report.verdict}
print(json.dumps({**found, "further": dict(report.further)}))
"""


@pytest.fixture(scope="module")
def tell() -> Iterator[Told]:
    with telling("gate.txt", SECTION) as told:
        yield told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mlp.onnx (30 features, 64-32), int8.erai of it, which watches for drift, and test.npz with 2,000 rows."""
    from skl2onnx import to_onnx

    path = tmp_path_factory.mktemp("robust")
    rows, labels = make_classification(8000, 30, n_informative=12, random_state=0)
    rows = rows.astype(np.float32)
    train, test = slice(0, 8000 - ROWS), slice(8000 - ROWS, None)
    model = MLPClassifier((64, 32), max_iter=60, random_state=0, early_stopping=True).fit(rows[train], labels[train])
    exported = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=17)
    (path / "mlp.onnx").write_bytes(exported.SerializeToString())
    for name, part in (("train", train), ("test", test)):
        np.savez(path / f"{name}.npz", X=rows[part], y=labels[part])
    convert(
        path / "mlp.onnx",
        path / "train.npz",
        path / "int8.erai",
        labels="y",
        prune="none",
        quantize="int8",
        max_drop=5,
        average_run_length=20_000,
        ordered=True,
        reproducible=True,
    )
    return path


def tried(folder: Path, text: str) -> dict[str, Any]:
    policy = parse_gate_policy(f"format_version = 1\n[margins]\nflips = 0.9\n[robustness]\n{text}")
    report = gate(folder / "int8.erai", folder / "mlp.onnx", folder / "test.npz", policy, labels="y")
    return dict(report.further["robustness"])


def test_everything_about_a_table_takes_less_than_a_minute_and_bounded_memory(folder: Path, tell: Told) -> None:
    names = [f"X[{place}]" for place in range(30)]
    (folder / "gate.toml").write_text(
        f"format_version = 1\n[margins]\naccuracy = 0.05\n[robustness]\nrows = {ROWS}\nbatch_invariant = true\n"
        f"invariant = ['{names[0]}']\nmargins = {{noise = 0.05, swap = 0.05}}\n"
        f"[robustness.monotone]\n'{names[1]}' = 'rising'\n"
    )
    given = [str(folder / name) for name in ("int8.erai", "mlp.onnx", "test.npz", "gate.toml")]
    found = json.loads(run_python(TIMED, *given, seconds=600).stdout)
    tell(
        f"{ROWS} rows of 30 features, MLP 64-32 against int8: {found['seconds']:.1f} s, {found['cpu']:.1f} s of CPU, "
        f"{found['megabytes']:.0f} MB at most; {found['verdict']}"
    )
    for key in ("robustness", "shift", "audit_queue"):
        for sentence in found["further"][key]["sentences"]:
            tell(f"{key}: {sentence}")
    assert found["seconds"] < SECONDS
    assert found["megabytes"] < MEGABYTES


def test_the_usual_budget_comes_within_a_tenth_of_what_ten_times_as_many_queries_find(folder: Path, tell: Told) -> None:
    usual, long = (
        tried(folder, f"rows = 300\nattack_rows = 20\nattack_queries = {queries}")["attacks"]["boundary"]
        for queries in (2000, 20_000)
    )
    for name in ("original", "candidate"):
        distances = f"{usual['distance'][name]:.4f} with 2,000 queries, {long['distance'][name]:.4f} with 20,000"
        tell(f"median distance of the {name}: {distances}")
        assert usual["distance"][name] <= 1.1 * long["distance"][name]


def test_median_distance_is_about_the_same_whatever_the_seed(folder: Path, tell: Told) -> None:
    ratios = [
        tried(folder, f"rows = 1000\nattack_rows = 60\nseed = {seed}")["attacks"]["boundary"]["ratio"]
        for seed in range(5)
    ]
    tell(f"candidate's median distance over the original's, 5 seeds: {[round(r, 3) for r in ratios]}")
    assert np.ptp(ratios) < 0.4


@pytest.mark.filterwarnings("ignore")  # the toolbox's own
def test_distances_are_no_greater_than_those_of_the_adversarial_robustness_toolbox(folder: Path, tell: Told) -> None:
    evasion = pytest.importorskip("art.attacks.evasion", reason="adversarial-robustness-toolbox is not installed")
    classification = pytest.importorskip("art.estimators.classification")
    runner = Runner((folder / "mlp.onnx").read_bytes(), "mlp.onnx")
    with np.load(folder / "test.npz") as data:
        scale = data["X"].std(axis=0)
        rows, labels = data["X"] / scale, data["y"]
    asked = 0

    def scores(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        nonlocal asked
        asked += len(points)
        return np.asarray(runner.call({"X": (points * scale).astype(np.float32)})["probabilities"])

    decided = scores(rows).argmax(axis=1)
    origins = np.flatnonzero(decided == labels)[:30]
    asked = 0
    judged = classification.BlackBoxClassifier(scores, (30,), 2, clip_values=(rows.min(), rows.max()))
    attack = evasion.HopSkipJump(judged, batch_size=64, max_iter=10, max_eval=400, init_eval=60, verbose=False)
    theirs = np.linalg.norm(attack.generate(rows[origins]) - rows[origins], axis=1)
    queries, asked = asked // len(origins), 0
    others = [np.flatnonzero(decided != decided[row]) for row in origins]
    starts = [
        rows[near[np.square(rows[near] - rows[row]).sum(axis=1).argmin()]]
        for row, near in zip(origins, others, strict=True)
    ]
    ours = hop_skip_jump(
        lambda places, points: scores(points).argmax(axis=1) != decided[origins][places],
        rows[origins],
        np.array(starts),
        Room(np.ones(30, np.bool_), rows.min(axis=0), rows.max(axis=0)),
        queries,
        np.random.default_rng(0),
    )
    tell(
        f"median L2: {np.median(ours.distances):.3f} with {asked // len(origins)} queries a row, ART's HopSkipJump "
        f"{np.median(theirs):.3f} with {queries}"
    )
    assert asked <= queries * len(origins)
    assert np.median(ours.distances) <= 1.1 * np.median(theirs)
