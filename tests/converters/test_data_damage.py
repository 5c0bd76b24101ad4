"""A damaged file of any kind is read or refused in one line, and never anything else."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_rai.types import TensorSpec
from edge_rai_converters.data import load
from edge_rai_converters.errors import DataError

ROUNDS = 60
VALUES = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def save_csv(path: Path, values: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "c"], *values.tolist()])


def save_parquet(path: Path, values: np.ndarray) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read through pyarrow, which is not installed")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({name: values[:, place] for place, name in enumerate("abc")}), path)


TABLES: dict[str, Callable[[Path, np.ndarray], None]] = {
    "rows.npy": np.save,
    "columns.npy": lambda path, values: np.save(path, np.asfortranarray(values)),
    "stored.npz": lambda path, values: np.savez(path, x=values, feature_names=np.array(["a", "b", "c"])),
    "compressed.npz": lambda path, values: np.savez_compressed(path, x=values),
    "rows.csv": save_csv,
    "rows.parquet": save_parquet,
}


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Cut, lengthened, or with some bytes changed, more often near the beginning, where headers are."""
    kind = dice.random()
    if kind < 0.3:
        return content[: dice.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 8))):
        place = dice.randrange(len(changed) if dice.random() < 0.5 else min(len(changed), 200))
        changed[place] = dice.choice((0, 255, dice.randrange(256), changed[place] ^ 1 << dice.randrange(8)))
    if kind > 0.9:
        place = dice.randrange(len(changed))
        changed[place:place] = bytes(dice.randrange(20))
    return bytes(changed)


def refusals(path: Path, data: Path, spec: TensorSpec) -> list[str]:
    """What is said of so many damaged forms of the file at ``path``, which ``data`` is or holds."""
    sound, dice, said = path.read_bytes(), random.Random(0), []
    load(data, (spec,))
    for _ in range(ROUNDS):
        path.write_bytes(damaged(sound, dice))
        try:
            load(data, (spec,))
        except DataError as error:
            said.append(str(error))
    return said


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header parsing:UserWarning")
@pytest.mark.parametrize("name", TABLES)
def test_damaged_rows_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / name, VALUES)
    said = refusals(tmp_path / name, tmp_path / name, TensorSpec("x", "float32", (None, 3)))
    assert len(said) > ROUNDS / 2
    assert not [message for message in said if "\n" in message or name not in message]


@pytest.mark.parametrize("form", ["bmp", "gif", "jpg", "png", "ppm", "tiff", "webp"])
def test_damaged_image_is_refused_in_one_line(tmp_path: Path, form: str) -> None:
    for place in range(32):
        Image.new("L", (1, 1)).save(tmp_path / f"{place}.png")
    Image.fromarray(PIXELS).save(tmp_path / f"damaged.{form}")
    said = refusals(tmp_path / f"damaged.{form}", tmp_path, TensorSpec("x", "float32", (None, 3, 8, 8)))
    assert len(said) > ROUNDS / 6
    assert not [message for message in said if "\n" in message or "damaged" not in message]
