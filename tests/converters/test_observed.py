"""What a converted bundle observes besides its input: the usual, with references, and what only that finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import edge_rai
from edge_rai.cli import main
from edge_rai.policy import Observation, load_policy
from edge_rai_converters import ConversionReport, convert
from support.models import save_linear

Rows = npt.NDArray[np.float32]
FEATURES = 6


def correlated(random: np.random.Generator, count: int, sign: float = 1.0) -> Rows:
    """Two features that know of each other, with one sign or the other, among six."""
    rows = random.normal(size=(count, FEATURES))
    rows[:, 1] = sign * 0.9 * rows[:, 0] + np.sqrt(1 - 0.81) * rows[:, 1]
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ConversionReport]:
    folder = tmp_path_factory.mktemp("observed")
    np.savez(folder / "data.npz", x=correlated(np.random.default_rng(5), 3000))
    model = save_linear(folder / "model.onnx", FEATURES, 1)
    report = convert(
        model,
        folder / "data.npz",
        folder / "m.erai",
        prune="none",
        quantize="none",
        average_run_length=1e5,
        ordered=True,
        reproducible=True,
    )
    return folder / "m.erai", report


def watched(session: edge_rai.Session, rows: Rows) -> edge_rai.Watch:
    for first in range(0, len(rows), 50):
        session.predict(rows[first : first + 50])
    watch = session.watch()
    assert watch is not None
    return watch


def test_the_usual_is_observed_with_references_of_held_back_rows(made: tuple[Path, ConversionReport]) -> None:
    with edge_rai.load(made[0]) as session:
        observed = {feature.name: feature for feature in session.features[-session.observations :]}
        assert list(observed) == ["verdict", "distance of x", "projection 0 of x", "projection 1 of x", "value of y"]
        assert {feature.reference_rows for feature in observed.values()} == {750}
        assert len(observed["verdict"].counts) == 3
        seen = session.observe(correlated(np.random.default_rng(6), 2000))
        # Of six features the mean squared distance is six, and a projection has the spread that they have.
        assert 5.5 < np.nanmean(seen["distance of x"]) < 6.5
        assert 0.7 < np.nanstd(seen["projection 0 of x"]) < 1.4


def test_a_correlation_that_turns_is_found_by_what_is_observed_alone(made: tuple[Path, ConversionReport]) -> None:
    random = np.random.default_rng(7)
    with edge_rai.load(made[0]) as session:
        quiet = watched(session, correlated(random, 5000))
        assert quiet.alarm is None
        alarm = watched(session, correlated(random, 2000, -1.0)).alarm
        assert alarm is not None
        assert alarm.row < 5200
        observed = {feature.name for feature in session.features[-session.observations :]}
        assert set(alarm.features) <= observed  # no margin shows it
        assert "distance of x" in alarm.features


def test_a_written_policy_says_what_is_observed(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=correlated(np.random.default_rng(5), 400))
    model = save_linear(tmp_path / "model.onnx", FEATURES, 1)
    assert main(["profile", str(model), "--data", str(tmp_path / "data.npz"), "-o", str(tmp_path / "rules")]) == 0
    path = tmp_path / "rules" / "policy.toml"
    with path.open("a", encoding="utf-8") as file:
        file.write(
            '\n[[observe]]\nkind = "value"\nof = "y"\n\n[[observe]]\nkind = "latency"\nlimit = 5\nbound = 0.01\n'
        )
    convert(
        model, tmp_path / "data.npz", tmp_path / "m.erai", policy=path, prune="none", quantize="none", reproducible=True
    )
    assert load_policy(path).observe[0] == Observation("value", "y")
    with edge_rai.load(tmp_path / "m.erai") as session:
        assert [feature.name for feature in session.features][-2:] == ["value of y", "latency"]
        value, latency = session.features[-2:]
        assert value.reference_rows == 100
        assert value.counts.sum() == 100
        assert latency.edges.tolist() == [5e6]
