"""Folders of images as a model's input, and one sentence for what cannot be."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_rai.types import TensorSpec
from edge_rai_converters.data import Dataset, ImageOptions, load
from edge_rai_converters.errors import DataError

NCHW = TensorSpec("image", "float32", (None, 3, 4, 6))
NHWC = TensorSpec("image", "float32", (1, 4, 6, 3))
GREY = TensorSpec("image", "float32", (None, 1, 4, 6))
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 4, 6, 3), dtype=np.uint8)


def folder_of(path: Path, folders: tuple[str, ...] = ("",), pixels: np.ndarray = PIXELS) -> Path:
    for place, values in enumerate(pixels):
        below = path / "images" / folders[place % len(folders)]
        below.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(below / f"{place:02}.png")
    return path / "images"


def rows_of(path: Path, spec: TensorSpec = NCHW, options: ImageOptions | None = None) -> np.ndarray:
    return load(path, (spec,), images=options).rows["image"][:][:, 0]


def pixels_of(path: Path, image: Image.Image, name: str = "00.png", **parameters: object) -> np.ndarray:
    """What becomes of one image in the middle of others, 0 to 255, height and width first."""
    folder = folder_of(path)
    (folder / "00.png").unlink()
    image.save(folder / name, **parameters)
    return rows_of(folder, NHWC, ImageOptions("0..255"))[0]


def test_images_are_laid_out_as_the_input_is(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    assert np.array_equal(rows_of(folder, NHWC), (PIXELS / 255).astype(np.float32))
    assert np.array_equal(rows_of(folder), np.moveaxis(PIXELS / 255, 3, 1).astype(np.float32))
    grey = rows_of(folder, GREY, ImageOptions("0..255"))[:, 0]
    assert np.abs(grey - PIXELS @ [0.299, 0.587, 0.114]).max() <= 0.51, "ITU-R BT.601, rounded"


def test_rows_are_those_of_the_same_pixels_in_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.moveaxis(PIXELS, 3, 1))
    spec = TensorSpec("image", "uint8", (None, 3, 4, 6))
    images, array = load(folder_of(tmp_path), (spec,)), load(tmp_path / "rows.npy", (spec,))
    assert images.rows["image"].dtype == np.uint8
    assert images.row_is_slice is array.row_is_slice is True
    assert images.rows["image"].shape == array.rows["image"].shape == (40, 1, 3, 4, 6)
    index = np.array([3, 1, 39])
    assert np.array_equal(images.rows["image"][index], array.rows["image"][index])
    assert images.preparation["scale"] == "0..255"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, PIXELS / 255),
        (ImageOptions("-1..1"), PIXELS / 127.5 - 1),
        (ImageOptions("0..255", mean=(1, 2, 3)), PIXELS - np.array([1.0, 2, 3])),
        (ImageOptions(std=(0.5, 2, 4)), PIXELS / 255 / [0.5, 2, 4]),
        (ImageOptions(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)), (PIXELS / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]),
    ],
)
def test_values_are_scaled_and_normalised_as_asked(
    tmp_path: Path, options: ImageOptions | None, expected: np.ndarray
) -> None:
    assert rows_of(folder_of(tmp_path), NHWC, options) == pytest.approx(expected, abs=1e-6)


def test_what_was_done_is_recorded(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_text("neither")
    preparation = dict(load(folder, (NCHW,), images=ImageOptions("-1..1", (0.0, 0.0, 1.0))).preparation)
    assert preparation.pop("decoder").startswith("Pillow ")
    assert preparation == {
        "channels": "RGB", "layout": "NCHW", "height": 4, "width": 6, "resized": "bilinear",
        "scale": "-1..1", "mean": [0.0, 0.0, 1.0], "std": [], "files_left_out": 1,
    }  # fmt: skip


def test_images_of_other_sizes_are_brought_to_the_inputs(tmp_path: Path) -> None:
    flat = np.full((9, 30, 3), (10, 20, 30), np.uint8)
    assert (pixels_of(tmp_path, Image.fromarray(flat)) == [10, 20, 30]).all()


def test_shrinking_averages(tmp_path: Path) -> None:
    stripes = np.zeros((40, 60, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(pixels_of(tmp_path, Image.fromarray(stripes)) - 100).max() <= 5, "stripes of one pixel are grey"


def test_free_height_and_width_are_given(tmp_path: Path) -> None:
    free, folder = TensorSpec("image", "float32", (None, 3, None, None)), folder_of(tmp_path)
    assert rows_of(folder, free, ImageOptions(size=(2, 3))).shape == (40, 3, 2, 3)
    with pytest.raises(
        DataError, match="leaves height and width free; give the size of images, such as --image-size 224"
    ):
        rows_of(folder, free)


def test_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    upright = Image.fromarray(PIXELS[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    assert np.array_equal(pixels_of(tmp_path, turned, exif=exif), PIXELS[0])


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK", "1", "LA"])
def test_other_kinds_of_pixels_become_the_models(tmp_path: Path, mode: str) -> None:
    black_and_white = np.zeros((4, 6, 3), np.uint8)
    black_and_white[:2] = 255
    came = pixels_of(tmp_path, Image.fromarray(black_and_white).convert(mode), "00.tiff")
    assert np.array_equal(came, black_and_white)


def test_palette_with_transparent_entries_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, 9, 8, 7])
    assert (pixels_of(tmp_path, image, transparency=bytes([255, 0])) == [9, 8, 7]).all()


def test_images_in_folders_are_labelled_by_them_in_sorted_order(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path, ("cat", "ant", "bee")), (NCHW,))
    assert data.class_names == ("ant", "bee", "cat")
    assert data.labels is not None
    assert data.labels.tolist() == [0] * 13 + [1] * 13 + [2] * 14
    assert data.preparation["classes"] == ["ant", "bee", "cat"]


def test_class_without_an_image_is_refused_before_the_others_are_numbered_without_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ("cat", "bee"))
    (folder / "ant").mkdir()
    (folder / ".cache").mkdir()
    with pytest.raises(DataError, match="sub-folders are classes, and 'ant' has no image; put some there, or remove"):
        load(folder, (NCHW,))
    assert load(folder, (NCHW,), "none").labels is None
    (folder / "ant").rmdir()
    assert load(folder, (NCHW,)).class_names == ("bee", "cat")


def test_models_own_classes_number_the_folders(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path, ("ant", "bee")), (NCHW,), classes=("bee", "cow", "ant"))
    assert data.labels is not None
    assert data.labels.tolist() == [2] * 20 + [0] * 20


@pytest.mark.parametrize("folders", [("",), ("one",), ("", "one"), ("one/below", "two")])
def test_folders_that_are_no_classes_label_nothing(tmp_path: Path, folders: tuple[str, ...]) -> None:
    assert load(folder_of(tmp_path, folders), (NCHW,)).labels is None


def test_labels_may_be_a_file_or_left_out(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ("ant", "bee"))
    np.save(tmp_path / "y.npy", np.arange(40))
    labelled = load(folder, (NCHW,), tmp_path / "y.npy")
    assert labelled.labels is not None
    assert labelled.labels.tolist() == list(range(40))
    assert load(folder, (NCHW,), "none").labels is None
    np.save(tmp_path / "y.npy", np.arange(39))
    with pytest.raises(DataError, match="differ in their number of rows .image: 40, the labels: 39."):
        load(folder, (NCHW,), tmp_path / "y.npy")
    with pytest.raises(DataError, match="labels 'z' are neither a file nor in"):
        load(folder, (NCHW,), "z")


def test_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)

    def digest() -> str:
        found: Dataset = load(folder, (NCHW,))
        return found.sha256

    before = digest()
    assert digest() == before
    (folder / "07.png").rename(folder / "77.png")
    renamed = digest()
    Image.fromarray(PIXELS[1]).save(folder / "00.png")
    assert len({before, renamed, digest()}) == 3


def png(width: int, height: int) -> bytes:
    """A file of a few bytes that claims to be so large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def deep() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(file, "PNG")
    return file.getvalue()


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS[0].repeat(20, 0).repeat(20, 1)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not a sound image"),
        (b"text", "not a sound image"),
        (jpeg()[:-300], "not a sound image"),
        (png(60, 40), "not a sound image"),
        (b"%PDF-1.4 and not one of the formats", "not a sound image"),
        (deep(), "has more than 8 bits a channel, which would be cut off; save it with 8"),
        (png(8_000, 8_000), "more than 50 million pixels; make it smaller"),
        (png(10_000, 10_000), "more than 50 million pixels; make it smaller"),
        (png(100_000, 100_000), "more than 50 million pixels; make it smaller"),
    ],
    ids=["empty", "text", "cut", "hollow", "other", "deep", "large", "larger", "bomb"],
)
def test_image_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    folder = folder_of(tmp_path, ("a", "b"))
    (folder / "b" / "17.png").write_bytes(content)
    with pytest.raises(DataError, match=r"images/b/17\.png: " + expected):
        load(folder, (NCHW,))


