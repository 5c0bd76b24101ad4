"""The gate's cells as JUnit's XML, for whatever shows the results of builds."""

from __future__ import annotations

from xml.etree import ElementTree

from edge_rai_converters.gate.cells import GateReport

SUITE = "edge-rai gate"


def junit(report: GateReport) -> bytes:
    """One test case a cell, and one of a certificate: what stops the release has failed, what is waived is skipped."""
    certificate = report.further.get("certificate")
    cells = len(report.cells) + (certificate is not None)
    standing = sum(1 for _ in report.standing()) + (certificate is not None and not certificate["granted"])
    waived = sum(1 for cell in report.cells if cell.waiver is not None)
    counts = {"tests": str(cells), "failures": str(standing), "skipped": str(waived), "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": SUITE, **counts})
    for cell in report.cells:
        named = {"classname": f"{SUITE}.{_text(cell.measured.slice)}", "name": _text(cell.measured.metric)}
        case = ElementTree.SubElement(suite, "testcase", named)
        if cell.waiver is not None:
            until = f"{cell.waiver.person} answers for it until {cell.waiver.expires.isoformat()}"
            said = f"{cell.verdict}, and {until}: {cell.waiver.reason}"
            ElementTree.SubElement(case, "skipped", {"message": _text(said)})
        elif cell.stands:
            ElementTree.SubElement(case, "failure", {"type": cell.verdict, "message": _text(cell.reason)})
    if certificate is not None:
        case = ElementTree.SubElement(suite, "testcase", {"classname": SUITE, "name": "certificate"})
        if not certificate["granted"]:
            said = _text("; ".join(certificate["sentences"]))
            ElementTree.SubElement(case, "failure", {"type": "inconclusive", "message": said})
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _text(value: str) -> str:
    """Without characters that XML has no form for."""
    return "".join(char if char.isprintable() else "?" for char in value)
