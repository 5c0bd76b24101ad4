"""The parts of card.md that are card.json in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_rai.page.scale import duration
from edge_rai_converters.documents.facts import Json
from edge_rai_converters.gate.rules import ALL_ROWS
from edge_rai_converters.gate_page.words import change, figure_of, mark
from edge_rai_converters.words import number_of

_LISTED, _MOST_GAPS = 60, 40


def front_matter(card: Json) -> Iterator[str]:
    """What model hubs read: YAML, every value of which is JSON, between two rules.

    Args:
        card: card.json.
    """
    yield "---"
    yield "library_name: edge_rai"
    if card["use"] and card["use"]["license"]:
        yield f"license: {_scalar(card['use']['license'])}"
    if card["task"]:
        yield f"pipeline_tag: {card['task']}"
    yield "tags:"
    yield from (f"- {_scalar(tag)}" for tag in ("edge", *(model["format"] for model in _primary(card))))
    yield from _index(card)
    yield from ("---", "")


def _index(card: Json) -> Iterator[str]:
    """Results, in the form of Hugging Face's model-index; nothing where none are known."""
    metrics = [
        ("accuracy", f"accuracy of {model['path']}", model["accuracy"])
        for model in _primary(card)
        if model["accuracy"] is not None
    ]
    if not metrics:
        return
    yield "model-index:"
    yield f"- name: {_scalar(card['name'])}"
    yield "  results:"
    yield "  - task:"
    yield f"      type: {card['task'] or 'other'}"
    yield "    dataset:"
    yield "      type: held-back-rows"
    yield f"      name: {_scalar('held-back rows of the reference data')}"
    yield "    metrics:"
    for kind, name, value in metrics:
        yield f"    - type: {kind}"
        yield f"      name: {_scalar(name)}"
        yield f"      value: {value:.6f}"


def _scalar(text: str) -> str:
    """A text as YAML and JSON both have it."""
    return json.dumps(text, ensure_ascii=True)


def _primary(card: Json) -> Sequence[Json]:
    return [model for model in card["models"] if model["role"] == "primary"]


def use(card: Json) -> Iterator[str]:
    """What the model is for, and what class of risk that makes it.

    Args:
        card: card.json.
    """
    yield from ("## What it is for", "")
    said, risk = card["use"], card["risk"]
    if said is None or risk is None:
        yield from ("Nobody said: this bundle was made without a questionnaire (`--risk`).", "")
        return
    yield from (_text(said["purpose"]), "")
    for key, title in (("users", "Who uses it"), ("affected", "Who is affected"), ("oversight", "Who watches over it")):
        if said[key]:
            yield f"- {title}: {_text(said[key])}"
    yield from (f"- Not for: {_text(entry)}" for entry in said["not_for"])
    if said["contact"]:
        yield f"- Questions: {_text(said['contact'])}"
    yield from (
        "",
        f"Risk class, by the rules of this project: {risk['class']}, because {'; '.join(risk['because'])}.",
        "",
    )
    plan = risk["change_plan"]
    if plan:
        limits = [f"{metric} worse by at most {limit:g}" for metric, limit in plan["largest_loss"].items()]
        allowed = ", ".join(plan["allowed"]) or "nothing"
        yield from (f"May change without asking again: {'; '.join((allowed, *limits))}.", "")


def not_said(card: Json) -> Iterator[str]:
    """What its figures are not about.

    Args:
        card: card.json.
    """
    yield from ("## What this does not say", "")
    yield "Limits, distances and drift reference describe the reference data and nothing else. Accuracy is that of the"
    if any(cell["slice"] != ALL_ROWS for gate in card["gates"].values() for cell in gate["cells"]):
        yield 'held-back rows as a whole: how much worse a group may be than before stands under "Across groups", and'
        yield "of other groups nothing is known. A row within all limits can still be one that the model has never"
        yield "seen the like of."
    else:
        yield "held-back rows as a whole: a slice of them may be worse. A row within all limits can still be one that"
        yield "the model has never seen the like of."
    yield ""


def known_limits(card: Json) -> Iterator[str]:
    """What people say that it cannot do.

    Args:
        card: card.json.
    """
    if card["use"] and card["use"]["limits"]:
        yield from (f"- {_text(entry)}" for entry in card["use"]["limits"])
        yield ""


def across_groups(card: Json) -> Iterator[str]:
    """What the gate said, slice by slice.

    Args:
        card: card.json.
    """
    for path, gate in card["gates"].items():
        yield from (f"## Across groups: {gate['verdict']}", "")
        cells: Sequence[Json] = gate["cells"]
        yield f"{number_of(len(cells), 'cell')}, each a metric of a group, of the model inside (candidate) and of the"
        yield f"one that it came from (original); limits have {_percent(1 - gate['alpha'])} confidence each (`{path}`,"
        yield f"and `{path.removesuffix('json')}html` to look at):"
        yield ""
        yield "| metric | group | rows | original | candidate | worse by at most | margin | verdict |"
        yield "|---|---|---|---|---|---|---|---|"
        yield from (_row(_cell(cell)) for cell in cells[:_LISTED])
        if len(cells) > _LISTED:
            yield _row((f"and {number_of(len(cells) - _LISTED, 'cell')} more", *[""] * 7))
        yield ""
        yield from _waivers(cells)
        yield from _gaps(gate["gaps"])
        yield from (f"- {_text(note)}." for note in gate["notes"])
        yield from [""] if gate["notes"] else ()