@pytest.mark.parametrize(
    ("spec", "options", "expected"),
    [
        (TensorSpec("x", "float32", (None, 5)), None, "one input of four axes, images on the first; this one has 'x'"),
        (TensorSpec("x", "float32", (8, 3, 4, 6)), None, "with one input of four axes"),
        (TensorSpec("x", "float32", (None, 5, 4, 6)), None, "has 1 or 3 channels on neither of axes 1 and 3"),
        (TensorSpec("x", "float32", (None, 3, 4, 3)), None, "has 1 or 3 channels on both of axes 1 and 3"),
        (TensorSpec("x", "int8", (None, 3, 4, 6)), None, "takes int8, which cannot hold 0 to 255: give .npz"),
        (TensorSpec("x", "string", (None, 3, 4, 6)), None, "takes string, which cannot hold 0 to 255"),
        (TensorSpec("x", "bool", (None, 3, 4, 6)), None, "takes bool, which cannot hold 0 to 255"),
        (TensorSpec("x", "uint8", (None, 3, 4, 6)), ImageOptions("0..1"), "takes uint8; leave scale, mean and std out"),
        (NCHW, ImageOptions("0..2"), "scale is '0..2'; it can be 0..1, -1..1, 0..255"),  # type: ignore[arg-type]
        (NCHW, ImageOptions(mean=(1.0,)), r"mean is \[1.0\]; give 3 numbers, one a channel"),
        (NCHW, ImageOptions(std=(1.0, 0.0, 1.0)), "std is .*; give 3 numbers, one a channel, none of them 0"),
        (NCHW, ImageOptions(std=(1.0, float("nan"), 1.0)), "std is"),
        (NCHW, ImageOptions(size=(5, 6)), r"size is \(5, 6\); input 'image' is \[None, 3, 4, 6\]"),
    ],
)
def test_model_that_takes_no_such_images_is_told(
    tmp_path: Path, spec: TensorSpec, options: ImageOptions | None, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        load(folder_of(tmp_path), (spec,), images=options)


@pytest.mark.parametrize("content", [{}, {"notes.txt": b"text"}, {".hidden/a.png": png(1, 1)}])
def test_folder_without_images_is_refused(tmp_path: Path, content: dict[str, bytes]) -> None:
    for name, written in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(written)
    with pytest.raises(DataError, match=r"no image in it or below; files that end in \.bmp, .*, \.webp are read"):
        load(tmp_path, (NCHW,))


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="31 rows; at least 32 are needed"):
        load(folder_of(tmp_path, pixels=PIXELS[:31]), (NCHW,))


def test_options_of_images_are_of_folders_only(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((40, 3, 4, 6)))
    with pytest.raises(DataError, match="no folder of images, so nothing can be done to their pixels"):
        load(tmp_path / "rows.npy", (NCHW,), images=ImageOptions())
