"""What came of it, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from edge_rai_converters.words import number_of

_SHOWN = 3
_SEVERITY = 3


def of_robustness(report: Mapping[str, Any]) -> Iterator[str]:
    """The corruptions that the candidate bears worst, relations, attacks, and what was not tried.

    Args:
        report: The key robustness of gate.json, without its sentences.
    """
    severity = report["severity"]
    errs = report["measure"] == "error"

    def badness(curve: Mapping[str, Any]) -> float:
        side = curve["points"][severity]["candidate"]
        value = side["value"] if side["silent"] is None else side["silent"]
        return -1.0 if math.isnan(value) else float(value)

    for curve in sorted(report["curves"], key=badness, reverse=True)[:_SHOWN]:
        point, clean = curve["points"][severity], curve["points"][0]
        before, after = (_amount(point[side]["value"], errs) for side in ("original", "candidate"))
        begun = _amount(clean["candidate"]["value"], errs)
        silent = point["candidate"]["silent"]
        unsaid = "" if silent is None else f", and {_percent(silent)} are wrong without a word of it"
        caught = _percent(point["candidate"]["caught"])
        yield (
            f"{curve['corruption']} at severity {severity}: {report['measure']} {before} of the original, {after} of "
            f"the candidate (clean {begun}); its guard catches {caught} of the rows{unsaid}"
        )
    yield from (entry["said"] for entry in report["relations"])
    if report["attacks"] is not None:
        yield from report["attacks"]["said"]
    yield from report["notes"]


def of_shift(shift: Mapping[str, Any]) -> Iterator[str]:
    """How long the drift detector takes.

    Args:
        shift: The key shift of gate.json, without its sentences.
    """
    entries = [entry for entry in shift["delays"] if entry["severity"] == _SEVERITY]
    mostly = [entry for entry in entries if 2 * len(entry["delays"]) > entry["runs"]]
    found = [f"{entry['corruption']} {entry['median']:,.0f}" for entry in mostly]
    if found:
        yield f"rows from a shift of severity {_SEVERITY} to the alarm of drift, median: {', '.join(found)}"
    missed = [entry["corruption"] for entry in entries if entry not in mostly]
    if missed:
        most = number_of(shift["most_rows"], "row")
        yield f"no alarm of drift within {most} of severity {_SEVERITY} in most streams: {', '.join(missed)}"
    if shift["stride"] > 1:
        yield (
            f"the guard looks at features once in up to {shift['stride']:,} rows, as rows may depend on those before; "
            "streams are pieces of rows as they follow each other"
        )
    if early := sum(entry["early"] for entry in shift["delays"]):
        yield f"{number_of(early, 'alarm')} came before the shift, in {sum(e['runs'] for e in shift['delays'])} streams"


def of_queue(queue: Mapping[str, Any]) -> Iterator[str]:
    """What a person should look at first.

    Args:
        queue: The key audit_queue of gate.json, without its sentences.
    """
    if queue["rows"]:
        first = queue["rows"][0]
        yield (
            f"{number_of(queue['changed'], 'row')} decided otherwise; look first at {first['row']}: "
            f"{first['original']} became {first['candidate']}"
        )


def _amount(value: float, errs: bool) -> str:
    return f"{value:.4g}" if errs else _percent(value)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
