"""Corruptions of images, in five severities each; settings of noise, brightness and contrast as in ImageNet-C."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np

from edge_rai_converters.gate.robustness.changes import Change
from edge_rai_converters.gate.robustness.sample import Floats, Sample


def pictures(sample: Sample, values: Floats) -> Floats:
    """(m, height, width, channels) from 0, the least value of the sample, to 1, its greatest."""
    shape = sample.row_shape
    rows = (values.reshape(len(values), *shape) - sample.low[0]) / _span(sample)
    return np.moveaxis(rows, 1, 3) if _channels_first(shape) else rows


def _values(sample: Sample, images: Floats) -> Floats:
    rows = np.moveaxis(images, 3, 1) if _channels_first(sample.row_shape) else images
    return np.asarray(np.clip(rows, 0, 1) * _span(sample) + sample.low[0]).reshape(len(images), -1)


def _span(sample: Sample) -> float:
    return float(sample.high[0] - sample.low[0]) or 1.0


def _channels_first(shape: tuple[int, ...]) -> bool:
    return shape[0] in (1, 3) and shape[2] not in (1, 3)


def _noise(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    images = pictures(sample, sample.values)
    return _values(sample, images + setting * generator.normal(size=images.shape))


def _blur(sample: Sample, setting: float, _: np.random.Generator) -> Floats:
    """With a normal kernel; the setting is its deviation as a share of the longer side."""
    images = pictures(sample, sample.values)
    deviation = setting * max(images.shape[1:3])
    reach = max(1, int(np.ceil(3 * deviation)))
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (steps / deviation) ** 2)
    for axis in (1, 2):
        size = images.shape[axis]
        images = np.asarray(
            sum(
                (
                    weight * images.take(np.clip(np.arange(size) + step, 0, size - 1), axis=axis)
                    for step, weight in zip(steps, kernel / kernel.sum(), strict=True)
                ),
                start=np.zeros(()),
            )
        )
    return _values(sample, images)


def _brightness(sample: Sample, setting: float, _: np.random.Generator) -> Floats:
    return _values(sample, pictures(sample, sample.values) + setting)


def _contrast(sample: Sample, setting: float, _: np.random.Generator) -> Floats:
    images = pictures(sample, sample.values)
    means = images.mean(axis=(1, 2), keepdims=True)
    return _values(sample, means + setting * (images - means))


def _jpeg(sample: Sample, setting: float, _: np.random.Generator) -> Floats:
    from PIL import Image

    images = np.rint(np.clip(pictures(sample, sample.values), 0, 1) * 255).astype(np.uint8)
    found = np.empty(images.shape)
    for place, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "JPEG", quality=int(setting))
        with Image.open(file) as decoded:
            found[place] = np.asarray(decoded, np.float64).reshape(image.shape) / 255
    return _values(sample, found)


def _occlusion(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """A grey square; the setting is its side as a share of the shorter one."""
    images = pictures(sample, sample.values).copy()
    height, width = images.shape[1:3]
    side = max(1, round(setting * min(height, width)))
    corners = generator.random((len(images), 2))
    for image, (top, left) in zip(images, corners, strict=True):
        first, second = int(top * (height - side + 1)), int(left * (width - side + 1))
        image[first : first + side, second : second + side] = 0.5
    return _values(sample, images)


def _rotation(sample: Sample, setting: float, generator: np.random.Generator) -> Floats:
    """Either way by so many degrees, bilinear; edges go on outward."""
    images = pictures(sample, sample.values)
    turned = np.empty_like(images)
    left = generator.random(len(images)) < 0.5
    for way in (False, True):
        turned[left == way] = _turned(images[left == way], np.deg2rad(setting if way else -setting))
    return _values(sample, turned)


def _turned(images: Floats, angle: float) -> Floats:
    height, width = images.shape[1:3]
    down, right = np.mgrid[:height, :width].astype(np.float64)
    down, right = down - (height - 1) / 2, right - (width - 1) / 2
    wanted_down = np.clip(np.cos(angle) * down - np.sin(angle) * right + (height - 1) / 2, 0, height - 1)
    wanted_right = np.clip(np.sin(angle) * down + np.cos(angle) * right + (width - 1) / 2, 0, width - 1)
    top, start = np.floor(wanted_down).astype(int), np.floor(wanted_right).astype(int)
    below, beside = np.minimum(top + 1, height - 1), np.minimum(start + 1, width - 1)
    part_down, part_right = (wanted_down - top)[..., np.newaxis], (wanted_right - start)[..., np.newaxis]
    upper = images[:, top, start] * (1 - part_right) + images[:, top, beside] * part_right
    lower = images[:, below, start] * (1 - part_right) + images[:, below, beside] * part_right
    return np.asarray(upper * (1 - part_down) + lower * part_down)


CHANGES: Mapping[str, Change] = {
    "noise": Change(_noise, "standard deviation, of the span", (0.08, 0.12, 0.18, 0.26, 0.38)),
    "blur": Change(_blur, "deviation, of the longer side", (0.006, 0.01, 0.015, 0.02, 0.03)),
    "brightness": Change(_brightness, "added, of the span", (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": Change(_contrast, "share that stays", (0.4, 0.3, 0.2, 0.1, 0.05)),
    "jpeg": Change(_jpeg, "quality", (25, 18, 15, 10, 7)),
    "occlusion": Change(_occlusion, "side, of the shorter side", (0.2, 0.3, 0.4, 0.5, 0.6)),
    "rotation": Change(_rotation, "degrees", (5, 10, 15, 25, 40)),
}


def without_pillow() -> bool:
    """Whether JPEG cannot be tried."""
    return find_spec("PIL") is None
