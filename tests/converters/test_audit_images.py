"""Pictures: perceptual hashes find what was saved again, and tell real pictures apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from edge_rai_converters.audit import AuditReport, Finding, audit
from edge_rai_converters.errors import DataError
from support.children import run_python
from support.images import save_array

SIDE = 96
# Audits few pictures, then many; the peak is the kernel's of this process.
AUDIT = """
import sys
from edge_rai_converters.audit import audit

def peak():
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

for data in sys.argv[1:]:
    before = peak()
    rows = audit(data).rows
print(rows, peak() - before)
"""


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
    assert found(report, "constant").numbers["columns"] == ["image[0, 0, 0]", "image[0, 4, 0]", "image[0, 4, 7]"]


def test_pictures_have_no_columns_to_make_slices_of(tmp_path: Path, tiles: list[Image.Image]) -> None:
    with pytest.raises(DataError, match="a folder of images has no column 'site'"):
        audit(saved(tmp_path, tiles), slices=["site"])


def test_pictures_of_one_colour_are_alike_and_like_no_other(tmp_path: Path, tiles: list[Image.Image]) -> None:
    folder = saved(tmp_path, tiles)
    for place, colour in enumerate([(17, 3, 200), (250, 251, 1), (90, 90, 90)]):
        Image.new("RGB", (SIDE, SIDE), colour).save(folder / "flower" / f"even{place}.png")
    finding = found(audit(folder), "near_duplicates")
    assert finding.numbers["rows"] == 3
    assert all(pair.count("flower/even") == 2 for pair in finding.numbers["pairs"])


def test_sub_folders_are_no_labels_when_none_are_asked_for(tmp_path: Path, tiles: list[Image.Image]) -> None:
    folder = saved(tmp_path, tiles)
    assert "classes_too_small_to_judge" in {finding.kind for finding in audit(folder).findings}
    assert audit(folder, ["none"]).findings == ()


def test_audit_of_ten_times_the_pictures_takes_no_more_memory(tmp_path: Path) -> None:
    few, many = save_array(tmp_path / "few.npy", 30, np.uint8), save_array(tmp_path / "many.npy", 300, np.uint8)
    child = run_python(AUDIT, few, many)
    assert child.returncode == 0, child.stderr
    rows, grown = map(int, child.stdout.split())
    assert rows == 300
    assert grown < many.stat().st_size / 4, "as bytes; as the doubles that are reckoned with it is eight times that"
