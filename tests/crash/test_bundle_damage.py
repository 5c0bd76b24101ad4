from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from edge_rai import BundleError, IntegrityError, load
from edge_rai.policy import FeatureRule, InputRule, OutputRule, Policy, Reference, compile_policy
from support import guard_bytes
from support.bundles import Tree, read_tree, seal, write_bundle, write_tree
from support.models import save_linear

FORMS = ["damaged.erai", "damaged"]
FILES = [
    "card.md",
    "guard.bin",
    "manifest.json",
    "manifest.sha256",
    "models/model.onnx",
    "reference/golden/x.bin",
    "reference/golden/y.bin",
]


@pytest.fixture(scope="module")
def tree(linear_bundle: Path) -> Tree:
    return read_tree(linear_bundle)


def refusal(path: Path, tree: Tree, kind: type[BundleError] = BundleError) -> str:
    """What `load` says of such a bundle; one sentence on one line that names the bundle."""
    shutil.rmtree(path, ignore_errors=True)
    write_tree(path, tree)
    with pytest.raises(kind) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_the_tree_is_the_one_that_is_damaged_below(tree: Tree, tmp_path: Path) -> None:
    assert sorted(tree) == FILES
    for form in FORMS:
        with load(write_tree(tmp_path / form, tree)) as session:
            assert session.predict(np.ones((1, 3), np.float32)).rows == 1
    with load(write_tree(tmp_path / "sealed.erai", seal(tree))) as session:
        assert session.predict(np.ones((1, 3), np.float32)).rows == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FILES)
def test_any_change_of_a_file_names_it(tree: Tree, tmp_path: Path, form: str, name: str) -> None:
    data = tree[name]
    middle = len(data) // 2
    changes = [data[:-1], data[:middle], b"", data + b"\0", data + data, data[:middle] + b"\0" + data[middle + 1 :]]
    changes += [bytes([data[0] ^ 1]) + data[1:], data[:-1] + bytes([data[-1] ^ 0x80])]
    for changed in changes:
        if changed != data:
            message = refusal(tmp_path / form, {**tree, name: changed})
            assert name in message or {"manifest.json", "manifest.sha256"} & {name, *message.split()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(tree: Tree, tmp_path: Path, form: str, name: str) -> None:
    message = refusal(tmp_path / form, {other: data for other, data in tree.items() if other != name})
    assert name in message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["extra.bin", "models/other.onnx", "a/b/c.txt"])
def test_extra_file_is_named(tree: Tree, tmp_path: Path, form: str, name: str) -> None:
    assert name in refusal(tmp_path / form, {**tree, name: b"extra"})


