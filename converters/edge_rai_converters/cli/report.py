"""What convert and profile print."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from edge_rai_converters.words import number_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_rai.bundle import Format
    from edge_rai.policy import Drift
    from edge_rai_converters.candidates import Candidate
    from edge_rai_converters.compare import Comparison
    from edge_rai_converters.conversion import ConversionReport
    from edge_rai_converters.distance import DistanceReport
    from edge_rai_converters.refit import Rethreshold

_BAR = 24
_SHOWN = 20
_SEASONAL = "seasonal of "
_REDRAW_S = 0.1
# What notes of the passes are of, where the topic alone does not say it.
_TOPICS = {
    "edges": "its inputs and outputs are integers",
    "float_layers": "layers left in float, as int8 would change too many answers",
    "gentler": "pruning",
    "int8_harm": "error of the answers when one layer alone is int8, over their standard deviation, worst first",
    "xnnpack": "XNNPACK runs",
}


class Stages:
    """Prints each stage on a line of stderr; on a terminal with a bar and the time it took."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._terminal = sys.stderr.isatty()
        self._stage = ""
        self._began = self._drawn = 0.0

    def __call__(self, stage: str, share: float = 0.0, /) -> None:
        """A stage begins, or a share of it is done."""
        now = time.monotonic()
        if stage != self._stage:
            self._end()
            self._stage, self._began = stage, now
            if not self._terminal:
                print(f"{self._command}: {stage}", file=sys.stderr)
        if self._terminal and (not share or now - self._drawn > _REDRAW_S):
            self._drawn = now
            filled = round(_BAR * min(max(share, 0.0), 1.0))
            self._draw(f"[{'#' * filled}{'.' * (_BAR - filled)}]", "\r")

    def __enter__(self) -> Stages:
        """Until it is left, a signal that ends the process leaves no temporary files behind."""
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._end()
        elif self._stage and self._terminal:
            print(file=sys.stderr)  # the bar stays where it stopped

    def _end(self) -> None:
        if self._stage and self._terminal:
            self._draw(f"[{'#' * _BAR}]", f" {time.monotonic() - self._began:.1f} s\n")
        self._stage = ""

    def _draw(self, bar: str, end: str) -> None:
        print(f"\r\x1b[K{self._command}: {bar} {self._stage:.80}", end=end, file=sys.stderr, flush=True)


def print_report(report: ConversionReport) -> None:
    """The candidates, the choice and what the guard says of the held-back rows."""
    print_not_taken(report.not_taken)
    _print_audit(report)
    _print_candidates(report)
    for target in report.choices:
        _print_choice(report, target)
    if report.apart:
        same = "" if report.apart.agreement is None else f"; {_percent(report.apart.agreement)} in the same class"
        most, mean = report.apart.largest_difference, report.apart.mean_difference
        print(f"apart:  TFLite differs from ONNX by {most:.3g} at most, {mean:.3g} on average{same}")
    for path, gated in report.gate.items():
        print(f"gate:   {gated.verdict}, {number_of(len(gated.cells), 'cell')}: {path}")
        for said in gated.further.get("certificate", {}).get("sentences", ()):
            print(f"certificate: {said}")
    if report.fallback:
        print(f"fallback: {report.fallback.size:,} bytes; {_agreement(report.fallback.comparison)}")
    for name, keys in report.columns.items():
        print(
            f"zipmap: output {name} was a map a row; it is a matrix now, a column a class: {', '.join(map(str, keys))}"
        )
    if report.unrecorded:
        print(f"left out: {', '.join(report.unrecorded)} (no tensors of numbers: not compared, no golden vectors)")
    print_distances(report.distances, report.without_distance)
    print_watched(report.drift)
    _print_guard(report)
    batch = "rows are judged one by one" if report.batched else "a call is one row"
    learned = f"{number_of(report.features, 'feature')}, {number_of(report.calibration_rows, 'calibration row')}"
    print(f"wrote:  {report.output} ({learned}; {batch})")


def _print_choice(report: ConversionReport, target: Format) -> None:
    chosen, cost = report.chosen_for(target), report.chosen_for(target).cost
    print(f"chosen: {report.choices[target].reason}.")
    if cost and cost.slower:
        print(f"        it takes {1 / cost.speed_up:.2f} times as long as float here; see --budget-ms, --quantize none")
    for topic, note in chosen.notes.items():
        print(f"        {_TOPICS.get(topic, topic.replace('_', ' '))}: {note}")
    if chosen.threshold:
        _print_threshold(chosen.threshold)


def _print_threshold(fitted: Rethreshold) -> None:
    """Between which scores of two classes to decide; the bundle only records it."""
    refit = fitted.refit
    score = f"the score in output {fitted.output!r} (of two columns the second less the first)"
    if not refit.kept:
        print(f"threshold: class 1 is where {score} exceeds {refit.before:g}, as before: {refit}")
        return
    print(
        f"threshold: let your program take class 1 where {score} exceeds {refit.found:g}, no longer {refit.before:g}: "
        f"{refit}; accuracy on the held-back rows is {_percent(fitted.accuracy)} with it"
    )


