from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from edge_rai.policy import FeatureRule, Missing
from edge_rai.types import TensorSpec
from edge_rai_converters.data import drawn, is_missing, load

TABLE = (TensorSpec("x", "float32", (None, 3)),)
ROWS = np.arange(120, dtype=np.float64).reshape(40, 3)


def save(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def test_single_array_of_any_name_serves_a_single_input(tmp_path: Path) -> None:
    data = load(save(tmp_path, anything=ROWS, y=np.zeros(40)), TABLE, "y")
    assert data.rows["x"].dtype == np.float32
    assert data.rows["x"].shape == (40, 1, 3)
    assert data.labels is not None
    np.save(tmp_path / "plain.npy", ROWS)
    assert np.array_equal(load(tmp_path / "plain.npy", TABLE).rows["x"][:], data.rows["x"][:])


def test_one_of_every_four_rows_is_held_back(tmp_path: Path) -> None:
    calibration, held_back = load(save(tmp_path, x=ROWS), TABLE).split()
    assert (held_back // 4).tolist() == list(range(10))
    assert sorted([*calibration, *held_back]) == list(range(40))
    assert load(tmp_path / "data.npz", TABLE).split()[1].tolist() == held_back.tolist()


@pytest.mark.parametrize("devices", [2, 3, 4, 6, 12])
def test_devices_that_take_turns_have_rows_in_every_part(tmp_path: Path, devices: int) -> None:
    calibration, held_back = load(save(tmp_path, x=np.zeros((4800, 3))), TABLE).split()
    kept = drawn(len(calibration), 3)
    parts = (held_back, calibration[kept], calibration[~kept], calibration[drawn(len(calibration), devices)])
    for part in parts:
        counts = np.bincount(part % devices, minlength=devices)
        assert counts.min() > 0.4 * counts.mean()


def test_rows_drawn_are_the_same_for_ever() -> None:
    assert np.flatnonzero(drawn(23, 4)).tolist() == [2, 5, 11, 14, 19]
    assert drawn(3, 4).tolist() == [False] * 3
    assert drawn(5, 1).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_sentinel_is_compared_in_the_type_of_the_input(dtype: str) -> None:
    values = np.array([-99.9, -99.0, np.nan], dtype)
    assert is_missing(FeatureRule("a", missing=Missing(value=-99.9)), values).tolist() == [True, False, False]
    assert is_missing(FeatureRule("a", missing=Missing()), values).tolist() == [False, False, True]


def test_whole_number_that_means_missing_is_compared_exactly() -> None:
    values = np.array([2**53, 2**53 + 1], np.int64)
    assert is_missing(FeatureRule("a", missing=Missing(value=2.0**53)), values).tolist() == [True, False]


def test_array_of_whole_inputs_has_one_axis_more(tmp_path: Path) -> None:
    fixed = (TensorSpec("x", "float32", (3, 4)),)
    data = load(save(tmp_path, x=np.zeros((40, 3, 4))), fixed)
    assert (data.row_is_slice, data.rows["x"].shape) == (False, (40, 3, 4))


def test_missing_array_lists_those_present(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no array for input 'x'; it has 'a', 'b'"):
        load(save(tmp_path, a=ROWS, b=ROWS), TABLE)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (ROWS[:, :2], "has 2 values on axis 1; the model takes 3"),
        (ROWS[0], r"has shape \(3,\); the input is \(any, 3\), so give rows on axis 0"),
        (ROWS[:31], "31 rows; at least 32 are needed"),
        (ROWS.astype(str), "numbers are needed"),
        (ROWS * 1e39, r"feature 'x\[1\]' is 1e\+39 in row 0, and 40 of 40 rows hold values that are no finite float32"),
    ],
)
def test_array_that_does_not_fit_is_explained(tmp_path: Path, array: np.ndarray, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        load(save(tmp_path, x=array), TABLE)


def test_value_that_is_not_finite_is_named_by_feature_and_row(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[7, 2] = rows[9, 0] = np.nan
    path = save(tmp_path, x=rows, feature_names=np.array(["radius", "texture", "area"]))
    with pytest.raises(ValueError, match=r"feature 'area' is nan in row 7, and 2 of 40 rows"):
        load(path, TABLE)


def test_labels_are_a_key_or_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.arange(40.0))
    by_key = load(save(tmp_path, x=ROWS, y=np.arange(40)), TABLE, "y")
    by_file = load(save(tmp_path, x=ROWS), TABLE, tmp_path / "labels.npy")
    for data in (by_key, by_file):
        assert data.labels is not None
        assert data.labels.tolist() == list(range(40))
    assert (by_key.labels_sha256 == "", len(by_file.labels_sha256)) == (True, 64)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.zeros(39), "differ in their number of rows"),
        (np.r_[np.zeros(9), np.full(31, 0.5)], "the label in row 9 is 0.5, and a class is a whole number"),
        (np.array([b"benign"] * 40), r"hold \|S6, such as b'benign'; give .* as text \(labels.astype\(str\)\)"),
        (
            np.eye(10)[np.arange(40) % 10],
            r"10 values a row; where these are one-hot, give .* \(numpy.argmax\(labels, a",
        ),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path: Path, labels: np.ndarray, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        load(save(tmp_path, x=ROWS, y=labels), TABLE, "y")


def test_unknown_labels_list_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels 'z' are neither a file nor in .*'x', 'y'"):
        load(save(tmp_path, x=ROWS, y=ROWS), TABLE, "z")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
def test_file_that_holds_no_arrays_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.npz: not a \.npz or \.npy file"):
        load(tmp_path / "broken.npz", TABLE)


def test_feature_name_given_twice_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, x=ROWS, feature_names=np.array(["age", "area", "age"]))
    with pytest.raises(ValueError, match="feature_names has 'age' more than once"):
        load(path, TABLE)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint8", [0, 255], None),
        ("uint8", [0.0, 255.0], None),
        ("uint8", [0, 256], r"feature 'x\[0\]' is 256 in row 1, and 20 of 40 rows hold values that are no uint8"),
        ("uint8", [0, -1], "is -1 in row 1, .* no uint8"),
        ("int64", [0.5, 1], "is 0.5 in row 0, .* no int64"),
        ("int64", [np.nan, 1], "is nan in row 0, .* no int64"),
        ("bool", [0, 1], None),
        ("bool", [False, True], None),
        ("bool", [0, 2], "is 2 in row 1, .* no bool"),
        ("float16", [0, 65504], None),
        ("float16", [0, 65536], "is 65536 in row 1, .* no finite float16"),
        ("float64", [0, 1e300], None),
        ("string", ["a", "b"], None),
        ("string", [0, 1], "holds int64; text is needed"),
        ("string", [b"a", b"b"], "holds .S1; text is needed"),
        ("float32", ["1", "2"], "holds <U1; numbers are needed"),
    ],
)
def test_values_keep_their_meaning_in_the_type_of_the_input(
    tmp_path: Path, dtype: str, values: list[object], expected: str | None
) -> None:
    path, inputs = save(tmp_path, x=np.array(values * 20).reshape(40, 1)), (TensorSpec("x", dtype, (None, 1)),)
    if expected is None:
        rows = load(path, inputs).rows["x"]
        assert rows[:].reshape(-1).tolist() == values * 20
        assert rows.dtype == np.array(values).dtype if dtype == "string" else np.dtype(dtype)
    else:
        with pytest.raises(ValueError, match=expected):
            load(path, inputs)


def test_missing_values_are_allowed_where_the_policy_allows_them(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[5, 1] = np.nan
    path, allowed = save(tmp_path, x=rows), np.array([[False, True, False]])
    assert np.isnan(load(path, TABLE, missing={"x": allowed}).rows["x"][5][0, 1])
    rows[6, 2] = np.nan
    with pytest.raises(ValueError, match=r"feature 'x\[2\]' is nan in row 6, and 1 of 40 rows"):
        load(save(tmp_path, x=rows), TABLE, missing={"x": allowed})


def test_array_file_is_not_read_into_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((100_000, 100), np.float32))
    tracemalloc.start()
    load(tmp_path / "rows.npy", (TensorSpec("x", "float32", (None, 100)),))
    (_, most), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
    assert most < 10_000_000, "the file has 40 MB"
