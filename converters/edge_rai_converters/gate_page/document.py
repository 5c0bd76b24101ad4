"""The page as a whole."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from edge_rai.page.figure import section
from edge_rai.page.frame import framed
from edge_rai.page.markup import Markup, element, table
from edge_rai_converters.gate_page.degradation import degradation
from edge_rai_converters.gate_page.forest import forest
from edge_rai_converters.gate_page.matrices import matrices
from edge_rai_converters.gate_page.reliability import reliability
from edge_rai_converters.gate_page.words import Report, figure_of, mark, share
from edge_rai_converters.words import number_of

_MOST_STANDING, _MOST_MEASURED = 20, 1000
_STYLE = """
.before-line{stroke:var(--grey);stroke-width:1.5}
.before-dot{fill:var(--grey);stroke:var(--paper);stroke-width:1}
.after-line{stroke:var(--mark);stroke-width:1.5}
.after-dot{fill:var(--mark);stroke:var(--paper);stroke-width:1}
.diagonal{stroke:var(--grey);stroke-width:1;stroke-dasharray:1 4}
.lead.stopped{border-left-color:var(--warm)}
.matrix table{width:auto}
.matrix td{min-width:4rem}
.matrix th:first-child{min-width:3rem}
.matrix td{background:linear-gradient(var(--of),var(--of)) no-repeat left bottom/var(--share) 4px;padding-bottom:.4rem}
.matrix .right{--of:var(--mark)}
.matrix .wrong{--of:var(--warm)}
img{max-width:100%;height:auto;background:#fff}
"""


def gate_page(report: Report) -> bytes:
    """A page that needs nothing but itself: no network, no script.

    Args:
        report: gate.json; further keys that this page knows nothing of are passed over.

    Returns:
        HTML in UTF-8; the same of the same report.
    """
    title = _title(report)
    return framed(f"{title}: gate", _parts(report, title), style=_STYLE)


def _parts(report: Report, title: str) -> Iterator[Markup]:
    yield element("h1", title)
    yield element("p", _about(report), class_="about")
    yield _lead(report)
    yield from _warnings(report)
    yield from _certificate(report.get("certificate"))
    if report.get("leads"):
        yield section("Leads, which are no verdicts", _listed(report["leads"]))
    yield from forest(report)
    yield from _gaps(report)
    yield from reliability(report)
    yield from matrices(report)
    yield from degradation(report)
    yield from _shift(report)
    yield from _audit_queue(report)
    yield from _measured(report)
    yield from _foot(report)


def _title(report: Report) -> str:
    facts = report["facts"]
    return f"{facts['candidate']['name']} against {facts['original']['name']}" if facts else "A candidate"


def _about(report: Report) -> str:
    facts = report["facts"]
    judged = f"{number_of(report['slices'][0]['rows'], 'row')} in {number_of(len(report['slices']), 'slice')}"
    data = f"{judged} of {facts['data']['name']}" if facts else judged
    attempt = facts.get("attempt") if facts else None
    look = f"; look {attempt['number']} of {attempt['of']} at sealed data" if attempt else ""
    return f"{data}; each pass with {100 * (1 - report['alpha']):.4g} % confidence{look}"


def _lead(report: Report) -> Markup:
    cells = report["cells"]
    passing = sum(cell["verdict"] == "pass" for cell in cells)
    waived = sum(cell["waiver"] is not None for cell in cells)
    first = f"{report['verdict'].capitalize()}: {passing:,} of {number_of(len(cells), 'cell')} pass"
    first += f", and somebody answers for {waived:,}" if waived else ""
    notes = [element("li", f"{note}.") for note in report["notes"]]
    kind = "lead" if report["verdict"] == "pass" else "lead stopped"
    return element("div", element("p", f"{first}."), *([element("ul", *notes)] if notes else []), class_=kind)


def _warnings(report: Report) -> Iterator[Markup]:
    cells = [cell for cell in report["cells"] if cell["verdict"] != "pass" or cell["waiver"] is not None]
    if not cells:
        return
    listed = [element("li", _standing(cell)) for cell in cells[:_MOST_STANDING]]
    if len(cells) > _MOST_STANDING:
        listed.append(element("li", f"and {len(cells) - _MOST_STANDING:,} more, below"))
    yield element("div", element("h2", "What does not pass"), element("ul", *listed), class_="warnings")


def _standing(cell: Report) -> str:
    waiver = cell["waiver"]
    said = f"{cell['metric']} of {cell['slice']}: {mark(cell)}: {cell['reason']}."
    if waiver is None:
        return said
    return f"{said} {waiver['person']} answers for it until {waiver['expires']}: {waiver['reason']}."


def _certificate(found: Report | None) -> Iterator[Markup]:
    """What is promised, and of each group what was measured."""
    if not found:
        return
    header = ("", "rows", "answered", "of these wrong", "abstains at most", "errs at most")
    rows = [
        (
            group["name"],
            *(f"{group[key]:,}" for key in ("rows", "answered", "errors")),
            *(share(group[key]) for key in ("abstains_at_most", "errs_at_most")),
        )
        for group in found["groups"]
    ]
    groups = [table(header, rows, "Promised where there is a limit, measured where there is none")] if rows else []
    yield section("Certificate" if found["granted"] else "Certificate: not granted", _listed(found), *groups)


def _listed(found: Report) -> Markup:
    return element("ul", *(element("li", sentence) for sentence in found["sentences"]))


def _gaps(report: Report) -> Iterator[Markup]:
    """Gaps between groups: of both models, and neither is judged."""
    if not report["fairness"]:
        return
    header = ("", "original", "candidate", "change")
    rows = [
        (
            f"{entry['metric'].replace('_', ' ')} by {', '.join(entry['by'])}"
            + (f", class {entry['class']}" if entry["class"] is not None else ""),
            *("-" if entry[key] is None else f"{entry[key]:.4f}" for key in ("original", "candidate", "change")),
        )
        for entry in report["fairness"]
    ]
    said = "Greatest less least of the groups' rates, or least over greatest. They are shown and not judged."
    yield section("Gaps between groups", element("p", said, class_="about"), table(header, rows, "Gaps"))


def _shift(report: Report) -> Iterator[Markup]:
    found = report.get("shift")
    if not found or not found.get("delays"):
        return
    header = ("", "severity", "runs", "alarms before it", "missed", "rows until the alarm, median")
    rows = [
        (
            entry["corruption"],
            *(str(entry[key]) for key in ("severity", "runs", "early", "missed")),
            "-" if entry["median"] is None else f"{entry['median']:g}",
        )
        for entry in found["delays"]
    ]
    said = f"{found['rows_before']:,} rows as they were, then the shift, of {found['most_rows']:,} rows at most."
    yield section(
        "Shift", _listed(found), element("p", said, class_="about"), table(header, rows, "How soon drift is noticed")
    )


def _audit_queue(report: Report) -> Iterator[Markup]:
    found = report.get("audit_queue")
    if not found or not found.get("rows"):
        return
    header = ("", "label", "original", "candidate", "margin")
    rows = [
        (str(entry["row"]), *(_plain(entry[key]) for key in ("label", "original", "candidate", "margin")))
        for entry in found["rows"]
    ]
    caption = f"Of {number_of(found['changed'], 'row')} that changed, the surest"
    parts = [_listed(found), table(header, rows, caption)]
    if found.get("sheet"):
        picture = base64.b64encode(found["sheet"].encode()).decode()
        parts.insert(1, element("img", src=f"data:image/svg+xml;base64,{picture}", alt="The first of them as pictures"))
    yield section("For a person to look at", *parts)


def _plain(value: str | float | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.4g}"


def _measured(report: Report) -> Iterator[Markup]:
    found: Sequence[Report] = report["measured"]
    if not found:
        return
    header = ("", "rows", "original", "candidate")
    rows = [
        (
            f"{entry['metric']} of {entry['slice']}",
            f"{entry['rows']:,}",
            *(figure_of(entry["metric"], entry[key]) for key in ("original", "candidate")),
        )
        for entry in found[:_MOST_MEASURED]
    ]
    numbers = table(header, rows, "Every metric of every slice, judged or not")
    yield section("Measured", element("details", element("summary", "The numbers"), numbers))


def _foot(report: Report) -> Iterator[Markup]:
    facts = report["facts"]
    for name in ("candidate", "original", "data"):
        if facts:
            yield element("p", f"{name}: {facts[name]['name']}, sha256 ", element("code", facts[name]["sha256"]))
    if facts:
        yield element("p", "policy: sha256 ", element("code", facts["policy_sha256"]), class_="foot")
