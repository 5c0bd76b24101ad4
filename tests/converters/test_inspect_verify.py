"""What `inspect` and `verify` print of a converted bundle, and what they exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_rai import bundle, load
from edge_rai.cli import main
from edge_rai_converters import convert


@pytest.fixture(scope="module")
def folder(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundle") / "tumour"
    convert(tumours / "mlp.onnx", tumours / "data.npz", output, labels="y", prune="none")
    return output


def test_inspect_shows_model_features_and_digests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder)]) == 0
    printed = capsys.readouterr().out
    found = bundle.read(folder)
    assert " ".join(printed.split()).startswith(f"{folder} is a bundle (format 1): the trained model 'tumour' with")
    assert "  type and shape           float32 (1 to 65536 rows, 30)" in printed
    assert "\n  mean radius              0 to " in printed
    assert max(map(len, printed.splitlines()[:-1])) <= 110, "digests are not folded"
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
    assert document["policy"]["inputs"][0]["features"][0]["name"] == "mean radius"
    assert document["policy"]["outputs"][1]["default"] == ["nan"]
    assert document["measured"]["guard_on_held_back"]["rows"] == 142
    assert document["measured"]["distances"][0]["input"] == "X"
    assert document["sizes"]["guard.bin"] == len(bundle.read(folder).files["guard.bin"])


def test_inspect_says_with_a_decision_who_answers_and_what_was_measured(
    tumours: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = bundle.read(folder).files["policy.toml"].decode()
    text += """
        [decision]
        deadline_ms = 20
        review_rows = 9
        breaker = { on = ["reject"], window = 4, failures = 2 }
        [[fallback]]
        reasons = ["out_of_distribution"]
        chain = ["abstain", "default"]
    """
    (tmp_path / "policy.toml").write_text(
        text.replace('name = "probabilities"', 'name = "probabilities"\nmargin = 0.25')
    )
    options = {"labels": "y", "policy": tmp_path / "policy.toml", "prune": "none", "quantize": "none"}
    convert(tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", **options)  # type: ignore[arg-type]
    assert main(["inspect", str(tmp_path / "m.erai")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    card = bundle.read(tmp_path / "m.erai").files["card.md"].decode()
    for said in (
        ("margin", "the greatest share exceeds the second by at least 0.25", "reject"),
        ("deadline", "after 20 ms the model is stopped", "reject"),
        ("out_of_distribution", "a person, from the review queue; else the outputs' defaults"),
        ("review queue", "at most 9 rows wait; when it is full the chain goes on"),
        ("its failures", "every row was rejected, and not every one for its input"),
    ):
        assert " ".join(said) in printed
        assert f"| {' | '.join(said)} |" in card.replace("|  |", "|")
    assert "held-back rows (" in printed
    assert "left out deadline_ms, breaker: a table has neither order nor time" in printed


def test_inspect_of_a_bundle_without_a_written_policy_shows_the_limits(
    linear_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(linear_bundle)]) == 0
    printed = capsys.readouterr().out
    assert "there is no policy.toml to say what else it decides" in printed
    assert "  radius   -10  10\n" in printed
    assert main(["inspect", str(linear_bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] is None


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("policy.toml", b"format_version = 1"),
        ("evidence/candidates.json", b"[]"),
        ("evidence/candidates.json", b'{"distances": [{}]}'),
        ("evidence/candidates.json", b'{"guard_on_held_back": {"rows": null}}'),
    ],
)
def test_inspect_names_a_file_of_the_bundle_that_is_not_what_it_should_be(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, data: bytes
) -> None:
    found = bundle.read(folder)
    files = {name: content for name, content in found.files.items() if not name.startswith("manifest.")}
    bundle.write_bundle(tmp_path / "m.erai", {**files, path: data}, found.manifest)
    assert main(["inspect", str(tmp_path / "m.erai")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert path in printed.err


def test_verify_says_yes_to_every_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", "files"], ["ok", "policy"], ["ok", "session"]]


def test_verify_says_that_a_bundle_is_stopped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with load(folder) as session:
        session.stop("the lot of Tuesday")
        try:
            assert main(["verify", str(folder)]) == 0
        finally:
            session.resume()
    assert "gave the same answers; it is stopped" in capsys.readouterr().out


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
    printed = capsys.readouterr().out
    assert "mlp.onnx is a bare model, without rules of its own" in " ".join(printed.split())
    assert "  type and shape  float32 (any number of rows, 30)  reject\n" in printed
    assert "  X               no limits\n" in printed
    assert "  any reason    nobody (NaN, of signed integers -1, of others 0 or nothing)\n" in printed
    assert main(["inspect", str(tumours / "mlp.onnx"), "--json"]) == 0
    policy = json.loads(capsys.readouterr().out)["policy"]
    assert [spec["finite"] for spec in policy["outputs"]] == [False, True]
    assert main(["verify", str(tumours / "mlp.onnx")]) == 0
    assert "default policy" in capsys.readouterr().out
