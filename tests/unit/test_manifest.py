from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_rai import bundle
from edge_rai.bundle import Golden, GoldenTensor, Manifest, ModelFile, Provenance, parse_manifest, stored_zip
from edge_rai.errors import BundleError, IntegrityError
from edge_rai.types import TensorSpec

MODEL = b"not really a model"
FILES = {
    "models/m.onnx": MODEL,
    "guard.bin": b"guard",
    "policy.toml": b"policy",
    "reference/golden/input_0.bin": bytes(8),
    "reference/golden/output_0.bin": struct.pack("<f", -2.0),
}


def manifest() -> Manifest:
    return Manifest(
        format_version=1,
        name="m",
        models=(
            ModelFile("primary", "models/m.onnx", "onnx", "none", True, hashlib.sha256(MODEL).hexdigest(), len(MODEL)),
        ),
        inputs=(TensorSpec("x", "float32", (None, 2)),),
        outputs=(TensorSpec("y", "float32", (None,)),),
        golden=Golden(
            atol=1e-3,
            inputs=(GoldenTensor("x", "reference/golden/input_0.bin", "float32", (1, 2)),),
            outputs=(GoldenTensor("y", "reference/golden/output_0.bin", "float32", (1,)),),
        ),
        provenance=Provenance("m.onnx", "0" * 64, "1" * 64, {"numpy": "2"}),
        requirements={"edge_rai": ">=0.1"},
    )


def test_manifest_text_reads_back_and_is_canonical() -> None:
    text = manifest().to_json()
    assert parse_manifest(text) == manifest()
    assert text == (json.dumps(json.loads(text), sort_keys=True, indent=1) + "\n").encode()
    assert json.loads(text)["inputs"] == [{"name": "x", "dtype": "float32", "shape": [None, 2]}]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("format_version",), 2, r"format_version is 2: .*1"),
        (("models", 0, "size"), "18", r"models\[0\]\.size is '18': .*integer"),
        (("models", 0, "role"), "second", r"models\[0\]\.role is 'second': .*'primary' or 'fallback'"),
        (("models", 0, "role"), "fallback", r"one of role 'primary'"),
        (("models", 0, "sha256"), "0" * 63, r"is not a sha256"),
        (("golden", "atol"), -1e-9, r"atol is -1e-09; it must be a finite number of 0 or more"),
        (("golden", "atol"), float("inf"), r"atol is inf"),
        (("golden", "atol"), float("nan"), r"atol is nan"),
        (("golden", "inputs", 0, "dtype"), "text", r"unknown dtype 'text'"),
        (("golden", "inputs", 0, "shape"), [-1, 2], r"has shape \[-1, 2\]; extents are 1 or more"),
        (("files",), {"../x": "0" * 64}, r"'\.\./x', which is not a path"),
        (("files",), {".hidden": "0" * 64}, r"'\.hidden', which is not a path"),
    ],
)
def test_bad_field_of_a_manifest_is_named(path: tuple[str | int, ...], value: object, expected: str) -> None:
    document = json.loads(manifest().to_json())
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(BundleError, match=expected):
        parse_manifest(json.dumps(document).encode())


def test_stored_zip_is_what_the_format_says_byte_by_byte() -> None:
    """Against zipfile, an independent writer, told to leave out everything that the format has not."""
    tree = {"b/c.bin": b"\x00\x01", "a.txt": b"", "b.txt": b"text"}
    expected = io.BytesIO()
    with zipfile.ZipFile(expected, "w") as archive:
        for name in sorted(tree):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = info.external_attr = 0
            info.create_version = 20
            archive.writestr(info, tree[name])
        for info in archive.infolist():
            info.external_attr = 0
    assert stored_zip(tree) == expected.getvalue()


@pytest.mark.parametrize("name", ["m.erai", "m"])
def test_written_bundle_is_read_back(tmp_path: Path, name: str) -> None:
    bundle.write_bundle(tmp_path / name, FILES, manifest())
    found = bundle.read(tmp_path / name)
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
    assert found.manifest == replace(manifest(), files=digests)
    assert {path: data for path, data in found.files.items() if path in FILES} == FILES
    assert found.files["manifest.sha256"] == hashlib.sha256(found.files["manifest.json"]).hexdigest().encode() + b"\n"
    assert os.listdir(tmp_path) == [name]


def test_directory_and_zip_hold_the_same_tree(tmp_path: Path) -> None:
    bundle.write_bundle(tmp_path / "m", FILES, manifest())
    bundle.write_bundle(tmp_path / "m.erai", FILES, manifest())
    assert bundle.read(tmp_path / "m").files == bundle.read(tmp_path / "m.erai").files


