"""What a conversion writes for people: card, data sheet, ML-BOM, evidence map; and what makes them mandatory."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import edge_rai
from edge_rai import bundle, cli
from edge_rai.documents.risk import MANDATORY, Document, parse_risk
from edge_rai.errors import PolicyError
from edge_rai_converters import convert
from edge_rai_converters.documents.card_sections import promised
from edge_rai_converters.documents.datasheet import parse_datasheet
from edge_rai_converters.documents.required import Papers, read_papers
from edge_rai_converters.gate import parse_gate_policy
from support import browser
from support.json_schema import faults

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GATE = """
format_version = 1
[margins]
accuracy = 0.2
brier = 0.4
[slice_margins]
accuracy = 0.3
[[slices]]
by = ["site"]
[[waivers]]
cell = "accuracy of site=Ulm"
person = "R. Maier"
reason = "asked for"
expires = 2099-01-01
"""
CERTIFIED = """
[certificate.abstention]
abstains = 0.5
errors = 0.2
"""
RISK = """
format_version = 1
[use]
purpose = "Sorts tumours for a pathologist,\\n# who decides"
users = "Pathologists"
not_for = ["Screening | alone"]
limits = ["Images of other scanners were never seen"]
license = "apache-2.0"
[stakes]
people = true
harm = "reversible"
decides_alone = false
safety = false
area = "none"
[change_plan]
allowed = ["model", "policy", "tools"]
largest_loss = { accuracy = 0.05 }
"""
DATASHEET = """
format_version = 1
[motivation]
purpose = "Diagnosis of masses"
[composition]
row = "One mass | 30 measurements"
absent = ["Men", "Children"]
[labelling]
guideline = "Biopsy"
guideline_sha256 = "00"
audited = 2026-01-05
auditor = "Dr. A"
"""
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/formats/card.schema.json").read_text())
NUMBER = re.compile(r"(?<![\w.])[-\u2212]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
CLAIMS = re.compile(r"\b(non-?)?complian(t|ce)|\bcompl(y|ies)\b|certified", re.IGNORECASE)
# As figures of evidence are written for people: as they are, in per cent or points, in microseconds and megabytes.
SCALES = (1.0, 100.0, 1e-3, 1e-6)
FORMS = (",.0f", ".0f", ".1f", ".2f", ".3f", ".4f", ".6f", ".3g", ".4g", ".6g")


@pytest.fixture(scope="module")
def folder(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The questionnaires, the policy, the groups that it names, and a bundle made by all of them."""
    made = tmp_path_factory.mktemp("documents")
    count = len(np.load(tumours / "data.npz")["y"])
    np.savez(made / "groups.npz", site=np.array(["Bonn", "Ulm"])[np.random.default_rng(0).integers(0, 2, count)])
    for name, text in (("gate", GATE + CERTIFIED), ("risk", RISK), ("datasheet", DATASHEET)):
        (made / f"{name}.toml").write_text(text)
    arguments = ["convert", str(tumours / "mlp.onnx"), "--data", str(tumours / "data.npz"), "--labels", "y"]
    arguments += ["--gate", str(made / "gate.toml"), "--groups", str(made / "groups.npz"), "--quantize", "int8"]
    arguments += ["--risk", str(made / "risk.toml"), "--datasheet", str(made / "datasheet.toml"), "--max-drop", "5"]
    assert cli.main([*arguments, "--prune", "none", "-o", str(made / "m.erai")]) == 0
    return made


@pytest.fixture(scope="module")
def files(folder: Path) -> Mapping[str, bytes]:
    return bundle.read(folder / "m.erai").files


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from numbers_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from numbers_in(entry)


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield key
            yield from texts_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from texts_in(entry)


def written_as(value: float) -> Iterator[str]:
    for scale in SCALES:
        for form in FORMS:
            yield f"{scale * value:{form}}"


def evidence(files: Mapping[str, bytes], names: list[str]) -> list[Any]:
    return [json.loads(files[name]) for name in names]


