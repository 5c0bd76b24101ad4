"""What differs between two bundles, and whether the change plan of the older one had thought of it."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_rai import bundle
from edge_rai.bundle import Golden, GoldenTensor, Manifest, ModelFile, Provenance
from edge_rai.cli import main
from edge_rai.documents.difference import Difference, difference
from edge_rai.errors import BundleError
from edge_rai.types import TensorSpec

POLICY = """
format_version = 1
batched = true
[[inputs]]
name = "x"
dtype = "float32"
shape = [-1, 2]
max_shape = [65536, 2]
feature_axis = 1
features = [{ name = "a", low = 0.0, high = 1.0 }, { name = "b", low = 0.0, high = 1.0 }]
[[outputs]]
name = "y"
dtype = "float32"
shape = [-1]
"""
RISK = """
format_version = 1
[use]
purpose = "p"
users = "u"
[stakes]
people = false
harm = "none"
decides_alone = false
safety = false
area = "none"
"""
PLAN = RISK + '[change_plan]\nallowed = ["model", "policy"]\nlargest_loss = { accuracy = 0.02 }\n'
FIGURES = {("accuracy", "all rows"): 0.95, ("accuracy", "sex=F"): 0.94, ("brier", "all rows"): 0.1}


def report(figures: Mapping[tuple[str, str], float | None], policy: str = "a" * 64, rows: int = 100) -> bytes:
    measured = [
        {"metric": metric, "slice": name, "rows": 100, "candidate": value} for (metric, name), value in figures.items()
    ]
    return json.dumps({"measured": measured, "facts": {"policy_sha256": policy, "data": {"rows": rows}}}).encode()


def made(
    path: Path,
    *,
    model: bytes = b"model",
    data: str = "1" * 64,
    policy: str = POLICY,
    guard: bytes = b"guard",
    more: Mapping[str, bytes] | None = None,
) -> bundle.Bundle:
    files = {
        "models/m.onnx": model,
        "guard.bin": guard,
        "policy.toml": policy.encode(),
        "golden/x.bin": bytes(8),
        "golden/y.bin": struct.pack("<f", 1.0),
        **({"evidence/gate.json": report(FIGURES), "risk.toml": PLAN.encode()} if more is None else more),
    }
    digest = hashlib.sha256(model).hexdigest()
    manifest = Manifest(
        format_version=1,
        name="m",
        models=(ModelFile("primary", "models/m.onnx", "onnx", "none", True, digest, len(model), "float"),),
        inputs=(TensorSpec("x", "float32", (None, 2)),),
        outputs=(TensorSpec("y", "float32", (None,)),),
        golden=Golden(
            atol=1e-3,
            inputs=(GoldenTensor("x", "golden/x.bin", "float32", (1, 2)),),
            outputs=(GoldenTensor("y", "golden/y.bin", "float32", (1,)),),
        ),
        provenance=Provenance("m.onnx", "0" * 64, data, {"numpy": "2"}),
        requirements={},
    )
    bundle.write_bundle(path, files, manifest)
    return bundle.read(path)


def against(tmp_path: Path, new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Difference:
    return difference(made(tmp_path / "old.erai", **(old or {})), made(tmp_path / "new.erai", **new))


def gated(figures: Mapping[tuple[str, str], float | None], **how: Any) -> dict[str, bytes]:
    return {"evidence/gate.json": report({**FIGURES, **figures}, **how), "risk.toml": PLAN.encode()}


def test_equal_bundles_differ_in_nothing(tmp_path: Path) -> None:
    found = against(tmp_path, {})
    assert (found.changes, found.plan, found.reasons, found.notes) == ((), "same", (), ())
    assert {figure.worse for figure in found.figures} == {0.0}


def test_changes_that_were_thought_of_are_inside_the_plan(tmp_path: Path) -> None:
    new = {"model": b"other", "policy": POLICY.replace("high = 1.0 }]", "high = 2.0 }]")}
    found = against(tmp_path, {**new, "more": gated({("accuracy", "sex=F"): 0.925})})
    assert (found.plan, found.reasons) == ("inside", ())
    assert [(change.what, change.name) for change in found.changes] == [
        ("model", "primary model in onnx"),
        ("policy", "Input x: b"),
    ]
    assert (found.changes[1].old, found.changes[1].new) == ("0 to 1, reject", "0 to 2, reject")
    worst = found.figures[0]
    assert (worst.metric, worst.slice, worst.old, worst.new) == ("accuracy", "sex=F", 0.94, 0.925)
    assert worst.worse == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ({"data": "2" * 64}, "data may not change, and reference data did"),
        (
            {"model": b"other", "more": gated({("accuracy", "sex=F"): 0.91})},
            "accuracy of sex=F is worse by 0.03, and 0.02 is allowed",
        ),
        ({"more": gated({}, policy="b" * 64)}, "gate may not change, and policy of evidence/gate.json did"),
        (
            {"more": {**gated({}), "risk.toml": PLAN.replace("0.02", "0.5").encode()}},
            "risk may not change, and risk.toml did",
        ),
        (
            {"model": b"other", "more": gated({("accuracy", "sex=F"): None})},
            "accuracy of sex=F is not measured any more",
        ),
        (
            {"model": b"other", "more": {"risk.toml": PLAN.encode()}},
            "accuracy may be worse by 0.02, and the bundles have no figure of it in common",
        ),
    ],
)
def test_changes_that_nobody_thought_of_are_outside(tmp_path: Path, new: dict[str, Any], reason: str) -> None:
    found = against(tmp_path, new)
    assert found.plan == "outside"
    assert reason in found.reasons


def test_a_guard_program_that_differs_behind_equal_words_is_a_change_of_policy(tmp_path: Path) -> None:
    found = against(tmp_path, {"guard": b"other"})
    assert [(change.what, change.name) for change in found.changes] == [("policy", "guard program")]
    assert found.plan == "inside"


def test_without_a_plan_nobody_can_tell(tmp_path: Path) -> None:
    for risk in ({}, {"risk.toml": RISK.encode()}):
        found = against(tmp_path, {"model": b"other", "more": risk}, {"more": risk})
        assert found.plan == "no plan"
        assert len(found.notes) == 2
        assert "has no report of the gate" in found.notes[0]


def test_figures_of_other_rows_are_said_to_be(tmp_path: Path) -> None:
    assert against(tmp_path, {"more": gated({}, rows=90)}).notes == (
        "the figures are of other rows, so that a part of each change may be theirs",
    )


def test_a_metric_that_is_not_known_counts_either_way(tmp_path: Path) -> None:
    old, new = gated({("profit", "all rows"): 3.0}), gated({("profit", "all rows"): 4.0, ("brier", "all rows"): 0.05})
    found = against(tmp_path, {"more": new}, {"more": old})
    worse = {figure.metric: figure.worse for figure in found.figures if figure.slice == "all rows"}
    assert worse == pytest.approx({"profit": 1.0, "brier": -0.05, "accuracy": 0.0})


def test_less_degradation_is_no_loss(tmp_path: Path) -> None:
    names = ("accuracy under noise", "error under stuck", "monotone[age]")
    old, new = (gated({(name, "all rows"): value for name in names}) for value in (0.5, 0.7))
    worse = {figure.metric: figure.worse for figure in against(tmp_path, {"more": new}, {"more": old}).figures}
    assert [worse[name] for name in names] == pytest.approx([-0.2, 0.2, -0.2])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"evidence/gate.json": b"{"}, "evidence/gate.json is not what the gate writes"),
        ({"evidence/gate.json": b"[]"}, "evidence/gate.json is not what the gate writes"),
        ({"evidence/gate.json": b'{"measured": [1], "facts": {}}'}, "evidence/gate.json is not what the gate writes"),
        ({"evidence/gate.json": b"[" * 100_000}, "evidence/gate.json is not what the gate writes"),
        ({"risk.toml": b"x = "}, "risk.toml: not TOML"),
    ],
)
def test_evidence_that_is_none_is_named(tmp_path: Path, more: dict[str, bytes], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        against(tmp_path, {}, {"more": more})


def test_a_policy_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"old.erai: policy.toml: not TOML"):
        against(tmp_path, {}, {"policy": "x ="})


def test_command_prints_and_exits_by_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = str(tmp_path / "old.erai"), str(tmp_path / "new.erai")
    against(tmp_path, {"model": b"other", "more": gated({("accuracy", "sex=F"): 0.91})})
    assert main(["diff", old, new]) == 1
    printed = capsys.readouterr().out
    assert "outside: accuracy of sex=F is worse by 0.03, and 0.02 is allowed." in printed
    assert printed.splitlines()[-1] == "outside the change plan of the older bundle."
    assert main(["diff", old, old]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing changed."
    assert main(["diff", old, new, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["format_version"], document["plan"]) == (1, "outside")
    assert document["changes"][0]["what"] == "model"
    assert document["figures"][0]["slice"] == "sex=F"
    assert main(["diff", old, str(tmp_path / "no.erai")]) == 4
    assert main(["card", old]) == 1
    assert "has no card.md" in capsys.readouterr().err


def test_what_others_wrote_commands_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    escape = "\x1b[2J\u202e"
    old, new = {}, {"card.md": f"# a{escape}b\n".encode()}
    for more, share in ((old, 0.5), (new, 0.4)):
        more["evidence/gate.json"] = report({("accuracy", f"sex={escape}"): share})
    against(tmp_path, {"more": new}, {"more": old})
    assert main(["card", str(tmp_path / "new.erai")]) == 0
    assert capsys.readouterr().out == "# a\ufffd[2J\ufffdb\n"
    assert main(["diff", str(tmp_path / "old.erai"), str(tmp_path / "new.erai")]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_python_refuses_to_read_or_write_a_bundle_that_breaks_its_promise(tmp_path: Path) -> None:
    found = made(tmp_path / "m.erai")
    files = {path: data for path, data in found.files.items() if not path.startswith("manifest")}
    promising = replace(found.manifest, promises=("card.md",))
    with pytest.raises(BundleError, match=r"card.md: manifest.json promises this file, and it is missing or empty"):
        bundle.write_bundle(tmp_path / "n.erai", files, promising)
    with pytest.raises(BundleError, match=r"card.md: manifest.json promises this file, and it is missing or empty"):
        bundle.write_bundle(tmp_path / "n.erai", {**files, "card.md": b""}, promising)
    bundle.write_bundle(tmp_path / "n.erai", {**files, "card.md": b"# m\n"}, promising)
    assert bundle.read(tmp_path / "n.erai").manifest.promises == ("card.md",)
