"""Pictures: perceptual hashes find what was saved again, and tell real pictures apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from edge_rai_converters.audit import AuditReport, Finding, audit
from edge_rai_converters.errors import DataError

SIDE = 96


def found(report: AuditReport, kind: str) -> Finding:
    (finding,) = (finding for finding in report.findings if finding.kind == kind)
    return finding


@pytest.fixture(scope="module")
def tiles() -> list[Image.Image]:
    """Two photographs, China and a flower, in tiles that do not overlap."""
    return [
        Image.fromarray(photograph[top : top + SIDE, left : left + SIDE])
        for photograph in load_sample_images().images
        for top in range(0, photograph.shape[0] - SIDE + 1, SIDE)
        for left in range(0, photograph.shape[1] - SIDE + 1, SIDE)
    ]


def saved(folder: Path, tiles: list[Image.Image]) -> Path:
    for place, tile in enumerate(tiles):
        below = folder / "images" / ("china" if place < len(tiles) // 2 else "flower")
        below.mkdir(parents=True, exist_ok=True)
        tile.save(below / f"{place:02}.png")
    return folder / "images"


def test_tiles_of_photographs_are_told_apart(tmp_path: Path, tiles: list[Image.Image]) -> None:
    report = audit(saved(tmp_path, tiles))
    assert report.rows == report.rows_compared == len(tiles) == 48
    assert {finding.kind for finding in report.findings} & {"exact_duplicates", "near_duplicates"} == set()


def test_picture_saved_again_smaller_or_brighter_is_a_near_duplicate(tmp_path: Path, tiles: list[Image.Image]) -> None:
    folder = saved(tmp_path, tiles)
    tiles[7].save(folder / "china" / "again.jpg", quality=80)
    tiles[9].resize((64, 64)).save(folder / "china" / "smaller.png")
    tiles[12].point(lambda value: round(0.8 * value)).save(folder / "flower" / "darker.png")
    report = audit(folder)
    assert found(report, "near_duplicates").numbers["pairs"] == [
        "china/07.png ~ china/again.jpg",
        "china/09.png ~ china/smaller.png",
        "china/12.png ~ flower/darker.png",
    ]


def test_same_picture_under_two_names_is_an_exact_duplicate(tmp_path: Path, tiles: list[Image.Image]) -> None:
    folder = saved(tmp_path, tiles)
    tiles[5].save(folder / "flower" / "copy.bmp")
    report = audit(folder)
    assert found(report, "exact_duplicates").numbers["pairs"] == ["flower/copy.bmp = china/05.png"]
    assert found(report, "conflicting_labels").numbers["places"] == ["china/05.png", "flower/copy.bmp"]


def test_labels_of_pictures_in_arrays_are_held_against_their_nearest(tmp_path: Path) -> None:
    digits = load_digits()
    labels = digits.target.copy()
    flipped = np.random.default_rng(0).choice(len(labels), 60, replace=False)
    labels[flipped] = (labels[flipped] + 1) % 10
    np.savez(tmp_path / "data.npz", image=(digits.images[:, np.newaxis] / 16).astype(np.float32), y=labels)
    report = audit(tmp_path / "data.npz", ["y"])
    suspects = set(found(report, "suspect_labels").numbers["places"])
    right = len(suspects & {f"row {row}" for row in flipped})
    assert right >= 51
    assert len(suspects) <= right + 5
    assert found(report, "constant").numbers["columns"] == ["image[0][0][0]", "image[0][4][0]", "image[0][4][7]"]


def test_pictures_have_no_columns_to_make_slices_of(tmp_path: Path, tiles: list[Image.Image]) -> None:
    with pytest.raises(DataError, match="a folder of images has no column 'site'"):
        audit(saved(tmp_path, tiles), slices=["site"])