def test_every_number_of_card_json_is_in_the_evidence_that_it_names(files: Mapping[str, bytes]) -> None:
    card = json.loads(files["card.json"])
    risk = tomllib.loads(files["risk.toml"].decode())
    known = set(numbers_in([*evidence(files, card["from"]), risk]))
    said = set(numbers_in({key: value for key, value in card.items() if key != "format_version"}))
    assert len(said) > 40
    assert said <= known
    figures = [cell for cell in card["gates"]["evidence/gate.json"]["cells"] if cell["metric"] == "accuracy"]
    assert {cell["slice"] for cell in figures} == {"all rows", "site=Bonn", "site=Ulm"}


def test_every_number_of_card_md_is_in_the_evidence(files: Mapping[str, bytes]) -> None:
    names = ["card.json", *json.loads(files["card.json"])["from"]]
    known = [*evidence(files, names), *(tomllib.loads(files[name].decode()) for name in ("risk.toml", "policy.toml"))]
    allowed = {text for value in numbers_in(known) for text in written_as(value)}
    allowed |= {number for text in texts_in(known) for number in NUMBER.findall(text)}
    # A speed-up below 1 is told as how many times as long a call takes.
    costs = [model["cost"] for model in known[0]["models"] if model["cost"]]
    allowed |= {f"{1 / cost['speed_up']:.2f}" for cost in costs}
    card = re.sub(r"`[^`]*`", "", files["card.md"].decode())
    said = [number.replace("\u2212", "-") for number in NUMBER.findall(card)]
    assert len(said) > 100
    assert [number for number in said if number not in allowed and number.lstrip("-") not in allowed] == []
    assert "71.2345" not in allowed, "a number that nobody measured would be found"


def test_card_json_is_as_its_schema_says(files: Mapping[str, bytes]) -> None:
    assert list(faults(json.loads(files["card.json"]), SCHEMA)) == []


def test_card_has_a_section_for_all_that_a_reader_asks(files: Mapping[str, bytes]) -> None:
    card = files["card.md"].decode()
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == [
        *("What it is for", "What was compared", "Across groups: pass", "Certificate", "What the guard decides"),
        *("What it costs", "Where it comes from", "What this does not say"),
    ]
    assert "Sorts tumours for a pathologist, # who decides" in card, "what people write begins no heading"
    assert "limited, because its answers affect people" in card
    assert "May change without asking again: model, policy, tools; accuracy worse by at most 0.05." in card
    assert "abstains on at most 50 % and errs on at most 20 % of what it answers, with 95 % confidence" in card
    assert re.search(r"^\| all rows \| \d+ \| \d+ \| \d+ \| 50 % \| 20 % \|$", card, re.MULTILINE)
    assert "- Images of other scanners were never seen" in card
    assert "a slice of them may be worse" not in card, "groups were judged, and what came out stands above"
    assert re.search(r"^\| accuracy \| site=Bonn \| \d+ \| [\d.]+.% \| [\d.]+.% \| ", card, re.MULTILINE)


def test_front_matter_is_yaml_as_model_hubs_read_it(files: Mapping[str, bytes]) -> None:
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")
    first, front, _ = files["card.md"].decode().split("---\n", 2)
    assert first == ""
    read = yaml.safe_load(front)
    assert read["license"] == "apache-2.0"
    assert read["pipeline_tag"] == "tabular-classification"
    assert read["tags"] == ["edge", "onnx"]
    (result,) = read["model-index"][0]["results"]
    assert result["task"] == {"type": "tabular-classification"}
    accuracy = json.loads(files["card.json"])["models"][0]["accuracy"]
    assert result["metrics"][0]["type"] == "accuracy"
    assert result["metrics"][0]["value"] == pytest.approx(accuracy, abs=1e-6)


def test_data_sheet_has_the_answers_and_what_the_audit_found(files: Mapping[str, bytes]) -> None:
    sheet = files["datasheet.md"].decode()
    assert "| What is a row? | One mass \\| 30 measurements |" in sheet
    assert "| Who or what is not in them? | Men; Children |" in sheet
    assert "| By whom? | not answered |" in sheet
    findings = json.loads(files["evidence/audit.json"])["findings"]
    assert findings
    for finding in findings:
        assert f"- {finding['severity']}: {finding['sentence']}." in sheet


