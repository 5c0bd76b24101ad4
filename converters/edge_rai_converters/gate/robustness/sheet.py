"""A contact sheet: small pictures with captions as one SVG that loads nothing from elsewhere."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from edge_rai_converters.gate.robustness.sample import Floats

_SIDE, _GAP, _LINE = 96, 12, 13
_COLUMNS = 6
_LETTERS = 18
# Shown in 96 points: more pixels than this nobody sees.
_MOST_PIXELS = 128


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """One picture.

    Attributes:
        pixels: (height, width, 1 or 3) from 0 to 1.
        lines: Of its caption.
    """

    pixels: Floats
    lines: tuple[str, ...]


def contact_sheet(pictures: Sequence[Picture]) -> str:
    """The sheet.

    Args:
        pictures: At least one, all with as many lines.
    """
    high = _SIDE + _GAP + _LINE * len(pictures[0].lines)
    columns = min(_COLUMNS, len(pictures))
    width, height = columns * (_SIDE + _GAP) + _GAP, -(-len(pictures) // columns) * high + _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="rows that the candidate decides otherwise" font-family="sans-serif" font-size="10">'
    )
    parts = [head, f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for place, picture in enumerate(pictures):
        left, top = _GAP + place % columns * (_SIDE + _GAP), _GAP + place // columns * high
        data = b64encode(png(picture.pixels)).decode()
        parts.append(
            f'<image x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE}" style="image-rendering:pixelated" '
            f'href="data:image/png;base64,{data}"/>'
        )
        for number, line in enumerate(picture.lines, 1):
            text = line if len(line) <= _LETTERS else line[: _LETTERS - 1] + "…"
            below = top + _SIDE + number * _LINE
            parts.append(f'<text x="{left}" y="{below}"><title>{escape(line)}</title>{escape(text)}</text>')
    return "".join([*parts, "</svg>"])


def png(pixels: Floats) -> bytes:
    """A PNG file of 8 bits a channel.

    Args:
        pixels: (height, width, 1 or 3) from 0 to 1; of large pictures some are left out.
    """
    step = -(-max(pixels.shape[:2]) // _MOST_PIXELS)
    image = np.rint(np.clip(pixels[::step, ::step], 0, 1) * 255).astype(np.uint8)
    height, width, channels = image.shape
    lines = b"".join(b"\0" + line.tobytes() for line in image)  # every line unfiltered
    kind = 0 if channels == 1 else 2
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
