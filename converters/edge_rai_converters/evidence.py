"""The evidence of a conversion: candidates.json for machines, report.html, one file by itself, for people."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from edge_rai.bench.machine import Watcher
from edge_rai.bundle import Format
from edge_rai.page.drawing import Plane, axis, grid, strip
from edge_rai.page.frame import framed
from edge_rai.page.markup import Markup, element
from edge_rai.page.scale import fitting
from edge_rai_converters import data
from edge_rai_converters.candidates import Candidate, Forms
from edge_rai_converters.choose import Budgets, Choice
from edge_rai_converters.compare import Comparison
from edge_rai_converters.fallback import Fallback
from edge_rai_converters.learning import Learned
from edge_rai_converters.rehearsal import FalseRejections

_HEIGHT = 280
_RADIUS, _CHOSEN_RADIUS = 8, 11
# What the page has beside the bench's: the candidate that was chosen, and those that another one beats.
_STYLE = "tr.chosen{font-weight:600;background:var(--card)}.beaten{fill:var(--grey);stroke:var(--paper)}"


@dataclass(frozen=True, eq=False, slots=True)
class Evidence:
    """What a conversion leaves behind.

    Attributes:
        learned: Model, data, policy.
        forms: The candidates.
        choices: Which of them by target, and why.
        apart: How far the answers of the chosen TFLite model are from those of the chosen ONNX model; None where the
            bundle has one of them.
        fallback: The fallback model.
        verdicts: Of the guard on the held-back rows.
        budgets: What had to be kept.
        seed: Of whatever drew.
    """

    learned: Learned
    forms: Forms
    choices: Mapping[Format, Choice]
    apart: Comparison | None
    fallback: Fallback | None
    verdicts: FalseRejections
    budgets: Budgets
    seed: int

    def candidates_json(self) -> bytes:
        """Everything that was measured and decided of candidates."""
        front = pareto(self.forms.candidates)
        learned = self.learned
        document: dict[str, Any] = {
            "format_version": 1,
            "calibration_rows": len(learned.calibration),
            "held_back_rows": len(learned.held_back),
            "held_back_every": data.HELD_BACK_EVERY,
            "may_miss_one_row_in": max(1, len(learned.held_back) // 3),
            "labels_sha256": learned.dataset.labels_sha256,
            "seed": self.seed,
            "budgets": asdict(self.budgets),
            "candidates": [{**entry.as_json(), "pareto": entry.recipe in front} for entry in self.forms.candidates],
            "failed": dict(self.forms.failed),
            "chosen": {target: asdict(choice) for target, choice in self.choices.items()},
            "guard_on_held_back": asdict(self.verdicts),
            "distances": [asdict(entry) for entry in learned.distances],
            "without_distance": dict(learned.without_distance),
            "unrecorded_outputs": learned.unrecorded,
            "machine": self._machine(),
        }
        if self.apart:
            document["tflite_against_onnx"] = self.apart.as_json()
        if self.fallback:
            document["fallback"] = self.fallback.as_json()
        return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")

    def _machine(self) -> dict[str, Any] | None:
        """What the times were measured on; None where none were."""
        if not any(entry.cost for entry in self.forms.candidates):
            return None
        fixed = Watcher().machine().fixed
        return {key: fixed[key] for key in ("cpu", "architecture", "cores")}

    def report_html(self, name: str) -> bytes:
        """A page that needs nothing but itself.

        Args:
            name: Of the bundle.
        """
        chosen = frozenset(choice.recipe for choice in self.choices.values())
        lines = [
            f"<h1>{escape(name)}</h1>",
            f"<p>From <code>{escape(self.learned.source.path.name)}</code>, compared with the float model on",
            f"{len(self.learned.held_back)} rows that neither calibrated a candidate nor set a limit.</p>",
            *(f"<p><strong>Chosen:</strong> {escape(choice.reason)}.</p>" for choice in self.choices.values()),
            *_plot(self.forms.candidates, chosen),
            *_table(self.forms.candidates, chosen),
            *_others(self.choices.values()),
        ]
        return framed(f"{name}: candidates", [Markup("\n".join(lines))], style=_STYLE)


def quality(entry: Candidate) -> float:
    """Accuracy where there are labels, else agreement, else one less the relative difference; a share."""
    measured = entry.comparison
    for share in (measured.accuracy, measured.agreement):
        if share is not None:
            return share
    return max(0.0, 1.0 - measured.relative_difference) if math.isfinite(measured.relative_difference) else 0.0


def pareto(candidates: Sequence[Candidate]) -> frozenset[str]:
    """Recipes of the candidates that none of the same target beats in size, quality and, where measured, latency."""
    return frozenset(
        mine.recipe
        for mine in candidates
        if not any(_beats(_point(other), _point(mine)) for other in candidates if other.target == mine.target)
    )


def _point(entry: Candidate) -> tuple[float, ...]:
    return entry.size, -quality(entry), entry.cost.p50_ns if entry.cost else 0


def _beats(theirs: tuple[float, ...], mine: tuple[float, ...]) -> bool:
    return theirs != mine and all(their <= my for their, my in zip(theirs, mine, strict=True))


def _plot(candidates: Sequence[Candidate], chosen: Collection[str]) -> Iterator[str]:
    """Quality over size, by the numbers of the table's rows; a line joins the Pareto front of each target."""
    sizes = fitting([entry.size for entry in candidates], pad=0.08, logarithmic=True)
    plane = Plane(sizes, fitting([quality(entry) for entry in candidates], pad=0.1, logarithmic=False), _HEIGHT)
    front, ticks = pareto(candidates), sizes.ticks()
    levels = [(level, f"{100 * level:g} %") for level in plane.up.ticks() if level <= 1]
    shapes = [grid(sizes, ticks, _HEIGHT), plane.levels(levels)]
    for target in dict.fromkeys(entry.target for entry in candidates):
        line = sorted(_place(entry) for entry in candidates if entry.target == target and entry.recipe in front)
        shapes += [plane.line(line, "front")] if line else []
    for number, entry in enumerate(candidates, 1):
        kind, radius = (
            "dot" if entry.recipe in front else "beaten",
            _CHOSEN_RADIUS if entry.recipe in chosen else _RADIUS,
        )
        size, share = _place(entry)
        shapes.append(plane.point(size, share, kind, radius))
        shapes.append(element("text", str(number), x=f"{plane.x(size):.2f}%", y=plane.y(share) + 4, class_="inside"))
    name = _quality_name(candidates[0])
    said = "; ".join(f"{entry.recipe}: {_percent(quality(entry))} in {entry.size:,} bytes" for entry in candidates)
    caption = f"Higher up is better ({name}), further left is smaller; a line joins those that none beats in both."
    drawing = strip(_HEIGHT, f"{name} over size of each candidate", said, *shapes)
    under = axis(sizes, [(tick, f"{tick:,.0f}") for tick in ticks], "bytes")
    yield element("figure", element("figcaption", caption), drawing, under)


