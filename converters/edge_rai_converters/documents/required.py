"""Documents that a policy, or a class of risk, makes mandatory: without one of them nothing is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_rai.documents.risk import RISK_FILE, Document, Risk, parse_risk
from edge_rai.errors import PolicyError
from edge_rai_converters.documents.datasheet import DATASHEET_FILE, Datasheet, parse_datasheet
from edge_rai_converters.documents.evidence_map import EVIDENCE_MAP_FILE
from edge_rai_converters.errors import missing
from edge_rai_converters.gate.rules import METRICS, GatePolicy, split
from edge_rai_converters.given import check_there

GATE_FILE, BOM_FILE = "evidence/gate.json", "bom.cdx.json"
# Of documents that are a file by themselves.
_PATHS: Mapping[Document, str] = {
    "card": "card.md",
    "datasheet": DATASHEET_FILE,
    "labelling": DATASHEET_FILE,
    "risk": RISK_FILE,
    "bom": BOM_FILE,
    "evidence_map": EVIDENCE_MAP_FILE,
}
_ALL_ROWS = "all rows"
_OF_THE_GATE = ("gate", "slices", "certificate", "robustness")
# What to do where one is not there.
_REMEDY: Mapping[Document, str] = {
    "card": "make it again with edge-rai convert",
    "evidence_map": "make it again with edge-rai convert",
    "gate": "give --gate",
    "slices": "declare [[slices]] with margins in the gate's policy",
    "certificate": "declare [certificate] in the gate's policy, and give it rows enough to grant one",
    "robustness": "declare [robustness] in the gate's policy",
    "datasheet": "answer the questions in datasheet.toml and give --datasheet",
    "labelling": "answer guideline, guideline_sha256, audited and auditor under [labelling] in datasheet.toml",
    "risk": "answer the questions in risk.toml and give --risk",
    "change_plan": "declare [change_plan] in risk.toml",
    "bom": "pip install 'cyclonedx-python-lib>=11'",
}


@dataclass(frozen=True, slots=True)
class Papers:
    """What people wrote for a bundle, and what must be in it.

    Attributes:
        risk: The questionnaire on risk; None: there is none.
        risk_text: As it was written.
        datasheet: The questionnaire on data; None: there is none.
        required: By document, who asks for it.
    """

    risk: Risk | None
    risk_text: bytes
    datasheet: Datasheet | None
    required: Mapping[Document, str]

    def refuse_early(self, gate: GatePolicy | None, *, labelled: bool) -> None:
        """Refuses what cannot be met whatever is measured, before anything is.

        Args:
            gate: The gate's policy; None: nothing is judged.
            labelled: The data have labels, so that it matters who gave them.

        Raises:
            PolicyError: A document is mandatory and cannot be made of what was given.
            MissingExtraError: It takes a package that is not installed.
        """
        given = {
            # Written whatever is given; without its package the ML-BOM is refused below.
            **dict.fromkeys(("card", "evidence_map", "bom"), True),
            **dict.fromkeys(_OF_THE_GATE, gate is not None),
            "slices": gate is not None and bool(gate.slices),
            "certificate": gate is not None and gate.certificate is not None,
            "robustness": gate is not None and gate.robustness is not None,
            "datasheet": self.datasheet is not None,
            "labelling": self.datasheet is not None and (self.datasheet.labelling.complete or not labelled),
            "risk": self.risk is not None,
            "change_plan": self.risk is not None and self.risk.change_plan is not None,
        }
        for document, who in self.required.items():
            if not given[document]:
                raise PolicyError(_refusal(document, who))
        if "bom" in self.required and find_spec("cyclonedx") is None:
            raise missing("cyclonedx_python_lib", f"{self.required['bom']} makes an ML-BOM mandatory")

    def refuse_late(self, files: Mapping[str, bytes]) -> None:
        """Refuses a bundle that lacks what is mandatory.

        Args:
            files: Of the bundle, by path.

        Raises:
            PolicyError: It does.
        """
        for document, who in self.required.items():
            if not is_there(document, files):
                raise PolicyError(_refusal(document, who))


def read_papers(risk: str | Path | None, datasheet: str | Path | None, gate: GatePolicy | None) -> Papers:
    """Reads both questionnaires and finds what they and the gate's policy make mandatory.

    Args:
        risk: A file risk.toml.
        datasheet: A file datasheet.toml.
        gate: The gate's policy.

    Raises:
        MissingFileError: A file is not there.
        PolicyError: One is no such questionnaire.
    """
    check_there(risk, "a questionnaire on risk in TOML")
    check_there(datasheet, "a questionnaire on data in TOML")
    text = b"" if risk is None else Path(risk).read_bytes()
    known = None if risk is None else parse_risk(text, str(risk))
    if known is not None and gate is not None and known.change_plan is not None:
        _refuse_unknown(known.change_plan.largest_loss, gate, str(risk))
    asked: dict[Document, str] = {}
    if known is not None:
        asked |= dict.fromkeys(known.mandatory, f"the risk class {known.risk_class} of {risk}")
    if gate is not None:
        asked |= dict.fromkeys(gate.required, "the gate's policy")
    answers = None if datasheet is None else parse_datasheet(Path(datasheet).read_bytes(), str(datasheet))
    return Papers(known, text, answers, asked)


def _refuse_unknown(losses: Mapping[str, float], gate: GatePolicy, where: str) -> None:
    """Refuses limits of a change plan that nothing would ever be held to."""
    there = (*METRICS, *gate.values, *gate.loss_spans)
    for metric in losses:
        if split(metric)[0] not in there:
            raise PolicyError(
                f"{where}: change_plan.largest_loss has no metric {metric!r}; there are {', '.join(there)}"
            )


def is_there(document: Document, files: Mapping[str, bytes]) -> bool:
    """Whether a bundle with these files has a document.

    Args:
        document: Which.
        files: Of the bundle, by path.
    """
    if document in _OF_THE_GATE:
        return GATE_FILE in files and _in_report(document, json.loads(files[GATE_FILE]))
    if document == "change_plan":
        return RISK_FILE in files and parse_risk(files[RISK_FILE]).change_plan is not None
    return _PATHS[document] in files


def _in_report(document: Document, report: Mapping[str, Any]) -> bool:
    if document == "slices":
        cells: Sequence[Mapping[str, Any]] = report["cells"]
        return any(cell["slice"] != _ALL_ROWS for cell in cells)
    if document == "certificate":
        return bool(report.get("certificate", {}).get("granted"))
    return document == "gate" or bool(report.get(document))


def _refusal(document: Document, who: str) -> str:
    name = document.replace("_", " ")
    return f"{who} makes {name} mandatory, and this conversion has none: {_REMEDY[document]}"