def test_ml_bom_is_valid_and_has_every_slice_with_its_limits(files: Mapping[str, bytes]) -> None:
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = pytest.importorskip("cyclonedx.schema", reason="cyclonedx-python-lib is not installed")
    from cyclonedx.validation.json import JsonStrictValidator

    text = files["bom.cdx.json"].decode()
    validator = JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"performanceMetrics"', '"performance"')) is not None
    component = json.loads(text)["metadata"]["component"]
    assert component["type"] == "machine-learning-model"
    digest = hashlib.sha256(files[component["name"]]).hexdigest()
    assert component["hashes"] == [{"alg": "SHA-256", "content": digest}]
    metrics = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    gate = json.loads(files["evidence/gate.json"])
    for cell in gate["cells"]:
        (found,) = (
            entry
            for entry in metrics
            if (entry["type"], entry["slice"]) == (f"{cell['metric']}, worse than the original by", cell["slice"])
        )
        limits = found["confidenceInterval"]
        assert (float(limits["lowerBound"]), float(limits["upperBound"])) == (cell["loss_low"], cell["loss_high"])
    (accuracy,) = (entry for entry in metrics if (entry["type"], entry["slice"]) == ("accuracy", "site=Ulm"))
    limits = accuracy["confidenceInterval"]
    assert float(limits["lowerBound"]) < float(accuracy["value"]) < float(limits["upperBound"])


def test_evidence_map_says_what_is_there_and_claims_nothing(files: Mapping[str, bytes]) -> None:
    rules = json.loads(files["evidence_map.json"])["rules"]
    assert {rule["rule"].split()[0] for rule in rules} == {"EU", "NIST", "ISO/IEC", "FDA"}
    for rule in rules:
        assert rule["evidence"] or rule["elsewhere"]
        for entry in rule["evidence"]:
            there = entry["file"] in files and (entry["key"] in (None, "certificate", "change_plan", "fairness"))
            assert entry["state"] == ("present" if there else "absent"), entry
            if there and entry["file"] != "manifest.json":
                assert entry["sha256"] == hashlib.sha256(files[entry["file"]]).hexdigest()
    for name in ("evidence_map.json", "card.md", "card.json", "datasheet.md", "bom.cdx.json", "evidence/gate.html"):
        assert not CLAIMS.search(files[name].decode()), name


def test_bundle_promises_its_documents_and_is_not_opened_without_them(
    folder: Path, files: Mapping[str, bytes], tmp_path: Path
) -> None:
    manifest = json.loads(files["manifest.json"])
    promised = {"card.md", "card.json", "datasheet.md", "risk.toml", "evidence_map.json", "bom.cdx.json"}
    assert set(manifest["promises"]) == {*promised, "evidence/gate.json", "evidence/gate.html"}
    edge_rai.load(folder / "m.erai").close()
    for path in manifest["promises"]:
        cut = {name: data for name, data in files.items() if name != path}
        listed = {name: digest for name, digest in manifest["files"].items() if name != path}
        cut["manifest.json"] = json.dumps({**manifest, "files": listed}).encode()
        cut["manifest.sha256"] = (hashlib.sha256(cut["manifest.json"]).hexdigest() + "\n").encode()
        (tmp_path / "m.erai").write_bytes(bundle.stored_zip(cut))
        with pytest.raises(edge_rai.IntegrityError, match=f"{path}: the manifest promises this file, and it is miss"):
            edge_rai.load(tmp_path / "m.erai")


