"""The gate's cells as JUnit's XML, for whatever shows the results of builds."""

from __future__ import annotations

from xml.etree import ElementTree

from edge_rai_converters.gate.cells import GateReport

SUITE = "edge-rai gate"


def junit(report: GateReport) -> bytes:
    """One test case a cell: what stops the release has failed, what is waived is skipped."""
    standing = sum(1 for _ in report.standing())
    waived = sum(1 for cell in report.cells if cell.waiver is not None)
    counts = {"tests": str(len(report.cells)), "failures": str(standing), "skipped": str(waived), "errors": "0"}
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
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _text(value: str) -> str:
    """Without characters that XML has no form for."""
    return "".join(char if char.isprintable() else "?" for char in value)