def _cell(cell: Json) -> Sequence[str]:
    metric = cell["metric"]
    within = f" (judged within {cell['merged_into']})" if cell["merged_into"] else ""
    return (
        metric,
        cell["slice"] + within,
        f"{cell['rows']:,}",
        figure_of(metric, cell["original"]),
        figure_of(metric, cell["candidate"]),
        change(metric, cell["loss_high"]),
        change(metric, cell["margin"]),
        mark(cell),
    )


def _waivers(cells: Sequence[Json]) -> Iterator[str]:
    waived = [cell for cell in cells if cell["waiver"] is not None]
    for cell in waived:
        waiver = cell["waiver"]
        yield f"- {_text(waiver['person'])} answers for {cell['metric']} of {cell['slice']} until {waiver['expires']}:"
        yield f"  {_text(waiver['reason'])}"
    yield from [""] if waived else ()


def _gaps(gaps: Sequence[Json]) -> Iterator[str]:
    known = [gap for gap in gaps if gap["original"] is not None and gap["candidate"] is not None][:_MOST_GAPS]
    if not known:
        return
    yield from ("### Gaps between groups", "", "Of both models; they are shown and not judged.", "")
    yield from ("| gap | by | original | candidate |", "|---|---|---|---|")
    for gap in known:
        name = gap["metric"].replace("_", " ") + (f", class {gap['class']}" if gap["class"] is not None else "")
        yield _row((name, ", ".join(gap["by"]), f"{gap['original']:.4f}", f"{gap['candidate']:.4f}"))
    yield ""


def promised(card: Json) -> Iterator[str]:
    """The certificate, and what robustness was found.

    Args:
        card: card.json.
    """
    for gate in card["gates"].values():
        certificate = gate["certificate"]
        if certificate:
            yield from ("## Certificate" if certificate["granted"] else "## Certificate: not granted", "")
            yield from (f"- {_text(sentence)}" for sentence in certificate["sentences"])
            yield ""
            yield from _certified(certificate["groups"])
        if gate["robustness"]:
            yield from ("## Robustness", "", *(f"- {_text(sentence)}" for sentence in gate["robustness"]), "")


def _certified(groups: Sequence[Json]) -> Iterator[str]:
    if not groups:
        return
    yield "| group | rows | answered | of these wrong | abstains at most | errs at most |"
    yield "|---|---|---|---|---|---|"
    for group in groups:
        limits = ("-" if group[key] is None else _percent(group[key]) for key in ("abstains_at_most", "errs_at_most"))
        yield _row((group["name"], *(f"{group[key]:,}" for key in ("rows", "answered", "errors")), *limits))
    yield ""


def rehearsed(card: Json) -> Iterator[str]:
    """How soon drift is found.

    Args:
        card: card.json.
    """
    found = card["drift"]
    if found is None:
        return
    yield from ("## How soon drift is found", "")
    promised = _percent(min(found["quiet_rows"] / found["average_run_length"], 1.0))
    yield f"Measured on streams drawn from {found['rows']:,} rows of the data: without a shift {found['false_alarms']}"
    yield f"of {found['runs']} streams of {found['quiet_rows']:,} rows had an alarm (the policy promises {promised} of"
    yield f"them at most, on average). After a shift of one feature, rows to the alarm, {found['most_rows']:,} at most;"
    yield "`edge-rai drift simulate` measures it with more."
    yield ""
    yield "| shift | found | median | nine of ten |"
    yield "|---|---|---|---|"
    for delay in found["delays"]:
        ends = ("-" if delay[key] is None else f"{delay[key]:,}" for key in ("median", "ninth"))
        yield _row((delay["shift"], f"{delay['found']} of {delay['runs'] - delay['early']}", *ends))
    yield ""


def price(card: Json) -> Iterator[str]:
    """What a call costs where it was measured.

    Args:
        card: card.json.
    """
    yield from ("## What it costs", "")
    machine: Mapping[str, Any] | None = card["machine"]
    if machine is None:
        yield from ("Not measured: this bundle was made to be reproducible, and times differ from run to run.", "")
    else:
        yield f"One call of one row, on one thread of {_text(machine['cpu'] or machine['architecture'])}, which"
        yield from ("need not be like the device (`edge-rai bench` measures there):", "")
    yield "| model | bytes | median (p10 to p90) | speed-up over float (95 %) | peak memory, MB |"
    yield "|---|---|---|---|---|"
    for model in card["models"]:
        cost = model["cost"]
        if cost is None:
            yield _row((f"`{model['path']}`", f"{model['size']:,}", "-", "-", "-"))
            continue
        times = f"{duration(cost['p50_ns'])} ({duration(cost['p10_ns'])} to {duration(cost['p90_ns'])})"
        gain = f"{cost['speed_up']:.2f} ({cost['speed_up_low']:.2f} to {cost['speed_up_high']:.2f})"
        memory = "-" if cost["peak_memory"] is None else f"{cost['peak_memory'] / 1e6:.1f}"
        yield _row((f"`{model['path']}`", f"{model['size']:,}", times, gain, memory))
    yield ""


def provenance(card: Json) -> Iterator[str]:
    """Where model and figures come from.

    Args:
        card: card.json.
    """
    known = card["provenance"]
    yield from ("## Where it comes from", "", "| what | |", "|---|---|")
    yield _row(("trained model", f"`{known['source_name']}`, sha256 `{known['source_sha256']}`"))
    yield _row(("reference data", f"sha256 `{known['data_sha256']}`"))
    for model in card["models"]:
        yield _row((f"`{model['path']}`", f"{model['recipe'] or model['quantization']}, sha256 `{model['sha256']}`"))
    for tool, version in sorted(known["tools"].items()):
        yield _row((tool, f"`{version}`"))
    yield ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(text: str) -> str:
    """Of people: on one line, so that it cannot begin a heading or a table."""
    return " ".join(text.split())


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
