"""The distance on its way from the data to the terminal, the card and the device."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

import edge_rai
from edge_rai import ReasonCode, bundle
from edge_rai.policy import Distance, Reference, load_policy, parse_policy
from edge_rai_converters import convert
from edge_rai_converters.cli import convert as convert_command
from edge_rai_converters.cli import profile as profile_command
from edge_rai_converters.data import drawn


def command(module: object, *arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    module.add(parser.add_subparsers())  # type: ignore[attr-defined]
    parsed = parser.parse_args([str(argument) for argument in arguments])
    return int(parsed.run(parsed))


def asked(tumours: Path, name: str, output: Path, *more: str | Path) -> tuple[object, ...]:
    module = convert_command if name == "convert" else profile_command
    return (module, name, tumours / "mlp.onnx", "--data", tumours / "data.npz", "--labels", "y", "-o", output, *more)


def test_device_finds_as_many_far_rows_as_the_report_says(tumours: Path, tmp_path: Path) -> None:
    rows = np.load(tumours / "data.npz")["X"]
    rows = rows[drawn(len(rows), 4)]
    for kind, rate in (("full", 0.05), ("low_rank", 0.1), ("diagonal", 0.2)):
        report = convert(
            tumours / "mlp.onnx",
            tumours / "data.npz",
            tmp_path / "m.erai",
            prune="none",
            quantize="none",
            distance=kind,
            false_rejection_rate=rate,
            labels="y",
        )
        (entry,) = report.distances
        assert (entry.kind, entry.false_rejection_rate, entry.rows, entry.held_back) == (kind, rate, 142, 142)
        with edge_rai.load(tmp_path / "m.erai") as session:
            reasons = session.predict(rows).reasons
        far = [reason for reason in reasons if reason.code == ReasonCode.OUT_OF_DISTRIBUTION]
        assert len(far) == entry.above
        assert all(reason.subject == "X" and reason.value > reason.limit for reason in far)
        assert {round(reason.limit, 3) for reason in far} == {round(entry.threshold, 3)}


def test_card_evidence_and_policy_say_the_rate_and_what_is_behind_it(tumours: Path, tmp_path: Path) -> None:
    report = convert(
        tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", prune="none", quantize="none", labels="y"
    )
    (entry,) = report.distances
    files = bundle.read(tmp_path / "m.erai").files
    card = " ".join(files["card.md"].decode().split())
    assert f"{entry.threshold:.6g} are out of distribution. Of rows like the reference at most 1 % are" in card
    assert f"set the threshold. Of the held-back rows {entry.above} of 142 are" in card
    (written,) = json.loads(files["evidence/candidates.json"])["distances"]
    assert written["threshold"] == entry.threshold
    rule = parse_policy(files["policy.toml"].decode()).inputs[0].distance
    assert rule is not None
    assert (rule.threshold, rule.kind, rule.false_rejection_rate) == (entry.threshold, "full", 0.01)
    assert Reference.from_json(files["reference/reference.json"]).distances[0].projection.shape == (30, 30)


@pytest.mark.parametrize("name", ["profile", "convert"])
def test_both_commands_print_rate_threshold_rows_and_share(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    options = ("--distance", "diagonal", "--false-rejection-rate", "0.02")
    assert command(*asked(tumours, name, tmp_path / "out", *options)) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("distance: ")]
    assert line.startswith("distance: X, diagonal: squared at most ")
    assert "for a false rejection rate of 2 %, from 142 rows; " in line
    assert " of 142 held-back rows are above (" in line
    assert command(*asked(tumours, name, tmp_path / "again", *options, "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    (entry,) = document["distances"]
    assert (entry["kind"], entry["false_rejection_rate"], entry["rows"]) == ("diagonal", 0.02, 142)
    assert document["without_distance"] == {}


def test_few_rows_have_no_distance_and_say_why(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = np.load(tumours / "data.npz")
    np.savez(tmp_path / "few.npz", X=loaded["X"][:60], y=loaded["y"][:60])
    arguments = ("profile", tumours / "mlp.onnx", "--data", tmp_path / "few.npz", "--labels", "y", "-o", tmp_path / "p")
    assert command(profile_command, *arguments) == 0
    assert "distance: none of X: 45 rows leave 15 for its threshold, and at least 16" in capsys.readouterr().out
    assert load_policy(tmp_path / "p/policy.toml").inputs[0].distance is None


def test_no_distance_is_learned_when_none_is_wanted(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*asked(tumours, "profile", tmp_path, "--distance", "none")) == 0
    assert "\ndistance: " not in capsys.readouterr().out
    assert load_policy(tmp_path / "policy.toml").inputs[0].distance is None
    assert json.loads((tmp_path / "reference.json").read_text()).keys() == {"format_version", "features"}


def test_raised_threshold_of_an_edited_policy_is_kept_and_measured(tumours: Path, tmp_path: Path) -> None:
    assert command(*asked(tumours, "profile", tmp_path, "--false-rejection-rate", "0.3")) == 0
    text = (tmp_path / "policy.toml").read_text()
    threshold = load_policy(tmp_path / "policy.toml").inputs[0].distance.threshold  # type: ignore[union-attr]
    (tmp_path / "policy.toml").write_text(text.replace(repr(threshold), repr(10 * threshold)))
    arguments = (tumours / "mlp.onnx", tumours / "data.npz")
    report = convert(
        *arguments, tmp_path / "m", labels="y", prune="none", quantize="none", policy=tmp_path / "policy.toml"
    )
    (entry,) = report.distances
    assert entry.threshold == 10 * threshold
    assert entry.above < 0.1 * entry.held_back
    assert (tmp_path / "m/reference/reference.json").read_bytes() == (tmp_path / "reference.json").read_bytes()
    assert f"{entry.threshold:.6g}, your threshold, are out of distribution" in (tmp_path / "m/card.md").read_text()
    assert entry.yours
    assert load_policy(tmp_path / "m/policy.toml").inputs[0].distance == Distance(  # the rate is what was measured
        entry.threshold, "full", float(f"{entry.above / entry.held_back:.6g}")
    )
