"""Rows as points whose Euclidean distances mean something, and pictures as perceptual hashes."""

from __future__ import annotations

import numpy as np

from edge_rai_converters.audit.columns import Columns
from edge_rai_converters.audit.material import Floats, ImageForm, Material
from edge_rai_converters.data import Index

MOST_WIDTH = 256
# Text of more kinds than that shares places, so that some pairs of kinds count as equal.
_MOST_KINDS = 32
_SIDE, _WAVES = 32, 8
# Of the strongest frequency: what an even picture has beyond is rounding.
_DIGITS = 9


def make_points(material: Material, measured: Columns, rows: Index) -> Floats:
    """(m, f) of some rows, f at most 256; of pictures see ``frequencies``.

    Numbers are scaled by their standard deviation and clipped to the fences, missing ones are the median, and each kind
    of a text is a column of its own. What is wider is folded: sums of columns with random signs, which keep squared
    distances but for an error of a twelfth or so (a count sketch: Charikar, Chen, Farach-Colton 2002).
    """
    if material.image is not None:
        return frequencies(material, rows).reshape(len(rows), -1)
    used = np.flatnonzero(measured.scale > 0)
    kinds = {name: min(len(coded.names), _MOST_KINDS) for name, coded in material.texts.items()}
    width = len(used) + sum(kinds.values())
    points = np.empty((len(rows), min(width, MOST_WIDTH)))
    step = max(1, (1 << 19) // max(1, material.width + width))
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        within = np.clip(material.read(chosen)[:, used], *_limits(measured, used))
        # Divided first, as a difference of the largest numbers is infinite.
        parts = [np.nan_to_num(within / measured.scale[used] - measured.centre[used] / measured.scale[used])]
        for name, many in kinds.items():
            codes = material.texts[name].codes[chosen]
            parts.append(((codes % many)[:, np.newaxis] == np.arange(many)) * (codes >= 0)[:, np.newaxis])
        points[start : start + len(chosen)] = _fold(np.concatenate(parts, axis=1))
    return points


def _limits(measured: Columns, used: Index) -> tuple[Floats, Floats]:
    low, high = measured.low[used], measured.high[used]
    return np.maximum(low, measured.fence_low[used]), np.minimum(high, measured.fence_high[used])


def _fold(values: Floats) -> Floats:
    width = values.shape[1]
    if width <= MOST_WIDTH:
        return values
    generator = np.random.default_rng(width)
    order = generator.permutation(width)
    signs = generator.choice([-1.0, 1.0], width)
    return np.asarray(np.add.reduceat((values * signs)[:, order], np.arange(MOST_WIDTH) * width // MOST_WIDTH, axis=1))


def frequencies(material: Material, rows: Index) -> Floats:
    """(m, channels, 8, 8) the lowest frequencies of pictures: of their cosine transform, once brought to 32x32.

    Where they are no larger than 8x8, that is only turned: their distances are those of the pixels.
    """
    form = material.image
    if form is None:
        raise ValueError("rows that are no pictures have no frequencies")
    down, across = _waves(form.height), _waves(form.width)
    found = np.empty((len(rows), form.channels, _WAVES, _WAVES))
    step = max(1, (1 << 19) // material.width)
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        pictures = np.nan_to_num(_channels_first(material.read(chosen), form), posinf=0, neginf=0)
        found[start : start + len(chosen)] = down @ pictures @ across.T
    return found


def hashes(waves: Floats) -> Floats:
    """(m, 64) of 1 and -1: a perceptual hash of pictures, whose squared distance is four times Hamming's.

    Which of the lowest frequencies of the grey picture are above their median: "pHash", Zauner 2010, "Implementation
    and benchmarking of perceptual image hash functions".

    Args:
        waves: (m, channels, 8, 8), see ``frequencies``.
    """
    grey = waves.mean(axis=1).reshape(len(waves), -1)
    grey = np.round(grey / np.maximum(np.abs(grey).max(axis=1, keepdims=True), 1e-300), _DIGITS)
    return np.where(grey > np.median(grey, axis=1, keepdims=True), 1.0, -1.0)


def _channels_first(values: Floats, form: ImageForm) -> Floats:
    if form.channels_first:
        return values.reshape(-1, form.channels, form.height, form.width)
    return np.moveaxis(values.reshape(-1, form.height, form.width, form.channels), 3, 1)


def _waves(extent: int) -> Floats:
    """(8, extent): averages over at most 32 equal stretches, and then their cosines, orthonormal (DCT-II)."""
    stretches = min(extent, _SIDE)
    edges = np.arange(stretches + 1) * extent / stretches
    pixels = np.arange(extent)
    covered = np.minimum(edges[1:, np.newaxis], pixels + 1) - np.maximum(edges[:-1, np.newaxis], pixels)
    average = np.clip(covered, 0, None) * stretches / extent
    at = np.pi / stretches * (np.arange(stretches) + 0.5) * np.arange(_WAVES)[:, np.newaxis]
    cosines = np.cos(at) * np.sqrt(2 / stretches)
    cosines[0] /= np.sqrt(2)
    return np.asarray(cosines @ average)
