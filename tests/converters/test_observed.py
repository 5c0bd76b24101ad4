"""What a converted bundle observes besides its input: the usual, with references, and what only that finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression

import edge_rai
from edge_rai.cli import main
from edge_rai.policy import Observation, load_policy
from edge_rai_converters import ConversionReport, convert
from support.models import save_image_mean, save_linear

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


def test_images_are_watched_by_channels_and_pixels(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    images = random.integers(0, 256, size=(600, 8, 8, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=images)
    model = save_image_mean(tmp_path / "model.onnx", (8, 8, 3))
    convert(
        model,
        tmp_path / "data.npz",
        tmp_path / "m.erai",
        prune="none",
        quantize="none",
        average_run_length=1e5,
        ordered=True,
        reproducible=True,
    )
    with edge_rai.load(tmp_path / "m.erai") as session:
        names = [feature.name for feature in session.features[-session.observations :]]
        assert sum(name.startswith("mean of") for name in names) == 3
        assert sum(name.startswith("stddev of") for name in names) == 3
        assert sum(name.startswith("element ") for name in names) == 8
        for first in range(0, 600, 50):
            session.predict(images[first : first + 50])
        watch = session.watch()
        assert watch is not None
        assert watch.alarm is None
        for first in range(0, 600, 50):
            darker = images[first : first + 50].copy()
            darker[..., 1] *= 0.8  # one channel is a little darker
            session.predict(darker)
        watch = session.watch()
        assert watch is not None
        assert watch.alarm is not None
        assert "mean of" in watch.alarm.features[0] or "stddev of" in watch.alarm.features[0]


def test_categories_are_watched_as_such_and_what_is_none_of_them_apart(tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    rows = np.stack([random.choice([1, 2, 7], size=3000, p=[0.6, 0.3, 0.1]), random.normal(size=3000)], axis=1)
    np.savez(tmp_path / "data.npz", x=rows.astype(np.float32))
    model = save_linear(tmp_path / "model.onnx", 2, 1)
    assert main(["profile", str(model), "--data", str(tmp_path / "data.npz"), "-o", str(tmp_path / "rules")]) == 0
    path = tmp_path / "rules" / "policy.toml"
    text = path.read_text(encoding="utf-8")
    name = next(line.split('"')[1] for line in text.splitlines() if line.startswith("  { name"))
    text = text.replace(f'name = "{name}",', f'name = "{name}", categories = [1, 2, 7], verdict = "flag",', 1)
    text += f'\n[[observe]]\nkind = "category"\nof = "{name}"\n'
    text += f'\n[drift]\naverage_run_length = 100000.0\nstrides = {{ "{name}" = 0 }}\n'
    path.write_text(text, encoding="utf-8")
    convert(
        model, tmp_path / "data.npz", tmp_path / "m.erai", policy=path, prune="none", quantize="none", reproducible=True
    )
    with edge_rai.load(tmp_path / "m.erai") as session:
        assert session.features[-1].name == f"category of {name}"
        assert session.features[-1].counts[3] == 0
        assert len(session.features[-1].counts) == 4
        quiet = watched(session, rows[:2000].astype(np.float32))
        assert quiet.alarm is None
        rows[::20, 0] = 3  # one in twenty is none of them
        watch = watched(session, rows[:1000].astype(np.float32))
        assert watch.alarm is not None
        assert watch.alarm.features[0] == f"category of {name}"
        found = next(one for one in watch.features if one.name == watch.alarm.features[0])
        assert found.direction is edge_rai.Direction.OUTSIDE
        assert found.effect is not None
        assert 0.02 < found.effect < 0.1


def test_accuracy_is_estimated_from_confidence(tmp_path: Path) -> None:
    random = np.random.default_rng(3)

    def drawn(count: int, apart: float) -> tuple[Rows, npt.NDArray[np.int64]]:
        labels = random.integers(0, 2, size=count)
        rows = random.normal(size=(count, 4)) + apart * np.where(labels, 1.0, -1.0)[:, None]
        return rows.astype(np.float32), labels.astype(np.int64)

    rows, labels = drawn(4000, 0.8)
    fitted = LogisticRegression().fit(rows[:3000], labels[:3000])
    convert(
        fitted,
        {"X": rows},
        tmp_path / "m.erai",
        labels=labels,
        prune="none",
        quantize="none",
        average_run_length=1e5,
        ordered=True,
        reproducible=True,
    )
    with edge_rai.load(tmp_path / "m.erai") as session:
        assert session.estimated_accuracy() is None  # of no rows
        for apart in (0.8, 0.3):
            rows, labels = drawn(4000, apart)
            outputs = [session.predict(rows[first : first + 500]).outputs for first in range(0, 4000, 500)]
            scores = next(values for values in outputs[0].values() if values.ndim == 2)
            name = next(name for name, values in outputs[0].items() if values is scores)
            right = float(np.mean(np.concatenate([part[name].argmax(1) for part in outputs]) == labels))
            found = session.estimated_accuracy()
            assert found is not None
            if apart == 0.8:
                assert abs(found - right) < 0.02
                before = found
            else:
                assert found < before - 0.03  # it sees that the model grows less sure


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
