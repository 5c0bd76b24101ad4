"""The gate's report: its published schema, its figures, and the how-to's example."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge_rai_converters.gate import judge, junit, load_gate_policy, parse_gate_policy
from support.gate_rows import people, rows_of
from support.json_schema import faults

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/formats/gate.schema.json").read_text())
TODAY = date(2026, 1, 1)
METRICS = "accuracy = 0.02\ntpr = 0.04\nprecision = 0.05\nbrier = 0.02\nflips = 0.03\n"
WAIVED = (
    f"format_version = 1\n[margins]\n{METRICS}[slice_margins]\n{METRICS}"
    '[[slices]]\nby = ["sex"]\nmerge_into = []\n[[slices]]\nby = ["sex", "group"]\nmerge_into = ["sex"]\n'
    '[[waivers]]\ncell = "brier of sex=F, group=A"\nperson = "A"\nreason = "B"\nexpires = 2026-12-31\n'
)


@pytest.fixture(scope="module")
def document() -> dict[str, object]:
    labels, before, columns = people(np.random.default_rng(0), 700)
    labels[(columns["sex"] == "M") & (columns["group"] == "B")] = 0
    after = np.clip(before + np.random.default_rng(1).normal(0, 0.2, 700), 0.001, 0.999)
    report = judge(rows_of(labels, before, after, columns), parse_gate_policy(WAIVED), today=TODAY)
    return json.loads(json.dumps(report.as_json(), allow_nan=False))


def test_report_is_as_its_schema_says(document: dict[str, object]) -> None:
    assert list(faults(document, SCHEMA)) == []
    assert any(cell["waiver"] for cell in document["cells"])
    assert any(cell["merged_into"] for cell in document["cells"])
    assert any(entry["original"] is None for entry in document["measured"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda report: report.pop("cells"),
        lambda report: report.update(verdict="passed"),
        lambda report: report["cells"][0].update(loss="0.1"),
        lambda report: report["cells"][0].update(more=1),
        lambda report: report["measured"][0].pop("change"),
        lambda report: report["slices"][0].update(rows=-1),
        lambda report: report["calibration"][0]["bins"][0].pop("original"),
    ],
)
def test_schema_refuses_other_reports(document: dict[str, object], damage) -> None:
    other = json.loads(json.dumps(document))
    damage(other)
    assert list(faults(other, SCHEMA)) != []
    assert list(faults({**document, "of_a_later_version": {}}, SCHEMA)) == []


def test_every_field_of_the_report_is_in_its_page(document: dict[str, object]) -> None:
    page = (ROOT / "docs/formats/gate.md").read_text()

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(names, value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    told = set(re.findall(r"`([a-z_]+)`", page))
    assert names({key: value for key, value in document.items() if key != "slices"}) <= told


def test_policy_of_the_how_to_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs/how-to/gate-a-release.md").read_text()
    blocks = re.findall(r"((?:^(?:    .*)?\n)+)", text, flags=re.MULTILINE)
    policy = next(block for block in blocks if "format_version" in block)
    (tmp_path / "gate.toml").write_text("\n".join(line[4:] for line in policy.splitlines()))
    assert load_gate_policy(tmp_path / "gate.toml").slices[1].merge_into == ("sex",)


def test_names_that_xml_has_no_form_for_are_still_xml() -> None:
    labels, before, columns = people(np.random.default_rng(0), 400)
    columns["sex"] = np.where(columns["sex"] == "F", "<\x00&\x1b>", columns["sex"])
    policy = parse_gate_policy('format_version = 1\n[slice_margins]\naccuracy = 0.1\n[[slices]]\nby = ["sex"]\n')
    written = junit(judge(rows_of(labels, before, before, columns), policy, today=TODAY))
    assert b"sex=&lt;?&amp;?&gt;" in written
