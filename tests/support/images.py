"""A small network for images, and as many images as a test asks for, without holding them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import helper
from PIL import Image

from support.models import FLOAT, save

SIDE = 224


def save_network(path: Path) -> Path:
    """[N,3,224,224] "image" to [N,10] "logits" through two strided convolutions; random weights."""
    generator = np.random.default_rng(0)

    def weights(*shape: int) -> npt.NDArray[np.float32]:
        return (generator.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    return save(
        path,
        [
            helper.make_node("Conv", ["image", "first"], ["coarse"], strides=[4, 4]),
            helper.make_node("Relu", ["coarse"], ["bent"]),
            helper.make_node("Conv", ["bent", "second"], ["coarser"], strides=[4, 4]),
            helper.make_node("GlobalAveragePool", ["coarser"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "last"], ["logits"]),
        ],
        [("image", FLOAT, ["N", 3, SIDE, SIDE])],
        [("logits", FLOAT, ["N", 10])],
        {"first": weights(8, 3, 5, 5), "second": weights(16, 8, 3, 3), "last": weights(16, 10)},
    )


def save_restorer(path: Path) -> Path:
    """[N,3,224,224] "image" to "restored" of the same shape, through 8 channels of random weights."""
    generator = np.random.default_rng(0)
    kernels = {
        name: generator.normal(size=(made, read, 3, 3)).astype(np.float32) / np.float32(9 * read) ** 0.5
        for name, made, read in (("first", 8, 3), ("second", 3, 8))
    }
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["seen"], pads=[1] * 4),
        helper.make_node("Relu", ["seen"], ["bent"]),
        helper.make_node("Conv", ["bent", "second"], ["restored"], pads=[1] * 4),
    ]
    shape = ["N", 3, SIDE, SIDE]
    return save(path, nodes, [("image", FLOAT, shape)], [("restored", FLOAT, shape)], kernels)


def save_levels(path: Path, count: int) -> Path:
    """(count, 3, 224, 224) "image" as .npz, each channel of one random level."""
    levels = np.random.default_rng(0).integers(0, 255, size=(count, 3, 1, 1)).astype(np.uint8)
    np.savez_compressed(path, image=np.broadcast_to(levels, (count, 3, SIDE, SIDE)))
    return path


def save_array(path: Path, count: int, dtype: type[np.generic] = np.float32) -> Path:
    """(count, 3, 224, 224) random pixels as .npy."""
    generator = np.random.default_rng(0)
    top = 255 if dtype is np.uint8 else 1
    with path.open("wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (count, 3, SIDE, SIDE)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(count):
            file.write((top * generator.random((3, SIDE, SIDE), np.float32)).astype(dtype).tobytes())
    return path


def save_folder(path: Path, count: int, side: int) -> Path:
    """Images of waves in two sub-folders, square, PNG and JPEG in turn."""
    generator = np.random.default_rng(0)
    down, across = np.mgrid[:side, :side]
    for place in range(count):
        folder = path / f"class{place % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        waves = [127 + 120 * np.sin(a * down + b * across) for a, b in generator.uniform(0, 0.3, (3, 2))]
        image = Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))
        image.save(folder / f"{place:05}.{'png' if place % 4 < 2 else 'jpg'}")
    return path