def test_every_truncation_of_the_zip_is_refused(linear_bundle: Path, tmp_path: Path) -> None:
    data = linear_bundle.read_bytes()
    path = tmp_path / "cut.erai"
    for size in [*range(0, len(data), 7), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(BundleError, match="cut.erai"):
            load(path)


def test_flipped_bits_of_the_zip_are_refused(linear_bundle: Path, tmp_path: Path) -> None:
    data = linear_bundle.read_bytes()
    path = tmp_path / "flipped.erai"
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(BundleError, match="flipped.erai"):
            load(path)


@pytest.mark.parametrize("form", FORMS)
def test_newer_format_is_refused_saying_so(tree: Tree, tmp_path: Path, form: str) -> None:
    message = refusal(tmp_path / form, seal(tree, format_version=2))
    assert "bundle format version 2 and this build reads up to 1; update" in message


@pytest.mark.parametrize("form", FORMS)
def test_golden_output_that_this_device_does_not_give_is_an_integrity_error(
    tree: Tree, tmp_path: Path, form: str
) -> None:
    golden = np.frombuffer(tree["reference/golden/y.bin"], np.float32).copy()
    golden[3] += np.float32(0.01)
    sealed = seal({**tree, "reference/golden/y.bin": golden.tobytes()})
    assert "golden output 'y', element 3" in refusal(tmp_path / form, sealed, IntegrityError)
    golden[3] = np.nan
    sealed = seal({**tree, "reference/golden/y.bin": golden.tobytes()})
    assert "golden output 'y', element 3" in refusal(tmp_path / form, sealed, IntegrityError)


def linear_policy_with(**changes: object) -> Policy:
    rule = InputRule("x", "float32", (-1, 3), (9, 3), feature_axis=1, features=tuple(map(FeatureRule, "abc")))
    output = OutputRule("y", "float32", (-1, 2))
    return Policy(1, True, changes.get("inputs", (rule,)), changes.get("outputs", (output,)))  # type: ignore[arg-type]


OTHERS = {
    "the model has no input 'z', which the guard program has": linear_policy_with(
        inputs=(InputRule("z", "float32", (-1, 3), (9, 3)),)
    ),
    "input 'x': the guard program says 4 on axis 1, the model 3": linear_policy_with(
        inputs=(InputRule("x", "float32", (-1, 4), (9, 4)),)
    ),
    "input 'x': the guard program says rank 3": linear_policy_with(
        inputs=(InputRule("x", "float32", (-1, 3, 1), (9, 3, 1)),)
    ),
    "the model has no output 'p', which the guard program has": linear_policy_with(
        outputs=(OutputRule("p", "float32", (-1, 2)),)
    ),
    "output 'y': the guard program says int64, the model float32": linear_policy_with(
        outputs=(OutputRule("y", "int64", (-1, 2)),)
    ),
    "the guard program has 1 inputs and 2 outputs, the model 1 and 1": linear_policy_with(
        outputs=(OutputRule("y", "float32", (-1, 2)), OutputRule("q", "float32", (-1, 2)))
    ),
}


@pytest.mark.parametrize("message", OTHERS)
def test_guard_program_of_another_model_is_refused(tree: Tree, tmp_path: Path, message: str) -> None:
    sealed = seal({**tree, "guard.bin": compile_policy(OTHERS[message], None)})
    assert message in refusal(tmp_path / "damaged.erai", sealed)


@pytest.mark.parametrize("content", [b"", b"garbage", b"ERAIGRD\n" + bytes(40)])
@pytest.mark.parametrize("form", FORMS)
def test_sealed_garbage_for_a_guard_program_is_refused(tree: Tree, tmp_path: Path, form: str, content: bytes) -> None:
    assert "guard program" in refusal(tmp_path / form, seal({**tree, "guard.bin": content}))


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(100)])
@pytest.mark.parametrize("form", FORMS)
def test_sealed_garbage_for_a_model_is_refused(tree: Tree, tmp_path: Path, form: str, content: bytes) -> None:
    assert "models/model.onnx" in refusal(tmp_path / form, seal({**tree, "models/model.onnx": content}))


def test_hostile_output_shape_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    # A rejected first call makes outputs of the shape that the guard program states.
    bundle = write_bundle(
        tmp_path / "sound.erai",
        save_linear(tmp_path / "free.onnx"),
        linear_policy_with(outputs=(OutputRule("y", "float32", (-1, -1)),)),
        {"x": np.ones((1, 3), np.float32)},
    )
    modest = compile_policy(linear_policy_with(outputs=(OutputRule("y", "float32", (-1, 2, 7, 11)),)), Reference(()))
    assert modest.count(struct.pack("<3q", 2, 7, 11)) == 1
    most = 2**31 - 1
    for extents in ((2, most, most), (most, most, most), (4, 2**12, 2**12 + 1), (0, 2**30, 1)):
        program = guard_bytes.reseal(modest.replace(struct.pack("<3q", 2, 7, 11), struct.pack("<3q", *extents)))
        tree = seal({**read_tree(bundle), "guard.bin": program})
        with pytest.raises(BundleError, match="output 'y': its fixed extents make more than 67108864 elements"):
            load(write_tree(tmp_path / "hostile.erai", tree))
