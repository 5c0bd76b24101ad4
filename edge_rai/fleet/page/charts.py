"""Drawings: rows by hour, a feature's bins against its reference, its index by hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_rai.fleet.page.document import when
from edge_rai.page.drawing import block, strip
from edge_rai.page.markup import Markup, element

_HEIGHT = 120.0
_ROOM = 16.0  # above the bars, for the greatest value
_HOUR_NS = 3_600_000_000_000


def by_hour(title: str, values: Mapping[int, float], first: int, last: int, written: str) -> Markup:
    """Bars of a value by hour.

    Args:
        title: What they are.
        values: By hour since 1970; no bar where there is none.
        first: Hour.
        last: Hour.
        written: How a value is written, as ".2%".
    """
    inside = {hour: value for hour, value in values.items() if first <= hour <= last}
    if not inside:
        return element("p", "Nothing was received in this period.")
    most, hours = max(inside.values()), last - first + 1
    bars = []
    for hour, value in sorted(inside.items()):
        left = 100 * (hour - first) / hours
        bars.append(_bar(left, 100 / hours * 0.8, value / most if most else 0.0, "bar"))
    greatest = max(inside, key=lambda hour: inside[hour])
    counted = "1 hour" if len(inside) == 1 else f"{len(inside)} hours"
    said = f"{counted} with rows; at most {format(most, written)} in the hour from {when(greatest * _HOUR_NS)} UTC"
    top = element("text", f"at most {format(most, written)}", x=0, y=11, class_="halo")
    ends = (when(first * _HOUR_NS)[:16], when((last + 1) * _HOUR_NS)[:16])
    return element("figure", strip(_HEIGHT + _ROOM, title, said, *bars, top), _ends(*ends), element("p", said))


def bins(title: str, bounds: Sequence[float], reference: Sequence[int], window: Sequence[int]) -> Markup:
    """Shares of a feature's bins, those of the reference beside those of the window."""
    sums = (max(sum(reference), 1), max(sum(window), 1))
    shares = [(r / sums[0], w / sums[1]) for r, w in zip(reference, window, strict=True)]
    most = max(max(pair) for pair in shares)
    bars, width = [], 100 / len(shares)
    for index, (expected, found) in enumerate(shares):
        left = index * width
        bars.append(_bar(left + width * 0.08, width * 0.4, expected / most if most else 0.0, "reference"))
        bars.append(_bar(left + width * 0.5, width * 0.4, found / most if most else 0.0, "bar"))
    farthest = max(range(len(shares)), key=lambda index: abs(shares[index][0] - shares[index][1]))
    expected, found = shares[farthest]
    said = f"farthest apart in bin {farthest + 1} of {len(shares)}: {expected:.1%} in the reference, {found:.1%} here"
    top = element("text", f"at most {most:.1%}", x=0, y=11, class_="halo")
    legend = element(
        "p",
        element("span", class_="key reference"),
        "reference",
        element("span", class_="key"),
        "this period",
        class_="note",
    )
    ends = (f"up to {bounds[0]:.4g}", f"above {bounds[-1]:.4g}") if bounds else ("", "")
    drawing = strip(_HEIGHT + _ROOM, title, said, *bars, top)
    return element("figure", legend, drawing, _ends(*ends), element("p", said))


def _bar(left: float, width: float, part: float, kind: str) -> Markup:
    height = max(_HEIGHT * part, 1.0)
    return block(left, left + width, _ROOM + _HEIGHT - height, height, kind)


def _ends(left: str, right: str) -> Markup:
    return element("p", element("span", left), element("span", right), class_="label note")
