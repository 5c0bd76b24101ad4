"""Folders of images as the input of a model: each is decoded once, and its pixels wait in a temporary file.

An image is turned as its EXIF says, made RGB or grey, brought to the input's height and width with Pillow's bilinear
filter (which averages where it shrinks), scaled, and normalised a channel.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edge_rai.types import TensorSpec
from edge_rai_converters.data.rows import Array, ChangedRows, FileRows, StoredRows, spill
from edge_rai_converters.errors import DataError, missing
from edge_rai_converters.words import first_line

if TYPE_CHECKING:
    from PIL.Image import Image

Scale = Literal["0..1", "-1..1", "0..255"]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
_MODES = {1: "L", 3: "RGB"}
_DEEP = ("I", "F")
_MOST_PIXELS = 50_000_000
_MOST_BYTES = 1 << 28
_SCALES = {"0..1": (1 / 255, 0.0), "-1..1": (2 / 255, -1.0), "0..255": (1.0, 0.0)}


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What becomes of pixels.

    Attributes:
        scale: What 0 to 255 become; None: 0 to 1 for inputs of floats, as they are for whole numbers.
        mean: Subtracted after that, a channel each; none: nothing.
        std: Divided by after that, a channel each; none: nothing.
        size: Height and width, of a model that leaves them free.
    """

    scale: Scale | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Pictures:
    """A folder's images.

    Attributes:
        rows: (N, *input without its first axis), in the input's type.
        folders: (N,) each image's folder, and None unless there are several and all images are in them.
        names: Of the images, relative to the folder, sorted: the order of the rows.
        sha256: Over names and contents, hex.
        preparation: What was done to pixels, for people.
    """

    rows: StoredRows
    folders: npt.NDArray[np.str_] | None
    names: tuple[str, ...]
    sha256: str
    preparation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Form:
    """The shape of a picture, and on which axis of the input its channels are."""

    height: int
    width: int
    channels: int
    channels_first: bool


def read_images(
    folder: Path,
    inputs: Sequence[TensorSpec],
    options: ImageOptions,
    progress: Callable[[float], None] = lambda _: None,
) -> Pictures:
    """Reads every image in a folder and below; hidden files, and those of other kinds, are left out.

    Raises:
        DataError: The model takes no images, there are none, or one is damaged or huge.
        MissingExtraError: Pillow is not there.
        OSError: A file cannot be read.
    """
    if find_spec("PIL") is None:
        raise missing("PIL", f"{folder}: reading images takes Pillow")
    form = _form(folder, inputs, options)
    change = _change(folder, inputs[0], options, form)
    names, left_out = _names(folder)
    shape = (len(names), form.height, form.width, form.channels)
    digest = hashlib.sha256()
    descriptor = spill(folder, int(np.prod(shape)), _decoded(folder, names, form, digest, progress))
    pixels = FileRows(folder, descriptor, 0, shape, np.dtype(np.uint8))
    row = (form.channels, form.height, form.width) if form.channels_first else shape[1:]
    return Pictures(
        rows=ChangedRows(pixels, change, (len(names), *row), inputs[0].dtype),
        folders=_folders(names),
        names=names,
        sha256=digest.hexdigest(),
        preparation=_preparation(inputs[0], options, form) | {"files_left_out": left_out},
    )


def _preparation(spec: TensorSpec, options: ImageOptions, form: _Form) -> dict[str, Any]:
    import PIL

    return {
        "decoder": f"Pillow {PIL.__version__}",
        "channels": _MODES[form.channels],
        "layout": "NCHW" if form.channels_first else "NHWC",
        "height": form.height,
        "width": form.width,
        "resized": "bilinear",
        "scale": _scale(spec, options),
        "mean": list(options.mean),
        "std": list(options.std),
    }


def _form(folder: Path, inputs: Sequence[TensorSpec], options: ImageOptions) -> _Form:
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[0] not in (None, 1):
        listed = ", ".join(f"{spec.name!r} {list(spec.shape)}" for spec in inputs)
        raise DataError(
            f"{folder}: images are for a model with one input of four axes, images on the first; this one has {listed}"
            ": give .npz"
        )
    name, shape = inputs[0].name, inputs[0].shape
    axes = [axis for axis in (1, 3) if shape[axis] in _MODES]
    if len(axes) != 1:
        raise DataError(
            f"{folder}: input {name!r} {list(shape)} has 1 or 3 channels on {'both' if axes else 'neither'} of axes 1 "
            "and 3, so images cannot be laid out for it: give .npz"
        )
    height, width = shape[2:] if axes[0] == 1 else shape[1:3]
    if options.size is not None:
        if height not in (None, options.size[0]) or width not in (None, options.size[1]) or min(options.size) < 1:
            raise DataError(f"{folder}: size is {options.size}; input {name!r} is {list(shape)}")
        height, width = options.size
    if height is None or width is None:
        raise DataError(
            f"{folder}: input {name!r} {list(shape)} leaves height and width free; give the size of images, such as "
            "--image-size 224x224"
        )
    return _Form(height, width, shape[axes[0]] or 0, axes[0] == 1)


def _scale(spec: TensorSpec, options: ImageOptions) -> Scale:
    return options.scale or ("0..1" if spec.dtype.startswith("float") else "0..255")


