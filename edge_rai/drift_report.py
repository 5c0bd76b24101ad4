"""How far a window has moved from the reference: its numbers, a sentence, and a page with both of each feature."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, overload

from edge_rai.counts import FeatureDrift, Snapshot
from edge_rai.drift import Direction, Watch, WatchedFeature
from edge_rai.page.drawing import block, strip, upright
from edge_rai.page.figure import row, section
from edge_rai.page.frame import framed
from edge_rai.page.markup import Markup, element, table
from edge_rai.telemetry.drift import feature_drift
from edge_rai.types import Feature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_HEIGHT = 56.0
_MOST_FEATURES = 200  # drawn; the table has all of them
_FAR = 1.8  # most values lie beyond the outermost bins by then, where nothing is told apart
_SAID = {
    "mean_up": "its values have risen",
    "mean_down": "its values have fallen",
    "wider": "its values spread wider",
    "narrower": "its values spread less",
    "shares": "the shares of its categories have changed",
    "missing": "more of its values are missing or not finite",
    "outside": "more of its values are out of range",
    "above": "its mean is above its bound",
}


@dataclass(frozen=True)
class DriftReport(Sequence[FeatureDrift]):
    """A window beside the reference: a sequence of the features that have one, in the policy's order.

    Attributes:
        window: What was counted since the last flush.
        watch: What the detectors have won over all windows, and their alarm; None: the policy has no [drift].
        features: The policy's, with their references.
    """

    window: Snapshot
    watch: Watch | None
    features: tuple[Feature, ...]

    @cached_property
    def _drifts(self) -> tuple[FeatureDrift, ...]:
        return tuple(
            feature_drift(feature.name, feature.counts, counted.histogram)
            for feature, counted in zip(self.features, self.window.features, strict=True)
            if len(feature.counts)
        )

    def __len__(self) -> int:
        return len(self._drifts)

    @overload
    def __getitem__(self, index: int) -> FeatureDrift: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FeatureDrift]: ...
    def __getitem__(self, index: int | slice) -> FeatureDrift | Sequence[FeatureDrift]:
        return self._drifts[index]

    def __str__(self) -> str:
        """One sentence of the watch, with the alarm if there is one."""
        return _said_of(self.watch)

    def most_changed_first(self) -> list[FeatureDrift]:
        """Those that an alarm names first, whose shares of bins may be as ever; then by PSI above what chance gives."""
        named = self.watch.alarm.features if self.watch is not None and self.watch.alarm is not None else ()
        return sorted(self, key=lambda one: (one.name not in named, one.expected - one.psi))

    def html(self, title: str = "Drift") -> bytes:
        """A page that needs nothing but itself, in UTF-8: no network, no script."""
        return framed(title, _parts(title, self))


def _parts(title: str, report: DriftReport) -> Iterator[Markup]:
    watch = report.watch
    drifts = report.most_changed_first()
    yield element("h1", title)
    yield element("p", _about(report.window), class_="about")
    yield element("div", element("p", str(report)), class_="lead")
    title = (
        "Features, those that the alarm names first" if watch and watch.alarm else "Features, the most changed first"
    )
    yield section(title, *_drawn(report, drifts), _numbers(watch, drifts))


def _about(window: Snapshot) -> str:
    made = datetime.fromtimestamp(window.end_unix_ns / 1e9, timezone.utc)
    rows = f"{window.rows} row{'s' * (window.rows != 1)}"
    return f"{rows}, counted up to {made:%Y-%m-%d %H:%M} UTC; model {window.model_digest[:12]}"


def _said_of(watch: Watch | None) -> str:
    if watch is None:
        return "Nothing is watched: the policy has no [drift]."
    promised = f"once in {watch.average_run_length:g} rows at most while nothing has changed"
    if watch.alarm is None:
        rows = f"{watch.rows} row{'s' * (watch.rows != 1)}"
        return f"No alarm in {rows}: evidence {watch.evidence:.3g}; alarms come {promised}."
    first, *others = watch.alarm.features
    found = next(one for one in watch.features if one.name == first)
    size = _effect(found)
    also = f"; also {', '.join(others)}" if others else ""
    return (
        f"Alarm at row {watch.alarm.row}: {first}, {_SAID[found.direction.name.lower()]}{size}, since about "
        f"{found.changed} rows before{also}. Evidence {watch.alarm.evidence:.3g}; alarms come {promised}."
    )


def _effect(found: WatchedFeature) -> str:
    """How large the change is, in words; nothing where there is no number for it."""
    if found.effect is None or found.effect_interval is None:
        return ""
    low, high = found.effect_interval
    ends = f"(95 %: {low:.2g} to {high:.2g})"
    beyond = " or more" if abs(found.effect) > _FAR else ""
    if found.direction in (Direction.MEAN_UP, Direction.MEAN_DOWN):
        return f" by {found.effect:+.2g} standard deviations{beyond} {ends}"
    if found.direction in (Direction.WIDER, Direction.NARROWER):
        return f", {found.effect:.2g} times{beyond} {ends}"
    if found.direction is Direction.ABOVE:
        return f", {found.effect:.2g} {ends}"
    return f", now {100 * found.effect:.3g} % of them"


def _drawn(report: DriftReport, drifts: Sequence[FeatureDrift]) -> Iterator[Markup]:
    counted = {
        feature.name: (feature, counts) for feature, counts in zip(report.features, report.window.features, strict=True)
    }
    yield element(
        "p",
        "Bars: the window's share of each bin; lines: the reference's. Bins are equally wide here, whatever range of "
        "values they stand for.",
        class_="about",
    )
    for drift in drifts[:_MOST_FEATURES]:
        feature, counts = counted[drift.name]
        bins = len(feature.counts)
        window, reference = counts.histogram[:bins], feature.counts
        value = f"PSI {drift.psi:.3f}"
        lacking = f", {counts.not_finite} missing or not finite" if counts.not_finite else ""
        note = f"{drift.expected:.3f} if unchanged; {drift.values} values{lacking}; from {_ends(feature.edges)}"
        yield row(drift.name, value, _bars(drift.name, window.tolist(), reference.tolist()), note)
    if len(drifts) > _MOST_FEATURES:
        yield element("p", f"{len(drifts) - _MOST_FEATURES} more are in the table.", class_="about")


def _ends(edges: npt.NDArray[np.float64]) -> str:
    return f"{edges[0]:.4g} to {edges[-1]:.4g} between the first and the last bin" if len(edges) else "one bin"


def _bars(name: str, window: Sequence[int], reference: Sequence[int]) -> Markup:
    shares = [[count / max(sum(counts), 1) for count in counts] for counts in (window, reference)]
    most = max(max(share) for share in shares) or 1.0
    wide = 100 / len(window)
    shapes = []
    for place, (now, then) in enumerate(zip(*shares, strict=True)):
        low, high = place * wide + 0.1 * wide, (place + 1) * wide - 0.1 * wide
        shapes.append(block(low, high, _HEIGHT * (1 - now / most), _HEIGHT * now / most, "shape"))
        y = _HEIGHT * (1 - then / most)
        shapes.append(element("line", x1=f"{low:.2f}%", x2=f"{high:.2f}%", y1=y, y2=y, class_="whisker"))
    description = (
        f"{len(window)} bins; the window's greatest share is {max(shares[0]):.1%}, the reference's {max(shares[1]):.1%}"
    )
    return strip(_HEIGHT, f"{name}: window and reference", description, *shapes, upright(0, 0, _HEIGHT, "base"))


def _numbers(watch: Watch | None, drifts: Sequence[FeatureDrift]) -> Markup:
    evidence = {} if watch is None else {one.name: one for one in watch.features}
    rows = []
    for drift in drifts:
        of = evidence.get(drift.name)
        watched = (
            ["not watched", ""] if of is None else [f"{of.evidence:.3g}", _direction(of.evidence, of.direction.name)]
        )
        rows.append([drift.name, f"{drift.psi:.4f}", f"{drift.expected:.4f}", str(drift.values), *watched])
    header = ["feature", "PSI", "if unchanged", "values", "evidence", "mostly for"]
    return element("details", element("summary", "The numbers"), table(header, rows, "Each feature"))


def _direction(evidence: float, name: str) -> str:
    return name.lower().replace("_", " ") if evidence > 0 and math.isfinite(evidence) else ""
