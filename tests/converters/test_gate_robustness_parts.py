"""What robustness is measured with, held against what is known: distances by formula, corruptions in their order."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from edge_rai_converters.data import Dataset
from edge_rai_converters.gate.robustness.boundary import Room, hop_skip_jump
from edge_rai_converters.gate.robustness.curves import CHANGES
from edge_rai_converters.gate.robustness.rules import CORRUPTIONS, SEVERITIES, RobustnessRule
from edge_rai_converters.gate.robustness.sample import Sample, draw
from edge_rai_converters.gate.robustness.sheet import Picture, contact_sheet, png
from edge_rai_converters.gate.robustness.square import square

Floats = np.ndarray[Any, np.dtype[Any]]


def wide_room(width: int, fixed: tuple[int, ...] = ()) -> Room:
    free = np.ones(width, np.bool_)
    free[list(fixed)] = False
    return Room(free, np.full(width, -50.0), np.full(width, 50.0))


@pytest.mark.parametrize("width", [2, 10, 30])
def test_hop_skip_jump_finds_the_distance_to_a_plane_within_a_few_percent(width: int) -> None:
    generator = np.random.default_rng(width)
    normal, rows = generator.normal(size=width), generator.normal(size=(20, width))
    sides = rows @ normal > 0
    starts = -8 * np.sign(rows @ normal)[:, np.newaxis] * normal / np.linalg.norm(normal) + rows
    starts += 3 * generator.normal(size=rows.shape)
    starts -= np.outer(starts @ normal / (normal @ normal) + 2 * np.sign(rows @ normal), normal)

    def decided(places: np.ndarray[Any, Any], points: Floats) -> Floats:
        return np.asarray((points @ normal > 0) != sides[places])

    assert decided(np.arange(20), starts).all()
    found = hop_skip_jump(decided, rows, starts, wide_room(width), 3000, generator)
    truth = np.abs(rows @ normal) / np.linalg.norm(normal)
    assert decided(np.arange(20), found.points).all()
    np.testing.assert_allclose(found.distances, np.linalg.norm(found.points - rows, axis=1))
    assert (found.distances >= truth * (1 - 1e-9)).all()
    assert np.median(found.distances / truth) < 1.03
    assert found.flat < 0.1


def test_estimates_are_flat_where_there_is_no_boundary_to_feel() -> None:
    rows, island = np.zeros((4, 5)), np.ones((4, 5))

    def decided(_: np.ndarray[Any, Any], points: Floats) -> Floats:
        return np.asarray(np.linalg.norm(points - 1, axis=1) < 1e-3)

    found = hop_skip_jump(decided, rows, island, wide_room(5), 1000, np.random.default_rng(0))
    assert found.flat > 0.9
    np.testing.assert_allclose(found.distances, np.sqrt(5), rtol=1e-2)


def test_attacks_move_nothing_that_is_not_free() -> None:
    generator = np.random.default_rng(1)
    normal, rows = np.array([1.0, 1.0, 5.0]), generator.normal(size=(10, 3))
    sides = rows @ normal > 0
    room = wide_room(3, fixed=(2,))

    def decided(places: np.ndarray[Any, Any], points: Floats) -> Floats:
        return np.asarray((points @ normal > 0) != sides[places])

    starts = rows - np.outer(2 * (rows @ normal) / 2, [1, 1, 0])
    found = hop_skip_jump(decided, rows, starts, room, 2000, generator)
    np.testing.assert_array_equal(found.points[:, 2], rows[:, 2])
    # In the plane of the two others the boundary is |w x| / |w of these| away.
    np.testing.assert_allclose(found.distances, np.abs(rows @ normal) / np.sqrt(2), rtol=0.05)


def test_points_stay_between_what_was_seen_unless_their_row_is_outside() -> None:
    room = Room(np.array([True, True, False]), np.full(3, -1.0), np.full(3, 1.0))
    points, origins = np.full((2, 3), 5.0), np.array([[0.5, 0.5, 0.5], [2.0, -3.0, 0.5]])
    assert room.clipped(points, origins).tolist() == [[1.0, 1.0, 0.5], [2.0, 1.0, 0.5]]


def test_square_finds_what_is_within_reach_and_nothing_else() -> None:
    generator = np.random.default_rng(2)
    normal, rows = generator.normal(size=12), generator.normal(size=(60, 12))
    margins = rows @ normal
    reach = 0.3
    least = np.abs(margins) / np.abs(normal).sum()  # of the maximum norm

    def scored(places: np.ndarray[Any, Any], points: Floats) -> tuple[Floats, Floats]:
        side = np.sign(margins[places]) * (points @ normal)
        return side < 0, side

    def jumps(count: int, share: float, draws: np.random.Generator) -> Floats:
        chosen = draws.random((count, 12)) < max(share, 0.09)
        return np.where(draws.random((count, 12)) < 0.5, -1.0, 1.0) * chosen

    found = square(scored, rows, wide_room(12), np.full(12, reach), 1000, generator, jumps)
    assert not found.found[least > reach].any()
    assert found.found[least < 0.8 * reach].all()
    assert np.abs(found.points - rows).max() <= reach + 1e-12


def sample_of(kind: str) -> Sample:
    generator = np.random.default_rng(3)
    if kind == "images":
        side = np.linspace(0, 1, 16)
        waves = 0.5 + 0.4 * np.sin(9 * side + generator.uniform(0, 6, (24, 1)))
        rows = (waves[:, :, np.newaxis] * waves[:, np.newaxis])[:, np.newaxis, np.newaxis].astype(np.float32)
    elif kind == "table":
        rows = generator.normal(size=(200, 1, 12)).astype(np.float32)
        rows[:, 0, 11] = rows[:, 0, 11] > 0
    elif kind == "audio":
        rows = np.sin(np.arange(400) / 5 + generator.uniform(0, 6, (24, 1, 1))).astype(np.float32)
    else:
        rows = generator.normal(size=(24, 1, 80, 3)).cumsum(axis=2).astype(np.float32)
    width = rows[0].size
    names = tuple(f"f{place}" for place in range(width)) if kind == "table" else ()
    groups = (np.array([11]),) if kind == "table" else ()
    return Sample(kind, np.arange(len(rows)), {"x": rows}, ("x",), names, groups, np.ones(width, np.bool_))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_corruption_changes_more_with_each_severity(kind: str) -> None:
    assert tuple(CHANGES[kind]) == CORRUPTIONS[kind]
    sample = sample_of(kind)
    for name, change in CHANGES[kind].items():
        if name == "jpeg" and find_spec("PIL") is None:
            continue
        moved = []
        for severity in SEVERITIES:
            values = change.at(severity, sample, 0)
            assert values.shape == sample.values.shape
            assert np.isfinite(values).all()
            np.testing.assert_array_equal(values, change.at(severity, sample, 0))
            moved.append(float(np.abs(values - sample.values).mean()))
        assert moved[0] > 0, name
        assert moved == sorted(moved), name
        assert moved[0] < moved[-1], name


def test_few_rows_are_drawn_where_rows_are_wide() -> None:
    wide = np.broadcast_to(np.zeros((1, 1, 1 << 19), np.float32), (40, 1, 1 << 19))
    sample = draw(Dataset({"x": wide}, True, None, None, "", ""), RobustnessRule(kind="audio"))
    assert sample.values.shape == (8, 1 << 19)


def test_features_with_two_values_are_categories_and_others_as_declared() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 1, 4))
    rows[:, 0, 1] = rows[:, 0, 1] > 0
    data = Dataset({"x": rows}, True, None, ("a", "b", "c", "d"), "", "")
    assert [group.tolist() for group in draw(data, RobustnessRule()).groups] == [[1]]
    groups = draw(data, RobustnessRule(categories=(("c", "d"),))).groups
    assert [group.tolist() for group in groups] == [[2, 3], [1]]


def test_noise_and_units_leave_categories_alone_and_swaps_keep_the_values_of_a_row() -> None:
    sample = sample_of("table")
    for name in ("noise", "unit_x10", "unit_x1000"):
        moved = CHANGES["table"][name].at(5, sample, 0)
        np.testing.assert_array_equal(moved[:, 11], sample.values[:, 11])
    times = CHANGES["table"]["unit_x1000"].at(1, sample, 0)[:, :11] / sample.values[:, :11]
    assert (np.isclose(times, 1000).sum(axis=1) == 1).all()
    swapped = CHANGES["table"]["swap"].at(3, sample, 0)
    np.testing.assert_array_equal(np.sort(swapped, axis=1), np.sort(sample.values, axis=1))
    assert ((swapped != sample.values).sum(axis=1) <= 6).all()
    other_rows = CHANGES["table"]["permuted_column"].at(5, sample, 0)
    np.testing.assert_array_equal(np.sort(other_rows, axis=0), np.sort(sample.values, axis=0))


def test_rotation_by_nothing_and_full_contrast_are_no_change() -> None:
    sample = sample_of("images")
    draws = np.random.default_rng(0)
    for name, setting in (("rotation", 0.0), ("contrast", 1.0), ("brightness", 0.0)):
        same = CHANGES["images"][name].corrupt(sample, setting, draws)
        np.testing.assert_allclose(same, sample.values, atol=1e-6, err_msg=name)


def test_noise_of_audio_has_the_decibels_that_it_says() -> None:
    sample = sample_of("audio")
    for severity, decibels in zip(SEVERITIES, (30, 20, 10, 5, 0), strict=True):
        noise = CHANGES["audio"]["noise"].at(severity, sample, 0) - sample.values
        assert 10 * np.log10(np.square(sample.values).mean() / np.square(noise).mean()) == pytest.approx(
            decibels, abs=0.3
        )


def test_values_are_written_as_the_model_takes_them() -> None:
    rows = {
        "a": np.array([[[1, 2]], [[3, 4]]], np.int8),
        "b": np.array([[[True]], [[False]]]),
        "c": np.array([[["x"]], [["y"]]]),
        "d": np.array([[[0.5]], [[1.5]]], np.float16),
    }
    sample = Sample("table", np.arange(2), rows, ("a", "b", "d"), ("a0", "a1", "b", "d"), (), np.ones(4, np.bool_))
    written = sample.written(np.array([[1000.0, -1000.0, 0.9, 1e9], [2.5, 3.4, 0.1, 0.1]]))
    assert written["a"].tolist() == [[[127, -128]], [[2, 3]]]
    assert written["b"].tolist() == [[[True]], [[False]]]
    assert written["c"].tolist() == rows["c"].tolist()
    assert np.isinf(written["d"][0]).all()
    assert {name: array.dtype for name, array in written.items()} == {name: array.dtype for name, array in rows.items()}


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_the_contact_sheet_are_sound(channels: int) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads what was written")
    import io

    pixels = np.random.default_rng(0).random((9, 7, channels))
    with image.open(io.BytesIO(png(pixels))) as read:
        decoded = np.asarray(read).reshape(pixels.shape)
    np.testing.assert_array_equal(decoded, np.rint(pixels * 255))
    sheet = contact_sheet([Picture(pixels, ("row 1 & 2", "<cat> → dog"))] * 8)
    assert sheet.count("<image ") == 8
    assert "&lt;cat&gt;" in sheet
    assert "http" not in sheet.replace("http://www.w3.org/2000/svg", "")


def test_large_pictures_are_thinned_out() -> None:
    assert len(png(np.random.default_rng(0).random((2000, 2000, 1)))) < 20_000