def _print_audit(report: ConversionReport) -> None:
    grave = [finding for finding in report.audit.findings if finding.severity != "info"]
    for finding in grave:
        print(f"audit:  {finding.severity}: {finding.sentence}. {finding.advice}.")
    rest = len(report.audit.findings) - len(grave)
    more = f"; {rest} to know, see edge-rai audit" if rest else ""
    print(f"audit:  {len(grave) or 'nothing'} found in the data{more}")


def _print_candidates(report: ConversionReport) -> None:
    decides = report.candidates[0].comparison.agreement is not None
    same = "agreement" if decides else "within 5 %"
    chosen = {choice.recipe for choice in report.choices.values()}
    width = max(len(entry.recipe) for entry in report.candidates) + 2
    costs = all(entry.cost for entry in report.candidates)
    head = f"  {'candidate':{width}}{'bytes':>12}{'accuracy':>11}{same:>12}{'max diff':>10}"
    print(head + (f"{'us a call (p10 to p90)':>28}{'speed-up (95 %)':>22}{'MB':>7}" if costs else ""))
    for entry in report.candidates:
        measured = entry.comparison
        agreement = measured.share_within if measured.agreement is None else measured.agreement
        mark = "*" if entry.recipe in chosen else " "
        print(
            f"{mark} {entry.recipe:{width}}{entry.size:>12,}{_percent(measured.accuracy):>11}{_percent(agreement):>12}"
            f"{measured.largest_difference:>10.3g}{_cost(entry)}"
        )
    for choice in report.choices.values():
        for line in choice.unsaid():
            print(f"  {line}")


def _cost(entry: Candidate) -> str:
    cost = entry.cost
    if cost is None:
        return ""
    latency = f"{cost.p50_ns / 1000:.1f} ({cost.p10_ns / 1000:.1f} to {cost.p90_ns / 1000:.1f})"
    speed_up = f"{cost.speed_up:.2f} ({cost.speed_up_low:.2f} to {cost.speed_up_high:.2f})"
    memory = "-" if cost.peak_memory is None else f"{cost.peak_memory / 1e6:.1f}"
    return f"{latency:>28}{speed_up:>22}{memory:>7}"


def _print_guard(report: ConversionReport) -> None:
    verdicts = report.false_rejections
    share = 100 * verdicts.rejected / verdicts.rows
    flagged = f", flags {verdicts.flagged}" if verdicts.flagged else ""
    print(f"guard:  rejects {verdicts.rejected} of {verdicts.rows} held-back rows ({share:.1f} %){flagged}")
    if verdicts.left_out:
        print(f"        left out, as they need order or time: {', '.join(verdicts.left_out)}")
    promised = [entry.false_rejection_rate for entry in report.distances if not entry.yours]
    if share > 1 + 100 * max(promised, default=0):
        print("        more than expected: write the rules with 'edge-rai profile', widen them, and pass --policy")


def print_not_taken(names: Sequence[str]) -> None:
    """One line with what of the data no model will see, which may be more than was meant."""
    if names:
        shown = ", ".join(map(repr, names[:_SHOWN])) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
        print(f"data:   not taken, as no input of the model wants them and they are not the labels: {shown}")


def print_distances(reports: Sequence[DistanceReport], without: Mapping[str, str]) -> None:
    """One line an input, what is behind its distance; and one a reason, which inputs have none for it."""
    for entry in reports:
        rate, share = 100 * entry.false_rejection_rate, 100 * entry.above / entry.held_back
        origin = f"for a false rejection rate of {rate:.3g} %, from {number_of(entry.rows, 'row')}"
        print(
            f"distance: {entry.input}, {entry.kind}: squared at most {entry.threshold:.5g}, "
            f"{'your threshold' if entry.yours else origin}; {entry.above} of {entry.held_back} held-back rows are "
            f"above ({share:.1f} %)"
        )
    for why in dict.fromkeys(without.values()):
        print(f"distance: none of {', '.join(name for name in without if without[name] == why)}: {why}")


def print_watched(drift: Drift | None) -> None:
    """One line, how features are watched for drift; none where they are not."""
    if drift is None:
        return
    strides = drift.strides
    by_the_hour = [name.removeprefix(_SEASONAL) for name in strides if name.startswith(_SEASONAL)]
    idle = [name for name, stride in strides.items() if stride == 0 and name not in by_the_hour]
    often = f"some once in up to {max(strides.values())} rows" if any(strides.values()) else "in every row"
    print(
        f"drift:  watched, a false alarm once in {drift.average_run_length:g} rows at most; features are looked at "
        + often
        + f", {number_of(len(idle), 'feature')} not at all" * bool(idle)
    )
    if by_the_hour:
        print(f"drift:  held against what is usual at the hour: {', '.join(map(repr, by_the_hour[:_SHOWN]))}")
    if idle:
        shown = ", ".join(map(repr, idle[:_SHOWN])) + f" and {len(idle) - _SHOWN} more" * (len(idle) > _SHOWN)
        print(f"drift:  not watched, as rows depend on each other however far apart they are: {shown}")


def _agreement(measured: Comparison) -> str:
    if measured.agreement is not None:
        accuracy = _percent(measured.accuracy)
        return f"of held-back rows {_percent(measured.agreement)} in the same class, accuracy {accuracy}"
    within = _percent(measured.share_within)
    return f"of held-back values {within} within 5 %, at most {measured.largest_difference:.3g} off"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
