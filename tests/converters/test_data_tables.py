"""CSV and Parquet: which column becomes which input, and one sentence for what cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_rai.types import TensorSpec
from edge_rai_converters.data import load, read_table
from edge_rai_converters.errors import DataError

PAIR = (TensorSpec("x", "float32", (None, 2)),)
CITIES = ["Ulm", "Bonn", "Köln, Süd", "Ulm"] * 10
NUMBERS = [i / 4 for i in range(40)]


def write(folder: Path, text: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def csv(folder: Path, **columns: list[object]) -> Path:
    lines = [",".join(columns)] + [",".join(f'"{cell}"' for cell in row) for row in zip(*columns.values(), strict=True)]
    return write(folder, "\n".join(lines) + "\n")


def parquet(folder: Path, **columns: list[object]) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read through pyarrow, which is not installed")
    from pyarrow import parquet as files

    files.write_table(pyarrow.table(columns), folder / "rows.parquet")
    return folder / "rows.parquet"


both = pytest.mark.parametrize("form", [csv, parquet], ids=["csv", "parquet"])
Form = Callable[..., Path]


@both
def test_single_input_takes_the_columns_of_numbers_in_their_order(tmp_path: Path, form: Form) -> None:
    path = form(tmp_path, b=NUMBERS, city=CITIES, a=list(range(40)), y=[0, 1] * 20)
    data = load(path, PAIR, "y")
    assert np.array_equal(data.rows["x"][:][:, 0], np.column_stack([NUMBERS, range(40)]).astype(np.float32))
    assert data.feature_names == ("b", "a")
    assert data.table_columns == ("b", "city", "a", "y")
    assert data.preparation == {"columns": {"x": ["b", "a"]}}
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1] * 20
    assert data.row_is_slice


@both
def test_names_choose_and_order_the_columns(tmp_path: Path, form: Form) -> None:
    path = form(tmp_path, a=list(range(40)), b=NUMBERS, c=NUMBERS)
    data = load(path, PAIR, feature_names=["c", "a"])
    assert data.rows["x"][8].tolist() == [[2.0, 8.0]]
    assert data.feature_names == ("c", "a")


def test_single_input_may_have_the_name_of_one_of_its_columns(tmp_path: Path) -> None:
    path = csv(tmp_path, a=NUMBERS, x=[7] * 40)
    assert load(path, PAIR).rows["x"][8].tolist() == [[2.0, 7.0]]
    assert load(path, (TensorSpec("x", "float32", (None, 1)),)).rows["x"][8].tolist() == [[7.0]]


@both
def test_each_of_several_inputs_takes_the_column_of_its_name(tmp_path: Path, form: Form) -> None:
    path = form(tmp_path, age=list(range(40)), city=CITIES, ok=[True, False] * 20, other=CITIES)
    inputs = (
        TensorSpec("city", "string", (None, 1)),
        TensorSpec("age", "int64", (None, 1)),
        TensorSpec("ok", "bool", (None,)),
    )
    data = load(path, inputs)
    assert data.rows["city"][2].tolist() == [["Köln, Süd"]]
    assert data.rows["age"][7].tolist() == [[7]]
    assert data.rows["ok"][:].tolist() == [[True], [False]] * 20
    assert data.rows["age"].dtype == np.int64
    assert data.feature_names is None


def test_single_input_of_text_takes_digits_as_they_are_written(tmp_path: Path) -> None:
    path = csv(tmp_path, plz=["01234"] * 40, city=CITIES, y=[1] * 40)
    data = load(path, (TensorSpec("x", "string", (None, 2)),), "y")
    assert data.rows["x"][0].tolist() == [["01234", "Ulm"]]
    assert data.labels is not None
    assert data.labels.tolist() == [1] * 40


@both
def test_labels_in_text_are_numbered_by_sorted_order_or_by_the_model(tmp_path: Path, form: Form) -> None:
    path = form(tmp_path, a=NUMBERS, b=NUMBERS, y=["no", "yes"] * 20)
    sorted_order = load(path, PAIR, "y")
    models = load(path, PAIR, "y", classes=("yes", "maybe", "no"))
    assert sorted_order.labels is not None
    assert models.labels is not None
    assert (sorted_order.labels[:2].tolist(), models.labels[:2].tolist()) == ([0, 1], [2, 0])
    assert sorted_order.class_names == ("no", "yes")
    assert sorted_order.preparation["classes_of"] == "the labels"
    assert models.preparation["classes_of"] == "the model"
    with pytest.raises(DataError, match="label 'no' in .* is none of the model's classes, 'yes', 'maybe'"):
        load(path, PAIR, "y", classes=("yes", "maybe"))


def test_columns_of_several_inputs_may_be_named_too(tmp_path: Path) -> None:
    path = csv(tmp_path, id=NUMBERS, a=NUMBERS, city=CITIES)
    inputs = (TensorSpec("a", "float32", (None, 1)), TensorSpec("city", "string", (None, 1)))
    assert load(path, inputs, feature_names=("city", "a")).not_taken == ("id",)
    with pytest.raises(DataError, match="takes columns by their names"):
        load(path, inputs, feature_names=("id", "city"))


def test_array_of_one_value_a_row_needs_no_axis_for_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", a=np.arange(40.0), city=np.array(CITIES))
    inputs = (TensorSpec("a", "float32", (None, 1)), TensorSpec("city", "string", (None, 1)))
    data = load(tmp_path / "data.npz", inputs)
    assert (data.rows["a"].shape, data.rows["city"].shape) == ((40, 1, 1), (40, 1, 1))
    assert data.rows["a"][7].item() == 7.0


def test_what_no_input_takes_is_told(tmp_path: Path) -> None:
    path = csv(tmp_path, note=CITIES, a=NUMBERS, y=[0, 1] * 20, b=NUMBERS, id=list(range(40)))
    assert load(path, PAIR, "y", feature_names=("b", "a")).not_taken == ("note", "id")
    np.savez(tmp_path / "data.npz", x=np.zeros((40, 2)), y=np.zeros(40), z=np.zeros(3))
    assert load(tmp_path / "data.npz", PAIR, "y").not_taken == ("z",)
    assert load(tmp_path / "data.npz", PAIR).not_taken == ("y", "z")


def test_table_is_refused_for_images_with_what_they_come_in(tmp_path: Path) -> None:
    path = csv(tmp_path, a=NUMBERS, b=NUMBERS)
    with pytest.raises(DataError, match=r"takes \(any, 3, 8, 8\), .* give a folder of images, .npz or .npy$"):
        load(path, (TensorSpec("image", "float32", (None, 3, 8, 8)),))
    with pytest.raises(DataError, match=r"takes \(any, any, 2\), .* give .npz or .npy$"):
        load(path, (TensorSpec("steps", "float32", (None, None, 2)),))


@both
def test_empty_cell_is_a_missing_value_where_the_policy_allows_one(tmp_path: Path, form: Form) -> None:
    holed = [*NUMBERS[:5], None, *NUMBERS[6:]]
    path = form(tmp_path, a=["" if form is csv and cell is None else cell for cell in holed], b=NUMBERS)
    where = "line 7" if form is csv else "row 5"
    with pytest.raises(DataError, match=f"feature 'a' is nan in {where}, and 1 of 40 rows"):
        load(path, PAIR)
    data = load(path, PAIR, missing={"x": np.array([[True, False]])})
    assert np.isnan(data.rows["x"][5][0, 0])


@both
def test_table_keeps_every_column_with_nan_for_empty(tmp_path: Path, form: Form) -> None:
    none = "" if form is csv else None
    path = form(tmp_path, a=[1, 2.5] * 20, city=["Ulm", none] * 20, flag=["true" if form is csv else True] * 40)
    table = read_table(path)
    assert list(table.columns) == ["a", "city", "flag"]
    assert table.columns["a"].tolist() == [1.0, 2.5] * 20
    assert table.columns["city"].dtype == object
    assert table.columns["city"][0] == "Ulm"
    assert np.isnan(table.columns["city"][1])
    assert table.columns["flag"].tolist() == [1.0] * 40
    assert (len(table), table.place(3)) == (40, "line 5" if form is csv else "row 3")


def test_cell_with_line_breaks_counts_its_lines(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b,note\n1,2,"two\nlines"\n3,x,-\n' + "1,2,-\n" * 40)
    with pytest.raises(DataError, match="column 'b' holds text such as 'x' in line 4; numbers are needed"):
        load(path, PAIR, feature_names=["a", "b"])


def test_column_that_turns_into_text_keeps_its_first_cells_as_written(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "code\n007\n1_0\nA1\n"))
    assert table.columns["code"].tolist() == ["007", "1_0", "A1"]


ROWS = "1,2\n" * 40


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "has no line of names; the first line names the columns"),
        ("a,b\n", "the table has no rows"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells and the line of names 2; quote cells that contain commas"),
        ("1,2\n" + ROWS, "the first line holds numbers; give it the names of the columns"),
        ("a,a\n" + ROWS, "the column 'a' is there more than once"),
        (",a\n" + ROWS, "column 1 has no name"),
        ("a;b\n" + ROWS, "one column is named 'a;b'; separate the columns by commas"),
        (
            "a,b\n" + ROWS + "1,caf\xe9\n",
            "column 'b' holds text such as 'caf\xe9' in line 42; numbers are needed",
        ),
        # with another column of numbers that could slip into its place
        ("a,b,c\n" + "1,2,3\n" * 40 + "1,abc,3\n", "column 'b' holds text such as 'abc' in line 42"),
        (
            ("a,b\n1,\ufffd\n" + ROWS).encode() + "1,caf\xe9\n".encode("latin-1"),
            "line 43 is not UTF-8 .byte 0xe9.; save the file as UTF-8",
        ),
        ('a,b\n1,"2\n' + ROWS, "is not CSV: unexpected end of data; mend its quotes"),
        ("a,b\n1," + "9" * 200_000 + "\n", "line 2 is not CSV: field larger than field limit"),
        ("a,b,c\n" + "1,2,3\n" * 40, "takes 2 columns, and of numbers there are 3: 'a', 'b', 'c' .not taken: none."),
        (
            "a,city\n" + "1,Ulm\n" * 40,
            "of numbers there are 1: 'a' .not taken: 'city'.; name them in their order",
        ),
        ("a,b\n" + "1,2\n" * 31, "31 rows; at least 32 are needed"),
        ("a,b\n" + ROWS + "1,inf\n", "feature 'b' is inf in line 42, and 1 of 41 rows"),
    ],
)
def test_csv_that_cannot_serve_is_explained(tmp_path: Path, content: str | bytes, expected: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=r"rows\.csv: .*" + expected):
        load(path, PAIR)


@both
@pytest.mark.parametrize(
    ("inputs", "labels", "names", "expected"),
    [
        (PAIR, "z", None, "labels 'z' are neither a file nor in .*; it has 'a', 'b', 'city'"),
        (PAIR, None, ["a", "z"], "no column 'z'; it has 'a', 'b', 'city'"),
        (PAIR, None, ["a", "city"], "column 'city' holds text such as 'Ulm'"),
        (PAIR, "city", ["a"], "has 1 value on axis 1; the model takes 2"),
        (
            (TensorSpec("a", "string", (None, 1)), TensorSpec("z", "float32", (None, 1))),
            None,
            None,
            "no column 'z'.*; of a",
        ),
        ((TensorSpec("a", "int64", (None, 1)), TensorSpec("b", "int64", (None, 1))), None, None, "'b' is 0.25 in"),
        ((TensorSpec("a", "float32", (None, 3)), TensorSpec("b", "float32", (None, 1))), None, None, "model takes 3"),
    ],
)
def test_columns_that_do_not_fit_are_explained(
    tmp_path: Path,
    form: Form,
    inputs: tuple[TensorSpec, ...],
    labels: str | None,
    names: list[str] | None,
    expected: str,
) -> None:
    path = form(tmp_path, a=list(range(40)), b=NUMBERS, city=CITIES)
    with pytest.raises(DataError, match=expected):
        load(path, inputs, labels, feature_names=names)


@both
def test_whole_number_that_a_table_would_round_is_refused(tmp_path: Path, form: Form) -> None:
    path = form(tmp_path, a=[2**53 + 2] * 40)
    with pytest.raises(DataError, match="'a' has 9007199254740994 in .*; beyond 2\\*\\*53 a table is not exact"):
        load(path, (TensorSpec("a", "int64", (None, 1)),))


@both
def test_text_that_is_missing_is_refused(tmp_path: Path, form: Form) -> None:
    cities = [*CITIES[:9], "" if form is csv else None, *CITIES[10:]]
    path = form(tmp_path, a=NUMBERS, b=NUMBERS, city=cities)
    with pytest.raises(DataError, match="column 'city' is empty in (line 11|row 9); fill it in"):
        load(path, (TensorSpec("city", "string", (None, 1)),))
    data = load(path, PAIR, "city")
    assert not data.labelled[9]
    assert data.labelled.sum() == len(cities) - 1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text", b"PAR1" + bytes(100) + b"PAR1"])
def test_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyarrow", reason="Parquet is read through pyarrow, which is not installed")
    with pytest.raises(DataError, match=r"rows\.parquet: not a sound Parquet file: .*; write it again"):
        read_table(write(tmp_path, content, "rows.parquet"))


def test_columns_of_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'a' holds list<.*>; numbers and text are read: leave it out"):
        read_table(parquet(tmp_path, a=[[1, 2]] * 40))


@both
@pytest.mark.parametrize("cells", [[0] * 5000, [f"{place:x}x" for place in range(1000)]], ids=["numbers", "text"])
def test_table_larger_than_memory_should_be_is_refused(
    tmp_path: Path, form: Form, cells: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_rai.csv_table.MOST_BYTES", 8 * 4096)
    path = form(tmp_path, a=cells)
    with pytest.raises(DataError, match="takes more than the 0 MiB of memory that a table may"):
        load(path, (TensorSpec("x", "float32", (None, 1)),))


@pytest.mark.parametrize("name", ["rows.txt", "rows.xlsx", "rows.npy"])
def test_other_files_are_no_tables(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"not a table; give a file that ends in \.csv or \.parquet"):
        read_table(write(tmp_path, "a,b\n1,2\n", name))


def test_names_of_columns_are_of_tables_only(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((40, 2)))
    with pytest.raises(DataError, match="no table, so no columns of it can be chosen"):
        load(tmp_path / "rows.npy", PAIR, feature_names=["a", "b"])