@pytest.mark.parametrize("name", ["m.erai", "m"])
def test_bundle_replaces_a_bundle_and_nothing_else(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    bundle.write_bundle(target, FILES, manifest())
    bundle.write_bundle(target, {**FILES, "card.md": b"new"}, manifest())
    assert bundle.read(target).files["card.md"] == b"new"
    other = tmp_path / f"other-{name}"
    if other.suffix:
        other.write_bytes(b"precious")
    else:
        other.mkdir()
        (other / "precious").touch()
    with pytest.raises(FileExistsError, match="exists and is not a bundle"):
        bundle.write_bundle(other, FILES, manifest())
    assert other.read_bytes() == b"precious" if other.suffix else os.listdir(other) == ["precious"]


@pytest.mark.parametrize("name", ["m.erai", "m"])
def test_failed_write_leaves_the_old_bundle_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    target = tmp_path / name
    bundle.write_bundle(target, FILES, manifest())

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        bundle.write_bundle(target, FILES, manifest())
    assert os.listdir(tmp_path) == [name]
    assert bundle.read(target).manifest.name == "m"


def test_key_of_a_later_writer_is_skipped_as_the_native_reader_does() -> None:
    document = {**json.loads(manifest().to_json()), "signatures": []}
    assert parse_manifest(json.dumps(document).encode()) == manifest()


def test_limits_of_the_format_are_held_in_both_forms(tmp_path: Path) -> None:
    many = {f"evidence/{index}.json": b"" for index in range(1024 - len(FILES) - 2)}
    for name in ("m", "m.erai"):
        bundle.write_bundle(tmp_path / name, {**FILES, **many}, manifest())
        assert len(bundle.read(tmp_path / name).files) == 1024
        with pytest.raises(BundleError, match="in 1025 files"):
            bundle.write_bundle(tmp_path / name, {**FILES, **many, "one.more": b""}, manifest())
        with pytest.raises(BundleError, match="'models' cannot be a file and the folder of"):
            bundle.write_bundle(tmp_path / name, {**FILES, "models": b""}, manifest())


@pytest.mark.parametrize(
    "path",
    ["a/" * 8 + "b", "x" * 256, "../out", "/abs", "a//b", ".hidden", "a/.b", "ümlaut", "a b", "", "manifest.json"],
)
def test_path_that_no_bundle_may_hold_is_not_written(tmp_path: Path, path: str) -> None:
    with pytest.raises(BundleError, match="not a name that a file of a bundle may have"):
        bundle.write_bundle(tmp_path / "m.erai", {**FILES, path: b""}, manifest())
    assert not os.listdir(tmp_path)


def test_manifest_that_does_not_describe_its_files_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"models/m\.onnx: .*18 bytes"):
        bundle.write_bundle(tmp_path / "m.erai", {**FILES, "models/m.onnx": b"short"}, manifest())
    with pytest.raises(BundleError, match=r"models/m\.onnx: .*two digests"):
        bundle.write_bundle(tmp_path / "m.erai", {**FILES, "models/m.onnx": MODEL.upper()}, manifest())
    with pytest.raises(BundleError, match=r"input_0\.bin: .*8 bytes"):
        bundle.write_bundle(tmp_path / "m.erai", {**FILES, "reference/golden/input_0.bin": b""}, manifest())


@pytest.mark.parametrize(
    ("output", "most"),
    [(-2.0, 2.0), (0.0, 1e-6), (float("nan"), 1e-6), (float("inf"), 1e-6)],
)
def test_tolerance_under_which_zeros_would_pass_is_refused(tmp_path: Path, output: float, most: float) -> None:
    files = {**FILES, "reference/golden/output_0.bin": struct.pack("<f", output)}
    described = manifest()
    fitting = replace(described, golden=replace(described.golden, atol=most))
    bundle.write_bundle(tmp_path / "m.erai", files, fitting)
    assert bundle.read(tmp_path / "m.erai").manifest.golden.atol == most
    absurd = replace(described, golden=replace(described.golden, atol=most * 1.01))
    with pytest.raises(BundleError, match=rf"golden\.atol is .*; at most {most:g}"):
        bundle.write_bundle(tmp_path / "m.erai", files, absurd)


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"],
)
def test_golden_file_has_the_size_that_its_type_has_in_numpy(tmp_path: Path, dtype: str) -> None:
    described = manifest()
    tensor = GoldenTensor("x", "reference/golden/input_0.bin", dtype, (3, 2))
    described = replace(described, golden=replace(described.golden, inputs=(tensor,)))
    content = np.zeros((3, 2), dtype).tobytes()
    bundle.write_bundle(tmp_path / "m", {**FILES, tensor.path: content}, described)
    with pytest.raises(BundleError, match=rf"input_0\.bin: .*{len(content)} bytes"):
        bundle.write_bundle(tmp_path / "m", {**FILES, tensor.path: content + b"\0"}, described)