def _place(entry: Candidate) -> tuple[float, float]:
    return entry.size, quality(entry)


def _quality_name(entry: Candidate) -> str:
    if entry.comparison.accuracy is not None:
        return "accuracy"
    return "agreement with float" if entry.comparison.agreement is not None else "1 less the relative difference"


def _table(candidates: Sequence[Candidate], chosen: Collection[str]) -> Iterator[str]:
    front = pareto(candidates)
    yield '<div class="scroll" tabindex="0" role="region" aria-label="candidates"><table>'
    yield "<thead><tr><th>candidate</th><th>target</th><th>bytes</th><th>accuracy</th><th>agreement</th>"
    yield "<th>largest difference</th><th>latency p50 (p10 to p90), µs</th><th>speed-up (95 %)</th>"
    yield "<th>peak memory, MB</th><th>Pareto</th></tr></thead><tbody>"
    for number, entry in enumerate(candidates, 1):
        measured, cost = entry.comparison, entry.cost
        agreement = measured.share_within if measured.agreement is None else measured.agreement
        cells = [
            f"{number}. {escape(entry.recipe)}",
            entry.target,
            f"{entry.size:,}",
            _percent(measured.accuracy),
            _percent(agreement),
            f"{measured.largest_difference:.3g}",
            f"{cost.p50_ns / 1e3:.1f} ({cost.p10_ns / 1e3:.1f} to {cost.p90_ns / 1e3:.1f})" if cost else "-",
            f"{cost.speed_up:.2f} ({cost.speed_up_low:.2f} to {cost.speed_up_high:.2f})" if cost else "-",
            f"{cost.peak_memory / 1e6:.1f}" if cost and cost.peak_memory is not None else "-",
            "yes" if entry.recipe in front else "",
        ]
        kind = ' class="chosen"' if entry.recipe in chosen else ""
        yield f"<tr{kind}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</tbody></table></div>"


def _others(choices: Iterable[Choice]) -> Iterator[str]:
    objections = {name: why for choice in choices for name, why in choice.objections.items()}
    if objections:
        yield "<h2>Why not the others</h2><ul>"
        for name, why in objections.items():
            yield f"<li><code>{escape(name)}</code> {escape(why)}</li>"
        yield "</ul>"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