def test_card_is_printed_as_text_as_a_page_and_for_programs(
    folder: Path, files: Mapping[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    for option, name in (([], "card.md"), (["--json"], "card.json")):
        assert cli.main(["card", str(folder / "m.erai"), *option]) == 0
        assert capsys.readouterr().out == files[name].decode()
    assert cli.main(["card", str(folder / "m.erai"), "--html"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!DOCTYPE html>")
    assert "<h2>Across groups: pass</h2>" in page
    assert "library_name" not in page
    assert "<td>accuracy</td><td>site=Bonn</td>" in page


@pytest.mark.skipif(browser.installed() is None, reason=f"no browser is installed: none of {', '.join(browser.NAMES)}")
def test_card_of_a_bundle_fits_a_phone_and_a_browser_complains_of_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["card", str(folder / "m.erai"), "--html"]) == 0
    page = tmp_path / "card.html"
    page.write_text(capsys.readouterr().out)
    with browser.opened(tmp_path / "profile") as tab:
        tab.show(page, width=360)
        assert tab.complaints() == []
        assert tab.requests() == [page.as_uri()]
        assert tab.value("document.documentElement.scrollWidth") <= 360


# ---- What is mandatory ----


def policy(required: str) -> str:
    return GATE.replace("[margins]", f"required = [{required}]\n[margins]", 1)


@pytest.mark.parametrize(
    ("required", "said"),
    [
        ('"datasheet"', "the gate's policy makes datasheet mandatory, and this conversion has none: answer the quest"),
        ('"risk"', "makes risk mandatory, and this conversion has none: answer the questions in risk.toml"),
        ('"change_plan"', "makes change plan mandatory"),
        ('"labelling"', "makes labelling mandatory"),
        ('"certificate"', r"makes certificate mandatory, and this conversion has none: declare \[certificate\]"),
        ('"robustness"', r"makes robustness mandatory, and this conversion has none: declare \[robustness\]"),
        ('"photo"', r"required\[0\] is 'photo'"),
    ],
)
def test_what_a_policy_makes_mandatory_is_asked_for_before_any_work(
    tumours: Path, tmp_path: Path, required: str, said: str
) -> None:
    (tmp_path / "gate.toml").write_text(policy(required))
    stages: list[str] = []

    def tell(stage: str, _share: float = 0.0, /) -> None:
        stages.append(stage)

    with pytest.raises(PolicyError, match=said):
        convert(tumours / "mlp.onnx", tumours / "data.npz", tmp_path / "m.erai", labels="y",
                gate=tmp_path / "gate.toml", progress=tell)  # fmt: skip
    assert stages == []
    assert not (tmp_path / "m.erai").exists()


def test_command_exits_2_without_a_mandatory_document(
    tumours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "risk.toml").write_text(RISK)
    arguments = ["convert", str(tumours / "mlp.onnx"), "--data", str(tumours / "data.npz"), "--labels", "y"]
    assert cli.main([*arguments, "--risk", str(tmp_path / "risk.toml"), "-o", str(tmp_path / "m.erai")]) == 2
    said = capsys.readouterr().err
    assert f"the risk class limited of {tmp_path}/risk.toml makes gate mandatory" in said
    assert "give --gate" in said
    assert cli.main([*arguments, "--risk", str(tmp_path / "no.toml"), "-o", str(tmp_path / "m.erai")]) == 4
    assert "no such file" in capsys.readouterr().err


def test_a_missing_document_is_found_at_the_end_too(files: Mapping[str, bytes]) -> None:
    papers = read_papers(None, None, parse_gate_policy(policy('"gate", "slices", "certificate"')))
    papers.refuse_late(files)
    report = json.loads(files["evidence/gate.json"])
    held = {**files, "evidence/gate.json": json.dumps({**report, "certificate": {"granted": False}}).encode()}
    with pytest.raises(PolicyError, match="makes certificate mandatory"):
        papers.refuse_late(held)


def test_every_document_can_be_made_mandatory_and_is_missed_when_it_is_not_there(files: Mapping[str, bytes]) -> None:
    for document in get_args(Document):
        required = parse_gate_policy(policy(f'"{document}"')).required
        papers = Papers(None, b"", None, dict.fromkeys(required, "the gate's policy"))
        if document == "robustness":
            with pytest.raises(PolicyError, match="makes robustness mandatory"):
                papers.refuse_late(files)
        else:
            papers.refuse_late(files)
        kept = {path: data for path, data in files.items() if path in ("manifest.json", "guard.bin")}
        with pytest.raises(PolicyError, match="mandatory, and this conversion has none"):
            papers.refuse_late(kept)


def test_certificate_and_robustness_are_told_as_they_are() -> None:
    sentence = "abstains on at most 4 % and errs on at most 1 %"
    for granted, title in ((True, "## Certificate"), (False, "## Certificate: not granted")):
        certificate = {"granted": granted, "sentences": [sentence], "groups": []}
        gate = {"certificate": certificate, "robustness": ["no counterexample\nin 5 queries"]}
        lines = list(promised({"gates": {"evidence/gate.json": gate}}))
        assert lines[0] == title
        assert f"- {sentence}" in lines
        assert "- no counterexample in 5 queries" in lines
    assert list(promised({"gates": {"evidence/gate.json": {"certificate": None, "robustness": []}}})) == []


def test_high_risk_asks_for_more_than_limited_and_for_who_labelled(tmp_path: Path) -> None:
    (tmp_path / "risk.toml").write_text(RISK.replace('harm = "reversible"', 'harm = "lasting"'))
    (tmp_path / "datasheet.toml").write_text(DATASHEET.replace('auditor = "Dr. A"', ""))
    rules = parse_gate_policy(GATE)
    papers = read_papers(tmp_path / "risk.toml", tmp_path / "datasheet.toml", rules)
    assert set(papers.required) > {"gate", "datasheet", "slices", "labelling", "bom", "change_plan"}
    met = replace(papers, required={"labelling": papers.required["labelling"]})
    with pytest.raises(PolicyError, match=r"the risk class high of .* makes labelling mandatory.*: answer guideline"):
        met.refuse_early(rules, labelled=True)
    met.refuse_early(rules, labelled=False)
    replace(met, datasheet=parse_datasheet(DATASHEET.encode())).refuse_early(rules, labelled=True)


def test_change_plan_about_a_metric_that_nothing_measures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "risk.toml").write_text(RISK.replace("accuracy = ", "acuracy = "))
    with pytest.raises(
        PolicyError, match=r"risk.toml: change_plan.largest_loss has no metric 'acuracy'; there are acc"
    ):
        read_papers(tmp_path / "risk.toml", None, parse_gate_policy(GATE))


def test_questionnaires_of_the_how_to_are_answered_and_its_classes_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/document-a-release.md").read_text()
    blocks = [part for part in re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE) if "format_version" in part]
    risk, sheet = (re.sub(r"^    ", "", block, flags=re.MULTILINE).encode() for block in blocks)
    assert parse_risk(risk).risk_class == "limited"
    assert parse_datasheet(sheet).labelling.complete
    for name, mandatory in MANDATORY.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*\|(.*)\|$", text, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == set(mandatory)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("format_version = 1", ""), "says no format_version; begin it with"),
        (("format_version = 1", "format_version = 2"), "format_version is 2"),
        (("[composition]", "[compositions]"), "compositions: there is no such field"),
        (('row = "One mass | 30 measurements"', "row = 3"), "composition.row is 3"),
        (("[labelling]", "[labelling]\nannotators = 1.5"), "labelling.annotators is 1.5"),
        (("[composition]", "[composition]\nsynthetic_share = 3.0"), "synthetic_share is 3; it must be a share"),
        (
            ("[labelling]", "[collection]\nfirst_day = 2001-01-01\nlast_day = 1991-11-01\n[labelling]"),
            "collection: last_day is 1991-11-01, before first_day, 2001-01-01",
        ),
        (("[labelling]", "[labelling]\nannotators = 0"), "annotators is 0; it must be 1 or more, or left out"),
        (("[labelling]", "[labelling]\nagreement_value = 91.0"), "agreement_value is 91; it must be -1 to 1, as kappa"),
        (("2026-01-05", "10:00:00"), "labelling.audited is 'time 10:00:00'"),
        (("[motivation]", "["), "not TOML"),
    ],
)
def test_questionnaires_that_do_not_fit_are_refused_in_one_sentence(change: tuple[str, str], said: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(said)) as refused:
        parse_datasheet(DATASHEET.replace(*change).encode())
    assert "\n" not in str(refused.value)