def _change(folder: Path, spec: TensorSpec, options: ImageOptions, form: _Form) -> Callable[[Array], Array]:
    """From pixels (n, height, width, channels) to the input's values."""
    scale = _scale(spec, options)
    if scale not in _SCALES:
        raise DataError(f"{folder}: scale is {scale!r}; it can be {', '.join(_SCALES)}")
    for name, values in (("mean", options.mean), ("std", options.std)):
        unfit = len(values) != form.channels or not all(map(isfinite, values))
        if values and (unfit or (name == "std" and 0 in values)):
            raise DataError(
                f"{folder}: {name} is {list(values)}; give {form.channels} numbers, one a channel"
                + ", none of them 0" * (name == "std")
            )
    if spec.dtype == "string" or not np.can_cast(np.uint8, spec.dtype):
        raise DataError(f"{folder}: input {spec.name!r} takes {spec.dtype}, which cannot hold 0 to 255: give .npz")
    if not spec.dtype.startswith("float") and (scale != "0..255" or options.mean or options.std):
        raise DataError(f"{folder}: input {spec.name!r} takes {spec.dtype}; leave scale, mean and std out")
    factor, shift = _SCALES[scale]
    std = np.array(options.std or [1.0] * form.channels)
    mean = np.array(options.mean or [0.0] * form.channels)
    # One multiplication and one addition a value: of each of the 256 that a channel can have, they are known before.
    known = (np.arange(256)[:, np.newaxis] * factor + shift - mean) / std
    table = known.astype(spec.dtype)

    def change(pixels: Array) -> Array:
        values = np.empty(pixels.shape, table.dtype)
        for channel in range(form.channels):
            values[..., channel] = table[pixels[..., channel], channel]
        return np.ascontiguousarray(np.moveaxis(values, 3, 1)) if form.channels_first else values

    return change


def _names(folder: Path) -> tuple[tuple[str, ...], int]:
    """Of the images, sorted, and how many files were left out."""
    found, left_out = [], 0
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            path = Path(place, name)
            if path.suffix.lower() in _SUFFIXES and path.is_file():  # and no pipe, which would never end
                found.append(path.relative_to(folder).as_posix())
            else:
                left_out += 1
    if not found:
        raise DataError(f"{folder}: no image in it or below; files that end in {', '.join(sorted(_SUFFIXES))} are read")
    return tuple(sorted(found)), left_out


def check_filled(folder: Path, labels: npt.NDArray[np.str_] | None) -> None:
    """Refuses a sub-folder without images where sub-folders are classes: the others would be numbered without it.

    Args:
        folder: Of the images.
        labels: Sub-folder of each image; None where these are no classes.

    Raises:
        DataError: There is such a sub-folder.
    """
    there = set() if labels is None else set(labels.tolist())
    inner = (child.name for child in folder.iterdir() if there and child.is_dir() and not child.name.startswith("."))
    if empty := sorted(set(inner) - there):
        raise DataError(
            f"{folder}: sub-folders are classes, and {empty[0]!r} has no image; put some there, or remove it"
        )


def _folders(names: Sequence[str]) -> npt.NDArray[np.str_] | None:
    parts = [name.split("/") for name in names]
    folders = [part[0] for part in parts]
    return np.array(folders) if len(set(folders)) > 1 and all(len(part) == 2 for part in parts) else None


def _decoded(
    folder: Path, names: Sequence[str], form: _Form, digest: Any, progress: Callable[[float], None]
) -> Iterator[bytes]:
    """The pixels of each image, (height, width, channels)."""
    for place, name in enumerate(names):
        progress(place / len(names))
        path = folder / name
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise DataError(f"{path}: {size / 1e6:.0f} MB; an image may have {_MOST_BYTES / 1e6:.0f} MB: leave it out")
        content = path.read_bytes()
        framed = os.fsencode(name) + b"\0" + len(content).to_bytes(8, "little")
        digest.update(framed)
        digest.update(content)
        yield np.asarray(_decode(path, content, form), np.uint8).tobytes()


def _decode(path: Path, content: bytes, form: _Form) -> Image:
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that nobody reads
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _refuse(path, image)
                upright = ImageOps.exif_transpose(image)
                if "transparency" in upright.info:
                    upright = upright.convert("RGBA")
                plain = upright.convert(_MODES[form.channels])
                return plain.resize((form.width, form.height), Image.Resampling.BILINEAR)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(_too_large(path)) from error
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(f"{path}: not a sound image: it does not begin as one; mend it, or leave it out") from error
        except Exception as error:  # Pillow's decoders raise whatever their parts raise
            raise DataError(f"{path}: not a sound image: {first_line(error)}; mend it, or leave it out") from error


def _refuse(path: Path, image: Image) -> None:
    if image.width * image.height > _MOST_PIXELS:
        raise DataError(_too_large(path))
    if image.mode.partition(";")[0] in _DEEP:
        raise DataError(f"{path}: has more than 8 bits a channel, which would be cut off; save it with 8, or give .npy")


def _too_large(path: Path) -> str:
    return f"{path}: more than {_MOST_PIXELS // 10**6} million pixels; make it smaller, or leave it out"