STRINGS = np.array([["plain", ""], ["nul\0inside", "\u00e9\u20ac\U0001f600"]], dtype=object)


def test_golden_strings_have_their_size_before_them(tmp_path: Path) -> None:
    described = manifest()
    tensor = GoldenTensor("x", "reference/golden/input_0.bin", "string", (2, 2))
    described = replace(described, golden=replace(described.golden, inputs=(tensor,)))
    content = bundle.golden_bytes(STRINGS)
    assert content[:13] == b"\5\0\0\0plain\0\0\0\0"
    bundle.write_bundle(tmp_path / "m", {**FILES, tensor.path: content}, described)
    assert bundle.golden_array(tensor, bundle.read(tmp_path / "m").files[tensor.path]).tolist() == STRINGS.tolist()
    for other in (content[:-1], content + b"\0", content + b"\0\0\0\0", b""):
        with pytest.raises(BundleError, match=r"input_0\.bin: .*4 strings"):
            bundle.write_bundle(tmp_path / "m", {**FILES, tensor.path: other}, described)


@pytest.mark.parametrize("values", [STRINGS, STRINGS.astype("U"), np.arange(4, dtype=">f4").reshape(2, 2)])
def test_golden_values_come_back_from_their_file(values: npt.NDArray[Any]) -> None:
    tensor = GoldenTensor("x", "x.bin", bundle.golden_dtype(values), values.shape)
    assert bundle.golden_array(tensor, bundle.golden_bytes(values)).tolist() == values.tolist()


def test_bfloat16_is_read_as_float32() -> None:
    tensor = GoldenTensor("x", "x.bin", "bfloat16", (2,))
    assert bundle.golden_array(tensor, b"\x20\xc0\x80\x7f").tolist() == [-2.5, float("inf")]


def test_fallback_model_is_found_wherever_it_stands(tmp_path: Path) -> None:
    described = manifest()
    assert described.fallback is None
    second = replace(described.primary, role="fallback", path="models/second.onnx")
    described = replace(described, models=(second, described.primary))
    bundle.write_bundle(tmp_path / "m.erai", {**FILES, second.path: MODEL}, described)
    found = bundle.read(tmp_path / "m.erai").manifest
    assert found.primary.path == "models/m.onnx"
    assert found.fallback is not None
    assert found.fallback.path == "models/second.onnx"
    with pytest.raises(ValueError, match="more than one of role 'fallback' and format 'onnx'"):
        replace(described, models=(second, second, described.primary))


def test_one_model_may_stand_in_two_formats_each_with_golden_vectors_of_its_own(tmp_path: Path) -> None:
    described = manifest()
    golden = replace(described.golden, atol=described.golden.atol / 2)
    other = replace(described.primary, format="tflite", path="models/m.tflite", golden=golden)
    described = replace(described, models=(other, described.primary))
    bundle.write_bundle(tmp_path / "m.erai", {**FILES, other.path: MODEL}, described)
    found = bundle.read(tmp_path / "m.erai").manifest
    assert [model.path for model in found.of_role("primary")] == ["models/m.onnx", "models/m.tflite"]
    assert found.primary.format == "onnx"
    assert found.primary.golden is None
    assert found.of_role("primary")[1].golden == golden


def test_golden_vectors_of_one_model_are_held_against_their_files(tmp_path: Path) -> None:
    described = manifest()
    loose = replace(described.golden, atol=1e9)
    with pytest.raises(BundleError, match="atol"):
        bundle.write_bundle(
            tmp_path / "m.erai", FILES, replace(described, models=(replace(described.primary, golden=loose),))
        )


def test_changed_missing_and_extra_files_are_named(tmp_path: Path) -> None:
    target = tmp_path / "m"
    bundle.write_bundle(target, FILES, manifest())
    (target / "policy.toml").write_bytes(b"pOlicy")
    with pytest.raises(IntegrityError, match=r"policy\.toml"):
        bundle.read(target)
    (target / "policy.toml").unlink()
    with pytest.raises(IntegrityError, match=r"policy\.toml"):
        bundle.read(target)
    (target / "policy.toml").write_bytes(b"policy")
    (target / "extra.txt").touch()
    with pytest.raises(IntegrityError, match=r"extra\.txt"):
        bundle.read(target)
