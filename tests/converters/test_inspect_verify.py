"""What `inspect` and `verify` print of a converted bundle, and what they exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_rai import bundle
from edge_rai.cli import main
from edge_rai_converters import convert


@pytest.fixture(scope="module")
def folder(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundle") / "tumour"
    convert(tumours / "mlp.onnx", tumours / "data.npz", output, labels="y")
    return output


def test_inspect_shows_model_features_and_digests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder)]) == 0
    printed = capsys.readouterr().out
    found = bundle.read(folder)
    assert "bundle 'tumour', format 1" in printed
    assert "input    X: float32 (any, 30)" in printed
    assert "mean radius" in printed
    for digest in found.manifest.files.values():
        assert digest in printed


def test_inspect_json_has_the_manifest_and_the_limits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["models"][0]["quantization"] == "static_int8_qdq"
    assert document["guard"]["batched"] is True
    assert document["guard"]["features"][0] == {
        **document["guard"]["features"][0],
        "name": "mean radius",
        "low": 0.0,
        "bins": 32,
        "reference_rows": 427,
    }
    assert document["sizes"]["guard.bin"] == len(bundle.read(folder).files["guard.bin"])


def test_verify_says_yes_to_every_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", "files"], ["ok", "policy"], ["ok", "session"]]


def test_verify_says_no_to_a_changed_file_and_names_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bundle.read(folder)
    for path, data in found.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data[:-1] + b"?" if path == "policy.toml" else data)
    assert main(["verify", str(tmp_path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert [check["check"] for check in document["checks"]] == ["files"]
    assert "policy.toml" in document["checks"][0]["detail"]


def test_verify_says_no_when_the_guard_is_not_the_written_policy(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every digest is right: the bundle was written so."""
    found = bundle.read(folder)
    files = {path: data for path, data in found.files.items() if not path.startswith("manifest.")}
    files["policy.toml"] = files["policy.toml"].replace(b'out_of_range = "reject"', b'out_of_range = "flag"')
    bundle.write_bundle(tmp_path / "m.erai", files, found.manifest)
    assert main(["verify", str(tmp_path / "m.erai")]) == 1
    assert capsys.readouterr().out.splitlines()[1].startswith("NO  policy    guard.bin is not what policy.toml")


def test_both_say_something_of_a_bare_model(tumours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tumours / "mlp.onnx")]) == 0
    assert "a bare model" in capsys.readouterr().out
    assert main(["verify", str(tumours / "mlp.onnx")]) == 0
    assert "default policy" in capsys.readouterr().out
