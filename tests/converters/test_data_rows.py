"""Rows that are read when they are asked for give what the whole array would."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_rai.types import TensorSpec
from edge_rai_converters.data import StoredRows, chunks, load
from edge_rai_converters.errors import DataError

WIDE = (TensorSpec("x", "float32", (None, 5, 7)),)
VALUES = np.random.default_rng(0).normal(size=(200, 5, 7)).astype(np.float32)


def rows_of(path: Path) -> StoredRows:
    return load(path, WIDE).rows["x"]


def saved(folder: Path, form: str) -> Path:
    if form == "npy":
        np.save(folder / "rows.npy", VALUES)
    elif form == "columns":
        np.save(folder / "rows.npy", np.asfortranarray(VALUES))
    elif form == "stored":
        np.savez(folder / "rows.npz", other=np.arange(3), x=VALUES)
    elif form == "compressed":
        np.savez_compressed(folder / "rows.npz", other=np.arange(3), x=VALUES)
    else:
        np.save(folder / "rows.npy", VALUES.astype(">f8"))
    return next(folder.iterdir())


@pytest.mark.parametrize("form", ["npy", "columns", "stored", "compressed", "big-endian"])
def test_every_index_gives_what_the_array_gives(tmp_path: Path, form: str) -> None:
    rows, whole = rows_of(saved(tmp_path, form)), VALUES[:, np.newaxis]
    assert (len(rows), rows.shape, rows.ndim, rows.dtype) == (200, whole.shape, 4, np.float32)
    for index in (0, -1, 199, slice(3, 17), slice(None, None, 3), slice(5, 1, -2), slice(7, 7)):
        assert np.array_equal(rows[index], whole[index])
    for chosen in ([], [0], [5, 5, 199, 0], [-1, 3], list(range(0, 200, 50))):
        assert np.array_equal(rows[np.array(chosen, np.int64)], whole[np.array(chosen, np.int64)])
    index = np.flatnonzero(np.arange(200) % 4 != 2)
    assert np.array_equal(np.concatenate(list(chunks(rows, index))), whole[index])


def test_rows_that_lie_far_apart_are_read_one_by_one(tmp_path: Path) -> None:
    values = np.arange(40 << 18, dtype=np.float32).reshape(40, 1 << 18)
    np.save(tmp_path / "rows.npy", values)
    rows = load(tmp_path / "rows.npy", (TensorSpec("x", "float32", (None, 1 << 18)),)).rows["x"]
    index = np.array([0, 1, 2, 20, 39, 10])
    assert np.array_equal(rows[index][:, 0], values[index])


@pytest.mark.parametrize("index", [200, -201])
def test_row_that_is_not_there_is_an_index_error(tmp_path: Path, index: int) -> None:
    with pytest.raises(IndexError, match=f"row {index} of 200"):
        rows_of(saved(tmp_path, "npy"))[index]


def test_mask_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not by bool"):
        rows_of(saved(tmp_path, "npy"))[np.ones(200, np.bool_)]  # type: ignore[index]


def test_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, "npy")
    rows = rows_of(path)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(DataError, match=r"rows\.npy: became shorter while it was read"):
        rows[199]


@pytest.mark.parametrize("form", ["npy", "stored", "compressed"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_file_that_is_cut_short_is_refused(tmp_path: Path, form: str, share: float) -> None:
    path = saved(tmp_path, form)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"rows\.np.: (not a \.npz or \.npy file|the file is cut short)"):
        load(path, WIDE)


@pytest.mark.parametrize("form", ["stored", "compressed"])
def test_byte_that_changed_in_a_zip_is_found(tmp_path: Path, form: str) -> None:
    path = saved(tmp_path, form)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a .npz or .npy file of plain arrays"):
        load(path, WIDE)


def test_member_shorter_than_it_claims_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as members:
        members.writestr("x.npy", (tmp_path / "x.npy").read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"array 'x' is cut short: 27000 of its 28000 bytes are there; copy or save"):
        load(tmp_path / "rows.npz", WIDE)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_pickled_objects_are_never_unpickled(tmp_path: Path, suffix: str) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "unpickled").write_text, ("!",))

    values = np.array([Bomb()] * 40, object)
    path = tmp_path / f"rows.{suffix}"
    np.save(path, values) if suffix == "npy" else np.savez(path, x=values)
    with pytest.raises(DataError, match="holds pickled Python objects, which are never unpickled; save it as numbers"):
        load(path, WIDE)
    assert not (tmp_path / "unpickled").exists()


def test_array_of_records_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros(40, [("a", "f4"), ("b", "f4")]))
    with pytest.raises(DataError, match="numbers are needed"):
        load(tmp_path / "rows.npy", (TensorSpec("x", "float32", (None,)),))


def test_compressed_array_that_finds_no_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "compressed")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=20_000))
    with pytest.raises(DataError, match=r"takes 0\.0 GB when unpacked, and .* has 0\.0 GB left; name a folder"):
        load(path, WIDE)
